"""The table of docs/experts.md, from the recipes and from what was measured (recipes/experts/shared/measured.toml).

It is written by docs/reference.py. A recipe without a measurement is planned; nothing here invents a figure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from afs.config import load_toml
from afs.recipe_file import RecipeText, resolve_recipe

RECIPES = Path(__file__).parents[1] / "recipes" / "experts"
MEASURED = RECIPES / "shared" / "measured.toml"
_JUDGED = {
    "snes": "assembled and run on the CPU core",
    "tools": "calls carried out in a file tree",
    "memory": "every note cites its message",
    "sums": "worked out",
    "repo": "your tests",
    "cpp": "compiled against your headers",
}
_HEAD = "| expert | base at `full` | samples at `full` | how answers are judged | state |\n|---|---|---|---|---|"


def write_experts(page: str) -> str:
    """The page with its table as the recipes are now."""
    table = "\n".join([_HEAD, *map(_row, sorted(RECIPES.glob("*.toml")))])
    return re.sub(
        r"(<!-- experts -->\n\n).*?(\n\n)", lambda match: f"{match[1]}{table}{match[2]}", page, count=1, flags=re.S
    )


def _row(path: Path) -> str:
    recipe = resolve_recipe(path)
    counts = count_samples(recipe)
    packs = [pack for pack, _ in counts.most_common()]
    samples = f"{counts.total():,} {'+'.join(packs)}" if packs else "your documents"
    judged = "; ".join(_JUDGED[pack] for pack in packs) or "words compared with your own documents"
    name = recipe.variables["name"]
    return f"| `{name}` | {recipe.variables['hub']} | {samples} | {judged} | {'; '.join(describe_state(recipe))} |"


def count_samples(recipe: RecipeText) -> Counter[str]:
    """Samples by pack that the recipe's campaigns make."""
    counts = Counter[str]()
    for table in recipe.tables.values():
        if table.get("verb") == "generate":
            counts[table["domain"]] += sum(int(cell["count"]) for cell in table["families"])
    return counts


def describe_state(recipe: RecipeText) -> Iterator[str]:
    """What was measured, else what the recipe waits for."""
    rows = [row for row in load_toml(MEASURED).get("measured", []) if row["expert"] == recipe.variables["name"]]
    yield from (f"measured at `{row['scale']}`: {row['figure']} ({row['report']})" for row in rows)
    needs = [f"your {key}" for key in ("canon", "project") if key in recipe.variables]
    if not rows:
        yield f"planned; needs {needs[0]}" if needs else "planned"
