"""A chain of models as one provider, for callers that ask one question at a time: judges, the council, checks.

It waits, retries and falls back by the same targets and rules as the engine; the engine is for many calls that must
survive the process.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from afs.errors import ProviderError
from afs.model_calls.canary import WrongModelError, find_fault
from afs.model_calls.engine import LONG_WAIT_S
from afs.model_calls.health import POLL_S, HealthPoller, poller_for
from afs.model_calls.target import Target
from afs.model_calls.work_protocol import MOST_FAILURES
from afs.providers.base import GREEDY, LentWire, Provider, Sampling, WireProvider
from afs.providers.failures import CallError
from afs.types import Completion, Message, Tool

_FIRST_BACKOFF_S = 0.5
WRONG_MODEL_S = 60.0
"""Rest of a machine that answered as another model; a poll that finds the right one ends it."""
SOON_S = 1.0
"""What a request that is passed on waits for; a longer rest is another model's turn."""


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
        self.poller: HealthPoller | None = None
        """Knows which machines live, for a program that runs for long."""

    @property
    def is_open(self) -> bool:
        """Whether any of its models can be called now or soon."""
        with self._lock:
            self._follow_health()
            now = time.monotonic()
            return any(target.closed_until - now < SOON_S for target in self.targets)

    def refuse_faulty(self) -> str:
        """Ask each model something small; why none may serve, empty when one may."""
        faults = {target.name: find_fault(target.provider) for target in self.targets}
        with self._lock:
            for target in self.targets:
                if faults[target.name]:
                    target.close(math.inf, faults[target.name])
        return "; ".join(faults.values()) if all(faults.values()) else ""

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

    def lend_wire(self, excluded: Container[str] = ()) -> tuple[LentWire | None, float]:
        """The address of the first model that can answer, or how long until a call there has ended."""
        now, soonest = time.monotonic(), math.inf
        with self._lock:
            self._follow_health()
            for target in self.targets:
                provider = target.provider
                if target.name in excluded or not isinstance(provider, WireProvider):
                    continue
                wait = target.ready_in(now, 0)
                if wait <= 0:
                    target.start(0)
                    return LentWire(provider.wire(), target.name, partial(self._settle, target, now)), 0.0
                soonest = min(soonest, wait)
        if soonest <= SOON_S:
            return None, soonest
        raise self._nobody({}, soonest)

    def _settle(self, target: Target, sent: float, problem: ProviderError | None) -> None:
        with self._lock:
            if problem is None:
                target.succeed(Completion(text="", model=target.name), target.clock(), 0)  # streams say no latency
            elif isinstance(problem, WrongModelError):
                target.fail(CallError("busy", str(problem)), 0, sent)
                target.close(target.clock() + WRONG_MODEL_S, f"health check: {problem}")
            else:
                found = problem if isinstance(problem, CallError) else CallError("busy", str(problem))
                target.fail(found, 0, sent)

    def _follow_health(self) -> None:
        if self.poller is not None:
            self.poller.apply(self.targets)

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
            self._follow_health()
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


def find_member_fault(provider: Provider) -> str:
    """Why a model may not serve, on one machine or on several; empty when it may."""
    return provider.refuse_faulty() if isinstance(provider, Caller) else find_fault(provider)


@contextmanager
def watch_health(providers: Iterable[Provider], *, every_s: float = POLL_S) -> Iterator[HealthPoller]:
    """Poll the machines behind these models for as long as this lasts."""
    callers = [provider for provider in providers if isinstance(provider, Caller)]
    with poller_for([target for caller in callers for target in caller.targets], every_s=every_s) as poller:
        for caller in callers:
            caller.poller = poller
        yield poller
