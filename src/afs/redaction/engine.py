"""Finds and replaces: one RE2 set says at once whether a record holds anything; only then are its strings walked."""

from __future__ import annotations

import functools
import getpass
import hashlib
import os
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import msgspec
import re2

from afs import jsonl
from afs.errors import DataError
from afs.redaction.rules import Match, Rule, load_rules
from afs.types import Json, Record, Value, record_id

_CONTEXT = 24
_LEAST_NAME = 4
_GENERIC = frozenset({"user", "root", "admin", "runner", "ubuntu", "debian", "localhost", "node", "build", "main"})
"""Names of accounts and hosts that tell nothing about anybody."""


class Redaction(Value, frozen=True, kw_only=True):
    """One replacement, for review: where, by which rule, and what stood around it."""

    record: str
    where: str
    rule: str
    placeholder: str
    context: str


class Redactor:
    """Rules made ready; keeps counts by rule."""

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
        self._any, self._compiled = _made_ready(self.rules)

    def record(self, record: Record) -> tuple[Record, list[Redaction]]:
        """The record without secrets, under the id of its new content."""
        texts = list(_strings(record))
        if not self._suspects("\n".join(texts)):
            return record, []
        table = cast(Json, msgspec.to_builtins(record))
        found: list[tuple[str, str, str, str]] = []
        learned = self._learn(texts)
        clean = cast(Json, self._walk(table, "", found, learned))
        clean |= {key: table[key] for key in ("id", "kind", "domain") if key in table}
        result = msgspec.convert(clean, Record)
        if not found:
            return record, []
        result = msgspec.structs.replace(result, id=record_id(result.domain, result.messages))
        for _, rule, _, _ in found:
            self.counts[rule] += 1
        return result, [
            Redaction(record=result.id, where=where, rule=rule, placeholder=placeholder, context=context)
            for where, rule, placeholder, context in found
        ]

    def text(self, text: str) -> str:
        """One text without secrets."""
        if not self._suspects(text):
            return text
        clean, hits = self._replace(text, self._learn([text]))
        for rule, _ in hits:
            self.counts[rule] += 1
        return clean

    def finds(self, text: str) -> list[str]:
        """The rules that would replace something."""
        return [match.rule.id for match in self._matches(text, self._suspects(text))]

    def _suspects(self, text: str) -> list[int]:
        return sorted(cast("list[int] | None", self._any.Match(text.encode("utf-8", "replace"))) or [])

    def _learn(self, texts: Sequence[str]) -> dict[str, str]:
        """Names of people and hosts seen in paths and prompts: value -> kind."""
        names: dict[str, str] = {}
        for text in texts:
            for match in self._matches(text, self._suspects(text)):
                value = text[match.start : match.end]
                if match.rule.learn and len(value) >= _LEAST_NAME and value.lower() not in _GENERIC:
                    names[value] = match.rule.kind
        return names

    def _walk(
        self, value: object, where: str, found: list[tuple[str, str, str, str]], learned: dict[str, str]
    ) -> object:
        if isinstance(value, str):
            clean, hits = self._replace(value, learned)
            found += [(where, rule, placeholder, _around(clean, placeholder)) for rule, placeholder in hits]
            return clean
        if isinstance(value, dict):
            return {
                self._walk(key, where, found, learned): self._walk(item, f"{where}.{key}".lstrip("."), found, learned)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._walk(item, f"{where}[{i}]", found, learned) for i, item in enumerate(value)]
        return value

    def _replace(self, text: str, learned: dict[str, str]) -> tuple[str, list[tuple[str, str]]]:
        """The text with placeholders, and (rule, placeholder) of each."""
        hits: list[tuple[str, str]] = []
        for number in self._suspects(text):
            for match in reversed(list(self._matches(text, [number]))):
                placeholder = self._placeholder(match.rule.kind, match.rule.id, text[match.start : match.end])
                text = text[: match.start] + placeholder + text[match.end :]
                hits.append((match.rule.id, placeholder))
        for name, kind in learned.items():
            if name in text:
                text = self._hide_name(text, name, kind, hits)
        return text, hits

    def _hide_name(self, text: str, name: str, kind: str, hits: list[tuple[str, str]]) -> str:
        placeholder = self._placeholder(kind, "name", name)
        pattern = re2.compile(rf"(^|[^A-Za-z0-9:]){re2.escape(name)}($|[^A-Za-z0-9])")
        while match := pattern.search(text):
            text = text[: match.end(1)] + placeholder + text[match.start(2) :]
            hits.append(("name", placeholder))
        return text

    def _matches(self, text: str, numbers: Sequence[int]) -> Iterator[Match]:
        for number in numbers:
            rule = self.rules[number]
            for match in self._compiled[number].finditer(text):
                spans = [match.span(i) for i in range(1, (match.re.groups or 0) + 1)] if rule.groups else [match.span()]
                for start, end in spans:
                    if end > start and self._hides(rule, text, start, end):
                        yield Match(start, end, rule)

    def _hides(self, rule: Rule, text: str, start: int, end: int) -> bool:
        value = text[start:end]
        if rule.check == "ipv4" and text[max(0, start - 9) : start].lower().rstrip(" :").endswith(
            ("v", "version", "ver")
        ):
            return False
        return value.lower() not in self.allow and rule.accepts(value)

    def _placeholder(self, kind: str, rule: str, value: str) -> str:
        mark = hashlib.blake2b(value.encode("utf-8", "replace"), key=self._salt[:64], digest_size=3).hexdigest()[:5]
        return f"<{kind}:{rule}:{mark}>" if kind == "SECRET" else f"<{kind}:{mark}>"


@functools.lru_cache(maxsize=8)
def _made_ready(rules: tuple[Rule, ...]) -> tuple[re2.Set, list[re2._Regexp]]:
    """(one set of all patterns, each pattern): compiling them takes longer than most texts."""
    options = re2.Options()
    options.max_mem = 256 << 20
    options.log_errors = False
    whole = re2.Set.SearchSet(options)
    for rule in rules:
        whole.Add(rule.pattern)
    whole.Compile()
    return whole, [re2.compile(rule.pattern) for rule in rules]


def _around(text: str, placeholder: str) -> str:
    """What stands round a placeholder in the finished text: never the text before other replacements."""
    start = max(0, text.find(placeholder))
    return text[max(0, start - _CONTEXT) : start + len(placeholder) + _CONTEXT].replace("\n", " ")


def _name_rules(names: Sequence[str]) -> tuple[Rule, ...]:
    """One rule for names given by the user and for the account and host this runs on."""
    known = set(names) | {name for name in (_account(), socket.gethostname().partition(".")[0]) if name}
    wanted = sorted(n for n in known if n in names or (len(n) >= _LEAST_NAME and n.lower() not in _GENERIC))
    if not wanted:
        return ()
    pattern = r"(?:^|[^A-Za-z0-9_])(" + "|".join(re2.escape(name) for name in wanted) + r")(?:$|[^A-Za-z0-9_])"
    return (Rule(id="name", kind="USER", pattern=pattern, groups=True),)


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _strings(record: Record) -> Iterator[str]:
    """Every string of a record that may hold anything."""
    for message in record.messages:
        yield message.text
        if message.thinking:
            yield message.thinking
        for call in message.tool_calls:
            yield from _inner(call.arguments)
    origin = record.origin
    yield from (origin.source, origin.uri, origin.group, origin.maker)
    yield from record.tags
    if record.task is not None:
        task = record.task
        yield from (task.prompt, task.reference, task.system, task.group)
        yield from _inner(task.spec)
    for verdict in record.verdicts:
        yield verdict.reason
        yield from _inner(verdict.facts)
    for tool in record.tools:
        yield tool.description
        yield from _inner(tool.parameters)


def _inner(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _inner(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _inner(item)


def salt_of(folder: Path) -> bytes:
    """The salt of a workspace's placeholders, made once; losing it only changes the marks of later ones."""
    path = folder / "redaction.salt"
    if not path.exists():
        jsonl.replace(path, os.urandom(32).hex().encode())
        path.chmod(0o600)
    try:
        return bytes.fromhex(path.read_text("ascii").strip())
    except ValueError as error:
        raise DataError(f"{path}: not a salt (64 hexadecimal digits)") from error
