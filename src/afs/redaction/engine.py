"""Finds and replaces secrets: one RE2 set scans the whole record; its strings are walked only on a match."""

from __future__ import annotations

import bisect
import functools
import getpass
import hashlib
import itertools
import os
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import re2

from afs import jsonl
from afs.errors import DataError
from afs.redaction.matcher import Matcher
from afs.redaction.rules import Match, Rule, load_rules
from afs.redaction.terminal_escapes import strip_escapes
from afs.types import Json, Record, Value, record_id

_CONTEXT = 24
_LEAST_NAME = 4
_LEAST_REPEATED = 8
"""A secret of this length is replaced wherever else it occurs in the text; shorter ones may be words."""
_SHORT = 64
_REMEMBERED = 4096
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
        self.allow = frozenset(value.lower() for value in allow)
        self.counts: Counter[str] = Counter()
        self._salt = salt
        self._harmless: set[str] = set()
        self._matcher = Matcher(self.rules, self.allow)

    def record(self, record: Record) -> tuple[Record, list[Redaction]]:
        """The record without secrets, with the id of its new content."""
        texts = list(_list_strings(record))
        raws = [_encode(text) for text in texts]
        whole = b"\n".join(raws)
        matches = list(self._matcher.find(whole, self._matcher.list_suspects(whole)))
        if not matches:
            return record, []
        table = cast(Json, msgspec.to_builtins(record))
        walk = _Walk(_find_names(whole, matches), _list_untouched(texts, raws, matches), [])
        clean = cast(Json, self._redact_value(table, "", walk))
        if not walk.found:
            return record, []
        clean |= {key: table[key] for key in ("id", "kind", "domain") if key in table}
        result = msgspec.convert(clean, Record)
        result = msgspec.structs.replace(result, id=record_id(result.domain, result.messages))
        for _, rule, _, _ in walk.found:
            self.counts[rule] += 1
        return result, [
            Redaction(record=result.id, where=where, rule=rule, placeholder=placeholder, context=context)
            for where, rule, placeholder, context in walk.found
        ]

    def text(self, text: str) -> str:
        """One text without secrets."""
        raw = _encode(text)
        suspects = self._matcher.list_suspects(raw)
        if not suspects:
            return text
        learning = [number for number in suspects if number in self._matcher.learning]
        learned = _find_names(raw, self._matcher.find(raw, learning)) if learning else {}
        clean, hits = self._replace(raw, suspects, learned)
        for rule, _ in hits:
            self.counts[rule] += 1
        return clean.decode() if hits else text

    def finds(self, text: str) -> list[str]:
        """Ids of the rules that match."""
        raw = _encode(text)
        return [match.rule.id for match in self._matcher.find(raw, self._matcher.list_suspects(raw))]

    def _redact_value(self, value: object, where: str, walk: _Walk) -> object:
        if isinstance(value, str):
            return self._redact_string(value, where, walk)
        if isinstance(value, dict):
            keys = {key: self._redact_value(key, where, walk) for key in value}
            return {
                keys[key]: self._redact_value(item, f"{where}.{keys[key]}".lstrip("."), walk)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._redact_value(item, f"{where}[{i}]", walk) for i, item in enumerate(value)]
        return value

    def _redact_string(self, value: str, where: str, walk: _Walk) -> str:
        """A string without secrets; short harmless strings, such as field names, are cached."""
        if value in walk.untouched or value in self._harmless:
            if not walk.learned:
                return value
            raw, suspects = _encode(value), []
        else:
            raw = _encode(value)
            suspects = self._matcher.list_suspects(raw)
            if not suspects and len(raw) <= _SHORT and len(self._harmless) < _REMEMBERED:
                self._harmless.add(value)
        clean, hits = self._replace(raw, suspects, walk.learned)
        if not hits:
            return value
        text = clean.decode()
        walk.found.extend((where, rule, placeholder, _context_of(text, placeholder)) for rule, placeholder in hits)
        return text

    def _replace(
        self, raw: bytes, suspects: Sequence[int], learned: dict[bytes, str]
    ) -> tuple[bytes, list[tuple[str, str]]]:
        """The text with placeholders, and the (rule, placeholder) of each."""
        hits: list[tuple[str, str]] = []
        for number in suspects:
            if matches := list(self._matcher.find(raw, [number])):
                raw = self._replace_matches(raw, matches, hits)
        for name, kind in learned.items():
            if name in raw:
                placeholder = self._make_placeholder(kind, "name", name)
                raw, count = _name_pattern(name).subn(placeholder.encode(), raw)
                hits += [("name", placeholder)] * count
        return raw, hits

    def _replace_matches(self, raw: bytes, matches: Sequence[Match], hits: list[tuple[str, str]]) -> bytes:
        """The text with a placeholder for each match, and for other copies of a long value."""
        pieces, repeated, at = [], {}, 0
        for match in matches:
            value = raw[match.start : match.end]
            placeholder = self._make_placeholder(match.rule.kind, match.rule.id, value)
            pieces += [raw[at : match.start], placeholder.encode()]
            at = match.end
            hits.append((match.rule.id, placeholder))
            if match.rule.tail and len(value) >= _LEAST_REPEATED:
                repeated[value] = pieces[-1]
        raw = b"".join((*pieces, raw[at:]))
        for value, mark in repeated.items():
            raw = raw.replace(value, mark)
        return raw

    def _make_placeholder(self, kind: str, rule: str, value: bytes) -> str:
        mark = hashlib.blake2b(value, key=self._salt[:64], digest_size=3).hexdigest()[:5]
        return f"<{kind}:{rule}:{mark}>" if kind == "SECRET" else f"<{kind}:{mark}>"


def _encode(text: str) -> bytes:
    """A text as UTF-8 bytes, in which RE2 reports positions without conversion; escape codes hide word boundaries."""
    return (strip_escapes(text) if "\x1b" in text else text).encode("utf-8", "replace")


class _Walk(NamedTuple):
    """What a walk through a record's strings knows and finds."""

    learned: dict[bytes, str]
    """Names of people and hosts found in paths and shell prompts: value -> kind."""
    untouched: frozenset[str]
    """Strings in which no rule found anything."""
    found: list[tuple[str, str, str, str]]


def _find_names(raw: bytes, matches: Iterable[Match]) -> dict[bytes, str]:
    """The names that rules learned: value -> kind."""
    values = ((raw[match.start : match.end], match.rule.kind) for match in matches if match.rule.learn)
    return {
        value: kind
        for value, kind in values
        if len(value) >= _LEAST_NAME and value.decode("utf-8", "replace").lower() not in _GENERIC
    }


def _list_untouched(texts: Sequence[str], raws: Sequence[bytes], matches: Sequence[Match]) -> frozenset[str]:
    """The texts that no match in their joined form touches."""
    ends = list(itertools.accumulate(len(raw) + 1 for raw in raws))
    touched = {
        texts[number]
        for match in matches
        for number in range(bisect.bisect_right(ends, match.start), bisect.bisect_left(ends, match.end) + 1)
    }
    return frozenset(texts) - touched


@functools.lru_cache(maxsize=64)
def _name_pattern(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"(?<![A-Za-z0-9:])" + re.escape(name) + rb"(?![A-Za-z0-9])")


def _context_of(text: str, placeholder: str) -> str:
    """The text around a placeholder, after all replacements."""
    start = max(0, text.find(placeholder))
    return text[max(0, start - _CONTEXT) : start + len(placeholder) + _CONTEXT].replace("\n", " ")


def _name_rules(names: Sequence[str]) -> tuple[Rule, ...]:
    """One rule for the user's names and for the account and host of this machine."""
    known = set(names) | {name for name in (_account_name(), socket.gethostname().partition(".")[0]) if name}
    wanted = sorted(n for n in known if n in names or (len(n) >= _LEAST_NAME and n.lower() not in _GENERIC))
    if not wanted:
        return ()
    pattern = r"(?:^|[^A-Za-z0-9_])(" + "|".join(re2.escape(name) for name in wanted) + r")(?:$|[^A-Za-z0-9_])"
    return (Rule(id="name", kind="USER", pattern=pattern, groups=True),)


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
