"""The search over sizes and arms: which arms go on, and what is refused before anything is trained."""

from __future__ import annotations

import msgspec
import pytest
from tests.curate.test_curate import solved, store

from afs import datasets, pipeline
from afs.data_selection_search import ArmsConfig, search_arms, select_survivors
from afs.errors import ConfigError
from afs.pipeline import RecipeStep, StepOutcome
from afs.types import FileEntry, Interval, Report
from afs.workspace import MANIFEST, Workspace


def test_the_better_half_advances_and_unknown_is_below_everything() -> None:
    assert select_survivors({"a": 0.2, "b": 0.9, "c": None, "d": 0.0}, 0.5) == ["b", "a"]
    assert select_survivors({"a": None, "b": None}, 0.5) == ["a"]
    assert select_survivors({"a": 0.1}, 0.1) == ["a"]


def test_sizes_rise(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="ascending order"):
        search_arms(ArmsConfig(sources=("raw",), name="x", sizes=(10, 10)), workspace)


def test_rounds_halve_the_arms_on_one_validation_side(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Curation is real; training and measuring are replaced by a report that favors random."""
    store(workspace, solved(120))
    real = pipeline.run_steps
    asked: list[str] = []

    def run_steps(steps: list[RecipeStep], place: Workspace, **more: object) -> list[StepOutcome]:
        name = steps[2].config.name  # type: ignore[attr-defined]
        asked.append(steps[2].config.suite)  # type: ignore[attr-defined]
        done = real(steps[:1], place)
        value = Interval(value=0.9 if "random" in name else 0.1, n=10)
        with place.new_version("report", name) as (ref, folder):
            report = Report(
                ref=str(ref), subject=name, suite="s", suite_digest="d", summary={"solved": value},
                results=FileEntry(path="r", size=0, sha256=""),
            )  # fmt: skip
            (folder / MANIFEST).write_bytes(msgspec.json.encode(report))
        stored = StepOutcome(step="train", verb="train", outcome="done", result=f"artifact:{name}@1", run="")
        return [*done, stored, StepOutcome(step="e", verb="eval run", outcome="done", result=f"report:{ref}", run="")]

    monkeypatch.setattr(pipeline, "run_steps", run_steps)
    config = ArmsConfig(sources=("raw",), name="hunt", sizes=(10, 20), train={"method": "scratch"})
    every = search_arms(config, workspace)
    assert [(t.round, t.arm, t.advances) for t in every] == [
        (1, "coverage", True), (1, "random", True), (1, "longest", False), (2, "random", True), (2, "coverage", False),
    ]  # fmt: skip
    assert all(suite.endswith(":val") for suite in asked)
    sides = {
        frozenset(r.id for r in datasets.read(workspace, datasets.load(workspace, t.dataset), "val")) for t in every
    }
    assert len(sides) == 1
