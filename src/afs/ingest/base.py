"""What readers share: units to read, an account of everything found, and records with their origin filled in.

Every reader keeps one invariant: found = records + dropped + unreadable.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

import msgspec

from afs.types import Dropped, Json, Message, Origin, Record, Tool, Value, record_id

PREVIEW = 200
"""Characters kept of an unreadable piece."""
KEPT = 4000
"""Characters kept of an unknown entry."""
_MARGIN = 8192
"""Additional characters passed to redaction: a secret must be replaced as a whole before the text is cut."""
NOTHING: Mapping[str, object] = MappingProxyType({})


class Unit(NamedTuple):
    """What is read as one piece: a file with the files that belong to it, or one member of an archive."""

    path: Path
    label: str
    """Its name relative to the named folder, as used in `origin.uri`."""
    beside: tuple[Path, ...] = ()
    member: str = ""
    problem: str = ""
    """Why it is not read; empty when it is."""
    kind: str = ""
    """The reader that `auto` recognized."""
    domain: str = ""
    """The pack that recognizes the tree it lies in."""


class Unreadable(Value, frozen=True, kw_only=True):
    """A piece of input that could not be read, kept beside the records with its place."""

    uri: str
    problem: str
    sha256: str = ""
    preview: str = ""


class Unknown(Value, frozen=True, kw_only=True):
    """An entry of a type the reader does not know, kept beside the records as JSON text (truncated when long)."""

    uri: str
    type: str
    entry: str


class Reading:
    """The account of one unit: counters, unreadable and unknown entries, and the origin its records share."""

    def __init__(self, unit: Unit, *, source: str, domain: str, license: str = "", commit: str = "") -> None:
        self.unit, self.source, self.domain, self.license, self.commit = unit, source, domain, license, commit
        self.is_domain_open = False
        """Whether the user named no domain: then a reader may find the pack itself."""
        self.has_check = False
        """Whether the records become tasks of the user's own check: then a row may lack an answer."""
        self.counts: Counter[str] = Counter()
        self.unreadable: list[Unreadable] = []
        self.aside: list[Unknown] = []

    def count_found(self, number: int = 1) -> None:
        """Count candidates: each becomes a record, a drop, or an unreadable entry."""
        self.counts["found"] += number

    def add_unreadable(self, place: str, problem: str, raw: bytes | str = b"") -> None:
        """Keep an unreadable entry; it counts as found."""
        content = raw.encode("utf-8", "replace") if isinstance(raw, str) else raw
        self.count_found()
        self.unreadable.append(
            Unreadable(
                uri=self.uri(place),
                problem=problem,
                sha256=hashlib.sha256(content).hexdigest() if content else "",
                preview=content[: PREVIEW + _MARGIN].decode("utf-8", "replace"),
            )
        )

    def add_unknown(self, name: str, place: str, entry: object) -> None:
        """Keep an entry of a type this reader does not know, counted by its type."""
        self.counts[f"unknown:{name[:60]}"] += 1
        text = msgspec.json.encode(entry)[: KEPT + _MARGIN].decode("utf-8", "replace")
        self.aside.append(Unknown(uri=self.uri(place), type=name[:60], entry=text))

    def uri(self, place: str = "") -> str:
        """The location of an entry: file, archive member, and place in it."""
        whole = f"{self.unit.label}!{self.unit.member}" if self.unit.member else self.unit.label
        return f"{whole}#{place}" if place else whole

    def build_record(
        self,
        kind: str,
        messages: Sequence[Message],
        *,
        place: str = "",
        origin: Mapping[str, object] = NOTHING,
        extra: Mapping[str, object] = NOTHING,
    ) -> Record:
        """A record of this unit; `origin` and `extra` override fields."""
        turns = tuple(messages)
        filled = Origin(source=self.source, uri=self.uri(place), license=self.license, commit=self.commit)
        if origin:
            filled = msgspec.structs.replace(filled, **origin)
        record = Record(id=record_id(self.domain, turns), domain=self.domain, kind=kind, messages=turns, origin=filled)
        return msgspec.structs.replace(record, **extra) if extra else record


def open_balance(counts: Counter[str], name: str) -> int:
    """How many calls or typed turns a session reader found that are in no record, no drop, and not set aside."""
    inside = counts[f"{name} in records"] + counts[f"{name} in drops"]
    aside = sum(n for key, n in counts.items() if key.startswith(f"{name} set aside"))
    return counts[f"{name} found"] - inside - aside


class Source(Protocol):
    """A reader: a config struct of its options, a version, and two methods."""

    version: str
    """Part of the cache key: after a change of version every file is read again."""

    def units(self, place: Path) -> Iterator[Unit]:
        """The units at a file or folder."""

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """The records of one unit, in order."""


def user(text: str) -> Message:
    """A user message."""
    return Message(role="user", text=text)


def assistant(text: str, **more: object) -> Message:
    """An assistant message."""
    return msgspec.structs.replace(Message(role="assistant", text=text), **more)


def parse_tools(value: object) -> tuple[Tool, ...]:
    """Tool definitions, in OpenAI's form or bare."""
    found = []
    for item in value if isinstance(value, list) else []:
        body = item.get("function", item) if isinstance(item, dict) else None
        if isinstance(body, dict) and isinstance(body.get("name"), str):
            schema = body.get("parameters")
            found.append(
                Tool(
                    name=body["name"],
                    description=text_of(body.get("description")),
                    parameters=schema if isinstance(schema, dict) else {},
                )
            )
    return tuple(found)


def text_of(value: object) -> str:
    """A string field, or an empty string."""
    return value if isinstance(value, str) else ""


def first_text(row: Json, names: Sequence[str]) -> str:
    """The first non-empty string among some fields."""
    return next((text for name in names if (text := text_of(row.get(name)))), "")


def as_dict(value: object) -> Json:
    """A JSON object, or an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """A JSON array, or an empty one."""
    return value if isinstance(value, list) else []
