"""The step `dedup`: equal and near-equal records once, the best of each group kept, with who replaced whom and why.

Removed is what is equal in its plain form, what is equal after renaming its own labels, and what is at least `remove`
alike with the same entities. What is alike from `group` up gets a cluster tag and, if asked for, a cap per cluster.
"""

from __future__ import annotations

import functools
from array import array
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec
import numpy as np

from afs.config import Config, Count, Fraction
from afs.curate import near_duplicates
from afs.curate.alpha_equivalence import are_same_program
from afs.curate.code_normalization import Form, parse
from afs.curate.entity_comparison import are_same_facts
from afs.curate.group_keys import CLUSTER
from afs.curate.group_links import merge_sets
from afs.curate.minhash_kernel import kernel
from afs.curate.step_context import Records, StepContext
from afs.datasets import message_text
from afs.types import Dropped, Json, Message, Record

_LINKED = 0.7
"""Similarity from which two records that stay are kept on one side of the split."""


class Dedup(Config, frozen=True, kw_only=True):
    """Remove duplicates and near duplicates."""

    remove: Fraction = 0.55
    """Least similarity (exact Jaccard of word pairs) at which a record with the same entities is a copy."""
    group: Fraction = 0.5
    """Least similarity that makes a cluster."""
    cap: Count = 0
    """Most records of one cluster that stay; 0: all of them."""
    similar: bool = True
    """Look for near duplicates, not only for exact ones."""

    def __call__(self, records: Records, context: StepContext) -> Iterator[Record | Dropped]:
        """The best record of every group of copies; the others dropped, naming the one that stays."""
        return self.remove_copies(records, context)

    def remove_copies(
        self, records: Records, context: StepContext, known: near_duplicates.TextSet | None = None
    ) -> Iterator[Record | Dropped]:
        """The same with texts that were sketched before, if they are `known`."""
        with known or near_duplicates.Corpus(context.run.folder, jobs=context.workspace.jobs) as corpus:
            search = self._search_copies(records, corpus, context)
        groups: list[Json] = []
        for number, record in enumerate(records):
            copy = search.copies.get(number)
            if copy is None:
                yield _tag_cluster(record, search.clusters.get(number))
                continue
            kept = search.name(copy.kept)
            groups.append({"dropped": record.id, "kept": kept, "rule": copy.rule, "similarity": copy.similarity})
            yield Dropped(record=record, reason=f"duplicate: {copy.rule}", detail=f"{copy.similarity:.2f} of {kept}")
        context.keep("duplicates.jsonl", groups)
        rules = Counter(str(row["rule"]) for row in groups)
        clusters = len(set(search.clusters.values()))
        context.note(
            "dedup", **rules, clusters=clusters, pairs=search.pairs, guarded=search.guarded, kernel=kernel() is not None
        )

    def _search_copies(self, records: Records, corpus: near_duplicates.TextSet, context: StepContext) -> CopySearch:
        search = CopySearch()
        for record in records:
            search.add(record.id, total_score(record))
            if isinstance(corpus, near_duplicates.Corpus):
                corpus.add(compared_text(record))
        context.run.check_stop()
        for group in corpus.equal_groups():
            best, *others = sorted(group, key=lambda n: (-search.ranks[n], search.id(n)))
            search.copies |= {other: Copy(best, "equal", 1.0) for other in others}
        if self.similar:
            pairs = corpus.near_pairs(self.group)
            search.pairs = len(pairs.left)
            self._find_near_copies(corpus, pairs, search)
            _assign_clusters(pairs, search, self.cap)
            context.side.link(_find_linked_groups(pairs, search, records, context), context.workspace)
        return search

    def _find_near_copies(
        self, corpus: near_duplicates.TextSet, pairs: near_duplicates.Pairs, search: CopySearch
    ) -> None:
        """Mark near duplicates of a better record, the most similar pairs first."""
        form = functools.lru_cache(maxsize=4096)(lambda number: parse(corpus.text(number)))
        near = pairs.count_neighbors()
        for at in np.argsort(-pairs.similarity, kind="stable"):
            similarity = float(pairs.similarity[at])
            best, other = search.order_pair(int(pairs.left[at]), int(pairs.right[at]))
            if best in search.copies or other in search.copies:
                continue
            a, b = form(best), form(other)
            in_family = max(near[best], near[other]) >= _FAMILY
            if similarity >= self.remove and are_same_facts(a, b, in_family=in_family):
                search.copies[other] = Copy(best, "near", similarity)
            elif a.syntax == "asm" and are_same_program(a, b):
                search.copies[other] = Copy(best, "same program", similarity)
            else:
                search.guarded += similarity >= self.remove
        for group in corpus.skeleton_groups():
            _find_same_programs(group, form, search)


_FAMILY = 3
"""A text with so many neighbors belongs to a family made from one template."""
_COMPARED = 8
"""Programs of one skeleton that a further one is compared with."""


def _find_same_programs(group: list[int], form: Callable[[int], Form], search: CopySearch) -> None:
    """Mark programs that differ from a better one in comments and names only; they need not look similar."""
    kept: list[int] = []
    for number in sorted(group, key=lambda n: (-search.ranks[n], search.id(n))):
        if number in search.copies:
            continue
        best = next((other for other in kept[:_COMPARED] if are_same_program(form(other), form(number))), None)
        if best is None:
            kept.append(number)
        else:
            search.copies[number] = Copy(best, "same program", 1.0)


def _find_linked_groups(
    pairs: near_duplicates.Pairs, search: CopySearch, records: Records, context: StepContext
) -> list[set[str]]:
    """Source groups whose records are near copies of each other; tasks are kept apart by their own groups."""
    near = pairs.similarity >= _LINKED
    linked = [
        (a, b)
        for a, b in zip(pairs.left[near].tolist(), pairs.right[near].tolist(), strict=True)
        if a not in search.copies and b not in search.copies
    ]
    numbers = {number for pair in linked for number in pair}
    keys = {n: context.side.key(r) for n, r in enumerate(records) if n in numbers and r.task is None} if numbers else {}
    return merge_sets({keys[a], keys[b]} for a, b in linked if a in keys and b in keys)


class Copy:
    """Why a record is dropped: which one is kept instead, by which rule, how similar."""

    __slots__ = ("kept", "rule", "similarity")

    def __init__(self, kept: int, rule: str, similarity: float) -> None:
        self.kept, self.rule, self.similarity = kept, rule, similarity


class CopySearch:
    """What the search knows about each record, by number."""

    def __init__(self) -> None:
        self.ranks = array("d")
        self._ids, self._ends = bytearray(), array("Q", [0])
        self.copies: dict[int, Copy] = {}
        self.clusters: dict[int, int] = {}
        self.pairs = 0
        self.guarded = 0

    def add(self, id_: str, rank: float) -> None:
        """One more record; as packed values, for there may be millions."""
        self.ranks.append(rank)
        self._ids += id_.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._ids))

    def id(self, number: int) -> str:
        """The id of a record."""
        return self._ids[self._ends[number] : self._ends[number + 1]].decode("utf-8", "surrogatepass")

    def name(self, number: int) -> str:
        """The id of the record that is kept in the end."""
        while number in self.copies:
            number = self.copies[number].kept
        return self.id(number)

    def order_pair(self, a: int, b: int) -> tuple[int, int]:
        """(the one that stays, the other): the better score, else the smaller id."""
        first = (-self.ranks[a], self.id(a)) <= (-self.ranks[b], self.id(b))
        return (a, b) if first else (b, a)


def _assign_clusters(pairs: near_duplicates.Pairs, search: CopySearch, cap: Count) -> None:
    """Leaders in order of rank take their neighbors; over the cap, the worst go."""
    neighbors: dict[int, list[tuple[float, int]]] = {}
    for a, b, similarity in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.similarity.tolist(), strict=True):
        if a not in search.copies and b not in search.copies:
            neighbors.setdefault(a, []).append((similarity, b))
            neighbors.setdefault(b, []).append((similarity, a))
    for leader in sorted(neighbors, key=lambda n: (-search.ranks[n], search.id(n))):
        if leader in search.clusters:
            continue
        search.clusters[leader] = leader
        members = [n for _, n in sorted(neighbors[leader], key=lambda m: (-m[0], m[1])) if n not in search.clusters]
        for place, number in enumerate(members, 2):
            search.clusters[number] = leader
            if cap and place > cap:
                search.copies[number] = Copy(leader, "over the cluster's cap", 0.0)


def compared_text(record: Record) -> str:
    """The text by which records are compared."""
    return "\n".join(message_text(m) for m in _list_compared(record) if m.role != "system")


def _list_compared(record: Record) -> tuple[Message, ...]:
    """The messages that tell records apart: with a history only what is trained and what asked for it.

    Turns of one session share their history, which would make copies of them all.
    """
    if not record.trained_turns:
        return record.messages
    first = min(record.trained_turns)
    asked = next((n for n in range(first - 1, -1, -1) if record.messages[n].role == "user"), 0)
    return record.messages[asked:]


def _tag_cluster(record: Record, cluster: int | None) -> Record:
    if cluster is None:
        return record
    tags = tuple(tag for tag in record.tags if not tag.startswith(CLUSTER))
    return msgspec.structs.replace(record, tags=(*tags, f"{CLUSTER}{cluster:x}"))


def total_score(record: Record) -> float:
    """The total score, which decides which duplicate is kept."""
    return next((s.value for s in record.scores if s.id == "total" and s.value is not None), 0.0)
