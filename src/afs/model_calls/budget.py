"""Money: a call is sent only when its worst case still fits under every cap, so a cap cannot be passed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from afs.errors import ConfigError
from afs.model_calls.day_budget import DayBudget, spelled
from afs.model_calls.provider_settings import read_providers
from afs.model_calls.store import NANO, CallStore, to_nano
from afs.model_calls.target import Target


class Budget:
    """What was spent, what is reserved for calls in flight, and the caps of this run and of the day."""

    def __init__(self, cap_usd: float | None, spent: int = 0, *, day: DayBudget | None = None) -> None:
        self.cap = None if cap_usd is None else to_nano(cap_usd)
        self.day = day
        self.spent = spent
        self.reserved = 0

    @property
    def is_limited(self) -> bool:
        """Whether there is any cap."""
        return self.cap is not None or self.day is not None

    def reserve(self, worst: int) -> bool:
        """Set the worst case of a call aside; False when it does not fit."""
        if self.cap is not None and self.spent + self.reserved + worst > self.cap:
            return False
        if self.day is not None and not self.day.reserve(worst):
            return False
        self.reserved += worst
        return True

    def settle(self, worst: int | None, cost: int | None) -> None:
        """A call ended; an unknown cost counts as the worst case."""
        paid = (worst or 0) if cost is None else cost
        self.reserved -= (worst or 0) if self.is_limited else 0
        self.spent += paid
        if self.day is not None:
            self.day.settle(worst or 0, paid)

    def refusal(self, model: str, worst: int) -> str:
        """Why the next call is not made."""
        if self.cap is not None and self.spent + worst > self.cap:
            text = f"the budget of ${self.cap / NANO:g} would be exceeded: {spelled(self.spent)} is spent"
        else:
            cap = 0 if self.day is None else self.day.cap
            left = 0 if self.day is None else max(0, self.day.left())
            text = f"the workspace's budget of ${cap / NANO:g} a day would be exceeded: {spelled(left)} is left today"
        return f"{text}, and a call to {model} costs up to {spelled(worst)}. Raise the budget and rerun to resume"

    def change_cap(self, cap_usd: float) -> None:
        """Another cap from now on."""
        self.cap = to_nano(cap_usd)

    def close(self) -> None:
        """Give the rest of what was drawn of the day's budget back."""
        if self.day is not None:
            self.day.close()


def open_budget(root: Path, store: CallStore, cap_usd: float | None) -> Budget:
    """The caps of a run: its own, or those of providers.toml."""
    caps = read_providers(root).budget
    day = None if caps.day_usd is None else DayBudget(root, store.path, to_nano(caps.day_usd))
    return Budget(cap_usd if cap_usd is not None else caps.run_usd, store.spent_since(0.0), day=day)


def refuse_unpriced(budget: Budget, targets: Iterable[Target]) -> None:
    """No budget can be kept over a model without a price."""
    for target in targets if budget.is_limited else ():
        if target.worst_cost(1, 1) is None:
            raise ConfigError(
                "budget_usd",
                f"the price of {target.name} is unknown, so no budget can be kept",
                hint=f'state it in providers.toml: [models."{target.name}"] price = {{ input = …, output = … }}',
            )
