"""The check `python`: a function of the user's judges the answer, in the sandbox.

It is called as `function(answer)` or `function(answer, task)` and returns whether the answer is right, a score from 0
to 1, a pair with the reason, or None when it cannot say. An exception in it says nothing about the answer.
"""

from __future__ import annotations

import functools
import secrets
import sys
from importlib import resources
from pathlib import Path
from typing import ClassVar

import msgspec

from afs.checks import program_lookup
from afs.checks.carried_files import read_files, write_files
from afs.checks.verdicts import NO_ANSWER, judge_as, judge_unknown
from afs.config import Config, Positive
from afs.domains.base import strip_thinking
from afs.errors import AfsError, ConfigError
from afs.sandbox import ProgramResult, Sandbox, SandboxLimits, scratch
from afs.types import Json, Task, Verdict


class _Found(msgspec.Struct):
    """The line that the program in the sandbox wrote."""

    nonce: str
    ok: bool | None = None
    score: float | None = None
    reason: str = ""
    problem: str = ""


class PythonCheck(Config, frozen=True, kw_only=True):
    """Calls a Python function."""

    id: ClassVar[str] = "python"
    version: ClassVar[str] = "1"
    function: str
    """`file.py:function`, relative to where the check is written."""
    copies: tuple[str, ...] = ()
    """Files and folders it imports or reads, laid beside it."""
    files: dict[str, str] = {}
    """Files of the check: name -> text; filled in from `function` and `copies`."""
    readable: tuple[str, ...] = ()
    """Additional folders that the function may read."""
    timeout_s: Positive = 20
    """Seconds for one answer."""
    memory_mb: Positive = 1024
    """Memory of all its processes."""

    @property
    def longest_s(self) -> float:
        """The answer, the reference as a control, and the start of the sandbox."""
        return 3.0 * self.timeout_s + 20.0

    def find_problem(self) -> str:
        """No sandbox."""
        return program_lookup.find_sandbox_problem()

    def pack_files(self, folder: Path) -> PythonCheck:
        """The check with its source inside itself."""
        file, _, name = self.function.partition(":")
        if not file.endswith(".py") or not name.isidentifier():
            raise ConfigError("check.function", f"want `file.py:function`, got {self.function!r}")
        if file in self.files:
            return self
        return msgspec.structs.replace(
            self, copies=(), files={**read_files(folder, (file, *self.copies)), **self.files}
        )

    def judge(self, task: Task, answer: str) -> Verdict:
        """What the function says of the answer."""
        text = strip_thinking(answer).strip()
        if not text:
            return judge_as(task, False, stage="extract", reason=NO_ANSWER)
        if problem := self.find_problem():
            return judge_unknown(task, problem)
        try:
            found = self._run(task, text)
            if not isinstance(found, str):
                return _read(task, found)
            control = self._run(task, task.reference) if task.reference.strip() else "there is no reference"
        except AfsError as error:
            return judge_unknown(task, f"the check cannot be run: {error}")
        if isinstance(control, str) or not control.ok:
            return judge_unknown(task, f"the function was stopped by its limit ({found})")
        return judge_as(task, False, stage="limit", reason=f"stopped by a limit ({found}); the reference passes")

    def _run(self, task: Task, answer: str) -> _Found | str:
        """What the function returned, or the limit that ended it."""
        file, _, name = self.function.partition(":")
        spec = {key: value for key, value in task.spec.items() if key != "check"}
        about: Json = {"id": task.id, "prompt": task.prompt, "reference": task.reference, "spec": spec}
        nonce = secrets.token_hex(16)
        order = {"nonce": nonce, "file": file, "name": name, "answer": answer, "task": about}
        with scratch("check") as folder:
            write_files(folder, self.files)
            limits = SandboxLimits(memory_mb=self.memory_mb, open_files=256)
            box = Sandbox(limits, program_lookup.list_readable(sys.executable, self.readable), folder)
            ended = box.run(
                [sys.executable, "-I", "-X", "utf8", "-c", _program()],
                stdin=msgspec.json.encode(order),
                timeout_s=self.timeout_s,
                environment={"PYTHONDONTWRITEBYTECODE": "1"},
            )
        return ended.stopped_by or _last_line(ended, nonce)


def _last_line(ended: ProgramResult, nonce: str) -> _Found:
    for line in reversed(ended.stdout.splitlines()):
        try:
            found = msgspec.json.decode(line, type=_Found)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if found.nonce == nonce:
            return found
    said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
    return _Found(nonce, problem=f"ended with code {ended.exit_code}" + (f": {said[-1][:200]}" if said else ""))


def _read(task: Task, found: _Found) -> Verdict:
    if found.problem:
        return judge_unknown(task, f"the function {found.problem}")
    if found.ok is None:
        return judge_unknown(task, found.reason or "the function cannot say")
    return judge_as(task, found.ok, stage="function", score=found.score, reason=found.reason[:240])


@functools.cache
def _program() -> str:
    return (resources.files("afs.checks") / "function_runner.py").read_text("utf-8")
