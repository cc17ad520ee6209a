"""Any JSON lines, CSV or Parquet: our own records, chats, instruction/output pairs, or a mapping the user gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from afs import jsonl
from afs.config import Config
from afs.ingest import chatml, chats, file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, assistant, text_of, user
from afs.types import Dropped, Json, Message, Record, Task, record_id

_decode_own = jsonl.decoder(Record)
_QUESTION = ("instruction", "prompt", "question", "query", "user")
_ANSWER = ("output", "response", "answer", "completion", "assistant", "expected_answer")
_SYSTEM = ("system", "system_prompt")
_TAGGED = ("language", "source", "domain", "difficulty")
"""Fields of a row's metadata that are kept as tags."""


class PairRows(Config, frozen=True, kw_only=True):
    """Rows of any shape, recognized by their fields or described by `mapping`."""

    version = "3"

    mapping: dict[str, str] = {}
    """Fields: `instruction`, `input`, `output`, `system`, `thinking`, `group`, `license`, `domain` -> column."""
    kind: str = "pair"
    """Kind of the records."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every table-like file."""
        return file_walk.list_units(place, row_files.ENDINGS)

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per row."""
        for place, row in row_files.read_rows(unit, reading):
            if not self.mapping and _is_conversation(row):
                yield from chats.read_row(row, place, reading)
                continue
            reading.count_found()
            yield self._build_record(row, place, reading)

    def _build_record(self, row: Json, place: str, reading: Reading) -> Record | Dropped:
        if not self.mapping and _is_own(row):
            return _load_own(row, place, reading)
        messages = self._parse_messages(row)
        origin: Json = {
            name: text for name in ("license", "group") if (text := text_of(row.get(self.mapping.get(name, name))))
        }
        if "license" not in self.mapping and (text := text_of(row.get("licence"))):
            origin.setdefault("license", text)
        record = reading.build_record(
            self.kind, messages, place=place, origin=origin, extra=_extra_fields(row, self.mapping)
        )
        if (own := chats.restore_own(row, record)) is not None:
            return own
        if reading.has_check:
            record = _without_answer(_with_spec(record, row))
        roles = ("user",) if reading.has_check else ("user", "assistant")
        missing = [role for role in roles if not _has_text(messages, role)]
        if missing:
            return Dropped(
                record=record, reason="no question" if missing[0] == "user" else "no answer", detail=str(list(row))
            )
        return record

    def _parse_messages(self, row: Json) -> list[Message]:
        system = self._pick_field(row, "system", _SYSTEM)
        question = self._pick_field(row, "instruction", _QUESTION)
        context = text_of(row.get(self.mapping.get("input", "input")))
        answer = self._pick_field(row, "output", _ANSWER)
        thinking = text_of(row.get(self.mapping.get("thinking", "thinking")))
        turns = [Message(role="system", text=system)] if system else []
        turns += _parse_history(row.get("history"))
        turns.append(user("\n\n".join(part for part in (question, context) if part.strip())))
        return [*turns, assistant(answer, thinking=thinking)]

    def _pick_field(self, row: Json, name: str, usual: tuple[str, ...]) -> str:
        names = (self.mapping[name],) if name in self.mapping else usual
        return next((text for key in names if (text := text_of(row.get(key)))), "")


def _with_spec(record: Record, row: Json) -> Record:
    """What the user's check is given of this row: its column `spec`, such as `{"files": {"test_it.py": "…"}}`."""
    spec = as_dict(row.get("spec"))
    task = Task(id="", domain="", family=record.kind, prompt="", spec=spec)
    return msgspec.structs.replace(record, task=task) if spec else record


def _without_answer(record: Record) -> Record:
    """A question alone, when its answer is empty: a campaign will ask it."""
    if record.messages and record.messages[-1].role == "assistant" and not record.messages[-1].text.strip():
        turns = record.messages[:-1]
        return msgspec.structs.replace(record, id=record_id(record.domain, turns), messages=turns)
    return record


def _is_own(row: Json) -> bool:
    return {"id", "messages", "origin"} <= row.keys()


def _is_conversation(row: Json) -> bool:
    """Whether a row is a conversation in any format, or a preference pair."""
    listed = isinstance(row.get("messages"), list) or isinstance(row.get("conversations"), list | dict)
    pair = bool(row.get("chosen")) and "rejected" in row
    return not _is_own(row) and (listed or pair or chatml.is_chatml(row))


def _has_text(messages: list[Message], role: str) -> bool:
    return any(m.role == role and m.text.strip() for m in messages)


def _parse_history(value: object) -> list[Message]:
    """Alpaca's earlier turns: a list of [question, answer]."""
    turns: list[Message] = []
    for pair in value if isinstance(value, list) else []:
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair):
            turns += [user(pair[0]), assistant(pair[1])]
    return turns


def _extra_fields(row: Json, mapping: Mapping[str, str]) -> Json:
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


def _load_own(row: Json, place: str, reading: Reading) -> Record | Dropped:
    """A record of our own, written by an export or another workspace."""
    try:
        return _decode_own(msgspec.json.encode(row))
    except msgspec.ValidationError as error:
        record = reading.build_record("pair", [user(str(row.get("id", ""))), assistant("")], place=place)
        return Dropped(record=record, reason="not a record", detail=str(error))
