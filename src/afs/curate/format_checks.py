"""The step `validate` and `afs data validate`: every problem with its place, not only the first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, NamedTuple

import msgspec

from afs import datasets, jsonl, manifests
from afs.config import Config, Count, Positive
from afs.curate.quality_measures import measure_fences
from afs.curate.row_records import parse_row
from afs.curate.step_context import RecordStream, StepContext
from afs.curate.text_keys import record_key
from afs.curate.token_counts import Rendering
from afs.datasets import answer_text
from afs.errors import DataError
from afs.types import Dropped, Message, Record, Value, record_id
from afs.workspace import Workspace

_CONTROLS = bytes((*range(9), 11, *range(14, 32), 127))
_LOST = "\ufffd" * 3
_MARKERS = re.compile(r"<\|(?:im_start|im_end|endoftext|eot_id|start_header_id|end_header_id)\|>")
_CLIPPED = ("[truncated]", "[cut]", "<truncated>")
_LONGEST = 4_000_000
_decode = jsonl.decoder(Record)


class Validate(Config, frozen=True, kw_only=True):
    """Form of every record: roles, contents, encodings, calls, license."""

    licenses: tuple[str, ...] = ()
    """Licenses that are allowed; empty: any, unknown included."""
    max_chars: Positive = _LONGEST
    """Longest conversation."""

    def __call__(self, records: RecordStream, context: StepContext) -> Iterator[Record | Dropped]:
        """Every valid record; others dropped with all their problems."""
        for record in records:
            found = list(find_problems(record, self))
            if found:
                yield Dropped(record=record, reason=f"invalid: {found[0].split(':')[0]}", detail="; ".join(found))
            else:
                yield record


def find_problems(record: Record, config: Validate) -> Iterator[str]:
    """Every problem of a record, with its place."""
    if record.id != record_id(record.domain, record.messages):
        yield "id: is not the digest of the content"
    if config.licenses and record.origin.license not in config.licenses:
        yield f"license: {record.origin.license or 'unknown'} is not allowed"
    if sum([len(m.text) for m in record.messages]) > config.max_chars:
        yield f"length: more than {config.max_chars} characters"
    given = answer_text(record).rstrip()
    if not given:
        yield "answer: empty"
    elif measure_fences(record) == 0.0 or given.endswith(_CLIPPED):
        yield "answer: clipped"
    yield from _find_order_problems(record)
    for number, message in enumerate(record.messages):
        for problem in _find_message_problems(message, record):
            yield f"{problem} at messages[{number}]"


def _find_order_problems(record: Record) -> Iterator[str]:
    roles = [m.role for m in record.messages]
    if not roles or roles[-1] != "assistant":
        yield "roles: the last turn is not the assistant's"
    if "system" in roles[1:]:
        yield "roles: a system turn after the first"
    talk = [role for role in roles if role != "system"]
    if not talk or talk[0] != "user":
        yield "roles: the first turn is not the user's"
    if any(a == b == "user" or (a, b) == ("user", "tool") for a, b in pairwise(talk)):
        yield "roles: out of order"


def _find_message_problems(message: Message, record: Record) -> Iterator[str]:
    text = message.text
    if (not text or text.isspace()) and not message.tool_calls and message.role in ("user", "assistant"):
        yield "text: empty"
    if _LOST in text or _has_controls(text):
        yield "encoding: control characters"
    if "<|" in text and _MARKERS.search(text):
        yield "markers: a chat template's own token in the text"
    if message.role == "tool" and message.tool_call_id and message.tool_call_id not in _call_ids(record):
        yield f"calls: a result for {message.tool_call_id!r}, which no call has"


def _has_controls(text: str) -> bool:
    raw = text.encode("utf-8", "replace")
    return len(raw.translate(None, _CONTROLS)) != len(raw)


def _call_ids(record: Record) -> set[str]:
    return {call.id for m in record.messages for call in m.tool_calls}


class Problem(Value, frozen=True, kw_only=True):
    """One problem and its place."""

    place: str
    problem: str


class ValidateConfig(Config, frozen=True, kw_only=True):
    """Check records or a dataset: files, lines, and every record."""

    positional: ClassVar[tuple[str, ...]] = ("ref",)
    ref: str
    """Records, a dataset, or a file: records, instruction and output, messages, or ShareGPT; JSON lines or one list."""
    licenses: tuple[str, ...] = ()
    """Licenses that are allowed; empty: any."""
    max_chars: Positive = _LONGEST
    """Longest conversation."""
    model: str = ""
    """Model folder or stored model: its chat template must render every record."""
    max_tokens: Count = 0
    """Longest rendered record in that model's tokens; 0: any."""
    limit: Count = 1000
    """Problems to list; all are counted."""


class Validation(Value, frozen=True, kw_only=True):
    """Everything that was found."""

    ref: str
    records: int
    found: int
    problems: tuple[Problem, ...]

    @property
    def exit_code(self) -> int:
        """3 if there are problems."""
        return 3 if self.found else 0

    def text(self) -> str:
        """One line per problem."""
        lines = [f"{p.place}: {p.problem}" for p in self.problems]
        hidden = self.found - len(self.problems)
        more = [f"… and {hidden} more"] if hidden else []
        return "\n".join([*lines, *more, f"{self.ref}: {self.records} records, {self.found} problems"])


class _StoredParts(NamedTuple):
    """What to check: its name, (side, file) of every part, and problems of the files themselves."""

    ref: str
    parts: list[tuple[str, Path]]
    found: list[Problem]


def validate(config: ValidateConfig, workspace: Workspace) -> Validation:
    """Check everything, list every problem."""
    stored = _find_parts(config.ref, workspace)
    rules = Validate(licenses=config.licenses, max_chars=config.max_chars)
    found = stored.found
    seen = _Seen({}, {})
    rendering = Rendering(workspace, config.model) if config.model else None
    count = 0
    for side, path in stored.parts:
        for place, line in _iter_rows(path, found):
            count += 1
            record, problems = _check_line(line, rules)
            if record is not None:
                problems += seen.find_problems(record, side, place)
                wrong = rendering.check_record(record, config.max_tokens) if rendering is not None else ""
                problems += [wrong] if wrong else []
            found += [Problem(place=place, problem=problem) for problem in problems]
    return Validation(ref=stored.ref, records=count, found=len(found), problems=tuple(found[: config.limit]))


class _Seen(NamedTuple):
    """What came before: record id -> side, and normalized conversation -> place."""

    sides: dict[str, str]
    places: dict[bytes, str]

    def find_problems(self, record: Record, side: str, place: str) -> list[str]:
        """Copies of an earlier record."""
        before = self.sides.setdefault(record.id, side)
        if before != side:
            return [f"id: {record.id} is in {before} too"]
        first = self.places.setdefault(record_key(record), place)
        return [f"duplicate: the same conversation as {first}"] if first != place else []


def _find_parts(text: str, workspace: Workspace) -> _StoredParts:
    """A file of records, or a stored set whose files are compared with their checksums."""
    if Path(text).is_file():
        return _StoredParts(text, [("", Path(text))], [])
    dataset = datasets.load(workspace, text)
    folder = datasets.folder_of(workspace, dataset)
    shards = [(split.name, shard) for split in dataset.splits for shard in split.shards]
    problems = (problem.partition(": ") for problem in manifests.verify_files(folder, (shard for _, shard in shards)))
    found = [Problem(place=place, problem=problem) for place, _, problem in problems]
    return _StoredParts(dataset.ref, [(side, folder / shard.path) for side, shard in shards], found)


def _iter_lines(path: Path, found: list[Problem]) -> Iterator[tuple[str, bytes]]:
    def on_bad(number: int, problem: str, _line: bytes) -> None:
        found.append(Problem(place=f"{path.name}:{number}", problem=problem))

    for number, line in jsonl.read_lines(path, on_bad):
        yield f"{path.name}:{number}", line


def _iter_rows(path: Path, found: list[Problem]) -> Iterator[tuple[str, bytes]]:
    """(place, row) of a file of lines, or of one JSON list."""
    if path.suffix == ".json":
        with path.open("rb") as source:
            is_list = source.read(4096).lstrip()[:1] == b"["
        if is_list:
            yield from _iter_items(path, found)
            return
    yield from _iter_lines(path, found)


def _iter_items(path: Path, found: list[Problem]) -> Iterator[tuple[str, bytes]]:
    try:
        items = msgspec.json.decode(path.read_bytes(), type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        found.append(Problem(place=path.name, problem=str(error)))
        return
    yield from ((f"{path.name}[{number}]", bytes(item)) for number, item in enumerate(items))


def _check_line(line: bytes, rules: Validate) -> tuple[Record | None, list[str]]:
    """The record of a line, or of a row in an ordinary training file, and everything that is wrong with it."""
    try:
        row = jsonl.loads_strict(line)
        record = _decode(line) if isinstance(row, dict) and "origin" in row else parse_row(row)
    except (DataError, msgspec.DecodeError, UnicodeDecodeError) as error:
        return None, [str(error)]
    return record, list(find_problems(record, rules))
