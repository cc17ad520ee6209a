"""The suites that come with afs: their categories, their size, and that no scorer of theirs can be fooled."""

from __future__ import annotations

import pytest

from afs import datasets
from afs.evaluate.lint import LintConfig, eval_lint
from afs.evaluate.score.scorer import Refiner, scorer
from afs.evaluate.suites import open_suite
from afs.types import Origin, Record, Verdict, record_id
from afs.workspace import Workspace

NAMED = ("snes-core", "farore-5", "veran-hardware", "din-optimise", "majora-cycles")


@pytest.mark.e2e
def test_snes_core_has_three_hundred_items(workspace: Workspace) -> None:
    assert len(open_suite(workspace, "snes-core").items) >= 300


def test_snes_core_has_nine_categories_and_fresh_constants_per_seed(workspace: Workspace) -> None:
    suite, other = (open_suite(workspace, "snes-core", seed=seed, count=2) for seed in (0, 1))
    assert len(suite.categories) == 9 and suite.digest != other.digest
    shared = {item.id for item in suite.items} & {item.id for item in other.items}
    assert len(shared) <= 7, "the hand-written items, and hardly a fact twice"
    assert open_suite(workspace, "snes-core", count=2).digest == suite.digest


@pytest.mark.parametrize("name", NAMED)
def test_named_suites_are_clean(workspace: Workspace, name: str) -> None:
    found = eval_lint(LintConfig(suite=name, count=3), workspace)
    assert found.problems == (), found.text()


def test_patches_are_drawn_too(workspace: Workspace) -> None:
    suite = open_suite(workspace, "nayru-generate", count=4)
    assert suite.categories == ("routines", "patches")


def test_the_guard_suite_runs_every_gold(workspace: Workspace) -> None:
    suite = open_suite(workspace, "python")
    assert len(suite.items) == 39
    for item in suite.items[::6]:
        verdict = scorer(item.scorer).score(item.task, item.task.reference)
        assert verdict.ok, (item.id, verdict.reason)


CLAIMS = scorer({"use": "claims", "claims": {"cycles": r"Optimized: ([0-9.]+) cycles"}})


@pytest.mark.parametrize(
    "answer, ok, word",
    [
        ("Optimized: 20 cycles.", True, ""),
        ("Optimized: 19.5 cycles.", True, ""),
        ("Optimized: 12 cycles.", False, "claims cycles 12, measured 20"),
        ("It is much faster now.", False, "does not state"),
        ("Optimized: 1.2.3 cycles.", False, "no number"),
    ],
)
def test_claimed_costs_are_the_measured_ones(answer: str, ok: bool, word: str) -> None:
    assert isinstance(CLAIMS, Refiner)
    right = Verdict(task="t", ok=True, score=1.0, stage="cheaper", facts={"cycles": 20.0}, checker="snes/1")
    verdict = CLAIMS.refine(answer, right)
    assert verdict.ok is ok and word in verdict.reason and verdict.checker == "snes/1+claims/1"
    assert (verdict.score or 0) < 0.5 or ok


def test_records_without_a_task_are_compared_with_their_answers(workspace: Workspace) -> None:
    with datasets.writing(workspace, "chat", "dataset", splits=("train", "heldout")) as pending:
        for number, split in enumerate(("train", "heldout", "heldout")):
            messages = datasets.task_messages(f"Question {number}?", "", f"Answer number {number}.")
            key = record_id("", messages)
            pending.add(split, Record(id=key, domain="", kind="chat", messages=messages, origin=Origin(source="t")))
    suite = open_suite(workspace, "chat")
    assert [item.task.prompt for item in suite.items] == ["Question 1?", "Question 2?"]
    assert suite.parents == ("chat@1",) and suite.items[0].scorer == {"use": "f1"}
    assert len(open_suite(workspace, "chat:train").items) == 1
