"""The functions of a module: where they stand, what surrounds them, and a module with one of them replaced."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

_TEST_PATH = re.compile(
    r"(?:^|/)(?:tests?|testing|docs?|examples?|benchmarks?|scripts?|tools|bin)/"
    r"|(?:^|/)(?:tests?|test_[^/]*|[^/]*_tests?|conftest|setup|noxfile|tasks|fabfile|__main__)\.py$"
)
_LINES = 60
"""Longer functions are not asked for."""
_WORD = re.compile(r"\w+")
_DIGITS = 2
"""Shorter constants can be guessed."""
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class PythonFunction(NamedTuple):
    """A function or a method of a top-level class."""

    path: str
    name: str
    """Qualified inside the module: `Class.method`."""
    first: int
    """First line, decorators included, from 1."""
    last: int
    source: str
    """Its lines without their common indentation."""
    indent: str
    has_docstring: bool
    decorators: int
    """Lines above `def`."""

    @property
    def short_name(self) -> str:
        """Without the class."""
        return self.name.rpartition(".")[2]

    @property
    def at(self) -> str:
        """As a trace names it."""
        return f"{self.path}:{self.first}"

    @property
    def id(self) -> str:
        """Path and qualified name."""
        return f"{self.path}::{self.name}"


class AnswerError(ValueError):
    """An answer that is no replacement for a function."""


def is_source(path: str) -> bool:
    """Whether a path is a module of the project itself."""
    return path.endswith(".py") and not _TEST_PATH.search(path)


def module_name(path: str) -> str:
    """The dotted name under which a file is imported."""
    dotted = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
    return dotted.removesuffix(".__init__")


def list_functions(path: str, text: str) -> list[PythonFunction]:
    """The functions worth asking for: they do something, and one could write them."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []
    lines = text.splitlines(keepends=True)
    nodes = [(node, name) for node, name in _walk_definitions(tree)]
    counts: dict[str, int] = {}
    for _, name in nodes:
        counts[name] = counts.get(name, 0) + 1
    return [_function(path, lines, node, name) for node, name in nodes if counts[name] == 1 and _is_worth(node)]


def _walk_definitions(tree: ast.Module) -> Iterator[tuple[FunctionNode, str]]:
    for node in tree.body:
        if isinstance(node, FunctionNode):
            yield node, node.name
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, FunctionNode):
                    yield inner, f"{node.name}.{inner.name}"


def _is_worth(node: FunctionNode) -> bool:
    body = strip_docstring(node.body)
    if not body or node.end_lineno is None or node.end_lineno - node.lineno >= _LINES:
        return False
    if len(body) > 1:
        return True
    only = body[0]
    if isinstance(only, ast.Return):
        return only.value is not None and not isinstance(only.value, ast.Name | ast.Constant | ast.Attribute)
    return not isinstance(only, ast.Pass | ast.Raise | ast.Expr)


def strip_docstring(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    """A body without its docstring."""
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body


def _function(path: str, lines: Sequence[str], node: FunctionNode, name: str) -> PythonFunction:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    assert node.end_lineno is not None
    raw = "".join(lines[first - 1 : node.end_lineno])
    indent = re.match(r"[ \t]*", lines[node.lineno - 1])
    assert indent is not None
    return PythonFunction(
        path=path,
        name=name,
        first=first,
        last=node.end_lineno,
        source=_dedent(raw, indent[0]).rstrip() + "\n",
        indent=indent[0],
        has_docstring=len(strip_docstring(node.body)) < len(node.body),
        decorators=node.lineno - first,
    )


def _dedent(raw: str, indent: str) -> str:
    return "".join(line.removeprefix(indent) for line in raw.splitlines(keepends=True))


def put_function(text: str, function: PythonFunction, source: str) -> str:
    """The module with other lines in the function's place; `source` has no indentation of its own."""
    lines = text.splitlines(keepends=True)
    new = textwrap.indent(source.rstrip() + "\n", function.indent)
    return "".join([*lines[: function.first - 1], new, *lines[function.last :]])


def put_answer(text: str, function: PythonFunction, answer: str) -> str:
    """The module with the answer's function in place; the answer's imports and helpers go above it."""
    code = textwrap.dedent(answer).strip() + "\n"
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise AnswerError(f"not Python: {error}") from error
    node, others = _find_definition(tree, function)
    lines = code.splitlines(keepends=True)
    own = _function("", lines, node, function.name).source
    if not node.decorator_list and function.decorators:
        own = "".join(function.source.splitlines(keepends=True)[: function.decorators]) + own
    module = put_function(text, function, own)
    above = "".join(ast.get_source_segment(code, other) + "\n" for other in others if other is not None)  # type: ignore[operator]
    return _insert_above(module, function, above) if above else module


def _find_definition(tree: ast.Module, function: PythonFunction) -> tuple[FunctionNode, list[ast.stmt]]:
    others: list[ast.stmt] = []
    found: FunctionNode | None = None
    for node in tree.body:
        if isinstance(node, FunctionNode) and node.name == function.short_name:
            found = node
        elif isinstance(node, ast.ClassDef) and "." in function.name:
            inner = [n for n in node.body if isinstance(n, FunctionNode) and n.name == function.short_name]
            found = inner[-1] if inner else found
        elif isinstance(node, FunctionNode | ast.Import | ast.ImportFrom | ast.Assign):
            others.append(node)
    if found is None:
        raise AnswerError(f"no function {function.short_name} in the answer")
    return found, others


def _insert_above(module: str, function: PythonFunction, above: str) -> str:
    """At the top-level statement that holds the function."""
    lines = module.splitlines(keepends=True)
    at = function.first - 1
    if function.indent:
        holder = next(
            node
            for node in ast.parse(module).body
            if isinstance(node, ast.ClassDef) and node.name == function.name.partition(".")[0]
        )
        at = min([holder.lineno, *(decorator.lineno for decorator in holder.decorator_list)]) - 1
    return "".join([*lines[:at], above, *lines[at:]])


def signature(function: PythonFunction) -> str:
    """Decorators, the `def` line and the docstring."""
    node = ast.parse(function.source).body[0]
    assert isinstance(node, FunctionNode)
    start = strip_docstring(node.body)[0]
    first = min([start.lineno, *(decorator.lineno for decorator in getattr(start, "decorator_list", []))])
    lines = function.source.splitlines(keepends=True)
    return _cut_comments("".join(lines[: first - 1]) + lines[first - 1][: start.col_offset])


def _cut_comments(head: str) -> str:
    """A head without comments between the docstring and the first statement."""
    lines = head.rstrip().splitlines()
    while lines and lines[-1].lstrip().startswith("#"):
        lines.pop()
    return "\n".join(lines).rstrip() + "\n"


def stub(function: PythonFunction) -> str:
    """The function without its body."""
    head = signature(function)
    return f"{head}    raise NotImplementedError\n"


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
        if isinstance(node, ast.Constant) and id(node) not in messages and not isinstance(node.value, bool):
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else str(node.value)
            is_large = isinstance(node.value, str | bytes) or len(text) > _DIGITS
            if is_large and len(text) > _DIGITS and not _is_shown(text, shown):
                found.append(text)
    return found


def hidden_attributes(source: str, shown: str) -> list[str]:
    """Attributes of its object that a function sets, and private ones that it reads, which `shown` does not name."""
    words = set(_WORD.findall(shown))
    definition = ast.parse(source).body[0]
    arguments = definition.args.args if isinstance(definition, FunctionNode) else []
    own = arguments[0].arg if arguments and arguments[0].arg in ("self", "cls") else ""
    found = [
        node.attr
        for node in ast.walk(definition)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == own
        if isinstance(node.ctx, ast.Store) or (node.attr.startswith("_") and not node.attr.endswith("__"))
    ]
    return sorted(set(found) - words)


def find_names(source: str) -> set[str]:
    """Every name and attribute that a piece of code mentions."""
    tree = ast.parse(source)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def list_context(text: str, function: PythonFunction, budget: int) -> str:
    """What of the module a reader of the function needs: imports, constants, signatures of the functions it names."""
    tree = ast.parse(text)
    names = find_names(function.source)
    parts: list[str] = []
    for node in tree.body:
        piece = _context_piece(text, node, names, function)
        if piece and len(piece) <= budget:
            parts.append(piece)
            budget -= len(piece) + 1
    return "\n".join(parts)


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
            elif inner.name in names:
                rows.append(_head_line(text, inner, "    "))
        elif isinstance(inner, ast.Assign | ast.AnnAssign) and is_own:
            rows.append("    " + (ast.get_source_segment(text, inner) or ""))
    return "\n".join(rows) if len(rows) > 1 else rows[0] + " ..."


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
