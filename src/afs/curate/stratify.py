"""Stratified sides: every family gets its share of each side by moving new groups; known groups stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

_TOLERANCE = 0.1
"""Relative deviation of a side from its share that is left alone: large strata are even by themselves."""
_TRAIN = "train"


class Group(NamedTuple):
    """Records that stay together: key, size, the side they would be on, and whether they are new."""

    key: str
    size: int
    side: str
    is_new: bool


def is_even(sizes: Counter[str], shares: Mapping[str, float]) -> bool:
    """Whether the held-out sides of a family, with so many records each, have their share of it."""
    return all(
        abs(_gap(sizes, side, share)) <= _tolerance(sizes, share) for side, share in shares.items() if side != _TRAIN
    )


def balance_sides(groups: list[Group], shares: Mapping[str, float]) -> dict[str, str]:
    """Group -> another side, so that the held-out sides of a family have their share of its records."""
    order = sorted(groups, key=_by_chance)
    moves: dict[str, str] = {}
    for side, share in shares.items():
        if side != _TRAIN:
            moves |= _balance_side(order, side, share, moves)
    return moves


def _balance_side(groups: list[Group], side: str, share: float, moves: Mapping[str, str]) -> dict[str, str]:
    """The moves between one side and training, each of which brings the side nearer to its share."""
    sizes = Counter[str]()
    for group in groups:
        sizes[moves.get(group.key, group.side)] += group.size
    gap, enough = _gap(sizes, side, share), _tolerance(sizes, share)
    giving, taking = (_TRAIN, side) if gap > 0 else (side, _TRAIN)
    gap = abs(gap)
    found: dict[str, str] = {}
    for group in groups:
        if gap <= enough:
            break
        if group.is_new and moves.get(group.key, group.side) == giving and group.size < 2 * gap:
            found[group.key] = taking
            gap -= group.size
    return found


def _gap(sizes: Counter[str], side: str, share: float) -> float:
    return share * sizes.total() - sizes[side]


def _tolerance(sizes: Counter[str], share: float) -> float:
    return max(0.5, _TOLERANCE * share * sizes.total())


def _by_chance(group: Group) -> bytes:
    return blake2b(group.key.encode("utf-8", "replace"), digest_size=8, person=b"strata").digest()
