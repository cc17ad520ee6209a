"""Texts that arrive one after the other: each is compared with all that came before, by the rules of the step `dedup`.

The index of a campaign. Equal texts are always found; of one template's many texts only the likeliest are compared.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from afs.curate import shingles
from afs.curate.alpha_equivalence import are_same_program
from afs.curate.code_normalization import Form, parse
from afs.curate.entity_comparison import are_same_facts
from afs.curate.near_duplicates import WORDS
from afs.curate.shingles import BANDS, U32
from afs.curate.text_keys import normalize_text

REMOVE = 0.55
"""As the step `dedup`: least similarity at which a text with the same entities is a copy."""
_COMPARED = 8
"""Texts that share most bands with a new one, which are compared with it."""
_CROWD = 64
"""Texts looked at in one band: more belong to one template."""
_FAMILY = 3
_TAIL = 2048
"""Texts in the open part of the index, before it is merged into the sorted one."""


class KnownTexts:
    """An index that grows."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._equal: dict[str, int] = {}
        self._keys: list[U32] = [np.empty(0, np.uint32)] * BANDS
        self._numbers: list[U32] = [np.empty(0, np.uint32)] * BANDS
        self._tail: dict[int, list[int]] = {}
        self._waiting: list[U32] = []
        self._form = functools.lru_cache(maxsize=4096)(lambda number: parse(self._texts[number]))

    def admit(self, texts: Sequence[str]) -> list[str]:
        """For each text, empty when it is new, and then it is known; else the text that it copies."""
        if not texts:
            return []
        block = "\n".join([*texts, ""]).encode("utf-8", "replace")
        sizes = [len(text.encode("utf-8", "replace")) + 1 for text in texts]
        starts = np.concatenate([np.zeros(1, np.uint64), np.cumsum(sizes, dtype=np.uint64)])
        bands = shingles.sketch(np.frombuffer(block, np.uint8), starts, WORDS).bands
        return [self._admit(text, bands[:, place]) for place, text in enumerate(texts)]

    def _admit(self, text: str, bands: U32) -> str:
        plain = normalize_text(text)
        copied = self._equal.get(plain)
        if copied is None:
            copied = next(self._copies(text, bands), None)
        if copied is not None:
            return self._texts[copied]
        number = self._equal[plain] = len(self._texts)
        self._texts.append(text)
        for band, key in enumerate(bands.tolist()):
            self._tail.setdefault(band << 32 | key, []).append(number)
        self._waiting.append(bands)
        if len(self._waiting) >= _TAIL:
            self._merge_tail()
        return ""

    def _copies(self, text: str, bands: U32) -> Iterator[int]:
        """Known texts that the new one says again, the likeliest first."""
        shared: Counter[int] = Counter()
        for band, key in enumerate(bands.tolist()):
            if key == shingles.EMPTY:
                continue
            shared.update(self._tail.get(band << 32 | key, ())[-_CROWD:])
            first, last = np.searchsorted(self._keys[band], [key, key + 1])
            shared.update(self._numbers[band][first : min(last, first + _CROWD)].tolist())
        if not shared:
            return
        form = parse(text)
        near = [(number, self._similarity(text, number)) for number, _ in shared.most_common(_COMPARED)]
        in_family = sum(similarity >= REMOVE for _, similarity in near) >= _FAMILY
        for number, similarity in near:
            if self._is_copy(form, self._form(number), similarity, in_family=in_family):
                yield number

    def _is_copy(self, form: Form, known: Form, similarity: float, *, in_family: bool) -> bool:
        if similarity >= REMOVE and are_same_facts(form, known, in_family=in_family):
            return True
        return form.syntax == "asm" and are_same_program(form, known)

    def _similarity(self, text: str, number: int) -> float:
        block = f"{text}\n{self._texts[number]}\n".encode("utf-8", "replace")
        middle = len(text.encode("utf-8", "replace")) + 1
        starts = np.array([0, middle, len(block)], np.uint64)
        one, other = np.zeros(1, np.uint32), np.ones(1, np.uint32)
        return float(shingles.jaccard(np.frombuffer(block, np.uint8), starts, WORDS, one, other)[0])

    def _merge_tail(self) -> None:
        """The open part becomes part of the sorted one, which needs 8 bytes a band and text."""
        rows = np.stack(self._waiting, axis=1)
        first = len(self._texts) - rows.shape[1]
        numbers = np.arange(first, len(self._texts), dtype=np.uint32)
        for band in range(BANDS):
            keys = np.concatenate([self._keys[band], rows[band]])
            order = np.argsort(keys, kind="stable")
            self._keys[band] = keys[order]
            self._numbers[band] = np.concatenate([self._numbers[band], numbers])[order]
        self._waiting, self._tail = [], {}
