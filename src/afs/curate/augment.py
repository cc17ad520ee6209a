"""Augmentation of the training side: the same program with other label names and without comments, proved by its check.

Only records with a task are changed, only after the sides are known, and a variant stays only if the pack's check
passes it by execution: a change that is said to preserve meaning has to show it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import islice

import msgspec

from afs.config import Config, Fraction
from afs.curate.negative_controls import with_answer
from afs.curate.step_context import Records, Work
from afs.datasets import answer_text
from afs.types import Dropped, Record, record_id

_LABEL = re.compile(r"^[ \t]*([A-Za-z_][A-Za-z0-9_]*):", re.M)
_COMMENT = re.compile(r"[ \t]*;[^\n]*")
_BATCH = 256
TAG = "augmented:"


class Augment(Config, frozen=True, kw_only=True):
    """Add checked variants of training records."""

    labels: bool = True
    """Rename the labels an answer defines."""
    comments: bool = True
    """Take the comments out."""
    share: Fraction = 1.0
    """Share of the records that get variants."""
    seed: int = 0
    """Seed of names and choice."""

    def __call__(self, records: Records, work: Work) -> Iterator[Record | Dropped]:
        """Every record; the variants that pass follow theirs and are counted beside."""
        made = passed = 0
        source = iter(records)
        while batch := list(islice(source, _BATCH)):
            variants = [v for r in batch if work.side(r) == "train" for v in self.variants(r)]
            made += len(variants)
            good = list(_passing(variants, work))
            passed += len(good)
            work.added += len(good)
            yield from batch
            yield from good
        work.note("augment", made=made, passed=passed, failed=made - passed)

    def variants(self, record: Record) -> Iterator[Record]:
        """Changed copies of a record, each with its parent and the parent's group."""
        rng = random.Random(f"{self.seed}:{record.id}")
        if record.task is None or rng.random() >= self.share:
            return
        text = answer_text(record)
        if self.labels and (changed := renamed(text, rng)) != text:
            yield _variant(record, changed, "labels")
        if self.comments and (changed := _COMMENT.sub("", text)) != text:
            yield _variant(record, changed, "comments")


def _passing(variants: list[Record], work: Work) -> Iterator[Record]:
    """The variants that pass their check, with its verdict."""
    pairs = [(v.task, answer_text(v)) for v in variants if v.task is not None]
    verdicts = work.verifier.verify_all(pairs) if pairs else iter(())
    for variant, verdict in zip(variants, verdicts, strict=True):
        if verdict.ok:
            yield msgspec.structs.replace(variant, verdicts=(verdict,))


def renamed(text: str, rng: random.Random) -> str:
    """The text with its own labels under new names."""
    names = list(dict.fromkeys(_LABEL.findall(text)))
    taken = set(re.findall(r"\w+", text))
    for name in names:
        fresh = next(n for n in iter(lambda: f"L{rng.randrange(16**4):04x}", "") if n not in taken)
        taken.add(fresh)
        text = re.sub(rf"\b{re.escape(name)}\b", fresh, text)
    return text


def _variant(record: Record, text: str, kind: str) -> Record:
    changed = with_answer(record, text)
    group = record.origin.group or (record.task.group if record.task else "")
    origin = msgspec.structs.replace(record.origin, parents=(record.id,), group=group)
    key = record_id(record.domain, changed.messages)
    return msgspec.structs.replace(
        changed, id=key, origin=origin, scores=record.scores, tags=(*record.tags, f"{TAG}{kind}")
    )
