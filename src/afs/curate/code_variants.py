"""The step `augment`: variants of training records with renamed labels or without comments, verified by execution.

Only training records with a task get variants, and a variant is kept only if the pack's check passes it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import islice

import msgspec

from afs.config import Config, Fraction
from afs.curate.negative_controls import with_answer
from afs.curate.step_context import Records, StepContext
from afs.datasets import answer_text
from afs.types import Dropped, Record, record_id

_LABEL = re.compile(r"^[ \t]*([A-Za-z_][A-Za-z0-9_]*):", re.M)
_COMMENT = re.compile(r"(?<![ \t])[ \t]*;[^\n]*")
_BATCH = 256
TAG = "augmented:"


class Augment(Config, frozen=True, kw_only=True):
    """Add checked variants of training records."""

    labels: bool = True
    """Rename the labels an answer defines."""
    comments: bool = True
    """Remove the comments."""
    share: Fraction = 1.0
    """Share of the records that get variants."""
    seed: int = 0
    """Seed of names and choice."""

    def __call__(self, records: Records, context: StepContext) -> Iterator[Record | Dropped]:
        """Every record; the variants that pass follow their batch."""
        tried = passed = 0
        source = iter(records)
        while batch := list(islice(source, _BATCH)):
            variants = [v for r in batch if context.side(r) == "train" for v in self.variants(r)]
            tried += len(variants)
            good = list(_select_verified(variants, context))
            passed += len(good)
            context.added += len(good)
            yield from batch
            yield from good
        context.note("augment", tried=tried, passed=passed, failed=tried - passed)

    def variants(self, record: Record) -> Iterator[Record]:
        """Changed copies of a record, each with its parent and the parent's group."""
        rng = random.Random(f"{self.seed}:{record.id}")
        if record.task is None or rng.random() >= self.share:
            return
        text = answer_text(record)
        if self.labels and (changed := rename_labels(text, rng)) != text:
            yield _variant(record, changed, "labels")
        if self.comments and (changed := _COMMENT.sub("", text)) != text:
            yield _variant(record, changed, "comments")


def _select_verified(variants: list[Record], context: StepContext) -> Iterator[Record]:
    """The variants that pass their check, with its verdict."""
    pairs = [(v.task, answer_text(v)) for v in variants if v.task is not None]
    verdicts = context.verifier.verify_all(pairs) if pairs else iter(())
    for variant, verdict in zip(variants, verdicts, strict=True):
        if verdict.ok:
            yield msgspec.structs.replace(variant, verdicts=(verdict,))


def rename_labels(text: str, rng: random.Random) -> str:
    """The text with the labels it defines renamed."""
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
