"""The threads of the engine: many that call, and one that judges; both report to one queue."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from afs.errors import AfsError, ProviderError, boundary
from afs.model_calls.store import Piece
from afs.model_calls.target import Target
from afs.model_calls.work_protocol import Answered, Decision, Request
from afs.providers.base import BatchProvider
from afs.providers.failures import CallError
from afs.types import Completion

MOST_TOGETHER = 256
"""Answers judged at once: enough that a worker process is asked rarely, few enough that it reports soon."""


class CallJob(NamedTuple):
    """One call, or several at once for a model that takes groups."""

    pieces: list[Piece]
    requests: list[Request]
    target: Target
    calls: list[int]
    worst: list[int | None]
    tokens: list[int]


class Returned(NamedTuple):
    """A call that came back."""

    job: CallJob
    outcome: list[Completion] | CallError
    sent: float


class Judged(NamedTuple):
    """Decisions about so many answers."""

    decisions: list[Decision] | AfsError
    answers: int


Events = queue.SimpleQueue[Returned | Judged]


class Callers:
    """Threads that call; there are only as many as were needed at once."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._jobs: queue.SimpleQueue[CallJob | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def put(self, job: CallJob, in_flight: int) -> None:
        """Have a job done."""
        self._jobs.put(job)
        if len(self._threads) < in_flight:
            thread = threading.Thread(target=self._work, name=f"call-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self, *, wait: bool) -> None:
        """No more jobs."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            sent = time.monotonic()
            try:
                with boundary(ProviderError, job.target.name):
                    outcome: list[Completion] | CallError = _call(job)
            except CallError as error:
                outcome = error
            except AfsError as error:
                outcome = CallError("busy", str(error))
            self._events.put(Returned(job, outcome, sent))


class Judge:
    """The thread that judges whatever has arrived, together."""

    def __init__(self, judge: Callable[[Sequence[Answered]], list[Decision]], events: Events) -> None:
        self._judge, self._events = judge, events
        self._answers: queue.SimpleQueue[list[Answered] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="judge", daemon=True)
        self._thread.start()

    def put(self, answered: list[Answered]) -> None:
        """Have answers judged."""
        self._answers.put(answered)

    def end(self, *, wait: bool) -> None:
        """No more answers."""
        self._answers.put(None)
        if wait:
            self._thread.join()

    def _work(self) -> None:
        while (first := self._answers.get()) is not None:
            batch = list(first)
            while len(batch) < MOST_TOGETHER:
                try:
                    more = self._answers.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    self._answers.put(None)
                    break
                batch += more
            try:
                with boundary(AfsError, "judging failed"):
                    judged: list[Decision] | AfsError = self._judge(batch)
            except AfsError as error:
                judged = error
            self._events.put(Judged(judged, len(batch)))


def _call(job: CallJob) -> list[Completion]:
    provider, first = job.target.provider, job.requests[0]
    if isinstance(provider, BatchProvider) and not first.tools:
        return provider.complete_many([request.messages for request in job.requests], first.sampling)
    started = time.monotonic()
    completion = provider.complete(first.messages, first.sampling, first.tools)
    if not completion.seconds:
        completion = msgspec.structs.replace(completion, seconds=time.monotonic() - started)
    return [completion]
