"""ChatML as one text: `<|im_start|>role`, a newline, the content, `<|im_end|>`; ours comes back as it went."""

from __future__ import annotations

import re

import msgspec

from afs import jsonl
from afs.datasets import message_text
from afs.ingest.base import text_of
from afs.providers.base import chat_message
from afs.types import Json, Message, Record

_decode_own = jsonl.decoder(Record)

_TURN = re.compile(r"<\|im_start\|>(\w+)\n(.*?)(?:<\|im_end\|>\n?|\Z)", re.S)
_APART = re.compile(r"<\| ( *)im_")


def is_written(row: Json) -> bool:
    """Whether a row is a conversation in one text."""
    return not row.get("messages") and "<|im_start|>" in text_of(row.get("text"))


def turns(row: Json) -> list[Json]:
    """The conversation in OpenAI's form, with what our own export could not put into the text."""
    spoken = [(role, _APART.sub(r"<|\1im_", text)) for role, text in _TURN.findall(text_of(row.get("text")))]
    kept = _kept(row.get("afs"))
    if len(kept) != len(spoken):
        return [{"role": role, "content": text} for role, text in spoken]
    return [_whole(role, text, bare) for (role, text), bare in zip(spoken, kept, strict=True)]


def _kept(value: object) -> tuple[Message, ...]:
    try:
        return _decode_own(text_of(value).encode()).messages
    except msgspec.DecodeError:
        return ()


def _whole(role: str, text: str, bare: Message) -> Json:
    """A turn with its calls and thinking; one whose role or calls were changed since is what stands in the text."""
    calls = message_text(bare)
    if role != bare.role or not text.endswith(calls):
        return {"role": role, "content": text}
    if calls:
        text = text.removesuffix(calls).removesuffix("\n")
    return chat_message(msgspec.structs.replace(bare, text=text)) | {"thinking": bare.thinking}
