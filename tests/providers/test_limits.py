"""Retry, Budget, Fallback, Cached: who is asked how often, and what is never paid twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from afs.errors import ProviderError
from afs.providers.base import GREEDY, Sampling, provider
from afs.providers.http import CallError
from afs.providers.limits import Budget, Cached, Fallback, Retry
from afs.providers.replay import Recorder
from afs.types import Completion, Message, Tool, Usage

ASK = (Message(role="user", text="hello there"),)


class Scripted:
    """Fails as told, then answers."""

    def __init__(self, name: str, *script: CallError | None, cost: float | None = 0.1) -> None:
        self.name, self.script, self.calls, self.cost = name, list(script), 0, cost

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        self.calls += 1
        step = self.script.pop(0) if self.script else None
        if step is not None:
            raise step
        return Completion(text=f"from {self.name}", model=self.name, usage=Usage(cost_usd=self.cost))


def test_retry_waits_as_told_and_gives_up_on_what_cannot_get_better() -> None:
    waits: list[float] = []
    flaky = Scripted("a", CallError("rate", "slow", wait_s=7.0), CallError("busy", "down"), None)
    assert Retry(flaky, 3, sleep=waits.append).complete(ASK).text == "from a"
    assert flaky.calls == 3 and waits[0] == 7.0 and 0 <= waits[1] <= 1.0
    for error in (CallError("unusable", "no"), CallError("spent", "no"), CallError("rate", "no", wait_s=3600.0)):
        broken = Scripted("b", error)
        with pytest.raises(CallError):
            Retry(broken, 3, sleep=waits.append).complete(ASK)
        assert broken.calls == 1
    dead = Scripted("c", *[CallError("busy", "down")] * 9)
    with pytest.raises(CallError):
        Retry(dead, 2, sleep=waits.append).complete(ASK)
    assert dead.calls == 3


def test_a_budget_is_refused_before_the_call_not_after() -> None:
    inner = Scripted("a", cost=0.4)
    budget = Budget(inner, 1.0, lambda _read, _written: 0.5)
    budget.complete(ASK)
    budget.complete(ASK)
    with pytest.raises(ProviderError, match=r"budget of \$1 would be passed \(spent \$0\.8"):
        budget.complete(ASK)
    assert inner.calls == 2 and budget.spent == pytest.approx(0.8)


def test_a_budget_without_a_price_is_refused_and_an_unknown_cost_counts_as_the_worst() -> None:
    with pytest.raises(ProviderError, match="price is unknown"):
        Budget(Scripted("a"), 1.0, lambda *_: None).complete(ASK)
    budget = Budget(Scripted("a", cost=None), 1.0, lambda *_: 0.5)
    budget.complete(ASK)
    assert budget.spent == 0.5


def test_a_spent_provider_is_left_alone_for_a_while() -> None:
    now = [0.0]
    first, second = Scripted("a", CallError("spent", "no quota")), Scripted("b")
    chain = Fallback(first, second, closed_s=100, clock=lambda: now[0])
    assert [chain.complete(ASK).model for _ in range(3)] == ["b", "b", "b"]
    assert first.calls == 1
    now[0] = 101.0
    assert chain.complete(ASK).model == "a"
    with pytest.raises(ProviderError, match="a: down; b: down"):
        Fallback(Scripted("a", CallError("busy", "a: down")), Scripted("b", CallError("busy", "b: down"))).complete(ASK)


def test_the_same_question_is_paid_once_and_a_cut_answer_is_not_kept(tmp_path: Path) -> None:
    inner = Scripted("a")
    first = Cached(inner, tmp_path / "c.db").complete(ASK)
    assert Cached(inner, tmp_path / "c.db").complete(ASK) == first
    assert inner.calls == 1
    Cached(inner, tmp_path / "c.db").complete(ASK, Sampling(seed=1))
    assert inner.calls == 2
    echo = provider("echo:")
    cut = Cached(echo, tmp_path / "c.db")
    assert cut.complete(ASK, Sampling(max_tokens=1)).finish == "length"
    assert cut.complete(ASK, Sampling(max_tokens=1)).finish == "length"


def test_what_was_recorded_is_replayed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    told = Recorder(provider("echo:"), path).complete(ASK)
    replay = provider(f"replay:{path}")
    assert replay.complete(ASK) == told
    with pytest.raises(ProviderError, match="no answer is recorded"):
        replay.complete((Message(role="user", text="else"),))
