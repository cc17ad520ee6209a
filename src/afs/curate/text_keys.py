"""One text in its plain form: what is compared when two records are said to be the same."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from afs.datasets import message_text, question_text
from afs.types import Message, Record


def plain(text: str) -> str:
    """Case and spacing away."""
    return " ".join(text.casefold().split())


def question_key(record: Record) -> bytes:
    """A digest of what is asked: every turn before the answer, in its plain form."""
    last = len(record.messages)
    for number in range(last - 1, -1, -1):
        if record.messages[number].role == "assistant":
            last = number
            break
    return _key(record.messages[:last])


def _key(messages: Sequence[Message]) -> bytes:
    whole = "\x1f".join([f"{m.role}\x1e{plain(message_text(m))}" for m in messages])
    return blake2b(whole.encode("utf-8", "replace"), digest_size=16).digest()


def plain_question(record: Record) -> str:
    """The last question in its plain form."""
    return plain(question_text(record))


def record_key(record: Record) -> bytes:
    """A digest of a whole conversation in its plain form."""
    return _key(record.messages)
