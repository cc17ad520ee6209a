"""What a project's own tests say about it: which tests pass, which functions they enter, which faults they notice."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from afs.domains.repo.functions import PythonFunction, is_source, list_functions, put_function, stub
from afs.domains.repo.mutants import Mutant, list_mutants
from afs.domains.repo.options import RepoOptions
from afs.domains.repo.test_runs import Project, RunOutcome, TestJob, TestRow
from afs.domains.repository_snapshot import RepositorySnapshot, cache_folder
from afs.errors import DataError

_PLACE = re.compile(r'File "([^"\n]+)", line (\d+)')
TESTS_KEPT = 40
"""Tests that judge one function, the fastest first."""
TESTS_S = 2.0
"""And what they may take together."""
_LIMIT_S = 15.0
"""One run of a function's tests: a check answers inside the time a verdict may take."""


_FUNCTIONS_AT_ONCE = 6
"""Functions judged in one start of the sandbox."""


@dataclass(frozen=True)
class CoveredFunction:
    """A function with the tests that enter it."""

    function: PythonFunction
    tests: tuple[str, ...]
    arguments: tuple[str, ...]
    """Calls that the tests made, as literals."""


@dataclass(frozen=True)
class CaughtFault:
    """A mutant that the tests reject, with the first test that does."""

    mutant: Mutant
    test: str
    message: str


@dataclass(frozen=True)
class Judgement:
    """What the tests make of a function: faults they notice, and whether they notice enough to be trusted."""

    subject: CoveredFunction
    needs_body: bool
    """Without its body the tests fail."""
    faults: tuple[CaughtFault, ...]
    missed: int
    """Faults that no test noticed; some of them change nothing."""

    @property
    def is_tested(self) -> bool:
        """Whether a wrong answer would be noticed: at least two faults in three were."""
        return self.needs_body and len(self.faults) >= max(1, 2 * self.missed)


@dataclass(frozen=True)
class Survey:
    """The project with its baseline; judgements are made one by one, as they are asked for."""

    snapshot: RepositorySnapshot
    project: Project
    options: RepoOptions
    subjects: tuple[CoveredFunction, ...]
    functions: int
    """All functions worth asking for, covered or not."""
    passing: int
    failing: int
    skipped: int
    cache: Path = field(compare=False)

    def judge(self, subjects: Sequence[CoveredFunction]) -> list[Judgement]:
        """Try functions without their bodies and with faults in them."""
        mutants = [
            list_mutants(s.function.source, random.Random(s.function.id), self.options.mutants) for s in subjects
        ]
        jobs = [
            self._job(subject, source)
            for subject, faulty in zip(subjects, mutants, strict=True)
            for source in (stub(subject.function), *(mutant.source for mutant in faulty))
        ]
        outcomes = iter(self.project.run(self.snapshot.files, jobs, self.cache))
        return [
            _judgement(subject, next(outcomes), [(mutant, next(outcomes)) for mutant in faulty])
            for subject, faulty in zip(subjects, mutants, strict=True)
        ]

    def judge_in_order(self, seed: int) -> Iterator[Judgement]:
        """Every covered function, in an order of the seed's."""
        subjects = list(self.subjects)
        random.Random(f"repo:{seed}").shuffle(subjects)
        for start in range(0, len(subjects), _FUNCTIONS_AT_ONCE):
            yield from self.judge(subjects[start : start + _FUNCTIONS_AT_ONCE])

    def _job(self, subject: CoveredFunction, source: str) -> TestJob:
        text = put_function(self.snapshot.text(subject.function.path), subject.function, source)
        return TestJob(
            files={subject.function.path: text},
            tests=subject.tests,
            stop=True,
            test_s=self.options.test_s,
            limit_s=_LIMIT_S,
        )


def _judgement(subject: CoveredFunction, bare: RunOutcome, tried: Sequence[tuple[Mutant, RunOutcome]]) -> Judgement:
    faults = [fault for mutant, outcome in tried if (fault := _fault(mutant, outcome))]
    missed = sum(outcome.passes(subject.tests) for _, outcome in tried)
    return Judgement(subject, not bare.passes(subject.tests), tuple(faults), missed)


def _fault(mutant: Mutant, outcome: RunOutcome) -> CaughtFault | None:
    """A fault that a test notices by failing; hanging and breaking the collection are no clear answers."""
    failed = [row for row in outcome.failures() if "::" in row.test]
    if not failed or not outcome.is_whole or "TooSlow" in failed[0].message:
        return None
    return CaughtFault(mutant, failed[0].test, failed[0].message)


def survey(snapshot: RepositorySnapshot, options: RepoOptions) -> Survey:
    """Run all tests twice; what passes both times judges the functions it enters."""
    project = Project(name=snapshot.digest, python=find_python(options), memory_mb=options.memory_mb)
    cache = cache_folder() / f"{snapshot.digest}.runs.jsonl"
    traced, again = _baseline(project, snapshot, options, cache)
    passed = {row.test: row.seconds for row in again.tests if row.ok}
    rows = {row.test: row for row in traced.tests}
    failing = [row for row in rows.values() if row.ok is False]
    stable = {test: seconds for test, seconds in passed.items() if rows[test].ok}
    if not stable:
        raise DataError(_why_none(snapshot.name, options, traced, failing))
    functions = [
        function
        for path in sorted(snapshot.files)
        if is_source(path) and _is_wanted(path, options)
        for function in list_functions(path, snapshot.text(path))
    ]
    subjects = [
        CoveredFunction(function, tests, traced.arguments.get(function.at, ()))
        for function in functions
        if (tests := _choose_tests(traced.entered.get(function.at, ()), stable))
        and _is_dated(snapshot.dates.get(function.path, ""), options)
    ]
    return Survey(
        snapshot=snapshot,
        project=project,
        options=options,
        subjects=tuple(subjects),
        functions=len(functions),
        passing=len(stable),
        failing=len(failing),
        skipped=sum(row.ok is None for row in rows.values()),
        cache=cache,
    )


def find_python(options: RepoOptions) -> str:
    """The interpreter that runs the tests; empty: the one afs runs on."""
    if options.python is not None:
        return str(options.python.expanduser().absolute())
    own = options.path.expanduser() / ".venv" / "bin" / "python"
    return str(own.absolute()) if own.exists() else ""


def _baseline(
    project: Project, snapshot: RepositorySnapshot, options: RepoOptions, cache: Path
) -> tuple[RunOutcome, RunOutcome]:
    first = TestJob(tests=options.tests, trace=True, test_s=options.test_s, limit_s=options.suite_s)
    (traced,) = project.run(snapshot.files, [first], cache)
    if traced.timed_out or not traced.is_whole:
        problem = (
            f"did not end in {options.suite_s} s" if traced.timed_out else f"ended early {traced.problem}".rstrip()
        )
        done = f"{len(traced.tests)} ended, the last: {traced.tests[-1].test}" if traced.tests else "not one ended"
        raise DataError(
            f"{snapshot.name}: the tests {problem} ({done}); name fewer with `tests`"
            + (", or raise `suite_s`" if traced.timed_out else "")
        )
    passed = tuple(row.test for row in traced.tests if row.ok)
    if not passed:
        return traced, RunOutcome()
    second = TestJob(tests=passed, test_s=options.test_s, limit_s=options.suite_s, hash_seed=1)
    (again,) = project.run(snapshot.files, [second], cache)
    return traced, again


def _why_none(name: str, options: RepoOptions, traced: RunOutcome, failing: Sequence[TestRow]) -> str:
    """What a reader can do about a suite of which nothing passes."""
    sandbox = (
        f"the sandbox has no network and the packages of {find_python(options) or sys.executable};"
        " choose another interpreter with `python`"
    )
    if not failing and traced.problem:
        return f"{name}: pytest stopped before the first test: {traced.problem[:300]}; {sandbox}"
    if not failing:
        return f"{name}: pytest found no tests that run here; name their files with `tests`"
    message = failing[0].message.strip()
    last = (message.splitlines() or ["no message"])[-1].removeprefix("E").strip()[:300]
    if place := _PLACE.findall(message):
        last += f" ({place[-1][0].removeprefix('./')}, line {place[-1][1]})"
    if "TooSlow" in last:
        last = f"took longer than the {options.test_s} s of `test_s`"
    count = f"{len(failing)} fail" if len(failing) > 1 else "1 fails"
    return f"{name}: no test passes in the sandbox ({count}); {failing[0].test}: {last}; {sandbox}"


def _is_wanted(path: str, options: RepoOptions) -> bool:
    included = not options.modules or any(fnmatch(path, pattern) for pattern in options.modules)
    return included and not any(fnmatch(path, pattern) for pattern in options.exclude)


def _is_dated(day: str, options: RepoOptions) -> bool:
    return (not options.since or day >= options.since) and (not options.before or day < options.before)


def _choose_tests(entering: Sequence[str], stable: dict[str, float]) -> tuple[str, ...]:
    """The fastest tests that enter a function, as many as a check has time for."""
    chosen: list[str] = []
    spent = 0.0
    for seconds, test in sorted((stable[test], test) for test in entering if test in stable):
        if len(chosen) == TESTS_KEPT or spent + seconds > TESTS_S:
            break
        chosen.append(test)
        spent += seconds
    return tuple(sorted(chosen))
