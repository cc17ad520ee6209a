"""Wrappers round any provider: Retry, Budget, Cached, Fallback. Each is a provider itself, so they nest.

    Fallback(Retry(Budget(openai, usd=5), times=3), Retry(ollama))

What a failure means is decided by its class (`CallError.kind`), and only here.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from afs.errors import ProviderError
from afs.providers.base import GREEDY, Provider, Sampling
from afs.providers.http import CallError
from afs.sqlite import open_database
from afs.types import Completion, Message, Tool, digest

LONGEST_WAIT_S = 60.0
"""A server that asks for a longer wait is left for the next in the chain."""


class Retry:
    """Tries again after a rate limit (as long as the server says) or an outage (with jitter)."""

    def __init__(
        self,
        inner: Provider,
        times: int = 3,
        *,
        first_wait_s: float = 0.5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name, self._inner, self._times, self._first, self._sleep = inner.name, inner, times, first_wait_s, sleep

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """The first answer that comes."""
        for attempt in range(self._times + 1):
            try:
                return self._inner.complete(messages, sampling, tools)
            except CallError as error:
                wait = self._wait(error, attempt)
                if wait is None:
                    raise
                self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _wait(self, error: CallError, attempt: int) -> float | None:
        if attempt >= self._times or error.kind in ("unusable", "spent"):
            return None
        if error.wait_s is not None:
            return error.wait_s if error.wait_s <= LONGEST_WAIT_S else None
        return random.uniform(0, self._first * 2**attempt)


class Budget:
    """Refuses a call that could pass the cap: the worst case is reserved before it is sent."""

    def __init__(self, inner: Provider, usd: float, price: Callable[[int, int], float | None]) -> None:
        self.name, self._inner, self._cap, self._price = inner.name, inner, usd, price
        self.spent = 0.0
        self._reserved = 0.0
        self._lock = threading.Lock()

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """An answer within the budget."""
        letters = sum(len(m.text) for m in messages) + len(msgspec.json.encode(tools))
        worst = self._price(letters, sampling.max_tokens)
        if worst is None:
            raise ProviderError(f"{self.name}: its price is unknown, so a budget of ${self._cap:g} cannot be kept")
        with self._lock:
            if self.spent + self._reserved + worst > self._cap:
                raise ProviderError(
                    f"{self.name}: the budget of ${self._cap:g} would be passed (spent ${self.spent:.4f}, "
                    f"this call up to ${worst:.4f}); raise it to go on"
                )
            self._reserved += worst
        cost: float | None = 0.0
        try:
            completion = self._inner.complete(messages, sampling, tools)
            cost = completion.usage.cost_usd
        finally:
            with self._lock:
                self._reserved -= worst
                self.spent += worst if cost is None else cost
        return completion


class Fallback:
    """The first of several that can answer; one without quota is not asked again for a while."""

    def __init__(self, *chain: Provider, closed_s: float = 600.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = chain[0].name
        self._chain, self._closed_s, self._clock = chain, closed_s, clock
        self._closed: dict[str, float] = {}

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """An answer of the first that can; the answer names its model."""
        problems = []
        for one in self._chain:
            if self._closed.get(one.name, 0.0) > self._clock():
                problems.append(f"{one.name}: no quota")
                continue
            try:
                return one.complete(messages, sampling, tools)
            except ProviderError as error:
                problems.append(str(error))
                if isinstance(error, CallError) and error.kind in ("spent", "rate"):
                    self._closed[one.name] = self._clock() + (error.wait_s or self._closed_s)
        raise ProviderError("no provider could answer: " + "; ".join(problems))


class Cached:
    """Remembers answers on disk: the same question to the same model is paid for once."""

    def __init__(self, inner: Provider, path: Path) -> None:
        self.name, self._inner = inner.name, inner
        schema = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer BLOB) WITHOUT ROWID"
        self._db = open_database(path, schema, self)
        self._lock = threading.Lock()

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """The remembered answer, or a new one."""
        key = digest((self.name, list(messages), sampling, list(tools)))
        with self._lock:
            row = self._db.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        if row:
            return msgspec.json.decode(row[0], type=Completion)
        completion = self._inner.complete(messages, sampling, tools)
        if completion.finish not in ("length", "filter"):
            with self._lock:
                self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, msgspec.json.encode(completion)))
        return completion
