"""One budget a day for all runs of a workspace, also when several run at once, die, or run over midnight."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from afs.model_calls.budget import Budget
from afs.model_calls.day_budget import DayBudget
from afs.model_calls.store import NANO, CallStore, LedgerRow, Piece

NOON = 1_800_000_000.0 - 1_800_000_000.0 % 86400 + 43200


class Ledger:
    """A run with its ledger: every call reserves its worst case, then costs less."""

    def __init__(self, root: Path, name: str, cap: float) -> None:
        self.store = CallStore(root / "campaigns" / name / "calls.db")
        self.day = DayBudget(root, self.store.path, int(cap * NANO))
        self.budget = Budget(None, day=self.day)

    def call(self, worst: int, cost: int) -> bool:
        """One call; False when the day's budget refuses it."""
        if not self.budget.reserve(worst):
            return False
        with self.store.transaction():
            number = self.store.ask(Piece(0, "k", "c", b""), "m", worst, 1)
        with self.store.transaction():
            self.store.enter(LedgerRow(number, "answered", cost))
        self.budget.settle(worst, cost)
        return True

    def die(self) -> None:
        """End without giving anything back."""
        self.store.close()


def test_two_runs_at_once_never_pass_the_cap_and_use_it(tmp_path: Path) -> None:
    spent, lock = [0], threading.Lock()

    def work(name: str) -> None:
        run, chance = Ledger(tmp_path, name, 1.0), random.Random(name)
        while True:
            cost = chance.randrange(2_000_000, 10_000_000)
            if not run.call(10_000_000, cost):
                break
            with lock:
                spent[0] += cost
        run.budget.close()
        run.store.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.8 * NANO < spent[0] <= NANO
    late = Ledger(tmp_path, "c", 1.0)
    while late.call(10_000_000, 10_000_000):
        spent[0] += 10_000_000
    assert 0.98 * NANO < spent[0] <= NANO, "what was given back is there for the next"


def test_a_dead_run_is_charged_what_its_ledger_says(tmp_path: Path) -> None:
    dead = Ledger(tmp_path, "dead", 1.0)
    assert dead.call(10_000_000, 4_000_000)
    dead.budget.reserve(10_000_000)
    with dead.store.transaction():
        dead.store.ask(Piece(0, "k", "c", b""), "m", 10_000_000, 1)
    alive = Ledger(tmp_path, "alive", 1.0)
    assert not alive.call(900_000_000, 900_000_000), "the other may still spend what it drew"
    dead.die()
    assert alive.call(900_000_000, 900_000_000)
    assert alive.day.left() == NANO - 900_000_000 - 4_000_000 - 10_000_000, "a call in flight at its worst case"
    assert not alive.call(90_000_000, 1)
    assert "$1 a day would be exceeded: $0.0860 is left today" in alive.budget.refusal("m", 90_000_000)


def test_what_was_spent_before_there_was_a_cap_counts(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "runs" / "r" / "calls.db")
    with store.transaction():
        number = store.ask(Piece(0, "k", "c", b""), "m", None, 1)
        store.enter(LedgerRow(number, "answered", NANO // 2))
    store.close()
    run = Ledger(tmp_path, "a", 1.0)
    assert not run.call(NANO // 2 + 1, 1) and run.call(NANO // 2, 1)


def test_a_new_day_has_its_own_budget(tmp_path: Path) -> None:
    now = [NOON]
    store = CallStore(tmp_path / "campaigns" / "a" / "calls.db")
    day = DayBudget(tmp_path, store.path, NANO, clock=lambda: now[0])
    assert day.reserve(NANO) and not day.reserve(1)
    now[0] += 86400
    assert not day.reserve(1), "a call in flight over midnight still counts"
    day.settle(NANO, 1)
    assert day.reserve(NANO - 1) and not day.reserve(1)
