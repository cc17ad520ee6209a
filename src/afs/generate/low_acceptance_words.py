"""Where a campaign is thin: kinds of questions that were tried and are nearly missing among the accepted samples.

A region is the questions of one cell that share a word; numbers count as one word. A report: nothing is steered by it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import msgspec

from afs.intervals import share_interval
from afs.model_calls.store import Piece
from afs.types import Task, Value

THIN = 0.5
"""A region is sparse when its acceptance is surely below this part of its cell's."""
_LEAST = 12
"""Candidates before a region is spoken of."""
_WORD = re.compile(r"[a-z_]{2,}|\$|#")
_NUMBER = re.compile(r"\d+")
_decode_task = msgspec.msgpack.Decoder(Task).decode


class SparseRegion(Value, frozen=True, kw_only=True):
    """Questions of a cell that hold one word."""

    word: str
    tried: int
    accepted: int
    example: str
    """One question that was rejected."""


def sparse_regions(pieces: Iterator[tuple[Piece, str, str]], most: int = 5) -> list[SparseRegion]:
    """The regions of one cell whose acceptance is surely far below the rest's, the largest first."""
    tried, accepted, examples = Counter[str](), Counter[str](), dict[str, str]()
    total = hits = 0
    for piece, state, _ in pieces:
        prompt = _decode_task(piece.payload).prompt
        words = set(_WORD.findall(_NUMBER.sub("#", prompt.lower())))
        total += 1
        tried.update(words)
        if state == "accepted":
            hits += 1
            accepted.update(words)
        else:
            examples.update(dict.fromkeys(words - examples.keys(), prompt))
    found = []
    for word, count in tried.most_common():
        if count < _LEAST or count > 0.9 * total:
            continue
        rest = (hits - accepted[word]) / (total - count)
        if (share_interval(accepted[word], count).high or 1.0) < THIN * rest:
            example = " ".join(examples[word].split())[:80]
            found.append(SparseRegion(word=word, tried=count, accepted=accepted[word], example=example))
    return found[:most]
