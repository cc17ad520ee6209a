"""Evaluations and judges behind HTTP: every call in a ledger, nothing paid twice, an outage is never an answer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from afs import jsonl, verbs
from afs.errors import ConfigError, ProviderError
from afs.evaluate import EvalRunConfig, report_store, result_rows
from afs.evaluate.judging import JudgeConfig
from afs.evaluate.judging.vote_collection import Duel, Vote
from afs.evaluate.suites import open_suite
from afs.model_calls.ledger_reader import bills, reading
from afs.runs import Run, list_runs
from afs.workspace import Workspace

from .conftest import Endpoint, Player, chat_answer

Start = Callable[[Callable[[str], tuple[int, bytes]]], Endpoint]
_RUN = """
import sys
from pathlib import Path
import msgspec
from afs import verbs
from afs.evaluate import EvalRunConfig
from afs.workspace import Workspace
verbs.do("eval run", msgspec.json.decode(sys.argv[1], type=EvalRunConfig), Workspace(Path(sys.argv[2])))
"""
PRICED = '[providers.paid]\nkind = "vllm"\nbase_url = "{url}"\nprice = {{ input = 1000000, output = 1000000 }}\n'
"""A dollar a token: 12 dollars an answer of `chat_answer`."""


def gold_of(workspace: Workspace, count: int) -> dict[str, str]:
    return {i.task.prompt: i.task.reference for i in open_suite(workspace, "sums:add", count=count).items}


def config_of(url: str, count: int, **fields: object) -> EvalRunConfig:
    table = {"suite": "sums:add", "model": [f"m@{url}"], "base": "none", "count": count, "name": "r", **fields}
    return msgspec.convert(table, EvalRunConfig)


def ledger(run: Run) -> list[tuple[str, int]]:
    with reading(run.folder / "calls.db") as database:
        return database.execute("SELECT state, COUNT(*) FROM calls GROUP BY state ORDER BY state").fetchall()


def test_a_killed_evaluation_pays_for_nothing_twice(workspace: Workspace, endpoint: Start) -> None:
    gold = gold_of(workspace, 60)
    config, victims = config_of("", 60, concurrency=4), list[subprocess.Popen[bytes]]()

    def say(question: str) -> tuple[int, bytes]:
        if len(server.asked) == 25:
            victims[0].send_signal(signal.SIGKILL)
        return chat_answer(gold[question])

    server = endpoint(say)
    config = config_of(server.url, 60, concurrency=4)
    argv = [sys.executable, "-c", _RUN, msgspec.json.encode(config).decode(), str(workspace.root)]
    victims.append(subprocess.Popen(argv, env=dict(os.environ)))
    assert victims[0].wait() == -signal.SIGKILL
    verbs.do("eval run", config, workspace)
    asked = Counter(server.asked)
    assert len(asked) == 60 and sum(asked.values()) <= 60 + 4, "only what was in flight at the kill is asked again"
    (run,) = list_runs(workspace)
    rows = result_rows.read(run.folder / "answers.jsonl", growing=True).rows
    assert len(rows) == 60 and all(row.outcome == "answered" for row in rows)
    assert dict(ledger(run))["answered"] == 60, "an answer that was stored is filed, not asked for again"


def test_an_outage_ends_the_run_and_only_the_rest_is_asked_by_the_next(workspace: Workspace, endpoint: Start) -> None:
    gold = gold_of(workspace, 30)
    server = endpoint(lambda q: chat_answer(gold[q]) if len(server.asked) <= 10 else (503, b"{}"))
    config = config_of(server.url, 30, concurrency=1, longest_outage_s=0.0)
    with pytest.raises(ProviderError, match=r"no model can answer.*rerun to resume"):
        verbs.do("eval run", config, workspace)
    (run,) = list_runs(workspace)
    assert run.state.status == "failed" and not workspace.names("report")
    rows = result_rows.read(run.folder / "answers.jsonl").rows
    assert [row.outcome for row in rows] == ["answered"] * 10, "an outage is written as nobody's answer"
    server.asked, server.say = [], lambda q: chat_answer(gold[q])
    report = verbs.do("eval run", config, workspace)
    assert isinstance(report, report_store.StoredReport) and report.summary["solved"].n == 30
    assert len(server.asked) == 20


def test_one_dead_model_does_not_keep_the_others_from_being_asked(workspace: Workspace, endpoint: Start) -> None:
    gold = gold_of(workspace, 4)
    dead, alive = endpoint(lambda _: (503, b"{}")), endpoint(lambda q: chat_answer(gold[q], model="n"))
    config = config_of("", 4, model=[f"m@{dead.url}", f"n@{alive.url}"], longest_outage_s=0.0)
    with pytest.raises(ProviderError, match=r"openai:m"):
        verbs.do("eval run", config, workspace)
    assert len(alive.asked) == 4
    dead.say = lambda q: chat_answer(gold[q])
    verbs.do("eval run", config, workspace)
    assert len(alive.asked) == 4


def test_a_request_that_can_never_be_served_is_told_from_an_outage(workspace: Workspace, endpoint: Start) -> None:
    """It is asked last and alone: only a small call says that the server is alive."""
    gold = gold_of(workspace, 5)
    poison = list(gold)[-1]
    server = endpoint(lambda q: (500, b"{}") if q == poison else chat_answer(gold.get(q, "ok")))
    report = verbs.do("eval run", config_of(server.url, 5, concurrency=1, retries=1), workspace)
    assert isinstance(report, report_store.StoredReport)
    rows = report_store.table(workspace, report).rows
    assert sorted(row.outcome for row in rows) == ["answered"] * 4 + ["dead"]


def test_a_budget_is_kept_and_an_unknown_price_is_named(workspace: Workspace, endpoint: Start) -> None:
    gold = gold_of(workspace, 12)
    server = endpoint(lambda q: chat_answer(gold[q]))
    with pytest.raises(ConfigError, match=r"price of openai:m is unknown"):
        verbs.do("eval run", config_of(server.url, 12, budget_usd=1.0), workspace)
    assert not server.asked
    (workspace.root / "providers.toml").write_text(PRICED.format(url=server.url))
    paid = {"model": ["paid:m"], "name": "p", "sampling": {"max_tokens": 50}}
    config = config_of("", 12, budget_usd=130.0, **paid)
    with pytest.raises(ProviderError, match=r"budget of \$130 would be exceeded"):
        verbs.do("eval run", config, workspace)
    run = list_runs(workspace)[-1]
    with reading(run.folder / "calls.db") as database:
        (bill,) = bills(database)
    assert bill.cost == 12 * 10**9 * len(server.asked) <= 130 * 10**9 and 0 < len(server.asked) < 12
    with pytest.raises(ConfigError, match="inspect` keeps no ledger"):
        verbs.do("eval run", config_of("", 12, budget_usd=1.0, engine="inspect", **paid), workspace)


def judged(workspace: Workspace, player: Player) -> None:
    items = open_suite(workspace, "sums:add", count=20).items
    a = player("a", items, lambda i, item: item.task.reference if i % 4 else "no")
    b = player("b", items, lambda i, item: item.task.reference if i % 2 else "no")
    verbs.do("eval run", config_of("", 20, model=[a], base=b), workspace)


def test_judges_go_through_the_same_ledger(workspace: Workspace, endpoint: Start, player: Player) -> None:
    judged(workspace, player)

    def vote(question: str) -> tuple[int, bytes]:
        if len(server.asked) > 30:
            return 503, b"{}"
        if "<first>" in question:
            return chat_answer("first")
        word = "no" if re.search(r"<answer>\nno\n", question) else "yes"
        return chat_answer(f"1: {word}\n2: {word}\n3: yes")

    server = endpoint(vote)
    (workspace.root / "providers.toml").write_text(f'[providers.j]\nkind = "vllm"\nbase_url = "{server.url}"\n')
    config = JudgeConfig(report="r", judge=("j:m",), pairwise=True, longest_outage_s=0.0, concurrency=1)
    with pytest.raises(ProviderError, match="no model can answer"):
        verbs.do("eval judge", config, workspace)
    run = list_runs(workspace)[-1]
    votes = list(jsonl.read(run.folder / "votes.jsonl", Vote))
    assert len(votes) == 30 and not any(vote.error for vote in votes), "an outage is no abstention"
    server.asked = []
    say, server.say = server.say, lambda q: say(q) if len(server.asked) <= 22 else (503, b"{}")
    with pytest.raises(ProviderError, match="no model can answer"):
        verbs.do("eval judge", config, workspace)
    asked = list(server.asked[:22])
    server.asked, server.say = [], lambda q: chat_answer("first")
    report = verbs.do("eval judge", config, workspace)
    assert isinstance(report, report_store.StoredReport)
    duels = list(jsonl.read(report_store.folder_of(workspace, report.ref) / "duels.jsonl", Duel))
    assert len(duels) == 20 and all(duel.forward and duel.backward for duel in duels)
    assert len(asked) + len(server.asked) == 10 + 40, "half a comparison is not paid for twice"
