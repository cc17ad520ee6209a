"""Normalized texts and their digests: what is compared to decide whether two records are the same."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from afs.datasets import message_text, question_text
from afs.types import Message, Record


def normalize_text(text: str) -> str:
    """Lower case, single spaces."""
    return " ".join(text.casefold().split())


def question_key(record: Record) -> bytes:
    """A digest of what is asked: every turn before the answer, in normalized form."""
    last = len(record.messages)
    for number in range(last - 1, -1, -1):
        if record.messages[number].role == "assistant":
            last = number
            break
    return _key(record.messages[:last])


def _key(messages: Sequence[Message]) -> bytes:
    whole = "\x1f".join([f"{m.role}\x1e{normalize_text(message_text(m))}" for m in messages])
    return blake2b(whole.encode("utf-8", "replace"), digest_size=16).digest()


def normalize_question(record: Record) -> str:
    """The last question in normalized form."""
    return normalize_text(question_text(record))


def record_key(record: Record) -> bytes:
    """A digest of a whole conversation in normalized form."""
    return _key(record.messages)
