"""A chain of models as one provider, for callers that ask one question at a time: judges, the council, checks.

It waits, retries and falls back by the same targets and rules as the engine; the engine is for many calls that must
survive the process.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Sequence

from afs.errors import ProviderError
from afs.model_calls.engine import LONG_WAIT_S
from afs.model_calls.target import Target
from afs.model_calls.work import MOST_FAILURES
from afs.providers.base import GREEDY, Sampling
from afs.providers.failures import CallError
from afs.types import Completion, Message, Tool

_FIRST_BACKOFF_S = 0.5


class Caller:
    """The first model of a chain that can answer; an answer names who gave it."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        name: str = "",
        failures: int = MOST_FAILURES,
        longest_wait_s: float = LONG_WAIT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.targets, self.name = list(targets), name or targets[0].name
        self._failures, self._longest, self._sleep = failures, longest_wait_s, sleep
        self._lock = threading.Lock()

    @property
    def digest(self) -> str:
        """What the first model's answers are known by, if it has such a thing."""
        return str(getattr(self.targets[0].provider, "digest", ""))

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer, or the reasons why nobody can give one."""
        problems: dict[str, str] = {}
        left = self._failures + 1
        until = time.monotonic() + max(self._longest, 0.0)
        excluded: set[str] = set()
        while True:
            target, wait = self._next(messages, sampling, tools, excluded, until)
            if target is None:
                raise self._nobody(problems, wait)
            if wait > 0:
                self._sleep(wait)
                continue
            try:
                return self._call(target, messages, sampling, tools)
            except CallError as error:
                problems[target.name] = str(error)
                if error.kind in ("task", "unusable") or error.retry is False:
                    excluded.add(target.name)
                elif error.kind in ("busy", "bad"):
                    left -= 1
                    if left <= 0:
                        if len(self.targets) == len(excluded) + 1:
                            raise
                        excluded.add(target.name)
                        left = self._failures + 1
                        continue
                    self._sleep(self._backoff(error, self._failures - left))
                if len(excluded) == len(self.targets):
                    raise

    def _next(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool],
        excluded: set[str],
        until: float,
    ) -> tuple[Target | None, float]:
        """The target to call, and how long to wait before; None when every wait is too long."""
        now = time.monotonic()
        soonest, first = math.inf, None
        with self._lock:
            for target in self.targets:
                if target.name in excluded:
                    continue
                tokens = target.tokens_of(messages, sampling, tools) + sampling.max_tokens
                wait = target.ready_in(now, tokens)
                if wait <= 0:
                    target.start(tokens)
                    return target, 0.0
                if wait < soonest:
                    soonest, first = wait, target
                if wait <= LONG_WAIT_S:
                    break
        return (first, soonest) if now + soonest <= until else (None, soonest)

    def _call(
        self, target: Target, messages: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]
    ) -> Completion:
        sent = time.monotonic()
        reserved = target.tokens_of(messages, sampling, tools) + sampling.max_tokens
        try:
            completion = target.provider.complete(messages, sampling, tools)
        except ProviderError as error:
            problem = error if isinstance(error, CallError) else CallError("busy", str(error))
            with self._lock:
                target.fail(problem, reserved, sent)
            if problem is error:
                raise
            raise problem from error
        with self._lock:
            target.succeed(completion, sent, reserved)
        return completion

    def _backoff(self, error: CallError, failures: int) -> float:
        jitter: float = random.uniform(0.5, 1.0) * _FIRST_BACKOFF_S * 2**failures
        return max(jitter, error.wait_s or 0.0)

    def _nobody(self, problems: dict[str, str], wait: float) -> ProviderError:
        reasons = {**{t.name: t.reason for t in self.targets if t.reason}, **problems}
        text = "; ".join(reasons.values()) or f"{self.name}: the limit is reached"
        when = "" if math.isinf(wait) else f" (the first can be called again in {wait:.0f} s)"
        return CallError("busy", f"no model can answer{when}: {text}") if len(reasons) != 1 else CallError("busy", text)
