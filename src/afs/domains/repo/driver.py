"""The program inside the walls: runs a project's tests or calls, one forked process per job, a line of JSON for each.

It imports nothing of afs, because the interpreter is the project's own. What a job's process writes is read from a
pipe and is data: a job that ends early, hangs or forges a line harms only itself.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import json
import os
import re
import select
import signal
import sys
import time
import types
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
_CALLS_KEPT = 12
"""Different calls recorded per function."""
_REPR = 200
_MESSAGE = 1500
_REFUSALS = (3, 4)
"""How pytest ends when it gives up before any test: an internal error, a conftest that cannot be imported."""


_COUNTED = re.compile(r"(?:\d+ warnings? |no tests ran )?in [\d.]+s|")
"""The last line of a run."""


class TooSlow(BaseException):
    """A test or a call ran past its own limit; tests that catch Exception do not catch this."""


def _raise_too_slow(signum: int, frame: types.FrameType | None) -> None:
    raise TooSlow("took too long")


def literal_text(value: object) -> str:
    """The value as a literal that reads back as itself; empty when it has none."""
    try:
        text = repr(value)
        if len(text) > _REPR:
            return ""
        back = ast.literal_eval(text)
        return text if back == value and type(back) is type(value) and repr(back) == text else ""
    except Exception:  # noqa: BLE001  a value's own methods may raise anything
        return ""


def call_text(frame: types.FrameType) -> str:
    """The call that opened a frame, written with literals; empty when that is impossible."""
    code, names = frame.f_code, frame.f_code.co_varnames
    count = code.co_argcount
    parts = [literal_text(frame.f_locals.get(name, frame)) for name in names[:count]]
    keywords = names[count : count + code.co_kwonlyargcount]
    at = count + code.co_kwonlyargcount
    if code.co_flags & 0x04:
        parts += [literal_text(value) for value in frame.f_locals.get(names[at], ())]
        at += 1
    pairs = [(name, frame.f_locals.get(name, frame)) for name in keywords]
    if code.co_flags & 0x08:
        pairs += list(frame.f_locals.get(names[at], {}).items())
    texts = [literal_text(value) for _, value in pairs]
    if not all(parts) or not all(texts):
        return ""
    return ", ".join(parts + [f"{name}={text}" for (name, _), text in zip(pairs, texts)])  # noqa: B905  older versions of Python lack it


class Tracer:
    """Which functions of the project each test enters, and with what."""

    def __init__(self, root: str) -> None:
        self.root, self.test = root + os.sep, ""
        self.entered: dict[str, list[str]] = {}
        self.calls: dict[str, list[str]] = {}
        self._names: dict[types.CodeType, str] = {}
        self._seen: dict[str, set[str]] = {}

    def __call__(self, frame: types.FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        name = self._names.get(code)
        if name is None:
            inside = code.co_filename.startswith(self.root)
            name = self._names[code] = f"{code.co_filename[len(self.root) :]}:{code.co_firstlineno}" if inside else ""
        if not name or not self.test:
            return
        seen = self._seen.setdefault(self.test, set())
        if name not in seen:
            seen.add(name)
            self.entered.setdefault(name, []).append(self.test)
        kept = self.calls.setdefault(name, [])
        if len(kept) < _CALLS_KEPT and not code.co_flags & 0x2A0 and code.co_name[0] != "<":
            text = call_text(frame)
            if text and text not in kept and self.root[:-1] not in text:  # the folder has another name each time
                kept.append(text)


class TestRecorder:
    """A pytest plug-in: one row per test as it ends."""

    def __init__(self, say: Callable[[Row], None], seconds: float, tracer: Tracer | None, root: str) -> None:
        self.say, self.seconds, self.tracer, self.root = say, seconds, tracer, root
        self.rows: dict[str, Row] = {}

    def pytest_runtest_logstart(self, nodeid: str, location: object) -> None:
        if self.tracer:
            self.tracer.test = nodeid
            sys.settrace(self.tracer)  # again: Python removes a tracer in which the time limit of a test struck
        self.rows[nodeid] = {"test": nodeid, "ok": None, "seconds": 0.0, "message": ""}
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def pytest_runtest_logreport(self, report: Any) -> None:
        row = self.rows[report.nodeid]
        row["seconds"] += report.duration
        if report.outcome == "failed":
            crash = getattr(getattr(report.longrepr, "reprcrash", None), "message", "") or str(report.longrepr)
            row["ok"], row["message"] = False, crash.replace(self.root, ".")[:_MESSAGE]
        elif report.when == "call" and report.outcome == "passed" and row["ok"] is None:
            row["ok"] = True

    def pytest_runtest_logfinish(self, nodeid: str, location: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self.tracer:
            self.tracer.test = ""
        self.say(self.rows[nodeid])

    def pytest_collectreport(self, report: Any) -> None:
        if report.outcome == "failed":
            message = str(report.longrepr).replace(self.root, ".")[-_MESSAGE:]
            self.say({"test": report.nodeid, "ok": False, "seconds": 0.0, "message": message})


def run_tests(job: Row, root: str, say: Callable[[Row], None]) -> None:
    """Run pytest over the job's tests."""
    import pytest

    tracer = Tracer(root) if job["trace"] else None
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "-o", "addopts="]
    options += ["--assert=plain", "--no-header", "--continue-on-collection-errors", "--rootdir", root]
    options += ["-x"] if job["stop"] else []
    if tracer:
        sys.settrace(tracer)
    recorder = TestRecorder(say, job["test_s"], tracer, root)
    complaints = io.StringIO()
    with contextlib.redirect_stderr(complaints), contextlib.redirect_stdout(complaints):
        code = pytest.main([*options, *job["tests"]], plugins=[recorder])
    sys.settrace(None)
    if code in _REFUSALS:
        say({"broken": last_error(complaints.getvalue())})
    if tracer:
        say({"entered": tracer.entered, "calls": tracer.calls})
    say({"done": int(code)})


def last_error(text: str) -> str:
    """Why pytest gave up before any test: the error itself, without the way to it."""
    lines = [line.strip().removeprefix("INTERNALERROR>").strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not _COUNTED.fullmatch(line)]
    errors = [line[1:].strip() for line in lines if line[:2] == "E "] or lines
    return (errors[-1] if errors else "pytest gave no reason")[:_MESSAGE]


def run_calls(job: Row, root: str, say: Callable[[Row], None]) -> None:
    """Work out calls of functions: `[module, function, arguments]` rows."""
    for module, name, arguments in job["calls"]:
        signal.setitimer(signal.ITIMER_REAL, job["test_s"])
        row: Row = {"value": "", "raised": ""}
        try:
            names: Row = {"f": getattr(importlib.import_module(module), name)}
            row["value"] = literal_text(eval(f"f({arguments})", names))
        except BaseException as error:  # noqa: BLE001  foreign code, whose failure is the result
            row["raised"] = f"{type(error).__name__}: {error}"[:_REPR]
        signal.setitimer(signal.ITIMER_REAL, 0)
        say(row)
    say({"done": 0})


def serve_job(job: Row, root: str, out: int) -> None:
    """The forked process: quiet, in the project's folder, and gone at the end whatever happens."""
    null = os.open(os.devnull, os.O_RDWR)
    for end in (0, 1, 2):
        os.dup2(null, end)
    signal.signal(signal.SIGALRM, _raise_too_slow)

    def say(row: Row) -> None:
        data = json.dumps(row).encode() + b"\n"
        while data:
            data = data[os.write(out, data) :]

    try:
        (run_tests if job["calls"] is None else run_calls)(job, root, say)
    except BaseException as error:  # noqa: BLE001  foreign code, whose failure is the result
        say({"broken": f"{type(error).__name__}: {error}"[:_MESSAGE]})
    finally:
        os._exit(0)


def read_rows(end: int, deadline: float) -> tuple[list[Row], bool]:
    """What a job's process says until it ends or its time is over."""
    data = b""
    timed_out = False
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([end], [], [], left)[0]:
            timed_out = True
            break
        piece = os.read(end, 1 << 16)
        if not piece:
            break
        data += piece
    rows = []
    for line in data.split(b"\n")[:-1]:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows, timed_out


def read_file(place: str) -> bytes | None:
    """Its content; None when it is not there."""
    if not os.path.exists(place):
        return None
    with open(place, "rb") as file:
        return file.read()


def do_job(job: Row, root: str) -> Row:
    """Put the job's files in their places, run it, and put the old ones back."""
    before = {}
    for path, text in job["files"].items():
        place = os.path.join(root, path)
        before[place] = read_file(place)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8", newline="") as file:
            file.write(text)
    heard, said = os.pipe()
    child = os.fork()
    if not child:
        os.close(heard)
        serve_job(job, root, said)
    os.close(said)
    rows, timed_out = read_rows(heard, time.monotonic() + job["limit_s"])
    os.kill(child, signal.SIGKILL)
    spent = os.wait4(child, 0)[2]
    os.close(heard)
    for place, content in before.items():
        if content is None:
            os.unlink(place)
        else:
            with open(place, "wb") as file:
                file.write(content)
    return {"rows": rows, "timed_out": timed_out, "cpu_s": spent.ru_utime + spent.ru_stime}


def load_pytest() -> None:
    """Import pytest with its plug-ins once: every job's process inherits them."""
    from importlib import metadata

    import pytest

    with open(os.devnull, "w") as null:
        out, sys.stdout = sys.stdout, null
        pytest.main(["--version"])
        sys.stdout = out
    for one in metadata.distributions():
        for entry in one.entry_points:
            if entry.group == "pytest11":
                try:
                    entry.load()
                except Exception:  # noqa: BLE001  pytest itself reports a plug-in that does not load
                    continue


def say_line(mark: str, row: Row) -> None:
    """One line of the answer, marked: what else is printed is noise."""
    sys.stdout.write(mark + json.dumps(row) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the order, do its jobs."""
    order = json.loads(sys.stdin.buffer.read())
    root, mark = order["root"], order["mark"]
    os.chdir(root)
    sys.dont_write_bytecode = True
    sys.path[:] = [os.path.normpath(os.path.join(root, path)) for path in order["paths"]] + [
        p for p in sys.path if p and p != sys.path[0]
    ]
    if order["compile"]:
        import compileall
        import py_compile

        compileall.compile_dir(root, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    try:
        load_pytest()
    except ImportError as error:
        say_line(mark, {"missing": str(error)})
        return
    for job in order["jobs"]:
        say_line(mark, do_job(job, root))


if __name__ == "__main__":
    main()
