"""Judges with known faults: what is made of their votes, and how they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
import numpy as np
import pytest

from afs import jsonl
from afs.errors import RefusedError
from afs.evaluate import EvalRunConfig, eval_run, models_under_test, report_store
from afs.evaluate.ask_models import OpenedModel
from afs.evaluate.judging import JudgeConfig, eval_judge, judge_reliability, vote_collection
from afs.evaluate.judging.vote_collection import Duel, Vote
from afs.evaluate.suites import open_suite
from afs.providers.base import GREEDY, Sampling
from afs.runs import Run
from afs.types import Completion, Message, Tool
from afs.workspace import Workspace

from ..conftest import Player, rewrite_rows


def votes_of(truth: np.ndarray, says_yes: list[float], says_no: list[float], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    chance = np.where(truth[:, None] == 1, np.array(says_yes), 1 - np.array(says_no))
    return (rng.random((len(truth), len(says_yes))) < chance).astype(float)


def test_dawid_skene_finds_the_truth_and_the_yes_sayer() -> None:
    truth = (np.arange(400) % 5 < 3).astype(float)
    votes = votes_of(truth, [0.9, 0.85, 0.99], [0.85, 0.8, 0.05])
    gold = np.where(np.arange(400) < 40, truth, np.nan)
    fitted = judge_reliability.dawid_skene(votes, gold)
    assert ((fitted.truth > 0.5) == truth).mean() > 0.88
    assert fitted.specificity[2] < 0.2 and fitted.specificity[0] > 0.75
    assert fitted.truth.mean() == pytest.approx(0.6, abs=0.04)
    assert votes.mean() > 0.67, "the plain mean is far off"


def test_abstentions_and_no_votes_are_no_evidence() -> None:
    votes = np.full((10, 2), np.nan)
    gold = np.array([1.0] * 5 + [0.0] * 3 + [np.nan] * 2)
    fitted = judge_reliability.dawid_skene(votes, gold)
    assert fitted.truth[8] == pytest.approx(fitted.share) and fitted.sensitivity[0] == pytest.approx(4 / 6)


def test_ppi_holds_the_truth_and_a_useless_prediction_has_no_weight() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        truth = (rng.random(200) < 0.6).astype(float)
        predicted = np.clip(truth * 0.5 + 0.4 + rng.normal(0, 0.1, 200), 0, 1)
        found = judge_reliability.ppi_interval(truth[:40], predicted[:40], predicted[40:])
        assert found.low is not None and found.high is not None
        held += found.low <= 0.6 <= found.high
    assert held >= 180
    gold = np.array([1.0, 0.0, 1.0, 1.0])
    useless = judge_reliability.ppi_interval(gold, np.full(4, 0.2), np.full(90, 0.2))
    assert useless.value == pytest.approx(0.75)
    assert judge_reliability.ppi_interval(gold[:1], gold[:1], gold).value is None


def test_bradley_terry_orders_by_strength() -> None:
    strength = np.array([1.0, 0.0, -1.0])
    chance = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
    wins = 1000 * chance * (1 - np.eye(3))
    assert judge_reliability.bradley_terry(wins) == pytest.approx(strength, abs=0.02)
    rows = np.array([(0, 1, 1.0), (0, 1, 1.0), (1, 0, 0.5)] * 20)
    first, second = judge_reliability.bradley_terry_intervals(rows, 2)
    assert first.low is not None and second.high is not None and first.low > second.high


def test_a_panel_of_copies_is_one_judge() -> None:
    truth = (np.arange(200) % 2).astype(float)
    one = votes_of(truth, [0.8], [0.8])
    assert judge_reliability.effective_size(np.hstack([one] * 5), truth) == pytest.approx(1.0, abs=0.01)
    assert judge_reliability.effective_size(votes_of(truth, [0.8] * 5, [0.8] * 5, 4), truth) > 3


@pytest.mark.parametrize(
    "reply, read",
    [
        ("1: yes\n2: no\n3: yes", (True, False, True)),
        ("1. Yes\n2. Yes\n3. No\n", (True, True, False)),
        ("I think yes.", ()),
        ("1: yes\n2: yes", ()),
        ("1: yes\n1: no\n2: yes\n3: yes", ()),
        ("1: maybe\n2: yes\n3: yes", ()),
        ("", ()),
    ],
)
def test_a_reply_that_cannot_be_read_abstains(reply: str, read: tuple[bool, ...]) -> None:
    assert vote_collection.read_votes(reply, 3) == read
    assert Vote(item="i", model="m", judge="j", criteria=read).value == (None if not read else float(all(read)))


def test_a_choice_that_follows_the_order_is_a_tie() -> None:
    assert Duel(item="i", first="a", second="b", judge="j", forward="first", backward="second").win == 0.5
    assert Duel(item="i", first="a", second="b", judge="j", forward="first", backward="first").win == 1.0
    assert Duel(item="i", first="a", second="b", judge="j", forward="first").win is None


class Judge:
    """Says yes to answers without the word `no`; always prefers the first of two."""

    def __init__(self, name: str) -> None:
        self.name, self.asked = name, 0

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        self.asked += 1
        prompt = messages[-1].text
        if "<first>" in prompt:
            return Completion(text="first", model=self.name)
        word = "no" if "\nno\n" in prompt.partition("<answer>")[2] else "yes"
        return Completion(text=f"1: {word}\n2: {word}\n3: yes", model=self.name)


def test_judges_are_measured_and_never_judge_themselves(
    workspace: Workspace, run: Run, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = open_suite(workspace, "sums:add", count=20).items
    a = player("a", items, lambda i, item: item.task.reference if i % 4 else "no")
    b = player("b", items, lambda i, item: item.task.reference if i % 2 else "no")
    eval_run(EvalRunConfig(suite="sums:add", model=(a,), base=b, count=20, name="r"), run)
    judges = {"replay:a": Judge("replay:a"), "replay:out": Judge("replay:out")}
    monkeypatch.setattr(models_under_test, "find_subject", lambda _, spec: models_under_test.Subject(spec, spec))
    monkeypatch.setattr(
        models_under_test, "open_subject", lambda _, s, __: OpenedModel(judges[s.name], "", endpoint=False)
    )
    config = JudgeConfig(report="r", judge=tuple(judges), pairwise=True)
    report = eval_judge(config, run)
    votes = list(jsonl.read(report_store.folder_of(workspace, report.ref) / "votes.jsonl", Vote))
    assert len(votes) == 60 and not any(vote.judge == vote.model for vote in votes)
    assert report.summary["judged:replay:a"].value == pytest.approx(0.75)
    told = cast(dict[str, list[dict[str, object]]], report.environment)["judges"]
    assert told[1]["sensitivity"] == 1.0 and told[1]["flip_rate"] == 1.0
    assert told[1]["note"] == "follows the order of the answers"
    page = (report_store.folder_of(workspace, report.ref) / "report.html").read_text()
    assert "By the corrected votes of 2 judges" in page and "follows the order of the answers" in page
    assert "Strength in pairs" in page
    before = judges["replay:out"].asked
    eval_judge(config, run)
    assert judges["replay:out"].asked == before, "a second call asks nothing twice"


def test_without_known_truth_judges_cannot_be_weighed(
    workspace: Workspace, run: Run, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = open_suite(workspace, "sums:add", count=3).items
    spec = player("a", items, lambda _, item: item.task.reference)
    report = eval_run(EvalRunConfig(suite="sums:add", model=(spec,), base="none", count=3, name="r"), run)
    path = report_store.folder_of(workspace, report.ref) / report_store.ITEMS
    texts = [msgspec.structs.replace(item, scorer={"use": "f1"}) for item in items]
    rewrite_rows(path, texts)
    monkeypatch.setattr(models_under_test, "open_subject", lambda _, s, __: OpenedModel(Judge("j"), "", endpoint=False))
    with pytest.raises(RefusedError, match="judges cannot be calibrated"):
        eval_judge(JudgeConfig(report="r", judge=("echo:j",)), run)


class Rambler(Judge):
    """Never says yes or no."""

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        return Completion(text="Well, that depends.", model=self.name)


def test_a_judge_that_cannot_be_read_abstains_and_alone_is_refused(
    workspace: Workspace, run: Run, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = open_suite(workspace, "sums:add", count=8).items
    spec = player("a", items, lambda i, item: item.task.reference if i % 2 else "no")
    eval_run(EvalRunConfig(suite="sums:add", model=(spec,), base="none", count=8, name="r"), run)
    judges = {"x:rambler": Rambler("x:rambler"), "x:judge": Judge("x:judge")}
    monkeypatch.setattr(models_under_test, "find_subject", lambda _, spec: models_under_test.Subject(spec, spec))
    monkeypatch.setattr(
        models_under_test, "open_subject", lambda _, s, __: OpenedModel(judges[s.name], "", endpoint=False)
    )
    with pytest.raises(RefusedError, match="not one of 8 votes can be read; the first reply is 'Well, that depends"):
        eval_judge(JudgeConfig(report="r", judge=("x:rambler",)), run)
    told = eval_judge(JudgeConfig(report="r", judge=tuple(judges)), run).environment["judges"]
    assert [row.get("note", "") for row in cast(list[dict[str, object]], told)] == ["gave no vote", ""]


@pytest.mark.parametrize("known, share", [(5, 0.5), (5, 0.95), (10, 0.8), (40, 0.95)])
def test_intervals_from_few_known_truths_cover(known: int, share: float) -> None:
    """Nominal 95 %; the plain normal interval covered 22 % at 5 known truths of 95 % right answers."""
    rng = np.random.default_rng(known)
    covered = 0
    for _ in range(400):
        truth = (rng.random(known + 100) < share).astype(float)
        predicted = np.clip(np.where(truth == 1, 0.8, 0.35) + rng.normal(0, 0.2, len(truth)), 0, 1)
        found = judge_reliability.ppi_interval(truth[:known], predicted[:known], predicted[known:])
        assert found.low is not None and found.high is not None and found.value is not None
        assert 0 <= found.low <= found.value <= found.high <= 1
        covered += found.low <= share <= found.high
    assert covered / 400 > 0.92
