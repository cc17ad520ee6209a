"""Reliability of judges and proposed items, as a report stores them."""

from __future__ import annotations

from afs.types import Value


class JudgeHealth(Value, frozen=True, kw_only=True):
    """Reliability of a judge on the answers with known truth."""

    judge: str
    votes: int
    abstained: int
    sensitivity: float | None
    """How often it says yes to a right answer."""
    specificity: float | None
    """How often it says no to a wrong one."""
    flip_rate: float | None
    """How often its pairwise choice follows the order; None: no pairs."""
    note: str = ""


class Twin(Value, frozen=True, kw_only=True):
    """A proposal to add items of this family, because the judges disagree on this one."""

    family: str
    item: str
    model: str
    chance: float
    """Probability, by the panel, that the answer is right."""
