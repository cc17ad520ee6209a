"""A file tree in memory and the tools that work on it: nothing here touches the disk.

Paths are relative and may not climb out; a call that is wrong raises `ToolError` with what a tool would answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from afs.types import Json, Tool

Tree = dict[str, str]
"""Path -> content."""


MOUNTS = ".context/mounts"
"""Where mounted files are listed, a path per line."""


class ToolError(ValueError):
    """A call that cannot be carried out; an outcome of the answer, not of the program."""


def _string_parameters(*names: str) -> Json:
    return {"type": "object", "properties": {n: {"type": "string"} for n in names}, "required": list(names)}


TOOLS = (
    Tool(name="list_files", description="List the files below a folder.", parameters=_string_parameters("folder")),
    Tool(name="read_file", description="Read a file.", parameters=_string_parameters("path")),
    Tool(
        name="write_file", description="Write a file, or replace it.", parameters=_string_parameters("path", "content")
    ),
    Tool(
        name="append_file",
        description="Add text at the end of a file.",
        parameters=_string_parameters("path", "content"),
    ),
    Tool(name="move_file", description="Move or rename a file.", parameters=_string_parameters("source", "target")),
    Tool(name="delete_file", description="Delete a file.", parameters=_string_parameters("path")),
    Tool(
        name="edit_file",
        description="Replace a text that stands exactly once in a file.",
        parameters=_string_parameters("path", "old", "new"),
    ),
    Tool(name="ws_find", description="Find the files that contain a text.", parameters=_string_parameters("text")),
    Tool(
        name="ctx_mount",
        description="Mount a file as context: adds its path as a line to .context/mounts.",
        parameters=_string_parameters("path"),
    ),
)


def resolve_path(path: str) -> str:
    """A path inside the tree, or ToolError."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not path.strip() or "\0" in path:
        raise ToolError(f"{path!r} is outside the tree")
    return str(parts)


def require_file(tree: Tree, path: str) -> str:
    """A path of a file that is there, or ToolError."""
    name = resolve_path(path)
    if name not in tree:
        raise ToolError(f"{name}: no such file")
    return name


def _list(tree: Tree, folder: str) -> str:
    prefix = "" if folder in (".", "") else resolve_path(folder) + "/"
    return "\n".join(sorted(path for path in tree if path.startswith(prefix)))


def _write(tree: Tree, path: str, content: str) -> str:
    name = resolve_path(path)
    if any(other.startswith(name + "/") or name.startswith(other + "/") for other in tree):
        raise ToolError(f"{name}: a folder and a file cannot share a name")
    tree[name] = content
    return "written"


def _append(tree: Tree, path: str, content: str) -> str:
    tree[require_file(tree, path)] += content
    return "appended"


def _move(tree: Tree, source: str, target: str) -> str:
    name = require_file(tree, source)
    content = tree.pop(name)
    try:
        _write(tree, target, content)
    except ToolError:
        tree[name] = content
        raise
    return "moved"


def _delete(tree: Tree, path: str) -> str:
    del tree[require_file(tree, path)]
    return "deleted"


def _edit(tree: Tree, path: str, old: str, new: str) -> str:
    name = require_file(tree, path)
    found = tree[name].count(old) if old else 0
    if found != 1:
        raise ToolError(f"{name}: {old!r} stands there {found} times, want once")
    tree[name] = tree[name].replace(old, new)
    return "edited"


def _find(tree: Tree, text: str) -> str:
    return "\n".join(sorted(path for path, content in tree.items() if text in content)) or "no file"


def _mount(tree: Tree, path: str) -> str:
    name = require_file(tree, path)
    if name in tree.get(MOUNTS, "").splitlines():
        raise ToolError(f"{name}: mounted already")
    tree[MOUNTS] = tree.get(MOUNTS, "") + f"{name}\n"
    return "mounted"


_BODIES: Mapping[str, Callable[..., str]] = {
    "list_files": _list,
    "read_file": lambda tree, path: tree[require_file(tree, path)],
    "write_file": _write,
    "append_file": _append,
    "move_file": _move,
    "delete_file": _delete,
    "edit_file": _edit,
    "ws_find": _find,
    "ctx_mount": _mount,
}


def find_schema_problem(name: str, arguments: Mapping[str, object]) -> str:
    """What is wrong with a call by its schema; empty when nothing is."""
    tool = next((tool for tool in TOOLS if tool.name == name), None)
    if tool is None:
        return f"there is no tool {name!r}"
    wanted = set(tool.parameters["required"])  # type: ignore[call-overload]
    if wanted != set(arguments):
        return f"{name} takes {', '.join(sorted(wanted))}; got {', '.join(sorted(arguments)) or 'nothing'}"
    wrong = [key for key, value in arguments.items() if not isinstance(value, str)]
    return f"{name}: {wrong[0]} is not a text" if wrong else ""


def execute_call(tree: Tree, name: str, arguments: Mapping[str, object]) -> str:
    """Carry out one call on the tree."""
    problem = find_schema_problem(name, arguments)
    if problem:
        raise ToolError(problem)
    return _BODIES[name](tree, **arguments)
