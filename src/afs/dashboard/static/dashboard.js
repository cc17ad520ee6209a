/* Live updates and zoom. Everything on the page is readable without this file. */
(() => {
  "use strict";
  const main = document.getElementById("main");
  const run = main.dataset.follows;
  const charts = new Map();
  let lastStep = Number(main.dataset.step || 0);
  let full = true;

  // ── charts ──
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const OTHER = ["--good", "--link", "--bad", "--odd", "--soft", "--ink"];
  const STROKES = { raw: "--before", smooth: "--good", line: "--good", "held-out": "--link", spike: "--bad" };

  function stroke(series, place) {
    if (series.kind === "other" || (series.kind === "line" && place > 0)) return color(OTHER[place % OTHER.length]);
    return color(STROKES[series.kind]);
  }

  function seriesOptions(one, place) {
    const dots = one.kind === "held-out" || one.kind === "spike";
    return {
      label: one.name,
      stroke: stroke(one, place),
      width: one.kind === "raw" ? 1 : 1.8,
      paths: one.kind === "spike" ? () => null : undefined,
      points: { show: dots, size: 6, fill: one.kind === "spike" ? "transparent" : stroke(one, place) },
      spanGaps: true,
    };
  }

  function whiskers(u, data) {
    const one = data.series.find((row) => row.low);
    if (!one) return;
    const ctx = u.ctx;
    ctx.save();
    ctx.strokeStyle = color("--soft");
    ctx.beginPath();
    data.steps.forEach((step, i) => {
      if (one.low[i] == null) return;
      const x = u.valToPos(step, "x", true);
      ctx.moveTo(x, u.valToPos(one.low[i], "y", true));
      ctx.lineTo(x, u.valToPos(one.high[i], "y", true));
    });
    ctx.stroke();
    ctx.restore();
  }

  function options(figure, data) {
    const axis = { stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const values = (_, splits) => splits.map((v) => (v == null ? "" : data.share ? Math.round(100 * v) + " %" : Number(v.toPrecision(4)).toString()));
    return {
      width: Math.max(220, figure.clientWidth - 26),
      height: 220,
      cursor: { sync: { key: "run" }, drag: { x: true, y: false } },
      scales: { x: { time: false }, y: data.share ? { range: [0, 1] } : data.log ? { distr: 3 } : {} },
      legend: { show: false },
      axes: [{ ...axis, incrs: WHOLE }, { ...axis, size: 62, values, ...(data.log ? { splits: powers } : {}) }],
      series: [{ label: "step" }, ...data.series.map((one, place) => seriesOptions(one, place))],
      hooks: {
        setCursor: [(u) => sayValues(figure, u)],
        draw: [(u) => whiskers(u, figure.chartData)],
        setSelect: [(u) => { if (u.select.width > 4) zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")); }],
      },
    };
  }

  const WHOLE = [1, 2, 5].flatMap((n) => [...Array(10).keys()].map((power) => n * 10 ** power)).sort((a, b) => a - b);

  function powers(u) {
    const { min, max } = u.scales.y;
    const found = [];
    for (let power = Math.ceil(Math.log10(min)); power <= Math.floor(Math.log10(max)); power++) found.push(10 ** power);
    return found;
  }

  function sayValues(figure, u) {
    const place = figure.querySelector(".at");
    const i = u.cursor.idx;
    if (i == null || u.cursor.left < 0) { place.textContent = ""; return; }
    const data = figure.chartData;
    const parts = data.series.filter((one) => one.values[i] != null).map((one) => {
      const v = one.values[i];
      return `${one.name} ${data.share ? (100 * v).toFixed(1) + " %" : Number(v.toPrecision(4))}`;
    });
    place.textContent = `at ${data.steps[i].toLocaleString("en-US")}: ${parts.join(", ")}`;
  }

  const columns = (data) => [data.steps, ...data.series.map((one) => one.values)];

  function makeChart(figure) {
    const script = figure.querySelector('script[type="application/json"]');
    if (!script || !window.uPlot) return;
    const data = figure.chartData || JSON.parse(script.textContent);
    figure.chartData = data;
    const drawing = figure.querySelector("svg");
    const place = figure.querySelector(".drawn") || figure.insertBefore(document.createElement("div"), script);
    place.className = "drawn";
    place.replaceChildren();
    const u = new window.uPlot(options(figure, data), columns(data), place);
    u.over.addEventListener("dblclick", showAll);
    u.over.addEventListener("pointerdown", (event) => startPan(event, u));
    u.root.setAttribute("role", "img");
    u.root.setAttribute("aria-label", drawing.getAttribute("aria-label"));
    drawing.hidden = true;
    drawing.style.display = "none";
    charts.set(figure, u);
  }

  function makeCharts(root) {
    root.querySelectorAll("figure.chart[data-chart]").forEach(makeChart);
  }

  function setData(figure, data, keepRange) {
    const u = charts.get(figure);
    figure.chartData = data;
    const { min, max } = u.scales.x;
    u.setData(columns(data), !keepRange);
    if (keepRange) u.setScale("x", { min, max });
  }

  // Finer points for the part that is shown, from the server; an exported copy zooms into what it has.
  let asked;
  async function fetchPoints(first, last) {
    if (!run || !main.hasAttribute("data-live")) return;
    const query = first == null ? "" : `?first=${Math.floor(first)}&last=${Math.ceil(last)}`;
    asked?.abort();
    asked = new AbortController();
    try {
      const answer = await fetch(`data/run-${encodeURIComponent(run)}.json${query}`, { signal: asked.signal });
      if (!answer.ok) return;
      const found = new Map((await answer.json()).charts.map((one) => [one.key, one]));
      for (const figure of charts.keys()) {
        const data = found.get(figure.dataset.chart);
        if (data) setData(figure, data, first != null);
      }
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  }

  let waiting;
  function zoom(first, last) {
    full = false;
    for (const [figure, u] of charts) {
      u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      if (figure.closest("#part-charts")) u.setScale("x", { min: first, max: last });
    }
    clearTimeout(waiting);
    waiting = setTimeout(() => fetchPoints(first, last), 200);
  }

  function showAll() {
    full = true;
    for (const [figure, u] of charts) u.setData(columns(figure.chartData));
    fetchPoints(null);
  }

  // Shift and drag moves the part that is shown.
  function startPan(event, u) {
    if (!event.shiftKey || full) return;
    event.preventDefault();
    event.stopPropagation();
    const { min, max } = u.scales.x;
    const each = (max - min) / u.over.clientWidth;
    const move = (moved) => zoom(min - (moved.clientX - event.clientX) * each, max - (moved.clientX - event.clientX) * each);
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", () => window.removeEventListener("pointermove", move), { once: true });
  }

  const FIGURE_OF = { loss: "loss", rate: "lr", norm: "grad_norm", speed: "tokens_s" };
  function addPoints(news) {
    lastStep = news.steps.length ? news.steps[news.steps.length - 1] : lastStep;
    main.dataset.step = lastStep;
    if (!full) return;
    if (!news.whole) { fetchPoints(null); return; }
    for (const [figure] of charts) {
      const name = FIGURE_OF[figure.dataset.chart];
      if (!name || !figure.closest("#part-charts")) continue;
      const data = figure.chartData;
      const begin = data.steps.length ? data.steps[data.steps.length - 1] : -1;
      news.steps.forEach((step, i) => {
        if (step <= begin) return;
        data.steps.push(step);
        data.series.forEach((one, place) => {
          one.values.push(place === 0 ? news[name][i] : null);
          if (one.low) { one.low.push(null); one.high.push(null); }
        });
      });
      setData(figure, data, false);
    }
  }

  // ── live ──
  const sign = document.getElementById("live");
  let source, refresh;

  function say(text, kind) {
    if (!sign) return;
    if (sign.textContent !== text) sign.textContent = text;
    sign.className = `live ${kind}`;
  }

  function replacePart({ key, html }) {
    const part = document.getElementById(`part-${key}`);
    if (!part || (part.contains(document.activeElement) && document.activeElement.matches("input,textarea,select"))) return;
    const open = [...part.querySelectorAll("details")].map((one) => one.open);
    const focused = [...part.querySelectorAll("a,summary")].indexOf(document.activeElement);
    part.querySelectorAll("figure.chart").forEach((figure) => { charts.get(figure)?.destroy(); charts.delete(figure); });
    part.innerHTML = html;
    part.querySelectorAll("details").forEach((one, i) => { if (open[i] !== undefined) one.open = open[i]; });
    if (focused >= 0) part.querySelectorAll("a,summary")[focused]?.focus();
    makeCharts(part);
  }

  function connect() {
    const query = new URLSearchParams({ page: main.dataset.page, step: String(lastStep), search: location.search });
    source = new EventSource(`live?${query}`);
    source.onopen = () => say("live", "on");
    source.onerror = () => say("connection lost, trying again", "off");
    source.addEventListener("part", (event) => replacePart(JSON.parse(event.data)));
    source.addEventListener("points", (event) => addPoints(JSON.parse(event.data)));
    source.addEventListener("again", () => { if (full) fetchPoints(null); });
    refresh = setInterval(() => { if (full && run && charts.size) fetchPoints(null); }, 20000);
  }

  function disconnect() {
    source?.close();
    source = undefined;
    clearInterval(refresh);
  }

  makeCharts(document);
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    for (const [figure, u] of charts) u.setSize({ width: Math.max(220, figure.clientWidth - 26), height: 220 });
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const [figure, u] of [...charts]) { u.destroy(); charts.delete(figure); makeChart(figure); }
  });
  if (main.hasAttribute("data-live")) {
    connect();
    // A browser opens few connections to a server: a tab that nobody sees gives its own back.
    document.addEventListener("visibilitychange", () => { if (document.hidden) disconnect(); else if (!source) connect(); });
  }
})();
