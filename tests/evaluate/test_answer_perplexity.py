"""Perplexity from known likelihoods, and the further numbers a gate may ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from afs.evaluate import EvalRunConfig, answer_perplexity, eval_run
from afs.evaluate.rescore import RescoreConfig, rescore
from afs.evaluate.suite_types import SuiteItem
from afs.evaluate.suites import open_suite
from afs.providers.echo import Echo
from afs.runs import Run
from afs.types import Interval, Message, Task
from afs.workspace import Workspace

from .conftest import Player


class Fair(Echo):
    """Finds every token one of four; a token is two letters."""

    def losses(self, conversations: Sequence[tuple[Sequence[Message], str]]) -> list[tuple[float, int]]:
        return [(len(answer) // 2 * math.log(4), len(answer) // 2) for _, answer in conversations]


def test_perplexity_per_token_and_per_byte() -> None:
    tasks = [Task(id=str(i), domain="", family="f", prompt="p", reference="ab" * (i + 1)) for i in range(9)]
    found = answer_perplexity.measure(Fair(""), [SuiteItem(task=task, category="c") for task in tasks])
    assert found["perplexity"].value == pytest.approx(4.0) and found["bits_per_byte"].value == pytest.approx(1.0)
    assert found["perplexity"].low == pytest.approx(4.0), "no spread, no width"
    assert answer_perplexity.measure(Echo("x"), [SuiteItem(task=tasks[0], category="c")]) == {}, (
        "an endpoint cannot tell"
    )


def test_further_scorers_stand_in_the_report(workspace: Workspace, run: Run, player: Player) -> None:
    items = open_suite(workspace, "sums:copy", count=10).items
    spec = player("m", items, lambda i, item: item.task.reference if i % 2 else "wrong words")
    config = EvalRunConfig(suite="sums:copy", model=(spec,), base="none", count=10, name="r", also=("exact", "f1"))
    report = eval_run(config, run)
    assert report.summary["exact"].value == 0.5 and report.summary["f1"].value == 0.5
    assert "exact of replay:m: 0.500" in report.text()


def test_the_base_stands_beside_and_numbers_stay_when_answers_are_judged_again(
    workspace: Workspace, run: Run, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = open_suite(workspace, "sums:copy", count=10).items
    spec = player("m", items, lambda i, item: item.task.reference if i % 2 else "wrong words")
    base = player("b", items, lambda i, item: "wrong words" if i else item.task.reference)
    told = iter((3.0, 4.0))
    monkeypatch.setattr(
        answer_perplexity,
        "measure",
        lambda *_: {"perplexity": Interval(value=(value := next(told)), low=value, high=value, n=5)},
    )
    config = EvalRunConfig(
        suite="sums:copy", model=(spec,), base=base, count=10, name="r", also=("exact",), perplexity=5
    )
    report = eval_run(config, run)
    again = rescore(RescoreConfig(report="r"), run)
    for made in (report, again):
        numbers = {name: made.summary[name].value for name in ("exact", "exact:base", "perplexity", "perplexity:base")}
        assert numbers == {"exact": 0.5, "exact:base": 0.1, "perplexity": 3.0, "perplexity:base": 4.0}
        assert "perplexity of replay:m: 3" in made.text() and "perplexity of replay:b: 4" in made.text()
