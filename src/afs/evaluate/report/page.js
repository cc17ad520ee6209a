// Draws the matrix of all answers as colored cells; without it the letters stay.
(() => {
  const holder = document.getElementById("rows"), table = document.getElementById("matrix");
  if (!holder || !table) return;
  const data = JSON.parse(holder.textContent), style = getComputedStyle(document.documentElement);
  const color = {1: style.getPropertyValue("--good"), 0: style.getPropertyValue("--bad")}, odd = style.getPropertyValue("--odd");
  const count = data.items.length, cell = Math.max(2, Math.min(9, Math.floor(860 / count))), high = 16;
  const tip = document.createElement("p");
  tip.id = "tip";
  tip.textContent = "Point at a cell to see its item.";
  [...table.rows].forEach((row, number) => {
    const model = Object.keys(data.models)[number], marks = data.models[model];
    const canvas = document.createElement("canvas");
    canvas.width = count * cell;
    canvas.height = high;
    const pen = canvas.getContext("2d");
    for (let i = 0; i < count; i++) {
      pen.fillStyle = color[marks[i]] || odd;
      pen.globalAlpha = marks[i] === "1" ? 1 : 0.75;
      pen.fillRect(i * cell, 0, cell > 3 ? cell - 1 : cell, high);
    }
    canvas.onmousemove = (event) => {
      const i = Math.min(count - 1, Math.floor(event.offsetX / cell));
      tip.textContent = `${data.items[i]} (${data.categories[i]}): ` +
        Object.entries(data.models).map(([name, line]) => `${name} ${line[i]}`).join(", ");
    };
    row.cells[1].replaceChildren(canvas);
  });
  table.parentNode.after(tip);
})();
