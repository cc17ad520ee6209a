"""The engine waits for its slow parts instead of asking them again and again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from afs.model_calls.engine import Engine
from afs.model_calls.store import CallStore, Piece, State
from afs.model_calls.work_protocol import Answered, Decision, Knobs, Request
from afs.providers.base import Sampling

ROUNDS = 60
"""Far fewer than the thousands that a loop without a wait makes in the time one verdict takes."""


class SlowJudge:
    """A work of known answers whose judge takes its time with the first batch."""

    def __init__(self, store: CallStore, rounds: threading.Event) -> None:
        self._store, self._rounds = store, rounds
        self._after = 0
        self.ended = 0

    def claim(self, count: int) -> list[Piece]:
        pieces = self._store.claim("a", self._after, count)
        self._after = max([self._after, *(piece.id for piece in pieces)])
        return pieces

    def request(self, piece: Piece) -> Request:
        return Request((), Sampling(), (), ())

    def judge(self, answered: Sequence[Answered]) -> list[Decision]:
        self._rounds.wait(0.2)  # ends at once where the loop goes round without waiting
        return [Decision(answer.piece, "accepted") for answer in answered]

    def settled(self, piece: Piece, state: State) -> None:
        self.ended += state == "accepted"


def test_the_loop_sleeps_while_the_judge_is_behind(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "calls.db")
    with store.transaction():
        store.add("a", [(str(number), b"") for number in range(2_000)])
    rounds, too_many = [0], threading.Event()

    def count() -> None:
        rounds[0] += 1
        if rounds[0] > ROUNDS:
            too_many.set()

    work = SlowJudge(store, too_many)
    Engine(store, work, knobs=lambda: Knobs(concurrency=4), stop=count).run()
    store.close()
    assert work.ended == 2_000
    assert not too_many.is_set(), f"{rounds[0]} rounds"
