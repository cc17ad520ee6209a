"""Replaces secrets: the strings of a record are scanned together, and walked only when something was found."""

from __future__ import annotations

import bisect
import getpass
import hashlib
import itertools
import os
import re
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import re2

from afs import jsonl
from afs.errors import DataError
from afs.redaction.copies import find_copies
from afs.redaction.matcher import Cover, Matcher
from afs.redaction.rules import Match, Rule, load_rules
from afs.redaction.terminal_escapes import strip_escapes
from afs.types import Json, Record, Value, record_id

_CONTEXT = 24
_LEAST_NAME = 4
_LEAST_REPEATED = 8
"""A secret of this length is replaced wherever else it occurs in the text; shorter ones may be words."""
_REMEMBERED = 1 << 14
"""Placeholders kept, so that a value met again is not hashed again."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_. -]{2,40}")
"""Names that are literals as they are."""
_GENERIC = frozenset({"user", "root", "admin", "runner", "ubuntu", "debian", "localhost", "node", "build", "main"})
"""Account and host names that identify nobody."""


class Redaction(Value, frozen=True, kw_only=True):
    """One replacement, for review: its place, its rule, and the text around it."""

    record: str
    where: str
    rule: str
    placeholder: str
    context: str


class Redactor:
    """Compiled rules; counts replacements by rule."""

    def __init__(
        self,
        rules: Sequence[Rule] | None = None,
        *,
        salt: bytes = b"",
        names: Sequence[str] = (),
        allow: Sequence[str] = (),
    ) -> None:
        self.rules = tuple(rules if rules is not None else load_rules()) + _name_rules(names)
        self.counts: Counter[str] = Counter()
        self._matcher = Matcher(self.rules, frozenset(value.lower() for value in allow))
        self._copied = frozenset(rule.id for rule in self.rules if rule.tail)
        self._placeholders: dict[tuple[str, bytes], bytes] = {}
        self._hash = hashlib.blake2b(key=salt[:64], digest_size=3)

    def record(self, record: Record) -> tuple[Record, list[Redaction]]:
        """The record without secrets, with the id of its new content."""
        texts = list(dict.fromkeys(_list_strings(record)))
        clean = self._redact_texts(texts)
        if not clean:
            return record, []
        walk = _Walk(clean, [])
        table = cast(Json, msgspec.to_builtins(record))
        out = cast(Json, _replace_strings(table, "", walk))
        out |= {key: table[key] for key in ("id", "kind", "domain") if key in table}
        result = msgspec.convert(out, Record)
        result = msgspec.structs.replace(result, id=record_id(result.domain, result.messages))
        found = [(where, clean.raw, hit) for where, clean in walk.found for hit in clean.hits]
        self.counts.update(rule for _, _, (rule, _, _) in found)
        return result, [
            Redaction(
                record=result.id,
                where=where,
                rule=rule,
                placeholder=mark,
                context=_context_of(raw, end - len(mark), end),
            )
            for where, raw, (rule, mark, end) in found
        ]

    def text(self, text: str) -> str:
        """One text without secrets."""
        clean = self._redact_texts([text]).get(text)
        if clean is None:
            return text
        self.counts.update([rule for rule, _, _ in clean.hits])
        return clean.text

    def finds(self, text: str) -> list[str]:
        """Ids of the rules that match."""
        return [rule for _, _, rule, _ in self._matcher.find(_encode(text)).matches]

    def _redact_texts(self, texts: Sequence[str]) -> dict[str, _CleanText]:
        """The texts in which something was found, scanned together."""
        raws = [_encode(text) for text in texts]
        whole = b"\n".join(raws)
        cover = self._matcher.find(whole)
        if not cover.matches:
            return {}
        names = self._learn_names(cover)
        by_text = _split_matches(self._list_matches(cover, names), [len(raw) for raw in raws])
        clean = {}
        for number, matches in by_text.items():
            raw = raws[number]
            if matches is None:
                matches = self._list_matches(self._matcher.find(raw), names)
            if matches:
                clean[texts[number]] = self._replace(raw, matches)
        return clean

    def _learn_names(self, cover: Cover) -> dict[bytes, str]:
        """Names of people found in paths and shell prompts: value -> kind."""
        learning = self._matcher.learning
        found = {cover.raw[start:end]: kind for start, end, rule, kind in cover.matches if rule in learning}
        return {
            value: kind
            for value, kind in found.items()
            if len(value) >= _LEAST_NAME and value.decode("utf-8", "replace").lower() not in _GENERIC
        }

    def _list_matches(self, cover: Cover, names: dict[bytes, str]) -> list[Match]:
        """The matches in order of place, with other copies of long values and of names that were learned."""
        raw = cover.raw
        copied = self._copied
        values = {raw[start:end]: (rule, kind) for start, end, rule, kind in cover.matches if rule in copied}
        for at, value in find_copies(raw, {value for value in values if len(value) >= _LEAST_REPEATED}):
            cover.add(at, at + len(value), *values[value])
        for at, name in find_copies(raw, names):
            if _stands_alone(raw, at, at + len(name)):
                cover.add(at, at + len(name), "name", names[name])
        return sorted(cover.matches)

    def _replace(self, raw: bytes, matches: Sequence[Match]) -> _CleanText:
        """A text with a placeholder for each match."""
        pieces: list[bytes] = []
        hits: list[_Hit] = []
        at = size = 0
        for start, end, rule, kind in matches:
            mark = self._make_placeholder(kind, rule, raw[start:end])
            pieces += (raw[at:start], mark)
            size += start - at + len(mark)
            hits.append((rule, mark.decode(), size))
            at = end
        pieces.append(raw[at:])
        out = b"".join(pieces)
        return _CleanText(out.decode("utf-8", "replace"), out, hits)

    def _make_placeholder(self, kind: str, rule: str, value: bytes) -> bytes:
        key = (rule if kind == "SECRET" else kind, value)
        if (mark := self._placeholders.get(key)) is None:
            hashed = self._hash.copy()
            hashed.update(value)
            code = hashed.hexdigest()[:5]
            mark = (f"<{kind}:{rule}:{code}>" if kind == "SECRET" else f"<{kind}:{code}>").encode()
            if len(self._placeholders) < _REMEMBERED:
                self._placeholders[key] = mark
        return mark


_Hit = tuple[str, str, int]
"""(rule, placeholder, its end in the clean text)."""


class _CleanText(NamedTuple):
    """A text without secrets, its bytes, and what was replaced."""

    text: str
    raw: bytes
    hits: list[_Hit]


class _Walk(NamedTuple):
    """What a walk through a record's strings puts in, and finds."""

    clean: dict[str, _CleanText]
    found: list[tuple[str, _CleanText]]


def _replace_strings(value: object, where: str, walk: _Walk) -> object:
    if isinstance(value, str):
        clean = walk.clean.get(value)
        if clean is None:
            return value
        walk.found.append((where, clean))
        return clean.text
    if isinstance(value, dict):
        keys = {key: cast(str, _replace_strings(key, where, walk)) for key in value}
        return {
            keys[key]: _replace_strings(item, f"{where}.{keys[key]}".lstrip("."), walk) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_replace_strings(item, f"{where}[{i}]", walk) for i, item in enumerate(value)]
    return value


def _encode(text: str) -> bytes:
    """A text as UTF-8 bytes; escape codes hide word boundaries."""
    return (strip_escapes(text) if "\x1b" in text else text).encode("utf-8", "replace")


def _split_matches(matches: Sequence[Match], sizes: Sequence[int]) -> dict[int, list[Match] | None]:
    """The matches of joined texts by text; None for a text that shares a match with its neighbor."""
    if len(sizes) == 1:
        return {0: list(matches)}
    by_text: dict[int, list[Match] | None] = {}
    ends = list(itertools.accumulate(size + 1 for size in sizes))
    number = 0
    for start, end, rule, kind in matches:
        while ends[number] <= start:
            number += 1
        if end >= ends[number]:
            last = bisect.bisect_right(ends, end)
            by_text |= dict.fromkeys(range(number, min(last + 1, len(sizes))))
        elif (held := by_text.setdefault(number, [])) is not None:
            begin = ends[number] - sizes[number] - 1
            held.append((start - begin, end - begin, rule, kind))
    return by_text


def _stands_alone(raw: bytes, start: int, end: int) -> bool:
    """Whether a name is no part of a longer word."""
    before, after = raw[start - 1 : start], raw[end : end + 1]
    return not (before.isalnum() or before == b":" or after.isalnum())


def _context_of(out: bytes, start: int, end: int) -> str:
    """The text around a placeholder, after all replacements."""
    return out[max(0, start - _CONTEXT) : end + _CONTEXT].decode("utf-8", "ignore").replace("\n", " ")


def _name_rules(names: Sequence[str]) -> tuple[Rule, ...]:
    """A rule for the user's names and for the account and host of this machine."""
    known = set(names) | {name for name in (_account_name(), socket.gethostname().partition(".")[0]) if name}
    wanted = sorted(n for n in known if n in names or (len(n) >= _LEAST_NAME and n.lower() not in _GENERIC))
    plain = tuple(name for name in wanted if _PLAIN_NAME.fullmatch(name))
    other = [name for name in wanted if name not in plain]
    rules = []
    if plain:
        pattern = r"(?<![A-Za-z0-9_])(?:" + "|".join(map(re.escape, plain)) + r")(?![A-Za-z0-9_])"
        rules.append(Rule(id="name", kind="USER", pattern=pattern, needles=plain))
    if other:
        pattern = r"(?:^|[^A-Za-z0-9_])(" + "|".join(map(re2.escape, other)) + r")(?:$|[^A-Za-z0-9_])"
        rules.append(Rule(id="name", kind="USER", pattern=pattern, groups=True))
    return tuple(rules)


def _account_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _list_strings(record: Record) -> Iterator[str]:
    """Every string of a record that may hold a secret."""
    for message in record.messages:
        yield message.text
        if message.thinking:
            yield message.thinking
        for call in message.tool_calls:
            yield from _list_inner_strings(call.arguments)
    origin = record.origin
    yield from (origin.source, origin.uri, origin.group, origin.maker)
    yield from record.tags
    if record.task is not None:
        task = record.task
        yield from (task.prompt, task.reference, task.system, task.group)
        yield from _list_inner_strings(task.spec)
    for verdict in record.verdicts:
        yield verdict.reason
        yield from _list_inner_strings(verdict.facts)
    for tool in record.tools:
        yield tool.description
        yield from _list_inner_strings(tool.parameters)


def _list_inner_strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _list_inner_strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _list_inner_strings(item)


def load_salt(folder: Path) -> bytes:
    """The salt of a workspace's placeholders, created once; without it later placeholders get other marks."""
    path = folder / "redaction.salt"
    if not path.exists():
        jsonl.replace(path, os.urandom(32).hex().encode())
        path.chmod(0o600)
    try:
        return bytes.fromhex(path.read_text("ascii").strip())
    except ValueError as error:
        raise DataError(f"{path}: not a salt (64 hexadecimal digits)") from error
