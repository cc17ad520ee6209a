"""The inspect engine gives the very table the direct one gives. Contract tests: inspect_ai changes often."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import msgspec
import pytest
from inspect_ai.log import list_eval_logs, read_eval_log

from afs import jsonl, verbs
from afs.evaluate import EvalRunConfig, eval_run, report_store, result_rows
from afs.evaluate.suites import open_suite
from afs.runs import Run
from afs.types import Completion
from afs.workspace import Workspace

from .conftest import Endpoint, Player, chat_answer, killed

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),
]
Start = Callable[[Callable[[str], tuple[int, bytes]]], Endpoint]


@pytest.fixture(autouse=True)
def collect_its_streams() -> Iterator[None]:
    """Inspect leaves streams open; they are collected here, where the warning is expected, not in a later test."""
    yield
    gc.collect()


def test_both_engines_give_the_same_table(workspace: Workspace, run: Run, player: Player) -> None:
    items = open_suite(workspace, "sums:add", count=4).items
    said: list[str | Completion | None] = [
        items[0].task.reference,
        "no",
        None,
        Completion(text=items[3].task.reference, model="m", finish="length"),
    ]
    spec = player("m", items, lambda i, _: said[i])
    config = EvalRunConfig(suite="sums:add", model=(spec,), base="none", count=4, name="direct")
    direct = report_store.table(workspace, eval_run(config, run))
    (run.folder / "answers.jsonl").unlink()
    config = msgspec.structs.replace(config, engine="inspect", name="inspect")
    other = report_store.table(workspace, eval_run(config, run))
    untimed = [[msgspec.structs.replace(row, seconds=0.0) for row in table.rows] for table in (direct, other)]
    assert untimed[0] == untimed[1]
    assert [row.outcome for row in other.rows] == ["answered", "answered", "dead", "cut"]
    log = read_eval_log(list_eval_logs(str(run.folder / "inspect"))[0])
    assert log.status == "success" and log.samples is not None
    marks = {sample.id: sample.scores["afs"].value for sample in log.samples if sample.scores}
    assert marks == {items[0].id: 1.0, items[1].id: 0.0}, "what is no answer has no score in the log either"


def test_answers_come_from_its_cache_of_the_same_model_only(workspace: Workspace, run: Run, endpoint: Start) -> None:
    items = open_suite(workspace, "sums:add", count=6).items
    gold = {item.task.prompt: item.task.reference for item in items}
    first = endpoint(lambda q: chat_answer(gold[q]))
    other = endpoint(lambda q: chat_answer("no"))
    config = EvalRunConfig(
        suite="sums:add", model=(f"m@{first.url}",), base="none", count=6, name="a", engine="inspect", cache=True
    )
    asked = report_store.table(workspace, eval_run(config, run)).rows
    assert len(first.asked) == 6 and (workspace.root / "cache" / "inspect").is_dir()
    (run.folder / "answers.jsonl").unlink()
    cached = report_store.table(workspace, eval_run(config, run)).rows
    assert len(first.asked) == 6, "nothing was asked again"
    assert [msgspec.structs.replace(row, seconds=0.0) for row in cached] == [
        msgspec.structs.replace(row, seconds=0.0) for row in asked
    ]
    assert {(row.ok, row.input_tokens, row.output_tokens) for row in cached} == {(True, 5, 7)}
    (run.folder / "answers.jsonl").unlink()
    config = msgspec.structs.replace(config, model=(f"m@{other.url}",))
    assert eval_run(config, run).summary["solved"].value == 0.0, "another address is another model, whatever its name"
    assert len(other.asked) == 6


def test_another_model_and_html_are_no_answers_and_are_not_cached(
    workspace: Workspace, run: Run, endpoint: Start
) -> None:
    items = open_suite(workspace, "sums:add", count=2).items
    odd = {items[0].task.prompt: chat_answer("1", model="impostor"), items[1].task.prompt: (200, b"<html>busy</html>")}
    server = endpoint(lambda q: odd[q])
    config = EvalRunConfig(
        suite="sums:add", model=(f"m@{server.url}",), base="none", count=2, retries=0, engine="inspect", cache=True
    )
    for _ in range(2):
        rows = report_store.table(workspace, eval_run(config, run)).rows
        assert [(row.outcome, row.score) for row in rows] == [("wrong model", None), ("html", None)]
    assert len(server.asked) == 4, "a failure is asked again"


def test_a_killed_run_goes_on_and_its_log_is_read(workspace: Workspace, player: Player) -> None:
    items = open_suite(workspace, "sums:add", count=40).items
    spec = player("m", items, lambda _, item: item.task.reference)
    config = EvalRunConfig(
        suite="sums:add", model=(spec,), base="none", count=40, name="r", concurrency=2, engine="inspect"
    )
    path = killed(config, workspace, 15)
    before = {row.item for row in result_rows.read(path, growing=True).rows}
    assert 15 <= len(before) < 40
    player("m", items, lambda i, item: item.task.reference if item.id not in before else None)
    assert verbs.do("eval run", config, workspace).summary["solved"].value == 1.0  # type: ignore[attr-defined]
    assert len(list(jsonl.read_lines(path))) == 40, "no question was asked twice"
    logs = sorted(
        (read_eval_log(info) for info in list_eval_logs(str(path.parent / "inspect"))), key=lambda log: log.status
    )
    assert [log.status for log in logs] == ["started", "success"], "the killed one's log is readable too"
    assert {sample.id for sample in logs[1].samples or []} == {item.id for item in items} - before
