"""What decides whether a model may be called now: windows, signals, rest, and the price in the worst case."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from afs.model_calls.budget import Budget
from afs.model_calls.rate_windows import Window, stated_limits
from afs.model_calls.target import FAILURES_TO_OPEN, Reach, Target
from afs.providers.base import GREEDY, Sampling
from afs.providers.echo import Echo
from afs.providers.failures import CallError
from afs.types import Completion, Message, Tool, Usage


class Clock:
    """A clock that is moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class OwnServer(Echo):
    """A model on a machine of one's own."""

    own_machine = True

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        return super().complete(messages, sampling, tools)


ANSWER = Completion(text="x", model="m", usage=Usage(output_tokens=1, cost_usd=0.0))


def open_target(clock: Clock, **reach: float) -> Target:
    return Target(Echo("m"), reach=Reach(**reach), clock=clock, concurrency=64)  # type: ignore[arg-type]


def call(target: Target, clock: Clock, outcome: CallError | None = None, seconds: float = 0.05) -> None:
    target.start(10)
    sent = clock.now
    clock.now += seconds
    if outcome is None:
        target.succeed(ANSWER, sent, 10)
    else:
        target.fail(outcome, 10, sent)


def test_a_window_counts_from_the_last_moment_a_call_can_have_arrived() -> None:
    window = Window(2, 10.0)
    for _ in range(2):
        window.start(1)
    assert window.ready_in(0.0, 1) > 0, "what is in flight counts"
    window.finish(1.0, 1, 1)
    window.finish(2.0, 1, 1)
    assert window.ready_in(2.0, 1) == pytest.approx(9.05)
    assert window.ready_in(11.1, 1) == 0.0 and window.ready_in(11.1, 2) == pytest.approx(0.95, abs=0.1)


def test_limits_in_headers() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "6m0s",
        "x-ratelimit-limit-tokens": "-1",
    }
    assert stated_limits(headers, 0.0) == (500.0, None, 360.0)
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "1970-01-01T00:00:30Z",
        "anthropic-ratelimit-tokens-limit": "80000",
        "anthropic-ratelimit-tokens-remaining": "80000",
    }
    assert stated_limits(headers, 10.0) == (50.0, 80000.0, 20.0)


def test_a_limit_is_learned_from_its_first_rejections() -> None:
    """200 calls in a sliding 10 s, unknown before: found from one burst and the wait that the server asks for."""
    clock = Clock()
    target = open_target(clock)
    for number in range(200):
        clock.now = 1000.0 + number * 0.005
        target.start(1)
        target.succeed(ANSWER, clock.now, 1)
    for number in range(30):
        clock.now = 1001.0 + number * 0.001
        target.start(1)
        target.fail(CallError("rate", "slow", wait_s=1010.0 - clock.now), 1, clock.now)
    assert target.ready_in(1005.0, 1) == pytest.approx(5.0)
    clock.now = 1010.01
    target.ready_in(clock.now, 1)
    window = target.limits.requests
    assert window is not None and (window.limit, window.seconds) == (200.0, 10.0)


def test_random_rejections_teach_no_limit() -> None:
    clock = Clock()
    target = open_target(clock)
    for number in range(40):
        clock.now += 0.01
        target.start(1)
        if number == 10:
            target.fail(CallError("rate", "slow", wait_s=0.1), 1, clock.now)
        else:
            target.succeed(ANSWER, clock.now, 1)
    assert target.ready_in(clock.now + 1, 1) == 0.0 and target.limits.requests is None


def test_money_and_keys_rest_until_the_stated_reset() -> None:
    clock = Clock()
    target = open_target(clock)
    call(target, clock, CallError("spent", "no money", wait_s=7200))
    assert target.ready_in(clock.now, 1) == pytest.approx(7200)
    call(target, clock, CallError("unusable", "bad key"))
    assert math.isinf(target.ready_in(clock.now, 1))


def test_too_many_at_once_halves_the_concurrency_once() -> None:
    clock = Clock()
    target = open_target(clock)
    for _ in range(32):
        target.start(1)
    for _ in range(5):
        target.fail(CallError("rate", "slow down", wait_s=0.0, fewer=True), 1, clock.now)
    assert target.concurrency == 16.0


def test_failures_in_a_row_open_the_circuit_and_one_probe_closes_it() -> None:
    clock = Clock()
    target = open_target(clock)
    for _ in range(FAILURES_TO_OPEN):
        call(target, clock, CallError("busy", "down"))
    rest = target.ready_in(clock.now, 1)
    assert rest == pytest.approx(2.0)
    clock.now += rest
    assert target.ready_in(clock.now, 1) == 0.0
    target.start(1)
    assert target.ready_in(clock.now, 1) > 0, "one probe at a time"
    target.fail(CallError("busy", "down"), 1, clock.now)
    assert target.ready_in(clock.now, 1) == pytest.approx(4.0), "each rest is longer"
    clock.now += 4.0
    call(target, clock)
    target.start(1)
    assert target.ready_in(clock.now, 1) == 0.0


def test_a_server_of_ones_own_that_queues_gets_fewer_calls() -> None:
    clock = Clock()
    target = Target(OwnServer("m"), clock=clock, concurrency=32)
    for _ in range(10):
        call(target, clock, seconds=0.1)
    for _ in range(16):
        target.start(1)
    for _ in range(40):
        call(target, clock, seconds=0.5)
    assert target.concurrency < 16


def test_the_worst_case_is_reserved_and_an_unknown_cost_stays_at_it() -> None:
    budget = Budget(1.0)
    assert budget.reserve(600_000_000) and not budget.reserve(500_000_000)
    budget.settle(600_000_000, 100_000_000)
    assert budget.reserve(900_000_000)
    budget.settle(900_000_000, None)
    assert budget.spent == 1_000_000_000 and not budget.reserve(1)
    assert "$1 would be exceeded" in budget.refusal("m", 1)
