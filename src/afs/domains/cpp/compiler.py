"""Runs `g++ -fsyntax-only` in the sandbox on a text after a library's headers, and reads what it says."""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from afs.domains.base import Part
from afs.domains.cpp.spec import HeaderSet
from afs.errors import DataError, MissingError, ProcessError
from afs.sandbox import SYSTEM, ProgramResult, Sandbox, SandboxLimits, scratch

COMPILER: Final = "g++"
ANSWER: Final = "answer.cpp"
_MAIN: Final = "main.cpp"
_LIBRARY: Final = "library"
_OUTPUT_MB: Final = 64
_ERROR: Final = re.compile(r"^(?P<file>[^:\s][^:]*):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<message>.*)$")
_INTERNAL: Final = re.compile(r"internal compiler error|virtual memory exhausted|Killed signal|cannot execute")
_CONTEXT: Final = re.compile(
    r"required (?:from|by)|^In file included|^ +from |In (?:instantiation|substitution|function)"
)
_NO_NAME: Final = (
    re.compile(r"'(?P<name>\w+)' is not a member of '(?P<scope>[^']+)'"),
    re.compile(r"'(?:const |volatile |class |struct |union )*(?P<scope>[^']+)' has no member named '(?P<name>\w+)'"),
    re.compile(r"'(?P<name>\w+)' in (?:namespace|class|struct) '(?P<scope>[^']+)' does not name"),
    re.compile(r"'(?P<name>\w+)' (?:was not declared in this scope|does not name a type|has not been declared)"),
)


class CompilerError(NamedTuple):
    """One error: the lines of the answer it is about, what it says, and the notes behind it."""

    lines: frozenset[int]
    """Empty: only headers are named."""
    message: str
    notes: tuple[str, ...]
    header: int
    """Which included header, counted from 0, the error is inside of; -1: none."""

    def show(self) -> str:
        """As a prompt quotes it."""
        return "\n".join((f"error: {self.message}", *self.notes[:3]))


def list_parts() -> Iterator[Part]:
    """Rows of `afs doctor`."""
    path = shutil.which(COMPILER)
    row = ("ok", path, "") if path else ("missing", "answers of the pack cpp stay unknown", "apt install g++")
    yield Part(name=COMPILER, state=row[0], detail=row[1], remedy=row[2])


class CompileOutcome(NamedTuple):
    """What the compiler found."""

    is_ok: bool
    errors: tuple[CompilerError, ...]
    timed_out: bool = False


def require_compiler() -> str:
    """The compiler's path, or how to get one."""
    found = shutil.which(COMPILER)
    if found is None:
        raise MissingError(f"no {COMPILER} on this machine: apt install g++")
    return found


def compile_after(headers: HeaderSet, files: Mapping[str, bytes], code: str, tail: str = "") -> CompileOutcome:
    """Compile `code`, and `tail` behind it, after the headers; raises where nothing can be said about the code."""
    compiler = require_compiler()
    with scratch("cpp") as folder:
        _write_files(folder / _LIBRARY, files)
        includes = [f'#include "{path}"' for path in headers.headers]
        (folder / ANSWER).write_text(code + "\n", "utf-8")
        (folder / _MAIN).write_text("\n".join((*includes, f'#include "{folder / ANSWER}"', tail, "")), "utf-8")
        command = [compiler, f"-std={headers.standard}", "-fsyntax-only", "-w", "-fmax-errors=0"]
        command += ["-fdiagnostics-color=never", "-fno-diagnostics-show-caret", "-x", "c++"]
        command += [f"-D{name}" for name in headers.defines]
        command += [f"-I{folder / _LIBRARY / place}" for place in (*headers.include, "")]
        command += [part for place in headers.system for part in ("-isystem", place)]
        box = Sandbox(
            limits=SandboxLimits(
                memory_mb=headers.memory_mb, processes=8, open_files=512, files_mb=128, output_mb=_OUTPUT_MB
            ),
            readable=(*SYSTEM, *headers.system),
            writable=folder,
        )
        done = box.run(
            [*command, str(folder / _MAIN)],
            timeout_s=headers.compile_s,
            environment={"LC_ALL": "C", "PATH": "/usr/bin:/bin", "TMPDIR": "/tmp"},
        )
        return _read_outcome(done, str(folder))


def _write_files(root: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        place = root / path
        if not place.resolve().is_relative_to(root.resolve()):
            raise DataError(f"{path}: outside the library")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _read_outcome(done: ProgramResult, folder: str) -> CompileOutcome:
    text = done.stderr.decode("utf-8", "replace")
    if done.stopped_by == "timeout":
        return CompileOutcome(False, (), timed_out=True)
    if done.stopped_by in ("memory", "files", "killed") or _INTERNAL.search(text):
        raise ProcessError(f"{COMPILER} ran out of its limits: {done.stopped_by or text.strip()[-200:]}")
    errors = tuple(_read_errors(text.replace(f"{folder}/{_LIBRARY}/", "").replace(f"{folder}/", "")))
    if done.exit_code and not errors and done.stopped_by != "output":
        raise ProcessError(f"{COMPILER} failed: {text.strip()[-300:]}")
    return CompileOutcome(done.exit_code == 0, errors)


def _read_errors(text: str) -> Iterable[CompilerError]:
    context: list[str] = []
    found: tuple[list[str], str, list[str]] | None = None
    for line in text.splitlines():
        match = _ERROR.match(line)
        if found and (match or _CONTEXT.search(line)):
            yield _build(*found)
            found = None
        if match:
            found = ([*context, line], match["message"], [])
            context = []
        elif found:
            found[2].append(line)
        else:
            context.append(line)
    if found:
        yield _build(*found)


def _build(place: list[str], message: str, behind: list[str]) -> CompilerError:
    text = "\n".join(place)
    lines = frozenset(int(line) for line in re.findall(rf"\b{re.escape(ANSWER)}:(\d+)", text))
    header = re.findall(rf"\b{re.escape(_MAIN)}:(\d+)", text)
    notes = [note.partition(": note: ")[2] for note in behind if ": note: " in note]
    return CompilerError(lines, message, tuple(notes), int(header[0]) - 1 if header and not lines else -1)


class UnknownName(NamedTuple):
    """A name that nothing in the headers has."""

    name: str
    scope: str

    def describe(self, known: Iterable[str]) -> str:
        """With the nearest name that exists."""
        full = f"{self.scope}::{self.name}" if self.scope else self.name
        close = difflib.get_close_matches(self.name, sorted(set(known)), n=1, cutoff=0.6)
        return f"`{full}` does not exist" + (f"; did you mean `{close[0]}`?" if close else "")


def find_unknown_names(errors: Iterable[CompilerError]) -> tuple[UnknownName, ...]:
    """The names that the compiler does not know, each once."""
    found: dict[UnknownName, None] = {}
    for error in errors:
        for pattern in _NO_NAME:
            if match := pattern.search(error.message):
                groups = match.groupdict()
                found[UnknownName(groups["name"], groups.get("scope") or "")] = None
                break
    return tuple(found)
