"""The step `dedup`: equal and near-equal records once, the best of each group kept, with who replaced whom and why.

Removed is what is equal in its plain form, what is equal after renaming its own labels, and what is at least `remove`
alike with the same entities. What is alike from `group` up gets a cluster tag and, if asked for, a cap per cluster.
"""

from __future__ import annotations

import functools
from array import array
from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np

from afs.config import Config, Count, Fraction
from afs.curate import near_duplicates
from afs.curate.entity_guard import same_facts, same_program
from afs.curate.minhash_kernel import kernel
from afs.curate.step_context import Records, Work
from afs.datasets import message_text
from afs.types import Dropped, Json, Record

CLUSTER = "cluster:"


class Dedup(Config, frozen=True, kw_only=True):
    """Find copies."""

    remove: Fraction = 0.85
    """Least similarity (exact Jaccard of word pairs) at which a record with the same entities is a copy."""
    group: Fraction = 0.5
    """Least similarity that makes a cluster."""
    cap: Count = 0
    """Most records of one cluster that stay; 0: all of them."""
    similar: bool = True
    """Look for near copies, not only for equal ones."""

    def __call__(self, records: Records, work: Work) -> Iterator[Record | Dropped]:
        """The best record of every group of copies; the others dropped, naming the one that stays."""
        with near_duplicates.Corpus(work.run.folder, jobs=work.workspace.jobs) as corpus:
            found = self._find(records, corpus, work)
        groups: list[Json] = []
        for number, record in enumerate(records):
            copy = found.copies.get(number)
            if copy is None:
                yield _tagged(record, found.clusters.get(number))
                continue
            kept = found.name(copy.kept)
            groups.append({"dropped": record.id, "kept": kept, "rule": copy.rule, "similarity": copy.similarity})
            yield Dropped(record=record, reason=f"duplicate: {copy.rule}", detail=f"{copy.similarity:.2f} of {kept}")
        work.keep("duplicates.jsonl", groups)
        rules = Counter(str(row["rule"]) for row in groups)
        clusters = len(set(found.clusters.values()))
        work.note(
            "dedup", **rules, clusters=clusters, pairs=found.pairs, guarded=found.guarded, kernel=kernel() is not None
        )

    def _find(self, records: Records, corpus: near_duplicates.Corpus, work: Work) -> Found:
        found = Found()
        for record in records:
            found.add(record.id, rank_of(record))
            corpus.add("\n".join(message_text(m) for m in record.messages if m.role != "system"))
        work.run.check_stop()
        for group in corpus.equal_groups():
            best, *others = sorted(group, key=lambda n: (-found.ranks[n], found.id(n)))
            found.copies |= {other: Copy(best, "equal", 1.0) for other in others}
        if self.similar:
            pairs = corpus.near_pairs(self.group)
            found.pairs = len(pairs.left)
            self._near(corpus, pairs, found)
            _cluster(pairs, found, self.cap)
        return found

    def _near(self, corpus: near_duplicates.Corpus, pairs: near_duplicates.Pairs, found: Found) -> None:
        """Take out what is a copy of a better one that stays, the most alike first."""
        text = functools.lru_cache(maxsize=4096)(corpus.text)
        for at in np.argsort(-pairs.similarity, kind="stable"):
            similarity = float(pairs.similarity[at])
            best, other = found.ordered(int(pairs.left[at]), int(pairs.right[at]))
            if best in found.copies or other in found.copies:
                continue
            a, b = text(best), text(other)
            if similarity >= self.remove and same_facts(a, b):
                found.copies[other] = Copy(best, "near", similarity)
            elif same_program(a, b):
                found.copies[other] = Copy(best, "same program", similarity)
            else:
                found.guarded += similarity >= self.remove


class Copy:
    """Why a record goes: which one stays, by which rule, how alike."""

    __slots__ = ("kept", "rule", "similarity")

    def __init__(self, kept: int, rule: str, similarity: float) -> None:
        self.kept, self.rule, self.similarity = kept, rule, similarity


class Found:
    """What the search knows of each record, by its number."""

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
        """The id of the record that stays in the end."""
        while number in self.copies:
            number = self.copies[number].kept
        return self.id(number)

    def ordered(self, a: int, b: int) -> tuple[int, int]:
        """(the one that stays, the other): the better score, else the smaller id."""
        first = (-self.ranks[a], self.id(a)) <= (-self.ranks[b], self.id(b))
        return (a, b) if first else (b, a)


def _cluster(pairs: near_duplicates.Pairs, found: Found, cap: Count) -> None:
    """Leaders in order of rank take their neighbors; over the cap, the worst go."""
    neighbors: dict[int, list[tuple[float, int]]] = {}
    for a, b, similarity in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.similarity.tolist(), strict=True):
        if a not in found.copies and b not in found.copies:
            neighbors.setdefault(a, []).append((similarity, b))
            neighbors.setdefault(b, []).append((similarity, a))
    for leader in sorted(neighbors, key=lambda n: (-found.ranks[n], found.id(n))):
        if leader in found.clusters:
            continue
        found.clusters[leader] = leader
        members = [n for _, n in sorted(neighbors[leader], key=lambda m: (-m[0], m[1])) if n not in found.clusters]
        for place, number in enumerate(members, 2):
            found.clusters[number] = leader
            if cap and place > cap:
                found.copies[number] = Copy(leader, "over the cluster's cap", 0.0)


def _tagged(record: Record, cluster: int | None) -> Record:
    if cluster is None:
        return record
    tags = tuple(tag for tag in record.tags if not tag.startswith(CLUSTER))
    return msgspec.structs.replace(record, tags=(*tags, f"{CLUSTER}{cluster:x}"))


def rank_of(record: Record) -> float:
    """What decides which copy stays: the total score."""
    return next((s.value for s in record.scores if s.id == "total" and s.value is not None), 0.0)
