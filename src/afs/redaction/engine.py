"""Finds and replaces secrets: one RE2 set scans the whole record; its strings are walked only on a match."""

from __future__ import annotations

import functools
import getpass
import hashlib
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
from afs.redaction.escapes import strip_escapes
from afs.redaction.rules import Match, Rule, load_rules
from afs.redaction.tails import TAILS
from afs.types import Json, Record, Value, record_id

_CONTEXT = 24
_LEAST_NAME = 4
_LEAST_REPEATED = 8
"""A secret of this length is replaced wherever else it occurs in the text; shorter ones may be words."""
_SHORT = 64
_SETS = 1
"""Automata for the rules without a word to begin with: more cost more passes, too few have too many states."""
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
        self._sets, self._compiled = _compile_rules(self.rules)

    def record(self, record: Record) -> tuple[Record, list[Redaction]]:
        """The record without secrets, with the id of its new content."""
        texts = list(_list_strings(record))
        whole = _encode("\n".join(texts))
        suspects = self._match_rules(whole)
        if not suspects or next(self._find_matches(whole, suspects), None) is None:
            return record, []
        table = cast(Json, msgspec.to_builtins(record))
        found: list[tuple[str, str, str, str]] = []
        clean = cast(Json, self._redact_value(table, "", found, self._learn_names(texts)))
        if not found:
            return record, []
        clean |= {key: table[key] for key in ("id", "kind", "domain") if key in table}
        result = msgspec.convert(clean, Record)
        result = msgspec.structs.replace(result, id=record_id(result.domain, result.messages))
        for _, rule, _, _ in found:
            self.counts[rule] += 1
        return result, [
            Redaction(record=result.id, where=where, rule=rule, placeholder=placeholder, context=context)
            for where, rule, placeholder, context in found
        ]

    def text(self, text: str) -> str:
        """One text without secrets."""
        raw = _encode(text)
        suspects = self._match_rules(raw)
        if not suspects:
            return text
        clean, hits = self._replace(raw, suspects, self._find_names(raw, suspects))
        for rule, _ in hits:
            self.counts[rule] += 1
        return clean.decode() if hits else text

    def finds(self, text: str) -> list[str]:
        """Ids of the rules that match."""
        raw = _encode(text)
        return [match.rule.id for match in self._find_matches(raw, self._match_rules(raw))]

    def _match_rules(self, raw: bytes) -> list[int]:
        return sorted([number for group in self._sets for number in group.match(raw)])

    def _learn_names(self, texts: Sequence[str]) -> dict[bytes, str]:
        """Names of people and hosts found in paths and shell prompts: value -> kind."""
        names: dict[bytes, str] = {}
        for raw in map(_encode, texts):
            names |= self._find_names(raw, self._match_rules(raw))
        return names

    def _find_names(self, raw: bytes, suspects: Sequence[int]) -> dict[bytes, str]:
        learned = self._find_matches(raw, [number for number in suspects if self.rules[number].learn])
        values = ((raw[match.start : match.end], match.rule.kind) for match in learned)
        return {
            value: kind
            for value, kind in values
            if len(value) >= _LEAST_NAME and value.decode().lower() not in _GENERIC
        }

    def _redact_value(
        self, value: object, where: str, found: list[tuple[str, str, str, str]], learned: dict[bytes, str]
    ) -> object:
        if isinstance(value, str):
            return self._redact_string(value, where, found, learned)
        if isinstance(value, dict):
            keys = {key: self._redact_value(key, where, found, learned) for key in value}
            return {
                keys[key]: self._redact_value(item, f"{where}.{keys[key]}".lstrip("."), found, learned)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._redact_value(item, f"{where}[{i}]", found, learned) for i, item in enumerate(value)]
        return value

    def _redact_string(
        self, value: str, where: str, found: list[tuple[str, str, str, str]], learned: dict[bytes, str]
    ) -> str:
        """A string without secrets; short harmless strings, such as field names, are cached."""
        if value in self._harmless and not learned:
            return value
        raw = _encode(value)
        suspects = self._match_rules(raw)
        if not suspects and len(raw) <= _SHORT and len(self._harmless) < _REMEMBERED:
            self._harmless.add(value)
        clean, hits = self._replace(raw, suspects, learned)
        if not hits:
            return value
        text = clean.decode()
        found += [(where, rule, placeholder, _context_of(text, placeholder)) for rule, placeholder in hits]
        return text

    def _replace(
        self, raw: bytes, suspects: Sequence[int], learned: dict[bytes, str]
    ) -> tuple[bytes, list[tuple[str, str]]]:
        """The text with placeholders, and the (rule, placeholder) of each."""
        hits: list[tuple[str, str]] = []
        for number in suspects:
            repeated: dict[bytes, str] = {}
            for match in reversed(list(self._find_matches(raw, [number]))):
                value = raw[match.start : match.end]
                placeholder = self._make_placeholder(match.rule.kind, match.rule.id, value)
                raw = raw[: match.start] + placeholder.encode() + raw[match.end :]
                hits.append((match.rule.id, placeholder))
                if match.rule.tail and len(value) >= _LEAST_REPEATED:
                    repeated[value] = placeholder
            for value, placeholder in repeated.items():
                raw = raw.replace(value, placeholder.encode())
        for name, kind in learned.items():
            if name in raw:
                raw = self._hide_name(raw, name, kind, hits)
        return raw, hits

    def _hide_name(self, raw: bytes, name: bytes, kind: str, hits: list[tuple[str, str]]) -> bytes:
        placeholder = self._make_placeholder(kind, "name", name)
        pattern = _name_pattern(name.decode())
        while match := pattern.search(raw):
            raw = raw[: match.end(1)] + placeholder.encode() + raw[match.start(2) :]
            hits.append(("name", placeholder))
        return raw

    def _find_matches(self, raw: bytes, numbers: Sequence[int]) -> Iterator[Match]:
        for number in numbers:
            rule = self.rules[number]
            if rule.keywords and not any(word.encode() in raw.lower() for word in rule.keywords):
                continue
            last = -1
            for match in self._compiled[number].finditer(raw):
                for start, end in _list_spans(rule, match, raw):
                    if end > start >= last and self._is_secret(rule, raw, start, end):
                        yield Match(start, end, rule)
                        last = end

    def _is_secret(self, rule: Rule, raw: bytes, start: int, end: int) -> bool:
        value = raw[start:end].decode("utf-8", "replace")
        if rule.check == "ipv4" and raw[max(0, start - 9) : start].lower().rstrip(b" :").endswith(
            (b"v", b"version", b"ver")
        ):
            return False
        return value.lower() not in self.allow and rule.accepts(value)

    def _make_placeholder(self, kind: str, rule: str, value: bytes) -> str:
        mark = hashlib.blake2b(value, key=self._salt[:64], digest_size=3).hexdigest()[:5]
        return f"<{kind}:{rule}:{mark}>" if kind == "SECRET" else f"<{kind}:{mark}>"


def _list_spans(rule: Rule, match: re2._Match, raw: bytes) -> list[tuple[int, int]]:
    """The parts of a match that a rule replaces."""
    if rule.trigger:
        whole = _verifier(rule.pattern).match(raw, match.start())
        if whole is None:
            return []
        return [whole.span(i) for i in range(1, whole.re.groups + 1)] if rule.groups else [whole.span()]
    if rule.tail:
        if _is_placeholder(raw, match.start()):
            return []
        behind = TAILS[rule.tail].match(raw, match.end())
        return [behind.span(i) for i in range(1, behind.re.groups + 1)] if behind else []
    if rule.groups:
        return [match.span(i) for i in range(1, (match.re.groups or 0) + 1)]
    return [match.span()]


@functools.lru_cache(maxsize=256)
def _verifier(pattern: str) -> re.Pattern[bytes]:
    """The pattern of a rule with a trigger, tried where the trigger matched."""
    return re.compile(pattern.replace("\\z", "\\Z").encode())


def _is_placeholder(raw: bytes, at: int) -> bool:
    """Whether a place is inside a placeholder, whose own words look like a secret's name."""
    start = raw.rfind(b"<", max(0, at - 48), at + 1)
    return (
        start >= 0
        and raw.startswith((b"<SECRET:", b"<EMAIL:", b"<USER:", b"<HOST:", b"<IP:"), start)
        and raw.find(b">", start, at) < 0
    )


class _RuleSet(NamedTuple):
    """Some rules as one automaton, with their numbers."""

    automaton: re2.Set
    numbers: list[int]

    def match(self, raw: bytes) -> list[int]:
        """Numbers of the rules that match somewhere."""
        return [self.numbers[i] for i in cast("list[int] | None", self.automaton.Match(raw)) or []]


@functools.lru_cache(maxsize=8)
def _compile_rules(rules: tuple[Rule, ...]) -> tuple[list[_RuleSet], list[re2._Regexp]]:
    """(sets of patterns, each pattern), cached because compiling takes longer than scanning most texts.

    One set of all patterns has so many states that building them takes most of the time; rules that begin with words
    share one, the others are spread over a few.
    """
    options = re2.Options()
    options.max_mem = 256 << 20
    options.log_errors = False
    words = [number for number, rule in enumerate(rules) if rule.trigger or rule.tail or rule.keywords]
    others = [number for number in range(len(rules)) if number not in set(words)]
    groups = [words, *(others[i::_SETS] for i in range(_SETS))]
    return (
        [_compile_set([rules[n] for n in group], group, options) for group in groups if group],
        [re2.compile(rule.trigger or rule.pattern, options) for rule in rules],
    )


def _compile_set(rules: Sequence[Rule], numbers: list[int], options: re2.Options) -> _RuleSet:
    automaton = re2.Set.SearchSet(options)
    for rule in rules:
        words = "|".join(re2.escape(word) for word in rule.keywords)
        automaton.Add(rule.trigger or (f"(?i)(?:{words})" if words else rule.pattern))
    automaton.Compile()
    return _RuleSet(automaton, numbers)


def _encode(text: str) -> bytes:
    """A text as UTF-8 bytes, in which RE2 reports positions without conversion; escape codes hide word boundaries."""
    return (strip_escapes(text) if "\x1b" in text else text).encode("utf-8", "replace")


@functools.lru_cache(maxsize=64)
def _name_pattern(name: str) -> re2._Regexp:
    return re2.compile(rf"(^|[^A-Za-z0-9:]){re2.escape(name)}($|[^A-Za-z0-9])")


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
