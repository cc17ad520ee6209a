"""Question and answer: Alpaca, prompt and completion, and preference pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from afs.config import Config
from afs.data.formats.base import META, UnfitError, openai_turn, question_and_answer, record_meta
from afs.types import Json, Message, Record


class Alpaca(Config, frozen=True, kw_only=True):
    """Rows `{instruction, input, output, system?, history?}`."""

    suffix: ClassVar[str] = ".jsonl"
    names: ClassVar[Mapping[str, str]] = {}
    meta: bool = True
    """Add the field that restores the record."""

    def row(self, record: Record) -> Json:
        """The last question and answer, earlier ones as history."""
        system, before, question, answer = question_and_answer(record)
        fields: Json = {"instruction": question.text, "input": "", "output": answer.text}
        if system:
            fields["system"] = system
        if before:
            fields["history"] = _history(before)
        if answer.thinking:
            fields["thinking"] = answer.thinking
        return fields | ({META: record_meta(record)} if self.meta else {})


def _history(turns: list[Message]) -> list[list[str]]:
    asked, given = turns[::2], turns[1::2]
    if len(asked) != len(given) or any(
        a.role != "user" or b.role != "assistant" for a, b in zip(asked, given, strict=True)
    ):
        raise UnfitError("earlier turns are not questions and answers")
    if any(openai_turn.thinking for openai_turn in turns):
        raise UnfitError("thinking in earlier turns")
    return [[a.text, b.text] for a, b in zip(asked, given, strict=True)]


class Completions(Config, frozen=True, kw_only=True):
    """Rows `{prompt, completion}`, for base models and mlx-lm's completions."""

    suffix: ClassVar[str] = ".jsonl"
    names: ClassVar[Mapping[str, str]] = {}
    meta: bool = True
    """Add the field that restores the record."""

    def row(self, record: Record) -> Json:
        """One question and its answer."""
        system, before, question, answer = question_and_answer(record)
        if before:
            raise UnfitError("more than one question")
        fields: Json = {"prompt": question.text, "completion": answer.text}
        kept = {"system": system, "thinking": answer.thinking}
        fields |= {key: text for key, text in kept.items() if text}
        return fields | ({META: record_meta(record)} if self.meta else {})


class MlxCompletions(Completions, frozen=True, kw_only=True):
    """`prompt` and `completion` under the file names mlx-lm looks for."""

    names: ClassVar[Mapping[str, str]] = {"val": "valid"}


def preference(chosen: Record, rejected: Record) -> Json:
    """A row `{prompt, chosen, rejected}` of messages, as preference trainers read it; both records can be restored."""
    return {
        "prompt": [openai_turn(m) for m in chosen.messages[:-1]],
        "chosen": [openai_turn(chosen.messages[-1])],
        "rejected": [openai_turn(rejected.messages[-1])],
        "chosen_id": chosen.id,
        "rejected_id": rejected.id,
        META: record_meta(chosen),
        f"{META}_rejected": record_meta(rejected),
    }
