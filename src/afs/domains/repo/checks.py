"""Judges answers by running the project's tests on them, in the sandbox."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

import msgspec

from afs.domains.repo import answers
from afs.domains.repo.functions import (
    AnswerError,
    PythonFunction,
    list_functions,
    module_name,
    put_answer,
    put_function,
)
from afs.domains.repo.spec import RepoSpec
from afs.domains.repo.test_runs import Project, RunOutcome, TestJob
from afs.domains.repository_snapshot import load_files
from afs.errors import MissingError, ProcessError
from afs.types import Json, Task, Verdict

LIMIT_S = 15.0
TEST_FILE = "test_answer_of_the_task.py"


class _AnswerCheck:
    """One answer on its way through the stages."""

    def __init__(self, task: Task, spec: RepoSpec, files: Mapping[str, bytes]) -> None:
        self.task, self.spec, self.files = task, spec, files
        self.text = spec.old or files[spec.path].decode("utf-8")
        self.project = Project(name=spec.snapshot, python=spec.python, memory_mb=spec.memory_mb)

    def verdict(self, stage: str, score: float, reason: str = "", facts: Json | None = None) -> Verdict:
        """The verdict so far."""
        return Verdict(
            task=self.task.id, ok=score == 1.0, score=score, stage=stage, reason=reason[:500], facts=facts or {}
        )

    def function(self) -> PythonFunction:
        """The function the task is about."""
        found = [f for f in list_functions(self.spec.path, self.text) if f.name == self.spec.name]
        if not found:
            raise MissingError(f"{self.spec.path} has no function {self.spec.name}")
        return found[0]

    def run(self, files: Mapping[str, str], tests: tuple[str, ...]) -> RunOutcome:
        """The tests on changed files."""
        return self.project.run_changed(self.files, TestJob(files=dict(files), tests=tests, limit_s=LIMIT_S))

    def require_time(self, function: PythonFunction) -> None:
        """After a run without an end: the same run with the code as it was must end, or nothing is known."""
        code = answers.read_code(self.task.reference)
        if self.run({self.spec.path: put_answer(self.text, function, code)}, self.spec.tests).timed_out:
            raise ProcessError("the tests of the reference answer do not end in time either: the machine is too busy")


def check_function(judge: _AnswerCheck, answer: str) -> Verdict:
    """An answer that is a function: put in its place, all its tests must pass."""
    code = answers.read_code(answer)
    if not code.strip():
        return judge.verdict("extract", 0.0, "no code")
    function = judge.function()
    try:
        module = put_answer(judge.text, function, code)
        ast.parse(module)
    except (AnswerError, SyntaxError, ValueError) as error:
        return judge.verdict("parse", 0.05, str(error))
    if name := answers.find_reaching_name(code, function.source):
        return judge.verdict("parse", 0.05, f"uses {name}, which the function has no need of")
    outcome = judge.run({judge.spec.path: module}, judge.spec.tests)
    if outcome.passes(judge.spec.tests):
        return judge.verdict("match", 1.0, facts={"tests": len(judge.spec.tests)})
    if outcome.timed_out and answer != judge.task.reference:
        judge.require_time(function)
    passed = len({row.test for row in outcome.tests if row.ok} & set(judge.spec.tests))
    score = 0.1 + 0.8 * passed / max(1, len(judge.spec.tests))
    failed = next((f"{row.test}: {row.message}" for row in outcome.failures()), "")
    reason = failed or ("the tests took too long" if outcome.timed_out else "the run ended before its tests did")
    return judge.verdict(
        "run" if not passed else "match", score, reason, {"tests": len(judge.spec.tests), "passed": passed}
    )


def check_test(judge: _AnswerCheck, answer: str) -> Verdict:
    """An answer that is a test: it must pass on the project and fail on the fault."""
    code = answers.read_code(answer)
    if not code.strip():
        return judge.verdict("extract", 0.0, "no code")
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError) as error:
        return judge.verdict("parse", 0.05, f"not Python: {error}")
    if not any(isinstance(node, ast.FunctionDef | ast.ClassDef) and "test" in node.name.lower() for node in tree.body):
        return judge.verdict("parse", 0.05, "no test function")
    if name := answers.find_reading_name(code):
        return judge.verdict("parse", 0.05, f"uses {name}: a test runs the code and does not read it")
    good = judge.run({TEST_FILE: code}, (TEST_FILE,))
    if good.timed_out:
        return judge.verdict("run", 0.2, "takes too long on the code as it is")
    passed = [row for row in good.tests if row.ok]
    if not good.is_whole or good.failures() or not passed:
        said = next((row.message for row in good.failures()), "no test ran to its end")
        return judge.verdict("run", 0.2, f"does not pass on the code as it is: {said}")
    faulty = put_function(judge.text, judge.function(), judge.spec.fault)
    bad = judge.run({TEST_FILE: code, judge.spec.path: faulty}, (TEST_FILE,))
    if any("::" in row.test for row in bad.failures()):
        return judge.verdict("match", 1.0, facts={"tests": len(passed)})
    return judge.verdict("match", 0.5, "passes on the faulty code too")


def check_call(judge: _AnswerCheck, answer: str) -> Verdict:
    """An answer that is a value: equal to what the call returned, and of the same types."""
    try:
        value = answers.read_literal(answer)
    except ValueError as error:
        return judge.verdict("extract", 0.0, str(error))
    wanted = ast.literal_eval(judge.task.reference.strip("`"))
    if value == wanted and repr(value) == repr(wanted):
        return judge.verdict("match", 1.0)
    return judge.verdict("match", 0.0, f"want {wanted!r}, got {value!r}")


_CHECKS: Mapping[str, Callable[[_AnswerCheck, str], Verdict]] = {
    "complete": check_function,
    "fix": check_function,
    "history": check_function,
    "test": check_test,
    "call": check_call,
}


def check(task: Task, answer: str) -> Verdict:
    """The verdict on one answer; unknown where the snapshot, the interpreter or the sandbox is missing."""
    spec = msgspec.convert(task.spec, RepoSpec)
    try:
        files = load_files(spec.snapshot) if task.family != "call" else {spec.path: b""}
        if files is None:
            raise MissingError(
                f"the snapshot {spec.snapshot} of {spec.repository} is not on this machine:"
                " run `afs repo scan PATH` on the repository"
            )
        return _CHECKS[task.family](_AnswerCheck(task, spec, files), answer)
    except (MissingError, ProcessError) as error:
        return Verdict(task=task.id, ok=None, score=None, stage="sandbox", reason=str(error)[:500])


def import_line(spec: RepoSpec) -> str:
    """How a test imports the function."""
    return f"from {module_name(spec.path)} import {spec.name.partition('.')[0]}"
