"""ChatML as one text: `<|im_start|>role`, a newline, the content, `<|im_end|>`; our own exports are restored."""

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


def is_chatml(row: Json) -> bool:
    """Whether a row holds a conversation as one ChatML text."""
    return not row.get("messages") and "<|im_start|>" in text_of(row.get("text"))


def parse_turns(row: Json) -> list[Json]:
    """The conversation in OpenAI's form, with the fields of our own export that ChatML cannot express."""
    turns_in_text = [(role, _APART.sub(r"<|\1im_", text)) for role, text in _TURN.findall(text_of(row.get("text")))]
    kept = _load_own_messages(row.get("afs"))
    if len(kept) != len(turns_in_text):
        return [{"role": role, "content": text} for role, text in turns_in_text]
    return [_restore_turn(role, text, bare) for (role, text), bare in zip(turns_in_text, kept, strict=True)]


def _load_own_messages(value: object) -> tuple[Message, ...]:
    try:
        return _decode_own(text_of(value).encode()).messages
    except msgspec.DecodeError:
        return ()


def _restore_turn(role: str, text: str, bare: Message) -> Json:
    """A turn with its calls and thinking; when role or calls were edited since the export, the text wins."""
    calls = message_text(bare)
    if role != bare.role or not text.endswith(calls):
        return {"role": role, "content": text}
    if calls:
        text = text.removesuffix(calls).removesuffix("\n")
    return chat_message(msgspec.structs.replace(bare, text=text)) | {"thinking": bare.thinking}
