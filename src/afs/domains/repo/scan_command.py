"""`afs repo scan PATH`: what a repository and its tests give, before anything is generated."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import ClassVar

from afs.config import Positive
from afs.domains.repo.coverage_survey import survey
from afs.domains.repo.families import FAMILIES
from afs.domains.repo.options import RepoOptions
from afs.domains.repository_snapshot import read_snapshot
from afs.types import Value


class ScanConfig(RepoOptions, frozen=True, kw_only=True):
    """Run a Python repository's tests and say which functions become tasks."""

    positional: ClassVar[tuple[str, ...]] = ("path",)
    path: Path
    """A folder: a git repository (its newest commit is read) or a plain project."""
    sample: Positive = 20
    """Functions whose tests are tried on faults."""


class ScanResult(Value, frozen=True, kw_only=True):
    """The outcome."""

    repository: str
    commit: str
    license: str
    passing: int
    failing: int
    skipped: int
    functions: int
    covered: int
    tried: int
    guarded: int
    """Of those tried: functions whose tests notice faults."""
    tasks: dict[str, int]
    """Of the guarded functions, by family."""

    def text(self) -> str:
        """A few lines for people."""
        license_text = self.license or "no license found: state it with --license, or the samples are not exported"
        rows = ", ".join(f"{family} {count}" for family, count in self.tasks.items())
        return "\n".join(
            (
                f"{self.repository} {self.commit[:12]}  {license_text}",
                f"tests: {self.passing} pass, {self.failing} fail, {self.skipped} are skipped in the sandbox",
                f"functions: {self.functions}, of which tests enter {self.covered}",
                f"of {self.tried} tried, the tests notice faults in {self.guarded}; tasks: {rows or 'none'}",
            )
        )


def scan(config: ScanConfig) -> ScanResult:
    """Survey the repository and try a sample of its functions."""
    snapshot = read_snapshot(config.path, config.commit, config.license)
    snapshot.store()
    found = survey(snapshot, config)
    tried = min(config.sample, len(found.subjects))
    sampled = islice(found.judge_in_order(0), tried)
    guarded = [judgement for judgement in sampled if judgement.is_tested]
    tasks = Counter(
        task.family for build in FAMILIES.values() for judgement in guarded for task in build(found, judgement)
    )
    return ScanResult(
        repository=snapshot.name,
        commit=snapshot.commit,
        license=snapshot.license,
        passing=found.passing,
        failing=found.failing,
        skipped=found.skipped,
        functions=found.functions,
        covered=len(found.subjects),
        tried=tried,
        guarded=len(guarded),
        tasks=dict(tasks),
    )
