"""Money: a call is sent only when its worst case still fits under every cap, so a cap cannot be passed."""

from __future__ import annotations

from afs.model_calls.store import NANO


def to_nano(usd: float) -> int:
    """Dollars as the ledger counts them."""
    return round(usd * NANO)


class Budget:
    """What was spent, what is reserved for calls in flight, and the caps."""

    def __init__(self, cap_usd: float | None, spent: int = 0, *, day_usd: float | None = None, today: int = 0) -> None:
        self.cap = None if cap_usd is None else to_nano(cap_usd)
        self.day_cap = None if day_usd is None else to_nano(day_usd)
        self.spent, self.today = spent, today
        self.reserved = 0

    @property
    def is_limited(self) -> bool:
        """Whether there is any cap."""
        return self.cap is not None or self.day_cap is not None

    def reserve(self, worst: int) -> bool:
        """Set the worst case of a call aside; False when it does not fit."""
        for cap, spent in ((self.cap, self.spent), (self.day_cap, self.today)):
            if cap is not None and spent + self.reserved + worst > cap:
                return False
        self.reserved += worst
        return True

    def settle(self, worst: int | None, cost: int | None) -> None:
        """A call ended; an unknown cost counts as the worst case."""
        paid = (worst or 0) if cost is None else cost
        self.reserved -= (worst or 0) if self.is_limited else 0
        self.spent += paid
        self.today += paid

    def refusal(self, model: str, worst: int) -> str:
        """Why the next call is not made."""
        caps = ((self.cap, self.spent, ""), (self.day_cap, self.today, " a day"))
        text = "; ".join(
            f"the budget of ${cap / NANO:g}{name} would be exceeded: ${spent / NANO:.4f} is spent"
            for cap, spent, name in caps
            if cap is not None and spent + worst > cap
        )
        return f"{text}, and a call to {model} costs up to ${worst / NANO:.4f}. Raise the budget and rerun to resume"

    def change_cap(self, cap_usd: float) -> None:
        """Another cap from now on."""
        self.cap = to_nano(cap_usd)
