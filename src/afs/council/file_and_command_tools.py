"""Tools over the user's own files below one root: read, list, search; write and run with consent.

A path that leaves the root, by `..` or by a link, is refused. A command runs in the sandbox on a copy of the root that
is thrown away: without walls there is no such tool. Nothing is written or run that the user has not allowed for the
session or agreed to when asked.
"""

from __future__ import annotations

import difflib
import itertools
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from afs import sandbox
from afs.council.toolbox import ToolOutcome, cut_middle
from afs.errors import AfsError
from afs.sandbox import Sandbox
from afs.types import Json, Tool

Consent = Callable[[str, str], bool]
"""(what is to be done: write or run, its object) -> whether the user agrees."""
Permission = Literal["write", "run"]
_MOST_FILES: Final = 2000
_MOST_HITS: Final = 50
_LARGEST: Final = 1 << 20
_RUN_S: Final = 30.0
_LARGEST_COPY: Final = 64 << 20
_ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
_HIDDEN: Final = (".git", ".venv", "node_modules", "__pycache__")


def refuse_all(_: str, __: str) -> bool:
    """Consent where nobody can be asked."""
    return False


def _tool(name: str, help_: str, **fields: str) -> Tool:
    properties: Json = {field: {"type": "string", "description": text} for field, text in fields.items()}
    schema: Json = {"type": "object", "properties": properties, "required": list(fields), "additionalProperties": False}
    return Tool(name=name, description=help_, parameters=schema)


_READERS: Final = (
    _tool("list_files", "List the files below a folder.", folder="Folder below the root; `.` for all"),
    _tool("read_file", "Read a file.", path="Path below the root"),
    _tool("search_files", "Find lines that hold a text.", text="Text to look for"),
)
_WRITE: Final = _tool("write_file", "Write a whole file.", path="Path below the root", content="The new content")
_RUN: Final = _tool(
    "run_command", "Run a command in a sandbox, on a copy of the files that is thrown away.", command="The command line"
)


class FileTools:
    """The tools of one root."""

    def __init__(self, root: Path, *, allowed: Sequence[Permission] = (), consent: Consent = refuse_all) -> None:
        """`allowed` needs no question in this session; else `consent` is asked each time."""
        self.root, self._allowed, self._consent = root.resolve(), frozenset(allowed), consent

    def tools(self) -> list[Tool]:
        """What may be called here; running needs walls."""
        return [*_READERS, _WRITE, *([_RUN] if sandbox.available() else [])]

    def call(self, name: str, arguments: Json) -> ToolOutcome:
        """One call."""
        calls: dict[str, Callable[..., str]] = {
            "list_files": self._list,
            "read_file": self._read,
            "search_files": self._search,
            "write_file": self._write,
            "run_command": self._run,
        }
        tool = next((one for one in self.tools() if one.name == name), None)
        if tool is None:
            return ToolOutcome(f"no tool is called {name!r} here", True)
        wanted = {str(field) for field in tool.parameters["required"]}  # type: ignore[attr-defined]
        if set(arguments) != wanted or not all(isinstance(value, str) for value in arguments.values()):
            return ToolOutcome(f"{name}: want {', '.join(sorted(wanted))} as text", True)
        try:
            return ToolOutcome(cut_middle(calls[name](**arguments)))
        except _Refused as problem:
            return ToolOutcome(str(problem), True)
        except (OSError, AfsError) as error:
            return ToolOutcome(f"{name}: {getattr(error, 'strerror', None) or error}", True)

    def _inside(self, path: str) -> Path:
        place = (self.root / path).resolve()
        if place != self.root and self.root not in place.parents:
            raise _Refused(f"{path}: outside of the root")
        return place

    def _files(self, folder: Path) -> Iterator[Path]:
        for place, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if name not in _HIDDEN)
            yield from (Path(place, name) for name in sorted(files))

    def _some(self, folder: Path) -> Iterator[Path]:
        return itertools.islice(self._files(folder), _MOST_FILES)

    def _list(self, folder: str) -> str:
        place = self._inside(folder)
        if not place.is_dir():
            raise _Refused(self._near(folder, "no such folder"))
        found = [str(file.relative_to(self.root)) for file in self._some(place)]
        return "\n".join(found) or "no files"

    def _read(self, path: str) -> str:
        place = self._inside(path)
        if not place.is_file():
            raise _Refused(self._near(path, "no such file"))
        with place.open("rb") as source:
            return source.read(_LARGEST).decode("utf-8", "replace")

    def _near(self, path: str, problem: str) -> str:
        names = [str(file.relative_to(self.root)) for file in self._some(self.root)]
        by_name = [name for name in names if Path(name).name == Path(path).name]
        close = (by_name or difflib.get_close_matches(path, names, n=3, cutoff=0.5))[:3]
        return f"{path}: {problem}" + (f"; did you mean {', '.join(close)}?" if close else "")

    def _search(self, text: str) -> str:
        hits: list[str] = []
        for file in self._some(self.root):
            if self.root not in file.resolve().parents or file.stat().st_size > _LARGEST:
                continue
            for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
                if text in line:
                    hits.append(f"{file.relative_to(self.root)}:{number}: {line.strip()[:200]}")
            if len(hits) >= _MOST_HITS:
                break
        return "\n".join(hits[:_MOST_HITS]) or f"no line holds {text!r}"

    def _agree(self, what: Permission, thing: str) -> None:
        if what not in self._allowed and not self._consent(what, thing):
            raise _Refused(f"the user did not allow to {what} {thing}")

    def _write(self, path: str, content: str) -> str:
        place = self._inside(path)
        self._agree("write", path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, "utf-8")
        return f"wrote {len(content)} characters to {path}"

    def _run(self, command: str) -> str:
        self._agree("run", command)
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise _Refused(f"command: {error}") from error
        with sandbox.scratch() as folder:
            self._copy(folder)
            result = Sandbox(writable=folder).run(words, timeout_s=_RUN_S, environment=_ENVIRONMENT)
        out = (result.stdout + result.stderr).decode("utf-8", "replace")
        ended = f"stopped by {result.stopped_by}" if result.stopped_by else f"exit {result.exit_code}"
        return f"{out}\n[{ended}]".lstrip()

    def _copy(self, folder: Path) -> None:
        left = _LARGEST_COPY
        for file in self._some(self.root):
            if file.is_symlink() or (left := left - file.stat().st_size) < 0:
                continue
            target = folder / file.relative_to(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


class _Refused(Exception):  # noqa: N818  it is an answer
    """What is not done, with the reason."""
