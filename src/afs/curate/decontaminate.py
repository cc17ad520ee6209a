"""The step `decontaminate`: nothing a model will be asked in an evaluation may be on the training side.

A training record that leaks an item of a suite or of another dataset is dropped; an item of this dataset's own held-out
sides that a training record leaks is dropped itself, so that the sides pass the gate's search.

Word 5-grams shared with a held item, without those that stand in ten or more clusters of the records, and at least 5 %
of the item's: boilerplate does not count, a leak copied ten times does. Short items by their question and entities.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from difflib import SequenceMatcher
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afs.config import Config, Count, Fraction, Positive
from afs.curate import shingles
from afs.curate.entity_comparison import extract_entities
from afs.curate.group_keys import CLUSTER
from afs.curate.held_out_items import DrawnTasks, HeldOutItem, iter_held_out_items
from afs.curate.shingles import U8, U32, U64
from afs.curate.step_context import Records, StepContext
from afs.curate.text_keys import normalize_text
from afs.datasets import answer_text, question_text
from afs.types import Dropped, Json, Record
from afs.workspace import Workspace

_BATCH = 2048
_LEAST_WORDS, _SHORT_OVERLAP = 12, 0.5
"""A short item of so many words is found by its text too, when that much of it is shared."""
_SAME_ANSWER = 0.8
"""Share of a short item's answer that the answer to the same question repeats in a leak."""
_MOST_OWN = 10_000
"""Held-out records that are searched for in the training side."""
_COMPARED, _SHOWN = 2000, 200
"""Words in which the shared text is looked for, and characters of it that are shown."""


class Decontaminate(Config, frozen=True, kw_only=True):
    """Remove training records that leak evaluation items."""

    words: Positive = 5
    """Words in a shingle."""
    common: Positive = 10
    """A shingle in at least this many record clusters, or this many held-out items, is boilerplate."""
    overlap: Fraction = 0.08
    """Least share of an item's shingles that counts as a leak."""
    least: Positive = 8
    """Least number of shared shingles: fewer are a phrase, not a leak."""
    held_out: tuple[str, ...] = ()
    """Other datasets whose held-out sides must not be trained on; `all` for every one."""
    short_words: Count = 30
    """Items with fewer words are compared by question and entities instead."""

    def __call__(self, records: Records, context: StepContext) -> Iterator[Record | Dropped]:
        """Every record, except training records that leak a held-out item."""
        return self.remove_leaks(records, context)

    def list_held_out(self, workspace: Workspace, name: str) -> list[HeldOutItem]:
        """What must not be trained on in the dataset `name`."""
        return list(iter_held_out_items(workspace, name, self.held_out))

    def remove_leaks(
        self, records: Records, context: StepContext, known: KnownShingles | None = None
    ) -> Iterator[Record | Dropped]:
        """The same with shared shingles that were found before, if they are `known`."""
        held = self.list_held_out(context.workspace, context.name)
        drawn = DrawnTasks(context.families, context.workspace)
        found = self.find_leaks(records, held, known)
        own = self._find_own_leaks(records, context)
        leaked: dict[str, int] = defaultdict(int)
        rows: list[Json] = []
        for number, record in enumerate(records):
            if number in own:
                leaked["own held-out sides"] += 1
                yield Dropped(record=record, reason="contaminated", detail=own[number])
                continue
            leak = found.get(number)
            item, overlap = (held[leak.item], leak.overlap) if leak is not None else (drawn.of(record), 1.0)
            if item is None or _is_held_out_there(context.side(record), item):
                yield record
                continue
            leaked[item.suite] += 1
            shared = self.shared_text(record, item)
            asked = item.prompt[:200]
            rows.append({"record": record.id, "suite": item.suite, "overlap": overlap, "item": asked, "shared": shared})
            yield Dropped(
                record=record, reason="contaminated", detail=f"{item.suite}: {overlap:.0%} of an item, e.g. {shared!r}"
            )
        items = [*held, *drawn.items]
        context.keep("contaminated.jsonl", rows)
        context.note(
            "decontaminate", held_items=len(items), leaked=dict(leaked), suites=sorted({h.suite for h in items})
        )

    def _find_own_leaks(self, records: Records, context: StepContext) -> dict[int, str]:
        """Number of each record of a held-out side that a training record leaks -> what it shares with which.

        Tasks are kept apart by their groups. Sides too large for any evaluation are not searched.
        """
        numbers = [n for n, r in enumerate(records) if r.task is None and context.side(r) != "train"]
        if not numbers or len(numbers) > _MOST_OWN:
            context.note("decontaminate", own_items=len(numbers), own_searched=not numbers)
            return {}
        chosen = set(numbers)
        items = [
            HeldOutItem("", question_text(record), answer_text(record))
            for number, record in enumerate(records)
            if number in chosen
        ]
        index = HeldIndex(items, self)
        index.find_leaks(record for record in records if context.side(record) == "train")
        leaks: dict[int, list[int]] = defaultdict(list)
        for at, place in index.leaks.items():
            leaks[place].append(at)
        found: dict[int, str] = {}
        training = (record for record in records if context.side(record) == "train") if leaks else iter(())
        for place, record in enumerate(training):
            for at in leaks.get(place, ()):
                shared = self.shared_text(record, items[at])
                found[numbers[at]] = f"shares {shared!r} with {record.id} of the training side"
        return found

    def shared_text(self, record: Record, item: HeldOutItem) -> str:
        """The longest run of words that a record and an item have in common: what the reader judges the leak by."""
        words, wanted = (
            text.split()[:_COMPARED] for text in (_conversation_text(record), f"{item.prompt}\n{item.reference}")
        )
        match = SequenceMatcher(None, words, wanted, autojunk=False).find_longest_match()
        return " ".join(words[match.a : match.a + match.size])[:_SHOWN]

    def find_leaks(
        self, records: Iterable[Record], held: list[HeldOutItem], known: KnownShingles | None = None
    ) -> dict[int, Leak]:
        """Record number -> the held item it leaks most of."""
        index = HeldIndex(held, self)
        return index.find_leaks(records, known) if held else {}


def _is_held_out_there(side: str, item: HeldOutItem) -> bool:
    """Whether the record is itself held out on a side where this item may stand."""
    return side == "test" or (side == "val" and item.suite.endswith(":val"))


def _conversation_text(record: Record) -> str:
    return "\n".join(m.text for m in record.messages if m.role != "system")


class Leak(NamedTuple):
    """Which held item, and how much of it."""

    item: int
    overlap: float


KnownShingles = Callable[[list[str]], tuple[U32, U32]]
"""Ids of records -> (number of the record, shingle) of every shingle that they share with a held-out item."""


class HeldIndex:
    """The shingles of the held-out items, and the short items by question."""

    def __init__(self, held: list[HeldOutItem], config: Decontaminate) -> None:
        self.config = config
        self.leaks: dict[int, int] = {}
        """Each item that a record leaks -> the number of that record; filled by `find_leaks`."""
        self.short: dict[str, list[int]] = defaultdict(list)
        long: list[int] = []
        self.least_overlap = np.full(len(held), config.overlap)
        for number, item in enumerate(held):
            words = len(item.prompt.split()) + len(item.reference.split())
            if words < config.short_words:
                self.short[normalize_text(item.prompt)].append(number)
                self.least_overlap[number] = max(config.overlap, _SHORT_OVERLAP)
            if words >= _LEAST_WORDS:
                long.append(number)
        self.answers = {n: held[n].reference.casefold().split() for ns in self.short.values() for n in ns}
        self.facts = {
            n: extract_entities(f"{held[n].prompt}\n{held[n].reference}") for ns in self.short.values() for n in ns
        }
        data, starts = pack_texts(f"{held[n].prompt}\n{held[n].reference}" for n in long)
        gram, ends = shingles.grams(data, starts, config.words)
        owner = np.repeat(np.array(long, np.int64), np.diff(np.concatenate([[0], ends.astype(np.int64)])))
        pairs = np.unique(np.stack([gram, owner.astype(np.uint64)], axis=1), axis=0) if len(gram) else _no_pairs()
        self.wanted = np.unique(pairs[:, 0])
        self.first = np.searchsorted(pairs[:, 0], self.wanted)
        self.last = np.searchsorted(pairs[:, 0], self.wanted, side="right")
        self.owner = pairs[:, 1].astype(np.int64)
        self.size = np.bincount(self.owner, minlength=len(held))

    def find_leaks(self, records: Iterable[Record], known: KnownShingles | None = None) -> dict[int, Leak]:
        """Every record that leaks something."""
        found: dict[int, Leak] = {}
        text, gram, cluster = self._find_shared_shingles(records, found, known)
        if len(text):
            rare = self._are_rare(gram, cluster)
            self._measure_overlaps(text[rare], gram[rare], found)
        return found

    def _find_shared_shingles(
        self, records: Iterable[Record], found: dict[int, Leak], known: KnownShingles | None
    ) -> tuple[U32, U32, U64]:
        """(record, shingle, cluster of the record) of every shared shingle; short items are compared on the way."""
        clusters: list[int] = []

        def compare(source: Iterable[Record]) -> Iterator[Record]:
            for number, record in enumerate(source):
                self._match_short_items(number, record, found)
                clusters.append(_cluster_number(record, number))
                yield record

        compared = compare(records)
        text, gram = known([record.id for record in compared]) if known is not None else self.probe(compared)
        return text, gram, np.array(clusters, np.uint64)[text] if len(text) else np.empty(0, np.uint64)

    def probe(self, records: Iterable[Record]) -> tuple[U32, U32]:
        """(record, shingle) of every shared shingle."""
        parts = [(np.empty(0, np.uint32), np.empty(0, np.uint32))]
        source, offset = iter(records), 0
        while texts := [_conversation_text(record) for record in islice(source, _BATCH)]:
            parts.append(self._probe(texts, offset))
            offset += len(texts)
        return np.concatenate([text for text, _ in parts]), np.concatenate([gram for _, gram in parts])

    def _probe(self, texts: list[str], offset: int) -> tuple[U32, U32]:
        if not len(self.wanted):
            return np.empty(0, np.uint32), np.empty(0, np.uint32)
        text, gram = shingles.probe(*pack_texts(texts), self.config.words, self.wanted)
        both = np.unique((text.astype(np.uint64) << np.uint64(32)) | gram)
        return (both >> np.uint64(32)).astype(np.uint32) + np.uint32(offset), both.astype(np.uint32)

    def _match_short_items(self, number: int, record: Record, found: dict[int, Leak]) -> None:
        if not self.short:
            return
        for item in self.short.get(normalize_text(question_text(record)), ()):
            given = set(answer_text(record).casefold().split())
            wanted = self.answers[item]
            repeats = sum(word in given for word in wanted) >= _SAME_ANSWER * len(wanted) or len(wanted) <= 2
            if repeats and self.facts[item] <= extract_entities(f"{question_text(record)}\n{answer_text(record)}"):
                found[number] = Leak(item, 1.0)
                self.leaks[item] = number

    def _are_rare(self, gram: U32, cluster: U64) -> npt.NDArray[np.bool_]:
        """Which hits are on shingles of few clusters."""
        distinct = np.unique(np.stack([gram.astype(np.uint64), cluster], axis=1), axis=0)
        spread = np.bincount(distinct[:, 0].astype(np.int64), minlength=len(self.wanted))
        in_items = self.last - self.first
        return np.asarray((spread[gram] < self.config.common) & (in_items[gram] < self.config.common))

    def _measure_overlaps(self, text: U32, gram: U32, found: dict[int, Leak]) -> None:
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
            is_specific = overlap * self.size[at] >= min(self.config.least, 0.5 * self.size[at])
            if is_specific and overlap >= self.least_overlap[at]:
                self.leaks[at] = number
                if overlap > found.get(number, Leak(0, 0.0)).overlap:
                    found[number] = Leak(at, overlap)


def _no_pairs() -> U64:
    return np.empty((0, 2), np.uint64)


def pack_texts(texts: Iterable[str]) -> tuple[U8, U64]:
    """Texts as bytes with their offsets."""
    raw = [text.encode("utf-8", "replace") + b"\n" for text in texts]
    starts = np.concatenate([[0], np.cumsum([len(r) for r in raw])]).astype(np.uint64)
    return np.frombuffer(b"".join(raw), np.uint8), starts


def _cluster_number(record: Record, number: int) -> int:
    """The number of a record's cluster; alone it is one by itself."""
    tag = next((tag for tag in record.tags if tag.startswith(CLUSTER)), "")
    return int(tag[len(CLUSTER) :], 16) if tag else (1 << 40) + number
