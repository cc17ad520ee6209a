"""The step `difficulty`: how much a question helps a small model to the answer (instruction-following difficulty, IFD).

The measure is perplexity with the question over perplexity without it: near 0 the question says it all, near 1 it says
nothing. Above 1 it misleads, and the score is 0. A model that reports no likelihoods is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from statistics import median

import msgspec

from afs import plugins
from afs.config import Config, Plugin, Positive
from afs.curate.step_context import Records, StepContext
from afs.datasets import message_text
from afs.errors import RefusedError
from afs.providers.base import Provider, Teller, provider
from afs.registry import Registry
from afs.types import Dropped, Message, Record, Score

IFD = "ifd"
_BATCH = 64


class Difficulty(Config, frozen=True, kw_only=True):
    """Measure how likely a small model finds each answer."""

    model: str
    """`local:FOLDER`, `llama:FILE.gguf`, or a stored model; a small base model will do."""
    options: Plugin = {}
    """Options of the provider."""
    max_chars: Positive = 4000
    """Longer answers are measured on their first characters."""

    def __call__(self, records: Records, context: StepContext) -> Iterator[Record | Dropped]:
        """Every record with its score."""
        model = open_model(self.model, self.options, context)
        known: list[float] = []
        source = iter(records)
        while batch := list(islice(source, _BATCH)):
            context.run.check_stop()
            for record, score in zip(batch, self._score_batch(batch, model), strict=True):
                known += [score.value] if score.value is not None else []
                kept = tuple(s for s in record.scores if s.id != IFD)
                yield msgspec.structs.replace(record, scores=(*kept, score))
        middle = round(median(known), 4) if known else None
        context.note("difficulty", model=model.name, measured=len(known), median=middle)

    def _score_batch(self, batch: Sequence[Record], model: Teller) -> list[Score]:
        asked = [self._split_answer(record) for record in batch]
        pairs = [pair for pair in asked if pair is not None]
        alone = [((Message(role="user"),), answer) for _, answer in pairs]
        losses = iter(zip(model.losses(pairs), model.losses(alone), strict=True))
        return [
            Score(id=IFD, version=model.name, reason="no answer") if pair is None else _score(*next(losses), model.name)
            for pair in asked
        ]

    def _split_answer(self, record: Record) -> tuple[tuple[Message, ...], str] | None:
        """(the conversation up to the last answer, that answer)."""
        turns = record.messages
        last = next((i for i in range(len(turns) - 1, 0, -1) if turns[i].role == "assistant"), 0)
        answer = message_text(turns[last])[: self.max_chars] if last else ""
        return (turns[:last], answer) if answer.strip() else None


def open_model(model: str, options: Plugin, context: StepContext) -> Teller:
    """The model, which must report likelihoods."""
    kind, colon, _ = model.partition(":")
    asked: Provider
    if colon and kind in plugins.list_names("provider"):
        asked = provider(model, options)
    else:
        asked = Registry(context.workspace).open(model)
    if not isinstance(asked, Teller):
        raise RefusedError(
            f"{model} does not report likelihoods; use `local:FOLDER`, `llama:FILE.gguf` or a stored model"
        )
    return asked


def _score(given: tuple[float, int], alone: tuple[float, int], model: str) -> Score:
    if not given[1] or not alone[1]:
        return Score(id=IFD, version=model, reason="no tokens")
    ratio = math.exp(min(50.0, given[0] / given[1] - alone[0] / alone[1]))
    if ratio > 1:
        return Score(id=IFD, version=model, value=0.0, reason=f"the question misleads ({ratio:.2f})")
    return Score(id=IFD, version=model, value=round(ratio, 4))
