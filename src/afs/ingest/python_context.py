"""What a question about a Python function must carry: its class, its signature, and the names of the file it uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef
_MOST_LINES = 24
_LONGEST_VALUE = 80
"""Characters of a constant's value that are shown."""


class Place(NamedTuple):
    """A function and the class it is a method of."""

    node: Function
    owner: ast.ClassDef | None
    outer: Function | None
    """The function it is nested in."""


def list_functions(tree: ast.Module) -> Iterator[Place]:
    """Every function with its surroundings, in order."""
    waiting: list[tuple[ast.AST, ast.ClassDef | None, Function | None]] = [(tree, None, None)]
    while waiting:
        node, owner, outer = waiting.pop(0)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield Place(child, owner, outer)
                waiting.append((child, None, child))
            elif isinstance(child, ast.ClassDef):
                waiting.append((child, child, outer))
            else:
                waiting.append((child, owner, outer))


def is_stub(node: Function) -> bool:
    """Whether a function has no body of its own: nothing, an ellipsis, or a demand to override it."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return all(
        isinstance(row, ast.Pass)
        or (isinstance(row, ast.Expr) and isinstance(row.value, ast.Constant))
        or (isinstance(row, ast.Raise) and "NotImplemented" in ast.unparse(row))
        for row in body
    )


def signature(node: Function) -> str:
    """The head of a function without its body, its decorators above it."""
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    marks = [f"@{ast.unparse(mark)}" for mark in node.decorator_list]
    return "\n".join([*marks, f"{kind} {node.name}({ast.unparse(node.args)}){returns}: ..."])


def describe_context(place: Place, tree: ast.Module) -> str:
    """The code around a function that its body refers to, ending with the head that is to be written."""
    used = {node.id for node in ast.walk(place.node) if isinstance(node, ast.Name)}
    used |= {n for base in (place.owner.bases if place.owner else ()) for n in _names(base)}
    lines = [line for row in tree.body if row is not place.owner for line in _declare(row, used)]
    lines = lines[:_MOST_LINES]
    if place.outer is not None:
        lines.append(signature(place.outer).removesuffix(" ..."))
        lines += _indent(_shared_lines(place))
    if place.owner is None:
        head = signature(place.node)
        return "\n".join([*lines, *(_indent(head.splitlines()) if place.outer else head.splitlines())])
    return "\n".join([*lines, *_describe_class(place)])


def _names(node: ast.AST) -> Iterator[str]:
    return (part.id for part in ast.walk(node) if isinstance(part, ast.Name))


def _declare(row: ast.stmt, used: set[str]) -> Iterator[str]:
    """A statement of the module in one line, where it binds a used name."""
    if isinstance(row, ast.Import | ast.ImportFrom):
        names = [name for name in row.names if (name.asname or name.name.partition(".")[0]) in used]
        if names:
            row = ast.ImportFrom(row.module, names, row.level) if isinstance(row, ast.ImportFrom) else ast.Import(names)
            yield ast.unparse(row)
    elif isinstance(row, Function) and row.name in used:
        yield signature(row)
    elif isinstance(row, ast.ClassDef) and row.name in used:
        yield f"class {row.name}{_bases(row)}: ..."
    elif isinstance(row, ast.Assign | ast.AnnAssign) and used & set(_bound(row)):
        text = " ".join(ast.unparse(row).split())
        yield text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} ..."
    elif isinstance(row, ast.If | ast.Try):
        for inner in row.body:
            yield from _declare(inner, used)


def _bound(row: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    for target in row.targets if isinstance(row, ast.Assign) else (row.target,):
        yield from _names(target)


def _bases(owner: ast.ClassDef) -> str:
    return f"({', '.join(ast.unparse(base) for base in owner.bases)})" if owner.bases else ""


def _shared_lines(place: Place) -> list[str]:
    """What the enclosing function binds and the inner one uses."""
    used = {node.id for node in ast.walk(place.node) if isinstance(node, ast.Name)}
    body = place.outer.body if place.outer else []
    return [line for row in body for line in _declare(row, used) if row is not place.node]


def _describe_class(place: Place) -> list[str]:
    """The class of a method: what it sets and which of its methods the body uses."""
    owner = place.owner
    if owner is None:
        return []
    used = {node.attr for node in ast.walk(place.node) if isinstance(node, ast.Attribute)}
    inside: list[str] = []
    for row in owner.body:
        if isinstance(row, Function) and row is not place.node and (row.name in used):
            inside += signature(row).splitlines()
        elif isinstance(row, ast.Assign | ast.AnnAssign) and used & set(_bound(row)):
            inside.append(" ".join(ast.unparse(row).split())[:_LONGEST_VALUE])
    start = next((row for row in owner.body if isinstance(row, Function) and row.name == "__init__"), None)
    if start is not None and start is not place.node:
        set_here = [
            " ".join(ast.unparse(row).split())[:_LONGEST_VALUE]
            for row in ast.walk(start)
            if isinstance(row, ast.Assign | ast.AnnAssign) and _sets_attribute(row, used)
        ]
        if set_here:
            inside += [*signature(start).removesuffix(" ...").splitlines(), *_indent(set_here)]
    inside = [*inside[:_MOST_LINES], *signature(place.node).splitlines()]
    return [f"class {owner.name}{_bases(owner)}:", *_indent(inside)]


def _sets_attribute(row: ast.Assign | ast.AnnAssign, used: set[str]) -> bool:
    targets = row.targets if isinstance(row, ast.Assign) else [row.target]
    return any(isinstance(target, ast.Attribute) and target.attr in used for target in targets)


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
