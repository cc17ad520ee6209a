"""The step `decontaminate`: nothing a model will be asked in an evaluation may be on the training side.

Word 5-grams shared with a held item, without those that stand in ten or more clusters of the records, and at least 5 %
of the item's: boilerplate does not count, a leak copied ten times does. Short items by their question and entities.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afs.config import Config, Count, Fraction, Positive
from afs.curate import shingles
from afs.curate.dedup import CLUSTER
from afs.curate.entity_guard import entities
from afs.curate.held_out_items import Drawn, Held, held_items
from afs.curate.shingles import U8, U32, U64
from afs.curate.step_context import Records, Work
from afs.curate.text_keys import plain
from afs.datasets import answer_text, question_text
from afs.types import Dropped, Json, Record

_BATCH = 2048


class Decontaminate(Config, frozen=True, kw_only=True):
    """Take out what evaluations ask."""

    words: Positive = 5
    """Words in a shingle."""
    common: Positive = 10
    """A shingle found in so many clusters of records, or in so many held items, is boilerplate."""
    overlap: Fraction = 0.05
    """Share of an item's shingles that makes a leak."""
    short_words: Count = 30
    """An item of fewer words is compared by its question and entities instead."""

    def __call__(self, records: Records, work: Work) -> Iterator[Record | Dropped]:
        """Every record but those of the training side that leak a held item."""
        held, drawn = list(held_items(work.workspace, work.name)), Drawn(work.families, work.workspace)
        found = self.leaks(records, held)
        leaked: dict[str, int] = defaultdict(int)
        rows: list[Json] = []
        for number, record in enumerate(records):
            leak = found.get(number)
            item, overlap = (held[leak.item], leak.overlap) if leak is not None else (drawn.of(record), 1.0)
            if item is None or _is_held_too(work.side(record), item):
                yield record
                continue
            leaked[item.suite] += 1
            rows.append({"record": record.id, "suite": item.suite, "overlap": overlap, "item": item.prompt[:200]})
            yield Dropped(record=record, reason="contaminated", detail=f"{item.suite}: {overlap:.0%} of an item")
        asked = [*held, *drawn.items]
        work.keep("contaminated.jsonl", rows)
        work.note("decontaminate", held_items=len(asked), leaked=dict(leaked), suites=sorted({h.suite for h in asked}))

    def leaks(self, records: Iterable[Record], held: list[Held]) -> dict[int, Leak]:
        """Record number -> the held item it leaks most of."""
        index = _HeldIndex(held, self)
        return index.leaks(records) if held else {}


def _is_held_too(side: str, item: Held) -> bool:
    """A test item may be asked anywhere; one of the development side may be on that side of another dataset too."""
    return side == "test" or (side == "val" and item.suite.endswith(":val"))


class Leak(NamedTuple):
    """Which held item, and how much of it."""

    item: int
    overlap: float


class _HeldIndex:
    """The held items made ready."""

    def __init__(self, held: list[Held], config: Decontaminate) -> None:
        self.config = config
        self.short: dict[str, list[int]] = defaultdict(list)
        long: list[int] = []
        for number, item in enumerate(held):
            if len(item.prompt.split()) + len(item.reference.split()) < config.short_words:
                self.short[plain(item.prompt)].append(number)
            else:
                long.append(number)
        self.facts = {n: entities(f"{held[n].prompt}\n{held[n].reference}") for ns in self.short.values() for n in ns}
        data, starts = packed(f"{held[n].prompt}\n{held[n].reference}" for n in long)
        gram, ends = shingles.grams(data, starts, config.words)
        owner = np.repeat(np.array(long, np.int64), np.diff(np.concatenate([[0], ends.astype(np.int64)])))
        pairs = np.unique(np.stack([gram, owner.astype(np.uint64)], axis=1), axis=0) if len(gram) else _none()
        self.wanted = np.unique(pairs[:, 0])
        self.first = np.searchsorted(pairs[:, 0], self.wanted)
        self.last = np.searchsorted(pairs[:, 0], self.wanted, side="right")
        self.owner = pairs[:, 1].astype(np.int64)
        self.size = np.bincount(self.owner, minlength=len(held))

    def leaks(self, records: Iterable[Record]) -> dict[int, Leak]:
        """Every record that leaks something."""
        found: dict[int, Leak] = {}
        text, gram, cluster = self._hits(records, found)
        if len(text):
            rare = self._rare(gram, cluster)
            self._overlaps(text[rare], gram[rare], found)
        return found

    def _hits(self, records: Iterable[Record], found: dict[int, Leak]) -> tuple[U32, U32, U64]:
        """(record, shingle, cluster of the record) of every shared shingle; short items are compared on the way."""
        texts: list[str] = []
        clusters: list[int] = []
        parts: list[tuple[U32, U32]] = []
        number = -1
        for number, record in enumerate(records):
            self._compare_short(number, record, found)
            texts.append("\n".join(m.text for m in record.messages if m.role != "system"))
            clusters.append(_cluster(record, number))
            if len(texts) == _BATCH:
                parts.append(self._probe(texts, number + 1 - len(texts)))
                texts = []
        if texts:
            parts.append(self._probe(texts, number + 1 - len(texts)))
        none = np.empty(0, np.uint32)
        text = np.concatenate([p[0] for p in parts]) if parts else none
        gram = np.concatenate([p[1] for p in parts]) if parts else none
        return text, gram, np.array(clusters, np.uint64)[text] if len(text) else none.astype(np.uint64)

    def _probe(self, texts: list[str], offset: int) -> tuple[U32, U32]:
        if not len(self.wanted):
            return np.empty(0, np.uint32), np.empty(0, np.uint32)
        text, gram = shingles.probe(*packed(texts), self.config.words, self.wanted)
        both = np.unique((text.astype(np.uint64) << np.uint64(32)) | gram)
        return (both >> np.uint64(32)).astype(np.uint32) + np.uint32(offset), both.astype(np.uint32)

    def _compare_short(self, number: int, record: Record, found: dict[int, Leak]) -> None:
        if not self.short:
            return
        for item in self.short.get(plain(question_text(record)), ()):
            if self.facts[item] <= entities(f"{question_text(record)}\n{answer_text(record)}"):
                found[number] = Leak(item, 1.0)

    def _rare(self, gram: U32, cluster: U64) -> npt.NDArray[np.bool_]:
        """Which hits are on shingles of few clusters."""
        distinct = np.unique(np.stack([gram.astype(np.uint64), cluster], axis=1), axis=0)
        spread = np.bincount(distinct[:, 0].astype(np.int64), minlength=len(self.wanted))
        in_items = self.last - self.first
        return np.asarray((spread[gram] < self.config.common) & (in_items[gram] < self.config.common))

    def _overlaps(self, text: U32, gram: U32, found: dict[int, Leak]) -> None:
        count = self.last[gram] - self.first[gram]
        hit = np.repeat(np.arange(len(gram)), count)
        within = np.arange(len(hit)) - np.repeat(np.cumsum(count) - count, count)
        item = self.owner[self.first[gram][hit] + within]
        keys, shared = np.unique(
            (text[hit].astype(np.uint64) << np.uint64(32)) | item.astype(np.uint64), return_counts=True
        )
        records, items = (keys >> np.uint64(32)).astype(np.int64), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        share = shared / self.size[items]
        for number, at, overlap in zip(records.tolist(), items.tolist(), share.tolist(), strict=True):
            if overlap >= self.config.overlap and overlap > found.get(number, Leak(0, 0.0)).overlap:
                found[number] = Leak(at, overlap)


def _none() -> U64:
    return np.empty((0, 2), np.uint64)


def packed(texts: Iterable[str]) -> tuple[U8, U64]:
    """Texts as bytes with their offsets."""
    raw = [text.encode("utf-8", "replace") + b"\n" for text in texts]
    starts = np.concatenate([[0], np.cumsum([len(r) for r in raw])]).astype(np.uint64)
    return np.frombuffer(b"".join(raw), np.uint8), starts


def _cluster(record: Record, number: int) -> int:
    """The number of a record's cluster; alone it is one by itself."""
    tag = next((tag for tag in record.tags if tag.startswith(CLUSTER)), "")
    return int(tag[len(CLUSTER) :], 16) if tag else (1 << 40) + number
