"""Groups of records that belong together because they share a question, a cluster or a near copy."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from afs.curate import shingles


class GroupLinks:
    """What groups share, kept as two numbers per record: there may be millions."""

    def __init__(self) -> None:
        self._shared, self._groups = array("Q"), array("Q")

    def add(self, group: str, shared: bytes) -> None:
        """A group holds this question, or this cluster."""
        self._groups.append(_number(group.encode("utf-8", "replace")))
        self._shared.append(_number(shared))

    def find_components(self, groups: Iterable[str]) -> list[set[str]]:
        """The groups that are linked over any number of steps, as sets of several."""
        links = self._find_links()
        if not links:
            return []
        members = {number for link in links for number in link}
        names: dict[int, str] = {}
        for group in groups:
            number = _number(group.encode("utf-8", "replace"))
            if number in members:
                names[number] = group
        return merge_sets({names[number] for number in link if number in names} for link in links)

    def _find_links(self) -> list[set[int]]:
        """Sets of groups that share one thing."""
        shared, groups = np.array(self._shared, np.uint64), np.array(self._groups, np.uint64)
        order = np.argsort(shared, kind="stable")
        key = shared[order]
        places = shingles.repeated_places(key)
        parts = np.split(groups[order][places], np.flatnonzero(np.diff(key[places])) + 1)
        return [found for part in parts if len(found := set(part.tolist())) > 1]


def _number(value: bytes) -> int:
    return int.from_bytes(blake2b(value, digest_size=8).digest(), "little")


def merge_sets(sets: Iterable[set[str]]) -> list[set[str]]:
    """Sets that share a member as one."""
    every = list(sets)
    first: dict[str, int] = {}
    pairs = [(first.setdefault(member, number), number) for number, members in enumerate(every) for member in members]
    found: dict[int, set[str]] = {}
    for leader, members in zip(find_leaders(len(every), pairs), every, strict=True):
        found.setdefault(leader, set()).update(members)
    return list(found.values())


def find_leaders(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """For every number the least one it is joined with, over any number of steps."""
    above = list(range(count))

    def root(number: int) -> int:
        while above[number] != number:
            above[number] = above[above[number]]
            number = above[number]
        return number

    for a, b in pairs:
        first, second = sorted((root(a), root(b)))
        above[second] = first
    return [root(number) for number in range(count)]
