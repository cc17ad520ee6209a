"""Which side a record is on: by a hash of its group and what its family lacks; data added later moves nothing."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Literal

import msgspec

from afs import datasets
from afs.config import Config
from afs.curate.group_keys import CLUSTER, KEYS, family_of
from afs.curate.group_links import GroupLinks
from afs.curate.stratify import Group, balance_sides, is_even
from afs.curate.text_keys import question_key
from afs.errors import ConfigError
from afs.types import Curation, Dataset, Dropped, Record
from afs.workspace import Workspace

_ROUNDED = 0.001
"""Tolerance of the sum, for shares such as 0.333."""
SCHEMA = 2
"""Version of `curation.json`; before 2 a record without a group was a group of its own."""
_MOST_LINKED = 0.5
"""Groups that are this share of all records and still linked cannot be divided: they are left where they are."""
_SMALL = 8
"""Groups up to this size are never too large for a side."""


class SplitRule(Config, frozen=True, kw_only=True):
    """How a dataset is divided."""

    train: float = 0.8
    """Share of the training side."""
    val: float = 0.1
    """Share of the validation side."""
    test: float = 0.1
    """Share of the test side."""
    counts: dict[str, int] = {}
    """Exact counts per side, e.g. `{ train = 24000, val = 2000, test = 2000 }`: they replace the shares."""
    by: Literal["group", "family", "wording"] = "group"
    """What stays together: `group` (source or task group; groups that share questions or near copies), `family` (whole
    task families), or `wording`: for sets of facts, whose held-out sides ask known facts in other words."""

    def shares(self) -> tuple[tuple[str, float], ...]:
        """Side -> share, the held-out sides first, so that a larger training share never takes from them."""
        wanted: Mapping[str, float] = self.counts or {"test": self.test, "val": self.val, "train": self.train}
        unknown = set(wanted) - {"train", "val", "test"}
        if unknown:
            raise ConfigError("split.counts", f"sides are train, val and test, got {', '.join(sorted(unknown))}")
        total = sum(wanted.values())
        if total <= 0 or min(wanted.values()) < 0:
            raise ConfigError("split", "want shares of zero or more, at least one above zero")
        if not self.counts and abs(total - 1) > _ROUNDED:
            before_rule = ", ".join(f"{name} {share:g}" for name, share in wanted.items())
            raise ConfigError("split", f"want shares that add up to 1, got {total:g} ({before_rule})")
        return tuple((name, wanted.get(name, 0) / total) for name in ("test", "val", "train"))


class Sides:
    """The side of every record: by the hash of its group, unless the group was moved.

    A source group larger than a whole held-out side is trained on and new groups go where their family lacks
    records; a group that had a side in the last version of the dataset keeps it.
    """

    def __init__(self, split: SplitRule) -> None:
        self._split, self._shares = split, split.shares()
        self.key: Callable[[Record], str] = KEYS[split.by]
        """What stays together with a record."""
        self._placed = functools.lru_cache(maxsize=1 << 16)(lambda key: _side_by_hash(key, self._shares))
        self._fixed: dict[str, str] = {}
        self._evened: dict[str, str] = {}
        self._sizes: Counter[str] = Counter()
        self._families: dict[str, str] = {}
        self._last: Dataset | None = None
        self._links = GroupLinks()
        self.unlinked = 0
        """Sets of linked groups too large for one side."""

    def __call__(self, record: Record) -> str:
        """The side of a record."""
        return self._side(self.key(record))

    def _side(self, key: str) -> str:
        return self._fixed.get(key) or self._evened.get(key) or self._placed(key)

    def follow(self, workspace: Workspace, name: str) -> None:
        """Keep the sides of the dataset's last version, if it was divided by the same rule."""
        if not workspace.versions("dataset", name):
            return
        before = datasets.load(workspace, name, "dataset")
        curation = datasets.load_curation(workspace, before)
        if curation is not None and _rule_of(curation) == self._split:
            self._last = before
            self._fixed |= curation.sides
            if curation.schema < SCHEMA:
                self.remember(workspace)

    def count(self, record: Record) -> None:
        """A record that will be divided: how large the groups are decides where they go."""
        key = self.key(record)
        self._sizes[key] += 1
        if key not in self._families:
            self._families[key] = family_of(record)
        if self._split.by == "group":
            self._links.add(key, question_key(record))
            for tag in record.tags if record.task is None else ():
                if tag.startswith(CLUSTER):
                    self._links.add(key, tag.encode())

    def settle(self, workspace: Workspace) -> None:
        """Give every family its share of each side, and train on what would fill a held-out side by itself."""
        if self._split.by == "family" or not dict(self._shares)["train"]:
            return
        self.link(self._links.find_components(self._sizes), workspace)
        if self._last is not None and (self._oversized_groups() or self._stratify()):
            self.remember(workspace)
        self._fixed |= self._oversized_groups()
        self._evened = self._stratify()

    def _oversized_groups(self) -> dict[str, str]:
        """The groups that would fill a held-out side by themselves, while another is left there: they train."""
        total, shares = self._sizes.total(), dict(self._shares)
        large: dict[str, list[str]] = {"test": [], "val": []}
        several = [key for key, size in self._sizes.items() if size > _SMALL and key not in self._fixed]
        for key in sorted(several, key=lambda key: (-self._sizes[key], key)):
            side = _side_by_hash(key, self._shares)
            if side in large and self._sizes[key] > max(_SMALL, shares[side] * total):
                large[side].append(key)
        if not any(large.values()):
            return {}
        there = Counter(_side_by_hash(key, self._shares) for key in self._sizes if key not in self._fixed)
        moved_groups = (keys if there[side] > len(keys) else keys[:-1] for side, keys in large.items())
        return {key: "train" for keys in moved_groups for key in keys}

    def _stratify(self) -> dict[str, str]:
        """The groups that make every family's sides even."""
        shares = dict(self._shares)
        sizes: dict[str, Counter[str]] = defaultdict(Counter)
        for key, size in self._sizes.items():
            sizes[self._families[key]][self._side(key)] += size
        strata: dict[str, list[Group]] = {name: [] for name, found in sizes.items() if not is_even(found, shares)}
        for key, size in self._sizes.items() if strata else ():
            if (name := self._families[key]) in strata:
                strata[name].append(Group(key, size, self._side(key), key not in self._fixed))
        return {key: side for groups in strata.values() for key, side in balance_sides(groups, shares).items()}

    def remember(self, workspace: Workspace) -> None:
        """Every group of the last version stays where it was."""
        if self._last is not None:
            for split in self._last.splits:
                for record in datasets.read(workspace, self._last, split.name):
                    self._fixed[self.key(record)] = split.name

    def link(self, sets: Iterable[set[str]], workspace: Workspace) -> None:
        """Put each set of groups on one side: what they share is never on two; sets of most of the data are counted."""
        if self._split.by != "group":
            return
        linked = sorted((found for found in sets if len(found) > 1), key=min)
        if linked:
            self.remember(workspace)
        total, shares = self._sizes.total(), dict(self._shares)
        for found in linked:
            size = sum(self._sizes[key] for key in found)
            if size > _MOST_LINKED * total:
                self.unlinked += 1
                continue
            held_out = max(_SMALL, min(shares["test"] or 1, shares["val"] or 1) * total)
            if size > held_out and not found & self._fixed.keys():
                self._fixed |= dict.fromkeys(found, "train")
            self.join(found)

    def join(self, keys: Collection[str]) -> None:
        """Put these on one side; what already has its side keeps it, and the others follow a held-out one first."""
        fixed = {self._fixed[key] for key in keys if key in self._fixed}
        where = next((side for side, _ in self._shares if side in fixed), "") or self._side(min(keys))
        for key in keys:
            self._fixed.setdefault(key, where)

    def moved_groups(self) -> dict[str, str]:
        """The groups that are not where their hash would put them."""
        known = self._evened | self._fixed
        return {key: side for key, side in sorted(known.items()) if side != _side_by_hash(key, self._shares)}


def _rule_of(curation: Curation) -> SplitRule:
    """How an earlier version was divided."""
    return msgspec.convert(curation.config.get("split", {}), SplitRule)


def _side_by_hash(key: str, shares: tuple[tuple[str, float], ...]) -> str:
    point = int.from_bytes(blake2b(key.encode("utf-8", "replace"), digest_size=8).digest(), "big") / 2**64
    for name, share in shares:
        point -= share
        if point < 0:
            return name
    return shares[-1][0]


def divide_records(
    records: Iterable[Record], split: SplitRule, side: Callable[[Record], str]
) -> Iterator[tuple[str, Record | Dropped]]:
    """(side, record); exact counts when they are given."""
    chosen = _choose_records(records, split, side) if split.counts else None
    for record in records:
        where = side(record)
        if chosen is None or record.id in chosen[where]:
            yield where, record
        else:
            detail = f"{where}: {split.counts.get(where, 0)}"
            yield where, Dropped(record=record, reason="over the count", detail=detail)


def _choose_records(records: Iterable[Record], split: SplitRule, side: Callable[[Record], str]) -> dict[str, set[str]]:
    """The records that fill the counts, evenly over the families, always the same ones first."""
    strata: dict[str, dict[str, list[tuple[bytes, str]]]] = {n: defaultdict(list) for n in ("train", "val", "test")}
    for record in records:
        mark = blake2b(record.id.encode(), digest_size=8).digest()
        strata[side(record)][family_of(record)].append((mark, record.id))
    return {where: set(_fill_count(found, split.counts.get(where, 0))) for where, found in strata.items()}


def _fill_count(strata: dict[str, list[tuple[bytes, str]]], count: int) -> list[str]:
    sizes = {name: len(items) for name, items in strata.items()}
    quota = largest_remainder(sizes, min(count, sum(sizes.values())))
    return [key for name, items in sorted(strata.items()) for _, key in sorted(items)[: quota[name]]]


def largest_remainder(weights: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers in proportion to the weights that add up to `total` exactly."""
    whole = sum(weights.values())
    if not whole:
        return dict.fromkeys(weights, 0)
    exact = {name: weight * total / whole for name, weight in weights.items()}
    given = {name: int(value) for name, value in exact.items()}
    rest = sorted(exact, key=lambda name: (given[name] - exact[name], name))
    for name in rest[: total - sum(given.values())]:
        given[name] += 1
    return given


def shortfall(counts: Counter[str], split: SplitRule) -> dict[str, int]:
    """Side -> records missing from the count that was asked for; a side with a share must not be empty."""
    if split.counts:
        return {where: n - counts[where] for where, n in split.counts.items() if counts[where] < n}
    return {where: 1 for where, share in split.shares() if share > 0 and not counts[where]}
