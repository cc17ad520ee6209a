"""Chosen examples beat random ones where nobody looked, the test side stays unread, and no trial is asked twice."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.train.conftest import run_train, stopping_at, sums

from afs import answer_verifier, artifacts, datasets
from afs.errors import DataError
from afs.providers.base import GREEDY, Sampling
from afs.train import few_shot_search
from afs.types import Completion, Dataset, Message, Record, Tool, Verdict
from afs.workspace import Workspace

FEW = {"method": "fewshot", "dataset": "families", "base": "kin:", "fewshot": {"examples": 1, "trials": 6, "tasks": 12}}


class Kin:
    """Answers a question right only after an example of its own family."""

    name = "kin"

    def __init__(self, records: Sequence[Record]) -> None:
        self.known = {datasets.question_text(record): datasets.answer_text(record) for record in records}
        self.asked = 0

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        self.asked += 1
        shown = {turn.text.split()[0] for turn in messages[:-1] if turn.role == "user"}
        text = messages[-1].text
        return Completion(text=self.known[text] if text.split()[0] in shown else "?", model=self.name)


@pytest.fixture
def kin(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Kin:
    """A dataset in which one family of three is asked for most."""
    every = {family: list(sums(family, 24)) for family in ("first", "largest", "reverse")}
    model = Kin([record for records in every.values() for record in records])
    monkeypatch.setattr(few_shot_search.models, "open_model", lambda *_: model)
    with datasets.write_dataset(workspace, "families", "dataset", splits=("train", "val", "test")) as pending:
        for family, records in every.items():
            many = 6 if family == "largest" else 1
            for side, part in (
                ("train", records[:8]),
                ("val", records[8 : 8 + many]),
                ("test", records[16 : 16 + many]),
            ):
                for record in part:
                    pending.add(side, record)
    return model


def _test_shard(workspace: Workspace) -> Path:
    dataset: Dataset = datasets.load(workspace, "families")
    (shard,) = datasets.find_split(dataset, "test").shards
    return datasets.folder_of(workspace, dataset) / shard.path


def _judge(pairs: Sequence[tuple[object, str]]) -> list[Verdict]:
    return [answer_verifier.check_answer(task, answer) for task, answer in pairs]  # type: ignore[arg-type]


def test_chosen_examples_beat_random_ones_on_a_side_that_was_not_read(workspace: Workspace, kin: Kin) -> None:
    shard = _test_shard(workspace)
    hidden = shard.rename(shard.with_name("hidden"))
    made = run_train(workspace, **{**FEW, "allow_leaks": True})
    hidden.rename(shard)
    dataset = datasets.load(workspace, "families")
    held_out = list(datasets.read(workspace, dataset, "test"))
    by_id = {record.id: record for record in datasets.read(workspace, dataset, "train")}
    ids = made.facts["examples"]
    assert isinstance(ids, list)
    chosen = few_shot_search.passed_share(kin, [by_id[i] for i in ids], held_out, _judge, 8)
    others = [few_shot_search.passed_share(kin, [one], held_out, _judge, 8) for one in by_id.values()]
    assert chosen == 0.75 > statistics.fmean(others) + 0.3
    assert made.facts["passed_without"] == 0.0
    assert made.facts["passed"] == 0.75 > made.facts["passed_on_average"]  # type: ignore[operator]


def test_a_stopped_choice_goes_on_and_asks_nothing_twice(workspace: Workspace, kin: Kin) -> None:
    whole = run_train(workspace, **{**FEW, "allow_leaks": True, "name": "whole"})
    asked, kin.asked = kin.asked, 0
    stopped = {**FEW, "allow_leaks": True, "name": "halves"}
    _stop_after_three(workspace, **stopped)
    assert 0 < kin.asked < asked
    halves = run_train(workspace, **stopped)
    assert kin.asked == asked
    assert halves.facts == whole.facts
    first, second = (artifacts.folder_of(workspace, one) / few_shot_search.EXAMPLES for one in (whole, halves))
    assert first.read_bytes() == second.read_bytes()


def _stop_after_three(workspace: Workspace, **changes: object) -> None:
    run = stopping_at(workspace, 3, event="train.fewshot", field="trial", **changes)
    assert run.state.status == "stopped"


def test_answers_nobody_can_judge_choose_nothing(kin: Kin) -> None:
    (one,) = sums("first", 1)

    def cannot(pairs: Sequence[tuple[object, str]]) -> list[Verdict]:
        return [Verdict(task="t", ok=None, score=None, stage="checker") for _ in pairs]

    judge: Callable[..., list[Verdict]] = cannot
    with pytest.raises(DataError, match="none of the 1 answers could be judged"):
        few_shot_search.passed_share(kin, (), [one], judge, 8)
