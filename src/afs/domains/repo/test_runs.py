"""Runs a project's tests and calls behind the walls, several changed trees in one start, and remembers the outcomes."""

from __future__ import annotations

import functools
import os
import secrets
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import msgspec

from afs import jsonl, process
from afs.errors import DataError, MissingError, ProcessError
from afs.sandbox import SYSTEM, Sandbox, SandboxLimits, scratch
from afs.types import Value, digest

_START_S = 20.0
_JOBS_AT_ONCE = 40


class TestJob(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One run: these files in place of the project's, then these tests or these calls."""

    __test__ = False
    files: dict[str, str] = {}
    tests: tuple[str, ...] = ()
    calls: tuple[tuple[str, str, str], ...] | None = None
    """(module, function, arguments) rows."""
    trace: bool = False
    stop: bool = False
    """End at the first failure."""
    test_s: float = 10.0
    limit_s: float = 20.0
    hash_seed: int = 0
    """Jobs of one call of `run` share it."""


class TestRow(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one test."""

    __test__ = False
    test: str
    ok: bool | None = None
    """None: skipped."""
    seconds: float = 0.0
    message: str = ""


class CallRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a call gave: the text of a literal, or what it raised; neither: a value that has no literal."""

    value: str = ""
    raised: str = ""


class RunOutcome(Value, frozen=True, kw_only=True):
    """What one job left."""

    tests: tuple[TestRow, ...] = ()
    calls: tuple[CallRow, ...] = ()
    entered: dict[str, tuple[str, ...]] = {}
    """`path:line` of a function -> tests that enter it."""
    arguments: dict[str, tuple[str, ...]] = {}
    """`path:line` of a function -> calls of it."""
    is_whole: bool = False
    """The run came to its end."""
    timed_out: bool = False
    problem: str = ""
    cpu_s: float = 0.0

    def passes(self, wanted: Sequence[str]) -> bool:
        """Whether every wanted test was run and passed, and nothing failed."""
        passed = {row.test for row in self.tests if row.ok}
        return self.is_whole and set(wanted) <= passed and not self.failures()

    def failures(self) -> tuple[TestRow, ...]:
        """The tests that failed."""
        return tuple(row for row in self.tests if row.ok is False)


class _Line(msgspec.Struct):
    """A line of the driver; rows of several kinds share it."""

    rows: list[dict[str, object]] = []
    timed_out: bool = False
    missing: str = ""
    cpu_s: float = 0.0


class Project(Value, frozen=True, kw_only=True):
    """The files of a project, how its modules are found, and who runs it."""

    name: str
    """Digest of the files."""
    python: str = ""
    """Empty: the interpreter afs runs on."""
    memory_mb: int = 1024

    def run(self, files: Mapping[str, bytes], jobs: Sequence[TestJob], cache: Path | None = None) -> list[RunOutcome]:
        """The outcomes in order; those known already are not run again."""
        known = _read_cache(cache) if cache else {}
        interpreter = _interpreter(self.python)
        keys = [digest((self.name, interpreter.packages, _driver(), job)) for job in jobs]
        fresh = [(key, job) for key, job in dict(zip(keys, jobs, strict=True)).items() if key not in known]
        for start in range(0, len(fresh), _JOBS_AT_ONCE):
            batch = fresh[start : start + _JOBS_AT_ONCE]
            found = zip([key for key, _ in batch], self._start(files, [job for _, job in batch]), strict=True)
            rows = dict(found)
            known |= rows
            if cache:
                cache.parent.mkdir(parents=True, exist_ok=True)
                jsonl.append(cache, ({"key": key, "outcome": outcome} for key, outcome in rows.items()))
        return [known[key] for key in keys]

    def run_changed(self, files: Mapping[str, bytes], job: TestJob) -> RunOutcome:
        """One job whose files stand in the tree from the start: its process never holds what was there before."""
        changed = {**files, **{path: text.encode() for path, text in job.files.items()}}
        return self._start(changed, [msgspec.structs.replace(job, files={})])[0]

    def _start(self, files: Mapping[str, bytes], jobs: Sequence[TestJob]) -> list[RunOutcome]:
        python, readable, _ = _interpreter(self.python)
        mark = secrets.token_hex(8)
        with scratch("repo") as folder:
            root = folder / "project"
            write_tree(root, files)
            (folder / "driver.py").write_text(_driver(), "utf-8")
            order = {
                "root": str(root),
                "paths": list_paths(files),
                "mark": mark,
                "jobs": jobs,
                "compile": len(jobs) > 1,
            }
            box = Sandbox(
                limits=SandboxLimits(
                    memory_mb=self.memory_mb, processes=16, open_files=256, files_mb=256, output_mb=64
                ),
                readable=readable,
                writable=folder,
            )
            done = box.run(
                [python, "-s", "-E", str(folder / "driver.py")],
                stdin=msgspec.json.encode(order),
                timeout_s=_START_S + sum(job.limit_s for job in jobs),
                environment={"PYTHONHASHSEED": str(jobs[0].hash_seed), "HOME": "/tmp", "TZ": "UTC"},
            )
        lines = [
            line[len(mark) :] for line in done.stdout.decode("utf-8", "replace").splitlines() if line.startswith(mark)
        ]
        rows = [msgspec.json.decode(line, type=_Line) for line in lines]
        if rows and rows[0].missing:
            raise MissingError(f"the tests need pytest in their interpreter: {python} -m pip install pytest")
        if not rows:
            said = done.stderr.decode("utf-8", "replace").strip()[-300:] or done.stopped_by
            raise ProcessError(f"the tests could not be started in the sandbox: {said}")
        rows += [_Line(timed_out=True)] * (len(jobs) - len(rows))
        return [_read_outcome(row) for row in rows]


def write_tree(root: Path, files: Mapping[str, bytes]) -> None:
    """The project's files on the disk, with what an installed copy would have beside."""
    for path, content in {**generated_files(files), **files}.items():
        place = root / path
        if not place.resolve().is_relative_to(root.resolve()):
            raise DataError(f"{path}: outside the project")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def list_paths(files: Mapping[str, bytes]) -> list[str]:
    """Folders from which the project's modules are imported."""
    return ["src", "."] if any(path.startswith("src/") and path.endswith(".py") for path in files) else ["."]


class _ProjectTable(msgspec.Struct, frozen=True):
    name: str = ""
    version: str = "0.0.0"


class _BuildHooks(msgspec.Struct, frozen=True):
    """Where build tools write a version: the files of an installed project that its repository lacks."""

    project: _ProjectTable = _ProjectTable()
    tool: dict[str, object] = {}


def generated_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """What building the project would add: its metadata and its version file."""
    try:
        table = tomllib.loads(files.get("pyproject.toml", b"").decode("utf-8"))
        hooks = msgspec.convert({k: table[k] for k in ("project", "tool") if k in table}, _BuildHooks)
    except (ValueError, msgspec.ValidationError):
        return {}
    found: dict[str, bytes] = {}
    name, version = hooks.project.name, hooks.project.version
    if name:
        folder = name.replace("-", "_") + f"-{version}.dist-info"
        base = "src/" if "src" in list_paths(files) else ""
        found[f"{base}{folder}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    for path in _version_files(hooks.tool):
        numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
        found[path] = f"__version__ = version = {version!r}\n__version_tuple__ = version_tuple = {numbers!r}\n".encode()
    return found


_VERSION_KEYS = (
    ("setuptools_scm", "version_file"),
    ("setuptools_scm", "write_to"),
    ("hatch", "build", "hooks", "vcs", "version-file"),
    ("pdm", "version", "write_to"),
)


def _version_files(tool: Mapping[str, object]) -> list[str]:
    found = []
    for keys in _VERSION_KEYS:
        value: object = tool
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and ".." not in value and not value.startswith("/"):
            found.append(value)
    return found


def _read_outcome(line: _Line) -> RunOutcome:
    tests: list[TestRow] = []
    calls: list[CallRow] = []
    entered: dict[str, tuple[str, ...]] = {}
    arguments: dict[str, tuple[str, ...]] = {}
    is_whole, problem = False, ""
    for row in line.rows:
        if "test" in row:
            tests.append(msgspec.convert(row, TestRow))
        elif "value" in row:
            calls.append(msgspec.convert(row, CallRow))
        elif "entered" in row:
            entered = msgspec.convert(row["entered"], dict[str, tuple[str, ...]])
            arguments = msgspec.convert(row["calls"], dict[str, tuple[str, ...]])
        is_whole = is_whole or "done" in row
        problem = problem or str(row.get("broken", ""))
    return RunOutcome(
        tests=tuple(tests),
        calls=tuple(calls),
        entered=entered,
        arguments=arguments,
        is_whole=is_whole,
        timed_out=line.timed_out,
        problem=problem,
        cpu_s=line.cpu_s,
    )


class _Cached(msgspec.Struct):
    key: str
    outcome: RunOutcome


def _read_cache(path: Path) -> dict[str, RunOutcome]:
    return {row.key: row.outcome for row in jsonl.read(path, _Cached)} if path.exists() else {}


@functools.cache
def _driver() -> str:
    return (resources.files("afs.domains.repo") / "driver.py").read_text("utf-8")


class _Interpreter(NamedTuple):
    """Who runs the tests."""

    python: str
    readable: tuple[str, ...]
    """Its own folder, its standard library, its packages."""
    packages: str
    """Its version and what is installed: with another package a test may pass that failed before."""


_QUERY = """
import os, sys, sysconfig
paths = sysconfig.get_paths()
print(sys.prefix, sys.base_prefix, *paths.values(), sep="\\n")
places = [place for place in (paths["purelib"], paths["platlib"]) if os.path.isdir(place)]
kinds = (".dist-info", ".egg-info", ".egg-link", ".pth")
print(sys.version, sorted(name for place in places for name in os.listdir(place) if name.endswith(kinds)))
"""


@functools.cache
def _interpreter(python: str) -> _Interpreter:
    chosen = python or sys.executable
    try:
        done = process.run([chosen, "-s", "-E", "-c", _QUERY], timeout_s=60)
    except ProcessError as error:
        raise MissingError(f"{chosen}: not an interpreter ({error})") from error
    if done.code:
        raise MissingError(f"{chosen}: not a Python interpreter")
    said = done.out.decode()
    folders = {line for line in said.splitlines() if line and os.path.isdir(line)}
    return _Interpreter(chosen, (*SYSTEM, *sorted(folders), os.path.realpath(chosen)), digest((chosen, said)))
