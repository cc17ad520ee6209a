"""Every text of the form `module:name` in the source names something that exists, however the text is put together."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import afs
from afs.plugins import RESOURCES

SOURCE = Path(afs.__file__).parent
TARGET = re.compile(r"(afs(?:\.\w+)+):(\w+)")
TREES = {
    ".".join(("afs", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): ast.parse(
        path.read_text()
    )
    for path in SOURCE.rglob("*.py")
}


def _names(tree: ast.Module) -> set[str]:
    """Everything a module binds at its top level."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


NAMES = {module: _names(tree) for module, tree in TREES.items()}


def _constants(module: str) -> dict[str, str]:
    """Texts bound at the top level, such as `_HERE = "afs.domains.snes"`, and `__name__`."""
    found = {"__name__": module}
    for node in TREES[module].body:
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
            found[target.id] = value.value
    return found


def _texts(module: str) -> Iterator[tuple[int, str]]:
    """Plain texts, and formatted ones whose parts are known."""
    known = _constants(module)
    formatted = [node for node in ast.walk(TREES[module]) if isinstance(node, ast.JoinedStr)]
    pieces = {id(piece) for node in formatted for piece in node.values}
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in pieces:
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [
                part.value
                if isinstance(part, ast.Constant)
                else known.get(part.value.id, "?")
                if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name)
                else "?"
                for part in node.values
            ]
            yield node.lineno, "".join(map(str, parts))


def test_every_target_exists() -> None:
    checked, wrong = 0, []
    for module in TREES:
        for line, text in _texts(module):
            match = TARGET.fullmatch(text)
            if match is None or text in RESOURCES.values():
                continue
            checked += 1
            if match[1] not in NAMES or match[2] not in NAMES[match[1]]:
                wrong.append(f"{module}:{line}: {text}")
    assert wrong == []
    assert checked > 300, "the search finds what it should"
