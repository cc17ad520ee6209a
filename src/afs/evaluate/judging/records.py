"""What is found out about judges, as records that a report keeps."""

from __future__ import annotations

from afs.types import Value


class JudgeHealth(Value, frozen=True, kw_only=True):
    """What a judge is worth, measured on the answers of known truth."""

    judge: str
    votes: int
    abstained: int
    sensitivity: float | None
    """How often it says yes to a right answer."""
    specificity: float | None
    """How often it says no to a wrong one."""
    flip_rate: float | None
    """How often its choice between two follows their order; None: not asked."""
    note: str = ""


class Twin(Value, frozen=True, kw_only=True):
    """A proposal: make new items of this family, because judges are at odds about this one."""

    family: str
    item: str
    model: str
    chance: float
    """That the answer is right, as the panel sees it."""
