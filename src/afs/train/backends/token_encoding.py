"""Records as tokens, with the spans that are trained on: every answer of a conversation up to its end mark.

The prompt before an answer is rendered exactly as serving renders it, and cut off there before it is tokenized, so that
the boundary is the same in both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import transformers

from afs.errors import DataError, boundary
from afs.providers.local import render
from afs.types import Message, Record, Tool


class Sample(NamedTuple):
    """One conversation as tokens."""

    ids: list[int]
    trained: list[bool]
    """Whether each token is predicted in the loss."""


class Encoder:
    """Turns records into samples with one tokenizer."""

    def __init__(self, tokenizer: transformers.PreTrainedTokenizerBase) -> None:
        if not tokenizer.chat_template:
            raise DataError("the base has no chat template, so the answers cannot be located")
        if tokenizer.eos_token is None:
            raise DataError("the base's tokenizer names no end token: a model trained on it would never stop")
        self.tokenizer, self.end = tokenizer, str(tokenizer.eos_token)

    @property
    def template_hash(self) -> str:
        """Digest of the chat template."""
        return hashlib.sha256(str(self.tokenizer.chat_template).encode()).hexdigest()

    @property
    def tokenizer_hash(self) -> str:
        """Digest of the tokenizer: its vocabulary, merges and every rule."""
        core = getattr(self.tokenizer, "backend_tokenizer", None)
        text = core.to_str() if core is not None else json.dumps(sorted(self.tokenizer.get_vocab().items()))
        return hashlib.sha256(text.encode()).hexdigest()

    def samples(self, records: Sequence[Record]) -> list[Sample]:
        """Every record as a sample; an error names the record that cannot be rendered."""
        pieces = [list(self._pieces(record, index)) for index, record in enumerate(records)]
        flat = [text for parts in pieces for text, _ in parts]
        coded = iter(self.tokenizer(flat, add_special_tokens=False)["input_ids"] if flat else [])
        found = []
        for parts in pieces:
            ids: list[int] = []
            trained: list[bool] = []
            for _, is_answer in parts:
                tokens = next(coded)
                ids += tokens
                trained += [is_answer] * len(tokens)
            found.append(Sample(ids, trained))
        return found

    def _pieces(self, record: Record, index: int) -> Iterator[tuple[str, bool]]:
        place = f"record {index} ({record.id})"
        try:
            with boundary(DataError, "chat template"):
                yield from self.pieces(record.messages, record.tools, record.trained_turns)
        except DataError as error:
            raise DataError(f"{place}: {error}") from error

    def pieces(
        self, messages: Sequence[Message], tools: Sequence[Tool] = (), trained_turns: Sequence[int] | None = None
    ) -> list[tuple[str, bool]]:
        """The conversation cut into text that is read and text that is learned: all answers, or those named."""
        whole = render(self.tokenizer, messages, tools, ask=False)
        answers = [i for i, m in enumerate(messages) if m.role == "assistant"]
        chosen = answers if trained_turns is None else [i for i in answers if i in trained_turns]
        spans = [self._span(whole, messages, i, tools) for i in chosen]
        known = [span for span in spans if span is not None]
        if not known:
            raise DataError("the chat template does not show where the answer begins")
        parts: list[tuple[str, bool]] = []
        at = 0
        for start, stop in known:
            parts += [(whole[at:start], False), (whole[start:stop], True)]
            at = stop
        return [*parts, (whole[at:], False)] if at < len(whole) else parts

    def _span(
        self, whole: str, messages: Sequence[Message], index: int, tools: Sequence[Tool]
    ) -> tuple[int, int] | None:
        """Where an answer stands; None where the template rewrites earlier turns (it is then not learned)."""
        before = render(self.tokenizer, messages[:index], tools, ask=True)
        after = render(self.tokenizer, messages[: index + 1], tools, ask=False)
        if not (whole.startswith(before) and whole.startswith(after) and len(after) > len(before)):
            return None
        mark = after.rfind(self.end)
        if mark < len(before):
            raise DataError(f"the answer is not followed by the end token {self.end!r}: the model would never stop")
        return len(before), mark + len(self.end)


def trained_share(samples: Sequence[Sample]) -> float:
    """Share of all tokens that is learned."""
    total = sum(len(sample.ids) for sample in samples)
    return sum(sum(sample.trained) for sample in samples) / total if total else 0.0
