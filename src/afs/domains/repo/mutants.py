"""Small faults in a function: each changes one place, as a slip of the hand does, and leaves the rest as written."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from afs.domains.repo.functions import strip_docstring

_Edit = tuple[int, int, str]
"""(start, end, new text) in characters of the source."""


class Mutant(NamedTuple):
    """A changed source and what was changed."""

    kind: str
    source: str
    line: int


_COMPARED: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_COMPUTED: Mapping[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "+"), ast.Div: ("/", "//"), ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "//"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"), ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}  # fmt: skip
_SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any", "startswith": "endswith", "endswith": "startswith",
            "lstrip": "rstrip", "rstrip": "lstrip", "append": "extend", "lower": "upper", "upper": "lower",
            "find": "rfind", "rfind": "find", "partition": "rpartition", "split": "rsplit"}  # fmt: skip


class _Places:
    """Offsets of nodes in characters."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode("utf-8", "ignore"))

    def start(self, node: ast.expr | ast.stmt) -> int:
        """Where a node begins."""
        return self._offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        """Where it ends."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._offset(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr | ast.stmt) -> str:
        """What it is written as."""
        return self.source[self.start(node) : self.end(node)]


def _between(at: _Places, left: ast.expr, right: ast.expr, old: str, new: str) -> Iterator[_Edit]:
    start, end = at.end(left), at.start(right)
    words = r"\s+".join(old.split())
    found = re.search(
        rf"(?<![\w<>=!*/]){words}(?![\w<>=*/])" if old[0].isalpha() else re.escape(old), at.source[start:end]
    )
    if found:
        yield start + found.start(), start + found.end(), new


def _compare(at: _Places, node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        old = {"Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=", "Eq": "==", "NotEq": "!=", "Is": "is",
               "IsNot": "is not", "In": "in", "NotIn": "not in"}[type(node.ops[0]).__name__]  # fmt: skip
        yield from _between(at, node.left, node.comparators[0], old, _COMPARED[type(node.ops[0])])


def _compute(at: _Places, node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
        old, new = _COMPUTED[type(node.op)]
        is_text = isinstance(node.left, ast.Constant | ast.JoinedStr) and isinstance(node.op, ast.Mod)
        if not is_text:
            yield from _between(at, node.left, node.right, old, new)


def _logic(at: _Places, node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.BoolOp):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        yield from _between(at, node.values[0], node.values[1], old, new)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield at.start(node), at.end(node), f"({at.text(node.operand)})"


def _condition(at: _Places, node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(node.test, ast.Compare | ast.UnaryOp):
        yield at.start(node.test), at.end(node.test), f"not ({at.text(node.test)})"


def _constant(at: _Places, node: ast.AST) -> Iterator[_Edit]:
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        yield at.start(node), at.end(node), str(not node.value)
    elif isinstance(node.value, int) and at.text(node).isdigit():
        yield at.start(node), at.end(node), str(node.value + 1)
        if node.value > 1:
            yield at.start(node), at.end(node), str(node.value - 1)


def _result(at: _Places, node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        if len(at.text(node.value)) > _KNOWABLE:
            return
        yield at.start(node), at.end(node), "return None"


_KNOWABLE = 25
"""Characters of an expression that a reader of the rest can restore."""


def _dropped(at: _Places, node: ast.AST) -> Iterator[_Edit]:
    is_effect = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if is_effect or isinstance(node, ast.AugAssign | ast.Raise):
        assert isinstance(node, ast.stmt)
        yield at.start(node), at.end(node), "pass"


def _jump(at: _Places, node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.Break | ast.Continue):
        yield at.start(node), at.end(node), "continue" if isinstance(node, ast.Break) else "break"


def _name(at: _Places, node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Name) and called.id in _SWAPPED:
            yield at.start(called), at.end(called), _SWAPPED[called.id]
        elif isinstance(called, ast.Attribute) and called.attr in _SWAPPED:
            yield at.end(called) - len(called.attr), at.end(called), _SWAPPED[called.attr]


def _arguments(at: _Places, node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.Call) and len(node.args) == 2 and not any(isinstance(a, ast.Starred) for a in node.args):
        first, second = node.args
        between = at.source[at.end(first) : at.start(second)]
        if at.text(first) != at.text(second) and between.strip() == ",":
            yield at.start(first), at.end(second), at.text(second) + between + at.text(first)


def _slice(at: _Places, node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.Slice) and node.lower is not None and node.upper is None and node.step is None:
        lower = node.lower
        yield at.start(lower), at.end(lower), f"{at.text(lower)} + 1"


_KINDS: Mapping[str, Callable[[_Places, ast.AST], Iterator[_Edit]]] = {
    "comparison": _compare,
    "arithmetic": _compute,
    "logic": _logic,
    "condition": _condition,
    "constant": _constant,
    "return value": _result,
    "missing statement": _dropped,
    "loop jump": _jump,
    "wrong function": _name,
    "swapped arguments": _arguments,
    "slice": _slice,
}


def list_mutants(source: str, rng: random.Random, limit: int) -> list[Mutant]:
    """At most `limit` different faults, of as many kinds as there are."""
    by_kind: dict[str, list[Mutant]] = {}
    for mutant in dict.fromkeys(_all_mutants(source)):
        by_kind.setdefault(mutant.kind, []).append(mutant)
    pools = list(by_kind.values())
    for pool in pools:
        rng.shuffle(pool)
    rng.shuffle(pools)
    found: list[Mutant] = []
    while len(found) < limit and any(pools):
        for pool in pools:
            if pool and len(found) < limit:
                found.append(pool.pop())
    return found


def _all_mutants(source: str) -> Iterator[Mutant]:
    tree = ast.parse(source)
    at = _Places(source)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    for statement in strip_docstring(definition.body):
        for node in _walk(statement):
            for kind, edits in _KINDS.items():
                for start, end, new in edits(at, node):
                    changed = source[:start] + new + source[end:]
                    if changed != source and _parses(changed):
                        yield Mutant(kind, changed, source.count("\n", 0, start) + 1)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those inside f-strings, whose positions older versions of Python do not know."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.JoinedStr):
            yield from _walk(child)


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True
