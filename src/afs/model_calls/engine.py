"""Calls models for pieces of work: admits, sends, records, retries, falls back, and stops in time.

One thread owns the file and every decision; other threads only call and judge. Nothing sleeps inside a call: a piece
that must wait is admitted later, and a model that must rest leaves its turn to the next of the chain. What happens
between two commits is committed together, and a call is sent only after its row is on the disk.
"""

from __future__ import annotations

import heapq
import itertools
import math
import queue
import random
import time
from collections import deque
from collections.abc import Callable, Sequence

from afs.errors import AfsError, ProviderError
from afs.model_calls.budget import Budget
from afs.model_calls.outage_check import failed_row, is_serving, no_model_error
from afs.model_calls.store import CallStore, LedgerRow, Piece, State, to_nano
from afs.model_calls.target import Target
from afs.model_calls.work_protocol import Answered, Knobs, Pulse, Request, Work
from afs.model_calls.workers import MOST_TOGETHER, Callers, CallJob, Events, Judge, Judged, Returned
from afs.providers.failures import CallError

GATHER_S = 0.005
"""How long answers are gathered for one commit: a sync of the disk takes as long."""
LONG_WAIT_S = 60.0
"""A model that rests longer leaves its turn to the next of the chain."""
NO_MODEL = "rejected by every model"
"""Why a piece failed that each model of its chain rejected."""
_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0
_IDLE_S = 0.5
_KNOWN_AT_ONCE = 1024
"""Pieces that need no call, taken in one commit."""
_UNPLACED = 16
"""Ready pieces tried in one round although none can be placed: their chains may differ."""


class Engine:
    """One run over one store."""

    def __init__(
        self,
        store: CallStore,
        work: Work,
        *,
        budget: Budget | None = None,
        knobs: Callable[[], Knobs] = Knobs,
        stop: Callable[[], None] = lambda: None,
        on_pulse: Callable[[Pulse], None] = lambda _: None,
    ) -> None:
        self.store, self.work = store, work
        self.budget = budget or Budget(None)
        self._read_knobs, self._check_stop, self._on_pulse = knobs, stop, on_pulse
        self.knobs = knobs()
        self._events: Events = queue.SimpleQueue()
        self._waiting: list[tuple[float, int, Piece]] = []
        self._ready: deque[Piece] = deque()
        self._numbers = itertools.count()
        self._in_flight = self._judging = 0
        self._is_all_claimed = False
        self._is_judge_behind = False
        self._retry_at = 0.0
        self._blocked_since: float | None = None
        """Since when nothing was answered and nothing could be called."""
        self._is_checked = False
        """Whether a control call was made in this outage."""
        self._stop: AfsError | None = None
        self._no_money = ""
        self._targets: dict[int, Target] = {}
        self._requests: dict[int, Request] = {}

    def run(self, unjudged: Sequence[Answered] = ()) -> None:
        """Until every piece has ended, or raises why it cannot: what was answered is stored either way.

        `unjudged` are answers that an earlier run paid for and did not judge.
        """
        self._callers, self._judge = Callers(self._events), Judge(self.work.judge, self._events)
        is_clean = False
        try:
            self._send_to_judge(unjudged)
            self._loop()
            is_clean = True
        finally:
            is_clean = is_clean or not self._in_flight
            self._callers.end(wait=is_clean)
            self._judge.end(wait=is_clean)
        if self._stop is not None:
            raise self._stop

    def _loop(self) -> None:
        pulse_at = 0.0
        while True:
            events = self._gather()
            now = time.monotonic()
            jobs: list[CallJob] = []
            answered: list[Answered] = []
            known: list[Answered] = []
            with self.store.transaction():
                for event in events:
                    if isinstance(event, Returned):
                        answered += self._take(event, now)
                    else:
                        self._decide(event, now)
                if self._may_admit():
                    self._admit(now, jobs, known, self._judging + len(answered))
            for job in jobs:
                self._callers.put(job, self._in_flight)
            self._send_to_judge(answered + known)
            is_finished = self._is_finished(now)
            if is_finished or now - pulse_at >= 1.0:
                pulse_at = now
                self._pulse()
            if is_finished:
                return

    def _gather(self) -> list[Returned | Judged]:
        """What came since the last commit; waits for the first, and then a moment for others."""
        events: list[Returned | Judged] = []
        timeout = self._wait_s()
        try:
            events.append(self._events.get(timeout=timeout) if timeout > 0 else self._events.get_nowait())
        except queue.Empty:
            return events
        until = time.monotonic() + (GATHER_S if self._in_flight > 8 else 0.0)
        while len(events) < MOST_TOGETHER:
            left = until - time.monotonic()
            try:
                events.append(self._events.get(timeout=left) if left > 0 else self._events.get_nowait())
            except queue.Empty:
                break
        return events

    def _wait_s(self) -> float:
        """How long nothing can be done unless something arrives."""
        now = time.monotonic()
        if self._stop is not None or self.knobs.is_paused or self._in_flight >= self.knobs.concurrency:
            return _IDLE_S if self._in_flight or self._judging or self._stop is None else 0.0
        moments = [now + _IDLE_S]
        if self._waiting:
            moments.append(self._waiting[0][0])
        if self._ready:
            moments.append(self._retry_at)
        elif self._is_judge_behind and self._judging:
            pass  # its next verdict is an event
        elif not self._is_all_claimed or not (self._in_flight or self._judging or self._waiting):
            return 0.0
        return max(0.0, min(moments) - now)

    def _may_admit(self) -> bool:
        if self._stop is None:
            try:
                self._check_stop()
            except AfsError as stop:
                self._stop = stop
        return self._stop is None and not self.knobs.is_paused

    def _is_finished(self, now: float) -> bool:
        if self._in_flight or self._judging:
            return False
        if self._stop is not None:
            return True
        if self._no_money:
            raise ProviderError(self._no_money)
        self._end_what_cannot_be_served()
        if self._ready:
            self._give_up_if_blocked(now)
        return self._is_all_claimed and not self._ready and not self._waiting

    def _give_up_if_blocked(self, now: float) -> None:
        """Nothing can be called: wait as long as the user allows, then say who is down and until when."""
        if self._blocked_since is None:
            self._blocked_since = now
        targets = self._targets_of(self._ready[0])
        soonest = min((target.closed_until for target in targets), default=math.inf) - now
        if soonest <= self.knobs.longest_outage_s - (now - self._blocked_since):
            return
        raise no_model_error(targets, soonest)

    def _end_what_cannot_be_served(self) -> None:
        """Pieces that fail again and again although the model serves another request are at fault themselves."""
        left = [*self._ready, *(piece for _, _, piece in self._waiting)]
        if not left or self._is_checked or not self._is_all_claimed:
            return
        if any(piece.busy < self.knobs.failures for piece in left):
            return
        self._is_checked = True
        target = next(iter(self._targets_of(left[0])), None)
        if target is None or target.is_spent or target.closed_until == math.inf:
            return
        if not is_serving(target, self.store, self.budget):
            return
        self._ready.clear()
        self._waiting.clear()
        with self.store.transaction():
            for piece in left:
                self._end(piece, "failed", piece.problem)
        self._blocked_since, self._is_checked = None, False

    def _pulse(self) -> None:
        self.knobs = self._read_knobs()
        waiting = len(self._ready) + len(self._waiting)
        self._on_pulse(Pulse(self._in_flight, self._judging, waiting, tuple(self._targets.values()), self.budget))

    def _admit(self, now: float, jobs: list[CallJob], known: list[Answered], backlog: int) -> None:
        """Send as many pieces as limits and money allow."""
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.append(heapq.heappop(self._waiting)[2])
        self._retry_at = now + _IDLE_S
        unplaced = 0
        self._is_judge_behind = False
        for _ in range(len(self._ready)):
            if self._in_flight >= self.knobs.concurrency or unplaced > _UNPLACED:
                break
            unplaced += not self._place(self._ready.popleft(), now, jobs, known)
        while not self._ready and self._in_flight < self.knobs.concurrency:
            if backlog + len(known) > (_KNOWN_AT_ONCE if known else 2 * self.knobs.concurrency + 64):
                self._is_judge_behind = True  # no more until it has caught up
                break
            pieces = self.work.claim(64 if jobs or not known else 256)
            self._is_all_claimed = not pieces
            if not pieces:
                break
            for piece in pieces:
                self._place(piece, now, jobs, known)

    def _request(self, piece: Piece) -> Request:
        request = self._requests.get(piece.id)
        if request is None:
            request = self._requests[piece.id] = self.work.request(piece)
        return request

    def _targets_of(self, piece: Piece) -> list[Target]:
        return [target for target in self._request(piece).targets if target.name not in piece.excluded]

    def _place(self, piece: Piece, now: float, jobs: list[CallJob], known: list[Answered]) -> bool:
        """Send a piece, end it, or put it back among the ready ones (False)."""
        request = self._request(piece)
        if not request.targets:
            self._requests.pop(piece.id, None)
            known.append(Answered(piece, None, 0))
            return True
        targets = self._targets_of(piece)
        if not targets:
            self._end(piece, "failed", NO_MODEL)
            return True
        tokens = targets[0].tokens_of(request.messages, request.sampling, request.tools)
        total = tokens + request.sampling.max_tokens
        target = self._choose(targets, now, total) if self._in_flight < self.knobs.concurrency else None
        if target is None or not self._can_pay(target, tokens, request.sampling.max_tokens, jobs):
            self._ready.append(piece)
            return False
        self._send(piece, target, tokens, jobs)
        return True

    def _choose(self, targets: Sequence[Target], now: float, tokens: int) -> Target | None:
        """The first that can be called now; later ones only while the earlier rest for long."""
        for target in targets:
            if id(target) not in self._targets:
                self._targets[id(target)] = target
                self._recall_rest(target, now)
            wait = target.ready_in(now, tokens)
            if wait <= 0:
                return target
            self._retry_at = min(self._retry_at, now + wait)
            if wait <= LONG_WAIT_S:
                return None
        return None

    def _recall_rest(self, target: Target, now: float) -> None:
        """A key without money rests until the reset its provider stated, also in the next run."""
        rest = self.store.fact(f"rest:{target.name}")
        if isinstance(rest, list) and 0 < float(rest[0]) - time.time() <= float(rest[1]):
            target.close(now + float(rest[0]) - time.time(), str(rest[2]))

    def _can_pay(self, target: Target, tokens: int, max_tokens: int, jobs: list[CallJob]) -> bool:
        """Reserve the worst case; when not even one call in flight could free money, say so and end."""
        if not self.budget.is_limited:
            return True
        worst = target.worst_nano(tokens, max_tokens)
        if worst is None:
            self._no_money = (
                f"{target.name}: its price is unknown, so no budget can be kept; state one in providers.toml"
            )
            return False
        if self.budget.reserve(worst):
            return True
        if not (self._in_flight or jobs or self._judging):
            self._no_money = self.budget.refusal(target.name, worst)
        return False

    def _send(self, piece: Piece, target: Target, tokens: int, jobs: list[CallJob]) -> None:
        request = self._requests[piece.id]
        worst = target.worst_nano(tokens, request.sampling.max_tokens)
        call = self.store.ask(piece, target.name, worst, request.sampling.max_tokens)
        total = tokens + request.sampling.max_tokens
        last = jobs[-1] if jobs and jobs[-1].target is target else None
        if last is not None and len(last.pieces) < target.group and _is_alike(last.requests[0], request):
            last.pieces.append(piece)
            last.requests.append(request)
            last.calls.append(call)
            last.worst.append(worst)
            last.tokens.append(total)
            return
        target.start(total)
        self._in_flight += 1
        jobs.append(CallJob([piece], [request], target, [call], [worst], [total]))

    def _take(self, event: Returned, now: float) -> list[Answered]:
        """File a call that came back; what can be judged."""
        job, outcome = event.job, event.outcome
        self._in_flight -= 1
        if isinstance(outcome, CallError):
            job.target.fail(outcome, job.tokens[0], event.sent)
            if outcome.kind == "spent" and outcome.wait_s is not None:
                rest = [time.time() + outcome.wait_s, outcome.wait_s, str(outcome)]
                self.store.note(f"rest:{job.target.name}", rest)
            for place, piece in enumerate(job.pieces):
                self._file_failure(job, place, outcome, now - event.sent)
                self._after_failure(piece, outcome, job.target, now)
            return []
        job.target.succeed(outcome[0], event.sent, job.tokens[0])
        self._blocked_since, self._is_checked = None, False
        found = []
        for piece, call, worst, completion in zip(job.pieces, job.calls, job.worst, outcome, strict=True):
            self._requests.pop(piece.id, None)
            cost = completion.usage.cost_usd
            nano = None if cost is None else to_nano(cost)
            self.budget.settle(worst, nano)
            job.target.spent += (worst or 0) if nano is None else nano
            self.store.enter(
                LedgerRow(call, "answered", nano, completion.seconds, completion, prices=job.target.price_source)
            )
            piece.tries += 1
            piece.busy = 0
            self.store.settle(piece, "answered")
            found.append(Answered(piece, completion, call, job.target.name, nano))
        return found

    def _file_failure(self, job: CallJob, place: int, error: CallError, seconds: float) -> None:
        """A rejected call costs nothing; one that was charged, or may have been, is written so."""
        row = failed_row(job.calls[place], error, seconds, job.target.price_source)
        self.budget.settle(job.worst[place], row.cost)
        job.target.spent += (job.worst[place] or 0) if row.cost is None else row.cost
        self.store.enter(row)

    def _after_failure(self, piece: Piece, error: CallError, target: Target, now: float) -> None:
        if error.kind == "task" or error.retry is False:
            piece.excluded.add(target.name)
        if error.kind not in ("busy", "bad"):
            self._again(piece, now)
            return
        if not piece.busy:
            piece.mark = target.answered
        piece.busy += 1
        piece.problem = str(error)[:300]
        others = target.answered - piece.mark  # without any, it is an outage: then the piece stays open
        enough = self.knobs.failures
        if piece.busy >= enough and (error.kind == "bad" or others >= enough):
            self._end(piece, "failed", piece.problem)
            return
        backoff = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** (piece.busy - 1)) * random.uniform(0.5, 1.0)
        self._again(piece, now + max(backoff, error.wait_s or 0.0) if error.kind == "busy" else now)

    def _again(self, piece: Piece, at: float) -> None:
        self.store.settle(piece, "open")
        heapq.heappush(self._waiting, (at, next(self._numbers), piece))

    def _send_to_judge(self, answered: Sequence[Answered]) -> None:
        for start in range(0, len(answered), MOST_TOGETHER):
            part = list(answered[start : start + MOST_TOGETHER])
            self._judging += len(part)
            self._judge.put(part)

    def _decide(self, event: Judged, now: float) -> None:
        self._judging -= event.answers
        if isinstance(event.decisions, AfsError):
            self._stop = self._stop or event.decisions
            return
        for piece, state, note in event.decisions:
            if state == "open":
                self._again(piece, now)
                self.work.settled(piece, state)
            else:
                self._end(piece, state, note)

    def _end(self, piece: Piece, state: State, note: str) -> None:
        self._requests.pop(piece.id, None)
        self.store.settle(piece, state, note)
        self.work.settled(piece, state)
        self._is_all_claimed = False


def _is_alike(first: Request, second: Request) -> bool:
    """Whether two conversations can be given to a model together."""
    return first.sampling == second.sampling and not first.tools and not second.tools
