"""The functions of a module: where they stand, and a module with one of them replaced."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_TEST_PATH = re.compile(
    r"(?:^|/)(?:tests?|testing|docs?|examples?|benchmarks?|scripts?|tools|bin)/"
    r"|(?:^|/)(?:tests?|test_[^/]*|[^/]*_tests?|conftest|setup|noxfile|tasks|fabfile|__main__)\.py$"
)
_LINES = 60
"""Longer functions are not asked for."""
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


def count_statements(source: str) -> int:
    """The statements of a function's body, its docstring left out."""
    definition = ast.parse(source).body[0]
    return len(strip_docstring(definition.body)) if isinstance(definition, FunctionNode) else 0
