"""The scorer `python`: a function is run on arguments in a child that has no network, no secrets and no way out.

The child never sees the right answers: it gives back what the function returned, and the comparison is done here.
"""

from __future__ import annotations

import functools
import re
import secrets
import sys
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import ClassVar, NamedTuple, cast

import msgspec

from afs import process
from afs.config import Config
from afs.errors import DataError, ProcessError
from afs.types import Task, Verdict

_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.S)


class _Child(NamedTuple):
    """What the child said."""

    values: list[object] | None
    problem: str


class Python(Config, frozen=True, kw_only=True):
    """Runs the task's function: `spec` holds `entry`, its name, and `tests`, a list of [arguments, wanted value]."""

    id: ClassVar[str] = "python"
    version: ClassVar[str] = "1"
    timeout_s: float = 5.0
    """Longest run of all calls together."""
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
        if child.values is None:
            return Verdict(task=task.id, ok=False, score=0.0, stage="run", reason=child.problem[:300])
        right = [got == wanted for got, (_, wanted) in zip(child.values, tests, strict=True)]
        wrong = next((i for i, ok in enumerate(right) if not ok), None)
        reason = ""
        if wrong is not None:
            reason = f"{entry}{tuple(tests[wrong][0])!r}: want {tests[wrong][1]!r}, got {child.values[wrong]!r}"[:300]
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
        script = (resources.files("afs.evaluate.score") / "python_child.py").read_text("utf-8")
        with tempfile.TemporaryDirectory() as folder:
            done = process.run(
                [*_walls(), sys.executable, "-I", "-S", "-c", script],
                timeout_s=self.timeout_s,
                memory_mb=self.memory_mb,
                stdin=job,
                folder=Path(folder),
                environment={"PATH": "/usr/bin:/bin"},
            )
        if done.timed_out:
            return _Child(None, f"took longer than {self.timeout_s:g} s")
        for line in reversed(done.out.decode("utf-8", "replace").splitlines()):
            if line.startswith(mark):
                return _answer(line[len(mark) :])
        return _Child(None, done.err.decode("utf-8", "replace").strip()[-200:] or f"ended with code {done.code}")


def _answer(text: str) -> _Child:
    try:
        found = msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError as error:
        return _Child(None, f"no readable values ({error})")
    values = found.get("values")
    return _Child(values if isinstance(values, list) else None, str(found.get("problem", "")))


def code_of(answer: str) -> str:
    """All code blocks of an answer, or the whole of it when there are none."""
    blocks = _FENCE.findall(answer)
    return "\n".join(blocks) if blocks else answer


@functools.cache
def _walls() -> tuple[str, ...]:
    """A namespace without network and processes of others, where the system allows it."""
    walls = ("unshare", "--user", "--map-root-user", "--net")
    try:
        works = process.run([*walls, "true"], timeout_s=5).code == 0
    except ProcessError:
        works = False
    return walls if works else ()
