"""What can be done with a stored report: compare, judge again, import, order, write in other forms."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from afs import jsonl
from afs.errors import DataError, RefusedError, UsageError
from afs.evaluate import EvalRunConfig, eval_run, report_store, result_rows
from afs.evaluate.history import HistoryConfig, NoteConfig, eval_history, eval_note
from afs.evaluate.import_answers import ImportAnswersConfig, import_results
from afs.evaluate.leaderboard import LeaderboardConfig, eval_leaderboard
from afs.evaluate.report_commands import EvalCompareConfig, EvalReportConfig, eval_compare, eval_report
from afs.evaluate.rescore import RescoreConfig, rescore
from afs.evaluate.suites import open_suite
from afs.providers.base import Sampling
from afs.runs import Run
from afs.workspace import Workspace

from .conftest import Player, rewrite_rows


@pytest.fixture
def two(workspace: Workspace, run: Run, player: Player) -> Workspace:
    """Two reports on one suite: `a` is good, `b` is bad."""
    items = open_suite(workspace, "sums:add,sort", count=20).items
    for name, right in (("a", 10), ("b", 3)):
        spec = player(name, items, lambda i, item, n=right: item.task.reference if i % 11 < n else "no")  # type: ignore[misc]
        eval_run(EvalRunConfig(suite="sums:add,sort", model=(spec,), base="none", count=20, name=name), run)
    return workspace


def test_two_reports_are_compared(two: Workspace) -> None:
    found = eval_compare(EvalCompareConfig(reports=("a", "b")), two)
    assert [c.scope for c in found.comparisons] == ["all", "add", "sort"]
    assert found.comparisons[0].verdict == "better" and "replay:a against replay:b" in found.text()
    with pytest.raises(UsageError, match="no model 'replay:c'"):
        eval_compare(EvalCompareConfig(reports=("a", "b"), base="replay:c"), two)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"suite": "0" * 64}, "another suite"),
        ({"sampling": Sampling(temperature=0.9)}, "another sampling"),
        ({"scorer": "sums/9"}, "another scorer"),
    ],
)
def test_what_was_measured_otherwise_is_not_compared(two: Workspace, change: dict[str, object], word: str) -> None:
    path = report_store.folder_of(two, "b") / report_store.RESULTS
    rewrite_rows(path, [msgspec.structs.replace(row, **change) for row in result_rows.read(path).rows])
    with pytest.raises(RefusedError, match=word):
        eval_compare(EvalCompareConfig(reports=("a", "b")), two)


def test_answers_are_judged_again_without_a_model(two: Workspace, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").unlink()
    path = report_store.folder_of(two, "a") / report_store.RESULTS
    rewrite_rows(path, [msgspec.structs.replace(row, score=0.0, ok=False) for row in result_rows.read(path).rows])
    report = rescore(RescoreConfig(report="a"), run)
    assert report.ref == "a@2" and report.summary["solved"].value == pytest.approx(0.925)


def test_answers_of_other_programs_are_taken_in(workspace: Workspace, run: Run, tmp_path: Path) -> None:
    items = open_suite(workspace, "sums:add", count=3).items
    samples = [
        {"doc_id": 0, "doc": {"prompt": items[0].task.prompt}, "resps": [[items[0].task.reference]]},
        {"doc_id": 1, "doc": {"prompt": items[1].task.prompt}, "resps": [["-1"]]},
    ]
    jsonl.write(tmp_path / "samples_add.jsonl", samples)
    plain = [{"id": item.id, "output": item.task.reference} for item in items[:2]]
    jsonl.write(tmp_path / "plain.jsonl", [*plain, {"id": items[2].id, "output": "", "error": "HTTP 500"}])
    config = ImportAnswersConfig(
        files=(tmp_path / "plain.jsonl", tmp_path / "samples_add.jsonl"),
        suite="sums:add",
        model=("mine", "theirs"),
        base="theirs",
        name="imported",
        count=3,
    )
    report = import_results(config, run)
    rows = {(row.model, row.item): row for row in report_store.table(workspace, report).rows}
    assert [rows["theirs", item.id].score for item in items[:2]] == [1.0, 0.0]
    assert rows["mine", items[2].id].outcome == "dead" and rows["mine", items[2].id].score is None
    jsonl.write(tmp_path / "plain.jsonl", [{"id": "nothing", "output": "1"}])
    with pytest.raises(DataError, match=r"plain.jsonl:1: no item"):
        import_results(config, run)


def _sample(number: int, doc: dict[str, object], prompt: str, said: object, **more: object) -> dict[str, object]:
    """A line as lm-eval 0.4.13 writes it with `--log_samples`."""
    arguments = {"arg_0": prompt, "arg_1": {"until": ["\n\n"], "do_sample": False, "temperature": 0.0}}
    return {
        "doc_id": number, "doc": doc, "target": "7", "arguments": {"gen_args_0": arguments}, "resps": said,
        "filtered_resps": ["cut"], "filter": "strict-match", "metrics": ["exact_match"], "doc_hash": "0" * 64,
        "prompt_hash": "1" * 64, "target_hash": "2" * 64, "exact_match": 0.0, **more,
    }  # fmt: skip


def test_samples_of_lm_eval_in_their_own_shape(workspace: Workspace, run: Run, tmp_path: Path) -> None:
    items = open_suite(workspace, "sums:add", count=3).items
    gold = [item.task.reference for item in items]
    chat = [f"<|im_start|>user\n{item.task.prompt}<|im_end|>\n<|im_start|>assistant\n" for item in items]
    path = tmp_path / "samples_add_2026-11-28T02-00-00.jsonl"
    lines = [
        _sample(0, {"a": 1, "b": 2}, chat[0], [[gold[0], "no", gold[0]]]),
        _sample(0, {"a": 1, "b": 2}, chat[0], [[gold[0], "no", gold[0]]], filter="flexible-extract"),
        _sample(1, {"question": items[1].task.prompt}, chat[1], [["no"]]),
        _sample(2, {"a": 5, "b": 6}, chat[2], [[gold[2]]]),
    ]
    config = ImportAnswersConfig(files=(path,), suite="sums:add", model=("qwen",), base="", name="lm", count=3)
    jsonl.write(path, lines)
    report = import_results(config, run)
    rows = [(row.item, row.epoch, row.score) for row in report_store.table(workspace, report).rows]
    first, second, third = (item.id for item in items)
    assert rows == [(first, 0, 1.0), (first, 1, 0.0), (first, 2, 1.0), (second, 0, 0.0), (third, 0, 1.0)]
    jsonl.write(path, [_sample(0, {"a": 1}, "What is the capital of France?", [["Paris"]])])
    with pytest.raises(DataError, match=r"jsonl:1: no item of sums:add has this id or this prompt"):
        import_results(config, run)
    choices = [[["-3.21", "False"]], [["-0.4", "True"]]]
    jsonl.write(path, [_sample(0, {"prompt": items[0].task.prompt}, chat[0], choices)])
    with pytest.raises(DataError, match="only likelihoods of given ones"):
        import_results(config, run)


def test_history_and_leaderboard(two: Workspace) -> None:
    history = eval_history(HistoryConfig(expert="replay:a"), two)
    assert [row.report for row in history.rows] == ["a@1"] and "92.5" in history.text()
    assert eval_note(NoteConfig(report="a", lesson="70 curated beat 1,562 filtered"), two) == "noted with a@1, replay:a"
    eval_note(NoteConfig(report="a", lesson="too few sorts"), two)
    told = eval_history(HistoryConfig(expert="replay:a"), two).text()
    assert told.index("lesson: 70 curated beat 1,562 filtered") < told.index("lesson: too few sorts")
    with pytest.raises(UsageError, match="needs a text"):
        eval_note(NoteConfig(report="a", lesson=" "), two)
    board = eval_leaderboard(LeaderboardConfig(suite="sums:add,sort"), two).boards[0]
    assert [(p.place, p.model) for p in board.places] == [(1, "replay:a"), (2, "replay:b")]
    with pytest.raises(UsageError, match="no report on 'dinn'"):
        eval_history(HistoryConfig(expert="dinn"), two)
    with pytest.raises(UsageError, match="no report on"):
        eval_leaderboard(LeaderboardConfig(suite="other"), two)


def test_a_report_in_every_form(two: Workspace, tmp_path: Path) -> None:
    markdown = Path(eval_report(EvalReportConfig(report="a", to="md"), two)).read_text()
    assert markdown.startswith("# replay:a on sums:add,sort") and "no base was evaluated" in markdown
    page = Path(eval_report(EvalReportConfig(report="a", out=tmp_path / "o.html"), two)).read_text()
    assert not re.search(r"""(src|href)=|url\(|@import|https?://""", page), "the page asks nobody for anything"
    picture = Path(eval_report(EvalReportConfig(report="a", to="png"), two)).read_bytes()
    assert picture.startswith(b"\x89PNG")
    summary = msgspec.json.decode(Path(eval_report(EvalReportConfig(report="a", to="json"), two)).read_bytes())
    assert summary["subject"] == "replay:a"


def test_a_table_with_a_score_above_one_is_refused(two: Workspace) -> None:
    path = report_store.folder_of(two, "a") / report_store.RESULTS
    rewrite_rows(path, [msgspec.structs.replace(row, score=2.0) for row in result_rows.read(path).rows])
    with pytest.raises(DataError, match=r"outside \[0, 1\]"):
        eval_compare(EvalCompareConfig(reports=("a", "b")), two)


def test_a_table_cut_in_the_middle_is_refused(two: Workspace) -> None:
    path = report_store.folder_of(two, "a") / report_store.RESULTS
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError):
        eval_compare(EvalCompareConfig(reports=("a", "b")), two)
