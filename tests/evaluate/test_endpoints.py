"""What may go wrong with a server, on real sockets: each its own outcome in the table and the report, never a score."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from afs.errors import ProviderError
from afs.evaluate import EvalRunConfig, eval_run, report_store
from afs.evaluate.suites import open_suite
from afs.runs import Run
from afs.workspace import Workspace

from .conftest import Endpoint, chat_answer

Start = Callable[[Callable[[str], tuple[int, bytes]]], Endpoint]
GOLD = "42"
BROKEN: dict[str, tuple[Callable[[str], tuple[int, bytes]], str]] = {
    "impostor": (lambda _: chat_answer(GOLD, model="another-7b"), "wrong model"),
    "proxy": (lambda _: (200, b"<!DOCTYPE html><html><body>Bad gateway</body></html>"), "html"),
    "chatty": (lambda _: chat_answer("<html><body>please log in</body></html>", model="chatty"), "html"),
    "silent": (lambda _: chat_answer("  \n", model="silent"), "empty"),
    "cut": (lambda _: chat_answer(GOLD, model="cut", finish="length"), "cut"),
    "template": (lambda _: chat_answer(f"{GOLD}<|im_end|>\n<|im_start|>user\nmore", model="template"), "template"),
    "alpaca": (lambda _: chat_answer(f"{GOLD}\n### Instruction:\nand now", model="alpaca"), "template"),
    "withheld": (lambda _: chat_answer(GOLD, model="withheld", finish="content_filter"), "filtered"),
    "garbled": (lambda _: (200, b"oops"), "dead"),
    "nothing": (lambda _: (200, b"{}"), "dead"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_failure_has_an_outcome_and_no_score(workspace: Workspace, run: Run, endpoint: Start, name: str) -> None:
    say, outcome = BROKEN[name]
    _expect(workspace, run, f"{name}@{endpoint(say).url}", outcome)


OUTAGES: dict[str, tuple[Callable[[str], tuple[int, bytes]], str]] = {
    "failing": (lambda _: (500, b'{"error": {"message": "out of memory"}}'), "out of memory"),
    "unknown": (lambda _: (404, b'{"error": {"message": "no such model"}}'), "no such model"),
    "locked": (lambda _: (401, b'{"error": {"message": "a key is missing"}}'), "a key is missing"),
}


@pytest.mark.parametrize("name", OUTAGES)
def test_a_model_that_answers_nothing_ends_the_run(workspace: Workspace, run: Run, endpoint: Start, name: str) -> None:
    say, reason = OUTAGES[name]
    _expect_outage(run, f"{name}@{endpoint(say).url}", reason)


def test_nobody_listens(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    _expect_outage(run, f"m@http://127.0.0.1:{port}/v1", "no connection")


def test_a_server_that_never_answers(run: Run, endpoint: Start) -> None:
    over = threading.Event()

    def hang(_: str) -> tuple[int, bytes]:
        over.wait(20)
        return chat_answer(GOLD)

    try:
        _expect_outage(run, f"m@{endpoint(hang).url}", "no answer in time", timeout_s=0.2)
    finally:
        over.set()


def _expect_outage(run: Run, spec: str, reason: str, timeout_s: float = 20.0) -> None:
    config = EvalRunConfig(
        suite="sums:add", model=(spec,), base="none", count=6, timeout_s=timeout_s, longest_outage_s=0.0
    )
    with pytest.raises(ProviderError, match=reason):
        eval_run(config, run)
    assert not (run.folder / "answers.jsonl").exists(), "an outage is nobody's answer"


def _expect(workspace: Workspace, run: Run, spec: str, outcome: str, timeout_s: float = 20.0) -> None:
    count = 2
    config = EvalRunConfig(
        suite="sums:add", model=(spec,), base="none", count=count, name="r", retries=0, timeout_s=timeout_s
    )
    report = eval_run(config, run)
    rows = report_store.table(workspace, report).rows
    assert [(row.outcome, row.score, row.ok) for row in rows] == [(outcome, None, None)] * count
    assert all(row.error or outcome == "cut" for row in rows), "the table says what happened"
    page = (report_store.folder_of(workspace, "r") / "report.html").read_text()
    told = " ".join(map(str, report.environment["notes"]))  # type: ignore[call-overload]
    assert f"{count} {outcome}" in told and f"{count} {outcome}" in page
    solved = report.summary["solved"]
    if outcome == "cut":
        assert solved.value == 0.0, "the limit is part of the task; --cut unknown leaves such answers out"
    else:
        assert solved.value is None, "nothing was learned, which is not zero"


def test_an_outage_in_the_middle_is_survived(workspace: Workspace, run: Run, endpoint: Start) -> None:
    items = open_suite(workspace, "sums:add", count=10).items
    gold = {item.task.prompt: item.task.reference for item in items}
    bad = items[4].task.prompt
    server = endpoint(lambda q: chat_answer(gold.get(q, "ok")) if q != bad else (500, b"{}"))
    config = EvalRunConfig(suite="sums:add", model=(f"m@{server.url}",), base="none", count=10, name="r", retries=0)
    report = eval_run(config, run)
    assert (report.summary["solved"].value, report.summary["solved"].n) == (1.0, 9)
    server.say = lambda q: chat_answer(gold.get(q, "ok"))
    assert eval_run(config, run).summary["solved"].n == 10
    asked = Counter(server.asked)
    assert {asked[prompt] for prompt in gold if prompt != bad} == {1}, "only what was lost is asked again"
