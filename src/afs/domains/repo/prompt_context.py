"""What a prompt shows of the module around a function, and what it would hide from a reader who has only the prompt."""

from __future__ import annotations

import array
import ast
import builtins
import collections
import datetime
import decimal
import fractions
import functools
import inspect
import io
import pathlib
import re
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from types import EllipsisType

from afs.domains.repo.functions import FunctionNode, PythonFunction, strip_docstring

_WORD = re.compile(r"\w+")
_DIGITS = 2
"""Shorter constants can be guessed."""
_COMMON_TYPES: Sequence[type] = (
    str, bytes, bytearray, memoryview, list, tuple, dict, set, int, float, complex, slice, range, property,
    BaseException, OSError, UnicodeDecodeError, SyntaxError, StopIteration, SystemExit, types.GeneratorType,
    io.StringIO, io.BytesIO, io.TextIOWrapper, re.Pattern, re.Match, pathlib.Path, collections.deque,
    collections.Counter, collections.OrderedDict, collections.defaultdict, collections.ChainMap, datetime.date,
    datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone, decimal.Decimal, fractions.Fraction,
    inspect.Signature, inspect.Parameter, functools.partial, types.ModuleType, types.FrameType, types.CodeType,
    array.array,
)  # fmt: skip


def _is_shown(text: str, shown: str) -> bool:
    """A word must stand in quotes: as a name it says nothing of the constant."""
    return f'"{text}"' in shown or f"'{text}'" in shown if text.isidentifier() else text in shown


def hidden_constants(source: str, shown: str) -> list[str]:
    """Texts and large numbers that a reader of `shown` could not know; messages of errors do not count."""
    tree = ast.parse(source)
    definition = tree.body[0]
    body = strip_docstring(definition.body) if isinstance(definition, FunctionNode) else tree.body
    messages = {
        id(node)
        for statement in body
        for raised in ast.walk(statement)
        if isinstance(raised, ast.Raise)
        for node in ast.walk(raised)
    }
    found = []
    for node in (node for statement in body for node in ast.walk(statement)):
        if not isinstance(node, ast.Constant) or isinstance(node.value, bool | None | EllipsisType):
            continue
        if id(node) not in messages:
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else str(node.value)
            is_large = isinstance(node.value, str | bytes) or len(text) > _DIGITS
            if is_large and len(text) > _DIGITS and not _is_shown(text, shown):
                found.append(text)
    return found


def hidden_names(source: str, shown: str, text: str = "", own: str = "") -> list[str]:
    """Names and attributes that a function uses and that neither `shown` nor Python's own library gives.

    What an imported package offers is known too, unless it is `own`, the project's own; `text` is the module.
    """
    words = set(_WORD.findall(shown))
    definition = ast.parse(source).body[0]
    imported = _list_packages(text, own)
    nodes = list(ast.walk(definition))
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.name for node in nodes if isinstance(node, FunctionNode | ast.ExceptHandler) and node.name}
    bound |= {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    names = {node.id for node in nodes if isinstance(node, ast.Name)} - bound - imported - set(dir(builtins))
    attributes = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id in imported)
        if not (node.attr.startswith("__") and node.attr.endswith("__"))
        if isinstance(node.ctx, ast.Store) or node.attr not in _known_attributes()
    }
    return sorted((names | attributes) - words)


def _list_packages(text: str, own: str) -> set[str]:
    """Names that a module imports from others than its own project."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {
        (alias.asname or alias.name).partition(".")[0]
        for node in nodes
        for alias in node.names
        if not (isinstance(node, ast.ImportFrom) and node.level)
        if (getattr(node, "module", None) or alias.name).partition(".")[0] != own
    }


@functools.cache
def _known_attributes() -> frozenset[str]:
    """Public attributes of common types."""
    return frozenset(name for kind in _COMMON_TYPES for name in dir(kind) if not name.startswith("_"))


def find_names(source: str) -> set[str]:
    """Every name and attribute that a piece of code mentions; none of what does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def split_statements(source: str) -> list[str]:
    """The top-level statements of a piece of code; none of what does not parse."""
    try:
        nodes = ast.parse(source).body
    except (SyntaxError, ValueError):
        return []
    return [ast.get_source_segment(source, node) or "" for node in nodes]


def has_literal_assertion(source: str) -> bool:
    """Whether a test asserts something about a written value, and not only that two results are equal."""
    asserted = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert))
    return any(isinstance(node, ast.Constant) for test in asserted for node in ast.walk(test))


def list_context(text: str, function: PythonFunction, budget: int, used: str = "") -> str:
    """What of the module a reader needs: imports, constants, signatures of what the function and `used` name."""
    own = find_names(function.source)
    nodes = list(_walk_statements(ast.parse(text).body))
    parts: dict[int, str] = {}
    for names in (own, own | find_names(used)):
        for at, node in enumerate(nodes):
            piece = "" if at in parts else _context_piece(text, node, names, function)
            if piece and len(piece) <= budget:
                parts[at] = piece
                budget -= len(piece) + 1
    return "\n".join(parts[at] for at in sorted(parts))


def _walk_statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module; those in the first branch of `try` and `if` too, such as an optional import."""
    for node in body:
        if isinstance(node, ast.Try | ast.If):
            yield from _walk_statements(node.body)
        else:
            yield node


def _context_piece(text: str, node: ast.stmt, names: set[str], function: PythonFunction) -> str:
    segment = ast.get_source_segment(text, node) or ""
    if isinstance(node, ast.Import | ast.ImportFrom):
        bound = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        return segment if bound & names else ""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return segment if any(isinstance(t, ast.Name) and t.id in names for t in targets) else ""
    if isinstance(node, FunctionNode) and node.name in names and node.name != function.name:
        return _head_line(text, node, "")
    if isinstance(node, ast.ClassDef) and (node.name in names or node.name == function.name.partition(".")[0]):
        return _class_outline(text, node, names, function)
    return ""


def _class_outline(text: str, node: ast.ClassDef, names: set[str], function: PythonFunction) -> str:
    rows = [segment_line(text, node)]
    is_own = node.name == function.name.partition(".")[0]
    for inner in node.body:
        if isinstance(inner, FunctionNode) and f"{node.name}.{inner.name}" != function.name:
            if inner.name == "__init__" and is_own:
                rows.append(textwrap.indent(textwrap.dedent(_lines_of(text, inner)), "    ").rstrip())
            elif inner.name in names or inner.name == "__init__":
                rows.append(_head_line(text, inner, "    "))
        elif isinstance(inner, ast.AnnAssign | ast.Assign) and (is_own or _is_field(inner)):
            rows.append("    " + (ast.get_source_segment(text, inner) or ""))
    return "\n".join(rows) if len(rows) > 1 else rows[0] + " ..."


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_")


def _lines_of(text: str, node: ast.stmt) -> str:
    return "".join(text.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno])


def segment_line(text: str, node: ast.stmt) -> str:
    """The first line of a statement."""
    return text.splitlines()[node.lineno - 1].strip()


def _head_line(text: str, node: FunctionNode, indent: str) -> str:
    end = node.body[0].lineno - 1
    lines = text.splitlines()[node.lineno - 1 : max(end, node.lineno)]
    head = []
    for line in lines:
        head.append(line.strip())
        if line.rstrip().endswith(":"):
            break
    return indent + " ".join(head) + " ..."


def callees(text: str, function: PythonFunction) -> Mapping[str, str] | None:
    """Same-module functions and constants that a function rests on, with their source.

    None when it needs what is not in the module and not in Python's own library: a reader could not work it out.
    """
    tree = ast.parse(text)
    held: dict[str, ast.stmt] = {}
    foreign: set[str] = set()
    for node in tree.body:
        if isinstance(node, FunctionNode):
            held[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            held |= {t.id: node for t in targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.ClassDef):
            foreign.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            foreign |= _foreign_names(node)
        else:
            foreign |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    found: dict[str, str] = {}
    waiting = [function.source]
    while waiting:
        names = {n.id for n in ast.walk(ast.parse(waiting.pop())) if isinstance(n, ast.Name)}
        if names & foreign:
            return None
        for name in sorted(names & set(held) - set(found) - {function.name}):
            found[name] = textwrap.dedent(_lines_of(text, held[name])).rstrip() + "\n"
            waiting.append(found[name])
    return found


def _foreign_names(node: ast.Import | ast.ImportFrom) -> set[str]:
    module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
    if isinstance(node, ast.ImportFrom):
        is_own = node.level == 0 and module.partition(".")[0] in sys.stdlib_module_names
        return set() if is_own else {alias.asname or alias.name for alias in node.names}
    return {
        (alias.asname or alias.name).partition(".")[0]
        for alias in node.names
        if alias.name.partition(".")[0] not in sys.stdlib_module_names
    }
