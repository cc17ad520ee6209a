"""The scorer `python`: runs a function on arguments in the sandbox.

The program in the sandbox never sees the expected values: it returns what the function returned, and the comparison
happens here. Without a sandbox, or when the machine rather than the answer is at fault, the verdict is unknown.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import secrets
from collections.abc import Sequence
from importlib import resources
from typing import ClassVar, NamedTuple, cast

import msgspec

from afs.config import Config
from afs.domains.base import strip_thinking
from afs.errors import DataError, MissingError, ProcessError
from afs.sandbox import ProgramResult, PythonPool, SandboxLimits
from afs.types import Task, Verdict

_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.S)


class _Child(NamedTuple):
    """Output of the sandboxed program."""

    values: list[object] | None
    problem: str = ""
    shown: tuple[str, ...] = ()
    """The values as text."""
    is_known: bool = True
    """False: the machine is at fault, not the answer."""
    raised: frozenset[int] = frozenset()
    """Calls that raised an exception: wrong, and the others still count."""


class Python(Config, frozen=True, kw_only=True):
    """Runs the task's function: `spec` has `entry`, its name, and `tests`, a list of [arguments, expected value]."""

    id: ClassVar[str] = "python"
    version: ClassVar[str] = "3"
    timeout_s: float = 5.0
    """Time limit for all calls together."""
    memory_mb: int = 512
    """Most memory."""

    def score(self, task: Task, answer: str) -> Verdict:
        """The share of tests passed."""
        entry, tests = task.spec.get("entry"), task.spec.get("tests")
        if not isinstance(entry, str) or not isinstance(tests, list) or not tests:
            raise DataError(f"{task.id}: a task for the scorer `python` needs `entry` and `tests` in its spec")
        code = code_of(answer)
        if not code.strip():
            return Verdict(task=task.id, ok=False, score=0.0, stage="extract", reason="no code")
        child = self._run(code, entry, [cast(Sequence[object], test)[0] for test in tests])
        if not child.is_known:
            return Verdict(task=task.id, ok=None, score=None, stage="sandbox", reason=child.problem[:300])
        if child.values is None:
            return Verdict(task=task.id, ok=False, score=0.0, stage="run", reason=child.problem[:300])
        pairs = enumerate(zip(child.values, tests, strict=True))
        right = [number not in child.raised and got == wanted for number, (got, (_, wanted)) in pairs]
        wrong = next((i for i, ok in enumerate(right) if not ok), None)
        reason = ""
        if wrong is not None:
            reason = f"{entry}{tuple(tests[wrong][0])!r}: want {tests[wrong][1]!r}, got {child.shown[wrong]}"[:300]
        return Verdict(
            task=task.id,
            ok=all(right),
            score=sum(right) / len(right),
            stage="match",
            reason=reason,
            facts={"tests": len(right), "passed": sum(right)},
        )

    def _run(self, code: str, entry: str, calls: list[object]) -> _Child:
        mark = secrets.token_hex(16)
        job = msgspec.json.encode({"code": code, "entry": entry, "calls": calls, "mark": mark})
        try:
            pool = _pool(self.memory_mb)
            done = pool.run(_program(), stdin=job, timeout_s=self.timeout_s)
            if done.stopped_by == "timeout" and pool.run("", timeout_s=self.timeout_s).stopped_by:
                return _Child(None, "this machine is too busy to run even an empty program in time", is_known=False)
        except (MissingError, ProcessError) as error:
            return _Child(None, str(error), is_known=False)
        return _said(done, mark, len(calls), self.timeout_s)


def _said(done: ProgramResult, mark: str, calls: int, timeout_s: float) -> _Child:
    if done.stopped_by == "timeout":
        return _Child(None, f"took longer than {timeout_s:g} s")
    if done.stopped_by == "output":
        return _Child(None, "wrote too much")
    if done.stopped_by:
        return _Child(None, "the system ended it", is_known=False)
    for line in reversed(done.stdout.decode("utf-8", "replace").splitlines()):
        if line.startswith(mark):
            return _answer(line[len(mark) :], calls)
    return _Child(None, done.stderr.decode("utf-8", "replace").strip()[-200:] or f"ended with code {done.exit_code}")


def _answer(text: str, calls: int) -> _Child:
    """What the program wrote after the marker; it may have forged that line."""
    try:
        found = msgspec.json.decode(text, type=dict[str, object])
        values = found.get("values")
        if not isinstance(values, list):
            return _Child(None, str(found.get("problem", "no values")))
        raised = _raised(found.get("raised"))
        if len(raised) == len(values) == calls:
            return _Child(None, next(iter(raised.values())))
        shown = tuple(raised.get(at, repr(value)[:200]) for at, value in enumerate(values))
    except (ValueError, RecursionError) as error:  # DecodeError is a ValueError
        return _Child(None, f"no readable values ({error})")
    if len(values) != calls:
        return _Child(None, f"{len(values)} values for {calls} calls")
    return _Child(values, shown=shown, raised=frozenset(raised))


def _raised(found: object) -> dict[int, str]:
    """Call number -> what it raised."""
    rows = found.items() if isinstance(found, dict) else ()
    return {int(key): str(value) for key, value in rows if str(key).isdigit()}


def code_of(answer: str) -> str:
    """All code blocks of an answer, or all of it when there are none; a later definition replaces an earlier one."""
    said = strip_thinking(answer)
    blocks = _FENCE.findall(said)
    return "\n".join(blocks) if blocks else said


@functools.cache
def _program() -> str:
    return (resources.files("afs.evaluate.score") / "python_child.py").read_text("utf-8")


@functools.cache
def _pool(memory_mb: int) -> PythonPool:
    """One pool per process: starting a sandbox costs more than most answers."""
    pool = PythonPool(limits=SandboxLimits(memory_mb=memory_mb), jobs=len(os.sched_getaffinity(0)))
    atexit.register(pool.close)
    return pool
