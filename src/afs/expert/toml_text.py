"""Recipe steps as TOML text with comments, in the order of writing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_BARE = re.compile(r"^[A-Za-z0-9_-]+$")


class RecipePart(NamedTuple):
    """One table of a recipe."""

    name: str
    table: Mapping[str, object]
    comment: str = ""


def write_recipe(head: Sequence[str], steps: Sequence[RecipePart]) -> str:
    """The whole file."""
    lines = [f"# {line}".rstrip() for line in head]
    for step in steps:
        lines += ["", *([f"# {step.comment}"] if step.comment else []), f"[{write_key(step.name)}]"]
        lines += [f"{write_key(name)} = {write_value(value)}" for name, value in step.table.items()]
    return "\n".join(lines) + "\n"


def write_key(name: str) -> str:
    """A key, quoted where it must be."""
    return name if _BARE.match(name) else json.dumps(name)


def write_value(value: object, indent: str = "") -> str:
    """A value; lists of tables take a line each."""
    if isinstance(value, Mapping):
        pairs = (f"{write_key(str(name))} = {write_value(one, indent)}" for name, one in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list | tuple):
        if any(isinstance(one, Mapping) for one in value):
            deeper = f"{indent}  "
            return "[\n" + "".join(f"{deeper}{write_value(one, deeper)},\n" for one in value) + f"{indent}]"
        return "[" + ", ".join(write_value(one, indent) for one in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
