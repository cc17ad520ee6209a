"""The whole of `afs eval run`, with models whose answers are known."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from afs import jsonl, runs, verbs
from afs.errors import ConfigError, MissingError, RefusedError, UsageError
from afs.evaluate import EvalRunConfig, eval_run, report_store, result_rows
from afs.evaluate.suites import open_suite
from afs.runs import Run
from afs.types import Completion
from afs.workspace import Workspace

from .conftest import Player, killed


def test_a_better_model_is_said_to_be_better(workspace: Workspace, run: Run, player: Player) -> None:
    items = open_suite(workspace, "sums:add,sort", count=30).items
    good = player("good", items, lambda i, item: item.task.reference if i % 10 else "7 7 7")
    base = player("base", items, lambda i, item: item.task.reference if i % 3 == 1 else "none")
    config = EvalRunConfig(suite="sums:add,sort", model=(good,), base=base, count=30, name="r")
    report = eval_run(config, run)
    assert report.subject == "replay:good" and report.suite == "sums:add,sort"
    assert report.summary["solved"].value == pytest.approx(0.9)
    assert report.summary["base"].value == pytest.approx(1 / 3, abs=0.01)
    low = report.summary["difference"].low
    assert low is not None and low > 0.3
    assert str(report.environment["verdict"]).startswith("replay:good is better than its base replay:base: +5")
    table = report_store.table(workspace, report)
    assert len(table.rows) == 120 and {row.scorer for row in table.rows} == {"sums/2"}
    page = (report_store.folder_of(workspace, "r") / "report.html").read_text()
    assert "is better than its base" in page and "http" not in page.replace("http://www.w3.org", "")
    assert "Broken" in page and "Fixed" in page


def test_failures_of_endpoints_and_of_form_have_outcomes_and_no_score(
    workspace: Workspace, run: Run, player: Player
) -> None:
    items = open_suite(workspace, "sums:add", count=6).items
    odd: list[str | Completion | None] = [
        None,
        "<!DOCTYPE html><html><body>502</body></html>",
        "",
        Completion(text=items[3].task.reference, model="m", finish="length"),
        f"{items[4].task.reference}<|im_end|>\n<|im_start|>user",
        items[5].task.reference,
    ]
    config = EvalRunConfig(
        suite="sums:add", model=(player("m", items, lambda i, _: odd[i]),), base="none", count=6, name="r"
    )
    report = eval_run(config, run)
    rows = report_store.table(workspace, report).rows
    assert [row.outcome for row in rows] == ["dead", "html", "empty", "cut", "template", "answered"]
    assert [row.score for row in rows] == [None] * 5 + [1.0]
    assert report.summary["solved"].n == 2, "the cut answer counts as not solved, the others are left out"
    told = " ".join(map(str, report.environment["notes"]))  # type: ignore[call-overload]
    assert "1 cut" in told and "1 dead" in told and "treat its result as missing" in told


def test_a_killed_run_asks_only_what_is_missing(workspace: Workspace, player: Player) -> None:
    items = open_suite(workspace, "sums:add", count=40).items
    spec = player("m", items, lambda _, item: item.task.reference)
    config = EvalRunConfig(suite="sums:add", model=(spec,), base="none", count=40, name="r", concurrency=2)
    path = killed(config, workspace, 15)
    before = result_rows.read(path).rows
    assert 15 <= len(before) < 40
    with path.open("ab") as torn:
        torn.write(b'{"suite": "half a li')
    player("m", items, lambda i, item: item.task.reference if item.id not in {r.item for r in before} else None)
    report = verbs.do("eval run", config, workspace)
    assert isinstance(report, report_store.StoredReport) and report.summary["solved"].value == 1.0
    assert len(list(jsonl.read_lines(path))) == 40, "no question was asked twice"


def test_outages_are_asked_again_on_resume(workspace: Workspace, run: Run, player: Player) -> None:
    items = open_suite(workspace, "sums:add", count=5).items
    spec = player("m", items, lambda i, item: item.task.reference if i else None)
    config = EvalRunConfig(suite="sums:add", model=(spec,), base="none", count=5, name="r")
    assert eval_run(config, run).summary["solved"].n == 4
    player("m", items, lambda _, item: item.task.reference)
    assert eval_run(config, run).summary["solved"].n == 5


def test_a_suite_with_a_wrong_gold_answer_does_not_load(workspace: Workspace, run: Run, tmp_path: Path) -> None:
    task = msgspec.to_builtins(open_suite(workspace, "sums:add", count=1).items[0].task)
    line = {"id": "a", "domain": "sums", "family": "add", "prompt": task["prompt"], "spec": task["spec"], "gold": "-1"}
    jsonl.write(tmp_path / "q.jsonl", [line])
    with pytest.raises(RefusedError, match="gold answer of 1 of 1 items"):
        eval_run(EvalRunConfig(suite=str(tmp_path / "q.jsonl"), model=("echo:a",), base="none"), run)


def test_names_that_do_not_exist(workspace: Workspace, run: Run) -> None:
    with pytest.raises(UsageError, match="did you mean 'sums'"):
        eval_run(EvalRunConfig(suite="sum", model=("echo:a",)), run)
    with pytest.raises(ConfigError, match="at least one model"):
        eval_run(EvalRunConfig(suite="sums", model=()), run)
    with pytest.raises(UsageError, match="no artifact"):
        eval_run(EvalRunConfig(suite="sums", model=("din",)), run)


def test_the_command_in_the_report_repeats_the_run(workspace: Workspace, run: Run, player: Player) -> None:
    items = open_suite(workspace, "sums:add", count=2).items
    spec = player("m", items, lambda _, item: item.task.reference)
    report = eval_run(EvalRunConfig(suite="sums:add", model=(spec,), base="none", count=2, name="r"), run)
    command = str(report.environment["command"])
    assert command.startswith("afs eval run sums:add --model replay:") and "--count 2" in command
    assert "timeout" not in command, "defaults are not repeated"


def test_a_missing_extra_is_noticed_before_any_model_is_asked(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "afs.evaluate.score.bleu", raising=False)
    for name in ("sacrebleu", "sacrebleu.metrics"):  # another test may have loaded it
        monkeypatch.setitem(sys.modules, name, None)
    config = EvalRunConfig(suite="sums:add", model=("echo:a",), base="none", count=2, also=("bleu",))
    with pytest.raises(MissingError, match=r"sacrebleu: pip install 'afs-factory\[eval\]'"):
        verbs.do("eval run", config, workspace)
    assert not runs.list_runs(workspace)
