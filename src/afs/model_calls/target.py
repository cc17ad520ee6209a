"""One model at one provider, with everything that decides whether it may be called now.

Limits are shared by the targets of one project and model; concurrency follows the provider's signals; a circuit
breaker stops calls to what is down. A target is used by one thread, or under its owner's lock.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import msgspec

from afs.model_calls.rate_windows import RAISE_AFTER, Window, stated_limits, usual
from afs.model_calls.store import to_nano
from afs.providers.base import BatchProvider, Provider, Sampling
from afs.providers.endpoint import Api
from afs.providers.failures import CallError
from afs.providers.prices import table_version
from afs.types import Completion, Message, Tool, Usage

FAILURES_TO_OPEN = 5
"""Failures in a row after which nothing is sent but probes."""
FIRST_PAUSE_S = 0.25
"""Pause after a rejection that states none; it doubles until an answer comes."""
FIRST_REST_S = 2.0
LONGEST_REST_S = 120.0
SPENT_REST_S = 3600.0
"""Rest of a spent key whose provider states no end."""
GROUP = 64
"""Conversations given at once to a model that runs on this machine."""
_HISTORY = 8192
_STEP = 25
"""Answers in a row that raise the concurrency by one."""
_OVERHEAD_TOKENS = 16
"""Tokens of roles and separators around a message, at most."""


class Reach:
    """What the user's settings say of a target."""

    def __init__(
        self,
        *,
        concurrency: int = 0,
        requests_per_minute: float = 0.0,
        tokens_per_minute: float = 0.0,
        group: str = "",
        weight: float = 1.0,
    ) -> None:
        self.concurrency, self.group, self.weight = concurrency, group, weight
        self.requests_per_minute, self.tokens_per_minute = requests_per_minute, tokens_per_minute


class Limits:
    """The windows that the targets of one project and model share."""

    def __init__(self) -> None:
        self.requests: Window | None = None
        self.tokens: Window | None = None
        self.answers: deque[tuple[float, float]] = deque(maxlen=_HISTORY)
        """(sent, answered) of calls that were let through."""
        self.rejections: deque[float] = deque(maxlen=_HISTORY)
        """When rejected calls were sent."""
        self.rejected_at = -math.inf
        self.rejected_sent = -math.inf
        self.rejected_wait = 0.0
        self.must_learn = False

    def ready_in(self, now: float, tokens: float) -> float:
        """Seconds until a call of so many tokens may be sent."""
        wait = self.requests.ready_in(now, 1) if self.requests else 0.0
        return max(wait, self.tokens.ready_in(now, tokens) if self.tokens else 0.0)

    def learn_window(self, now: float) -> None:
        """From the calls let through before a rejection and the wait it asked for: the window and its size."""
        self.must_learn = False
        at, known = self.rejected_at, self.requests
        let_through = sum(sent > self.rejected_sent for sent, _ in self.answers)
        if let_through > sum(sent >= self.rejected_sent for sent in self.rejections):
            return  # most calls after it were let through: this was no limit that had been reached
        if known is not None and known.learned:
            passed = sum(1 for _, answered in self.answers if at - known.seconds < answered <= at)
            if passed >= 0.8 * known.limit:
                known.limit = max(1.0, math.floor(min(known.limit, passed) * 0.99))
                known.raised_at = now
            return
        if known is not None:
            known.limit = max(1.0, known.limit * 0.95)
            return
        if not self.answers:
            return
        seconds = at + self.rejected_wait - self.answers[0][0]
        if not self.rejected_wait or seconds > 66.0:
            seconds = next((length for length in (1.0, 10.0, 60.0) if self.rejected_wait <= length), self.rejected_wait)
        seconds = max(0.1, usual(seconds))
        inside = [(sent, answered) for sent, answered in self.answers if sent > at - seconds and sent <= at]
        self.requests = Window(max(1.0, float(len(inside))), seconds, learned=True)
        self.requests.raised_at = now
        for _, answered in inside:
            self.requests.count(now, answered, 1)


class Target:
    """A model that can be called."""

    def __init__(
        self,
        provider: Provider,
        *,
        reach: Reach | None = None,
        limits: Limits | None = None,
        concurrency: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider, self.name, self.clock = provider, provider.name, clock
        self.reach = reach or Reach()
        self.limits = limits or Limits()
        self.group = GROUP if isinstance(provider, BatchProvider) else 1
        self.most = 1.0 if self.group > 1 else float(self.reach.concurrency or concurrency)
        self.concurrency = self.most
        self.in_flight = 0
        self.answered = self.failed = self.spent = 0
        """In this run; `spent` in billionths of a dollar, an unknown cost at its worst case."""
        self.closed_until = -math.inf
        self.reason = ""
        """Why it is closed."""
        self.is_spent = False
        self._failures = 0
        self._rejections = 0
        self._rests = 0
        self._good = 0
        self._headers: deque[Mapping[str, str]] = deque(maxlen=8)
        self._latencies: deque[float] = deque(maxlen=16)
        self._shortest = math.inf
        self._cut_at = -math.inf
        self.is_own = bool(getattr(provider, "own_machine", False))
        self._rates = self._worst_rates()
        if self.reach.requests_per_minute and self.limits.requests is None:
            self.limits.requests = Window(self.reach.requests_per_minute, 60.0)
        if self.reach.tokens_per_minute and self.limits.tokens is None:
            self.limits.tokens = Window(self.reach.tokens_per_minute, 60.0)
        api = getattr(provider, "api", None)
        if isinstance(api, Api):
            api.on_headers = self._headers.append

    # Before a call

    def ready_in(self, now: float, tokens: int) -> float:
        """Seconds until it may be called; 0: now; infinite: never in this run."""
        self._read_headers(now)
        if now < self.closed_until:
            return self.closed_until - now
        if self.limits.must_learn:
            self.limits.learn_window(now)
        room = 1 if self._failures >= FAILURES_TO_OPEN else max(1, int(self.concurrency))
        if self.in_flight >= room:
            return 0.05
        return self.limits.ready_in(now, tokens)

    def start(self, tokens: int) -> None:
        """A call is sent."""
        self.in_flight += 1
        if self.limits.requests:
            self.limits.requests.start(1)
        if self.limits.tokens:
            self.limits.tokens.start(tokens)

    def tokens_of(self, messages: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]) -> int:
        """Tokens a call can use at most: a token is at least one byte."""
        size = sum(len(m.text.encode("utf-8", "surrogatepass")) + _OVERHEAD_TOKENS for m in messages)
        calls = sum(len(msgspec.json.encode(m.tool_calls)) for m in messages if m.tool_calls)
        state = sum(len(msgspec.json.encode(m.provider_state)) for m in messages if m.provider_state)
        return size + calls + state + (len(msgspec.json.encode(tools)) if tools else 0)

    def worst_cost(self, input_tokens: int, max_tokens: int) -> float | None:
        """US dollars of a call in the worst case; None: unknown."""
        if self._rates is None:
            return None
        return self._rates[0] * input_tokens + self._rates[1] * max_tokens

    def worst_nano(self, input_tokens: int, max_tokens: int) -> int | None:
        """The same as the ledger counts it."""
        worst = self.worst_cost(input_tokens, max_tokens)
        return None if worst is None else to_nano(worst)

    def _worst_rates(self) -> tuple[float, float] | None:
        """Dollars per token read and written, at the dearest tier."""
        price_of = getattr(self.provider, "price_of", None)
        if price_of is None:
            return (0.0, 0.0) if not hasattr(self.provider, "api") else None
        read = [price_of(Usage(input_tokens=size)) for size in (1000, 300_000)]
        written = [price_of(Usage(input_tokens=size, output_tokens=1000)) for size in (1000, 300_000)]
        if any(cost is None for cost in (*read, *written)):
            return None
        per_input = max(read[0] / 1000, read[1] / 300_000)
        return per_input, max(written[0] - read[0], written[1] - read[1]) / 1000

    # After a call

    def succeed(self, completion: Completion, sent: float, reserved: int) -> None:
        """An answer came."""
        now = self.clock()
        used = completion.usage.input_tokens + completion.usage.output_tokens
        self._finish(now, reserved, used)
        self.answered += 1
        self.limits.answers.append((sent, now))
        self._failures = self._rests = 0
        self._good += 1
        if self._good % _STEP == 0:
            self.concurrency = min(self.most, self.concurrency + 1)
        self._raise_learned(now)
        if self.is_own:
            self._follow_latency(now - sent, now)

    def fail(self, error: CallError, reserved: int, sent: float) -> None:
        """A call failed: what that means for the next ones."""
        now = self.clock()
        self._finish(now, reserved, 0.0)
        self.failed += 1
        self._good = 0
        if error.fewer:
            self._halve(now)
        if error.kind == "rate":
            self._reject(now, error, sent)
        elif error.kind == "spent":
            self.is_spent = True
            self.close(now + (error.wait_s if error.wait_s is not None else SPENT_REST_S), str(error))
        elif error.kind == "unusable":
            self.close(math.inf, str(error))
        elif error.kind == "task":
            self._rejections += 1
            if not self.answered and self._rejections >= FAILURES_TO_OPEN:
                self.close(math.inf, f"it rejects every request: {error}")
        elif error.kind == "busy":
            self._failures += 1
            if self._failures >= FAILURES_TO_OPEN and now >= self.closed_until:
                rest = max(error.wait_s or 0.0, min(LONGEST_REST_S, FIRST_REST_S * 2**self._rests))
                self._rests += 1
                self.close(now + rest, f"{self._failures} failures in a row, the last: {error}")

    def close(self, until: float, reason: str) -> None:
        """Send nothing before `until`."""
        if until > self.closed_until:
            self.closed_until, self.reason = until, reason

    @property
    def is_down(self) -> bool:
        """Closed because its machine does not answer, and for no other reason."""
        return (
            self.closed_until < math.inf and not self.is_spent and (self._failures > 0 or "health check" in self.reason)
        )

    def reopen(self) -> None:
        """Its machine answers again: one probe decides, now and not at the end of the rest."""
        self.closed_until, self._rests = -math.inf, 0
        self._failures = min(self._failures, FAILURES_TO_OPEN)

    @property
    def price_source(self) -> str:
        """Where a cost in the ledger comes from."""
        place = getattr(self.provider, "place", None)
        if getattr(self.provider, "priced_as", "") == "openrouter":
            return "stated by the provider"
        return "providers.toml" if getattr(place, "price", None) is not None else table_version()

    def _finish(self, now: float, reserved: int, used: float) -> None:
        self.in_flight -= 1
        if self.limits.requests:
            self.limits.requests.finish(now, 1, 1)
        if self.limits.tokens:
            self.limits.tokens.finish(now, reserved, used)

    def _reject(self, now: float, error: CallError, sent: float) -> None:
        limits = self.limits
        limits.rejections.append(sent)
        wait = error.wait_s
        if wait is None:
            wait = min(LONGEST_REST_S, FIRST_PAUSE_S * 2 ** min(self._rests, 9))
            self._rests += 1
        if now >= self.closed_until:  # later rejections of one burst say the same
            limits.rejected_at, limits.rejected_wait, limits.rejected_sent = now, error.wait_s or 0.0, sent
            limits.must_learn = not error.fewer
        if now + wait > self.closed_until:
            self.close(now + wait, str(error))

    def _halve(self, now: float) -> None:
        if now - self._cut_at > 1.0:  # the calls that were in flight say it together, and mean it once
            self._cut_at = now
            self.concurrency = max(1.0, min(self.concurrency, self.in_flight + 1) / 2)

    def _follow_latency(self, seconds: float, now: float) -> None:
        """A server of one's own says nothing when it is full; its answers take longer."""
        self._latencies.append(seconds)
        if len(self._latencies) < 8:
            return
        typical = sorted(self._latencies)[len(self._latencies) // 2]
        self._shortest = min(self._shortest, typical)
        if typical > 2 * self._shortest and now - self._cut_at > typical:
            self._cut_at = now
            self.concurrency = max(1.0, min(self.concurrency, self.in_flight + 1) * 0.75)
            self._latencies.clear()

    def _raise_learned(self, now: float) -> None:
        window = self.limits.requests
        if window is not None and window.learned and now - window.raised_at > max(1.0, RAISE_AFTER * window.seconds):
            window.raised_at = now
            window.limit += max(1.0, window.limit // 100)

    def _read_headers(self, now: float) -> None:
        while self._headers:
            stated = stated_limits(self._headers.popleft(), time.time())
            if stated.requests and not self.reach.requests_per_minute:
                self._set("requests", stated.requests)
            if stated.tokens and not self.reach.tokens_per_minute:
                self._set("tokens", stated.tokens)
            if stated.pause_s:
                self.close(now + stated.pause_s, "the provider says that nothing is left of its limit")

    def _set(self, what: str, per_minute: float) -> None:
        window: Window | None = getattr(self.limits, what)
        if window is None or (window.learned and what == "requests"):
            setattr(self.limits, what, Window(per_minute, 60.0))
        else:
            window.limit = per_minute
