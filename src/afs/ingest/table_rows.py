"""Any JSON lines, CSV or Parquet: our own records, chats, instruction/output pairs, or a mapping the user gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from afs import jsonl
from afs.config import Config
from afs.ingest import chatml, chats, file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, assistant, text_of, user
from afs.types import Dropped, Json, Message, Record

_decode_own = jsonl.decoder(Record)
_QUESTION = ("instruction", "prompt", "question", "query", "user")
_ANSWER = ("output", "response", "answer", "completion", "assistant", "expected_answer")
_SYSTEM = ("system", "system_prompt")
_TAGGED = ("language", "source", "domain", "difficulty")
"""Fields of a row's metadata that are kept as tags."""


class PairRows(Config, frozen=True, kw_only=True):
    """Rows of any shape; what they are is seen in the row itself, or said by `mapping`."""

    version = "3"

    mapping: dict[str, str] = {}
    """Fields: `instruction`, `input`, `output`, `system`, `thinking`, `group`, `license`, `domain` -> column."""
    kind: str = "pair"
    """Kind of the records."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every table-like file."""
        return file_walk.units(place, row_files.ENDINGS)

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per row."""
        for place, row in row_files.rows(unit, reading):
            if not self.mapping and _is_talk(row):
                yield from chats.found(row, place, reading)
                continue
            reading.found()
            yield self._record(row, place, reading)

    def _record(self, row: Json, place: str, reading: Reading) -> Record | Dropped:
        if not self.mapping and _is_own(row):
            return _own(row, place, reading)
        messages = self._messages(row)
        origin: Json = {
            name: text for name in ("license", "group") if (text := text_of(row.get(self.mapping.get(name, name))))
        }
        if "license" not in self.mapping and (text := text_of(row.get("licence"))):
            origin.setdefault("license", text)
        made = reading.record(self.kind, messages, place=place, origin=origin, extra=_extra(row, self.mapping))
        if (own := chats.restored(row, made)) is not None:
            return own
        missing = [role for role in ("user", "assistant") if not _has(messages, role)]
        if missing:
            return Dropped(
                record=made, reason="no question" if missing[0] == "user" else "no answer", detail=str(list(row))
            )
        return made

    def _messages(self, row: Json) -> list[Message]:
        system = self._field(row, "system", _SYSTEM)
        question = self._field(row, "instruction", _QUESTION)
        context = text_of(row.get(self.mapping.get("input", "input")))
        answer = self._field(row, "output", _ANSWER)
        thinking = text_of(row.get(self.mapping.get("thinking", "thinking")))
        turns = [Message(role="system", text=system)] if system else []
        turns += _history(row.get("history"))
        turns.append(user("\n\n".join(part for part in (question, context) if part.strip())))
        return [*turns, assistant(answer, thinking=thinking)]

    def _field(self, row: Json, name: str, usual: tuple[str, ...]) -> str:
        names = (self.mapping[name],) if name in self.mapping else usual
        return next((text for key in names if (text := text_of(row.get(key)))), "")


def _is_own(row: Json) -> bool:
    return {"id", "messages", "origin"} <= row.keys()


def _is_talk(row: Json) -> bool:
    """A conversation in any of its forms, or two answers to one question."""
    listed = isinstance(row.get("messages"), list) or isinstance(row.get("conversations"), list | dict)
    pair = bool(row.get("chosen")) and "rejected" in row
    return not _is_own(row) and (listed or pair or chatml.is_written(row))


def _has(messages: list[Message], role: str) -> bool:
    return any(m.role == role and m.text.strip() for m in messages)


def _history(value: object) -> list[Message]:
    """Alpaca's earlier turns: a list of [question, answer]."""
    turns: list[Message] = []
    for pair in value if isinstance(value, list) else []:
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair):
            turns += [user(pair[0]), assistant(pair[1])]
    return turns


def _extra(row: Json, mapping: Mapping[str, str]) -> Json:
    domain = text_of(row.get(mapping.get("domain", "domain")))
    tags = row.get("tags")
    extra: Json = {"tags": tuple(t for t in tags if isinstance(t, str))} if isinstance(tags, list) else {}
    meta = as_dict(row.get("_metadata")) or as_dict(row.get("metadata"))
    extra_tags = tuple(
        f"{key}:{value}" for key, value in meta.items() if key in ("language", "source", "domain", "difficulty")
    )
    if extra_tags:
        extra["tags"] = (*extra.get("tags", ()), *extra_tags)  # type: ignore[misc]
    return extra | ({"domain": domain} if domain else {})


def _own(row: Json, place: str, reading: Reading) -> Record | Dropped:
    """A record of ours, as an export or another workspace wrote it."""
    try:
        return _decode_own(msgspec.json.encode(row))
    except msgspec.ValidationError as error:
        made = reading.record("pair", [user(str(row.get("id", ""))), assistant("")], place=place)
        return Dropped(record=made, reason="not a record", detail=str(error))
