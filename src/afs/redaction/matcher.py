"""Finds what the rules describe in one text: RE2 sets name the rules that may match, each of those is then located.

Rules for assignments share one pass over their words, since `token`, `key` and `auth` stand in most texts; the
strictest rule whose words the whole name holds decides.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

import re2

from afs.redaction.rules import Match, Rule
from afs.redaction.tails import TAILS

_SETS = 1
"""Automata for the rules without a word to begin with: more cost more passes, too few have too many states."""
_LONGEST_NAME = 64
_NAME_BYTES = (string.ascii_letters + string.digits + "_.-").encode()
_UNANCHORED = re2._Anchor.UNANCHORED
_PLACEHOLDERS = (b"<SECRET:", b"<EMAIL:", b"<USER:", b"<HOST:", b"<IP:")

Spans = list[tuple[int, int]]


class _Pass(NamedTuple):
    """One walk through a text: its rules, and what it looks for."""

    rules: tuple[Rule, ...]
    pattern: re2._Regexp
    names: tuple[re.Pattern[bytes], ...] = ()
    """The words of each rule, where several share the pass."""
    unless: tuple[re.Pattern[bytes] | None, ...] = ()


class _PassSet(NamedTuple):
    """Some passes as one automaton, with their numbers."""

    automaton: re2.Set
    numbers: list[int]

    def match(self, raw: bytes) -> list[int]:
        """Numbers of the passes that match somewhere."""
        return [self.numbers[i] for i in cast("list[int] | None", self.automaton.Match(raw)) or []]


class Matcher:
    """Compiled rules: which may match a text, and where they do."""

    def __init__(self, rules: tuple[Rule, ...], allow: frozenset[str]) -> None:
        self._sets, self._passes = _compile_passes(rules)
        self._allow = allow
        self.learning = frozenset(n for n, one in enumerate(self._passes) if one.rules[0].learn)

    def list_suspects(self, raw: bytes) -> list[int]:
        """Numbers of the passes that may find something."""
        return sorted([number for group in self._sets for number in group.match(raw)])

    def find(self, raw: bytes, numbers: Sequence[int]) -> Iterator[Match]:
        """Every span to replace, pass by pass, in order of place."""
        for number in numbers:
            last = -1
            for start, end, rule in self._locate(self._passes[number], raw):
                if end > start >= last and self._is_secret(rule, raw, start, end):
                    yield Match(start, end, rule)
                    last = end

    def _locate(self, one: _Pass, raw: bytes) -> Iterator[tuple[int, int, Rule]]:
        rule = one.rules[0]
        if rule.keywords and not any(word.encode() in raw.lower() for word in rule.keywords):
            return
        list_spans = _SPANS[_form_of(rule)]
        for spans in _scan(one.pattern, raw):
            if one.names:
                yield from _locate_assigned(one, raw, spans[0])
            else:
                for start, end in list_spans(rule, raw, spans):
                    yield start, end, rule

    def _is_secret(self, rule: Rule, raw: bytes, start: int, end: int) -> bool:
        value = raw[start:end].decode("utf-8", "replace")
        if rule.check == "ipv4" and raw[max(0, start - 9) : start].lower().rstrip(b" :").endswith(
            (b"v", b"version", b"ver")
        ):
            return False
        return value.lower() not in self._allow and rule.accepts(value)


def _scan(pattern: re2._Regexp, raw: bytes) -> Iterator[Spans]:
    """The spans of each match; the wrapper's `finditer` costs three times as much."""
    at, size, match = 0, len(raw), pattern._regexp.Match
    while at <= size:
        spans = match(_UNANCHORED, raw, at, size)
        start, end = spans[0]
        if start < 0:
            return
        yield spans
        at = end if end > at else at + 1


def _locate_assigned(one: _Pass, raw: bytes, name: tuple[int, int]) -> Iterator[tuple[int, int, Rule]]:
    """The value behind a name that may be a secret's, under the first rule whose words it holds."""
    start, end = name
    behind = TAILS["assignment"].match(raw, end)
    if behind is None or not behind.lastindex or _is_placeholder(raw, start):
        return
    before = raw[max(0, start - _LONGEST_NAME) : start]
    whole = before[len(before.rstrip(_NAME_BYTES)) :] + raw[start:end]
    for rule, words, unless in zip(one.rules, one.names, one.unless, strict=True):
        if words.search(whole):
            if unless is None or not unless.search(whole):
                yield (*behind.span(behind.lastindex), rule)
            return


def _spans_of_trigger(rule: Rule, raw: bytes, spans: Spans) -> Spans:
    whole = _verifier(rule.pattern).match(raw, spans[0][0])
    if whole is None:
        return []
    return [whole.span(i) for i in range(1, whole.re.groups + 1)] if rule.groups else [whole.span()]


def _spans_of_tail(rule: Rule, raw: bytes, spans: Spans) -> Spans:
    if _is_placeholder(raw, spans[0][0]):
        return []
    behind = TAILS[rule.tail].match(raw, spans[0][1])
    return [behind.span(i) for i in range(1, behind.re.groups + 1)] if behind else []


_SPANS: dict[str, Callable[[Rule, bytes, Spans], Spans]] = {
    "trigger": _spans_of_trigger,
    "tail": _spans_of_tail,
    "groups": lambda rule, raw, spans: spans[1:],
    "whole": lambda rule, raw, spans: spans[:1],
}


def _form_of(rule: Rule) -> str:
    """Which parts of a match a rule replaces."""
    return "trigger" if rule.trigger else "tail" if rule.tail else "groups" if rule.groups else "whole"


@functools.lru_cache(maxsize=256)
def _verifier(pattern: str) -> re.Pattern[bytes]:
    """The pattern of a rule with a trigger, tried where the trigger matched."""
    return re.compile(pattern.replace("\\z", "\\Z").encode())


def _is_placeholder(raw: bytes, at: int) -> bool:
    """Whether a place is inside a placeholder, whose own words look like a secret's name."""
    start = raw.rfind(b"<", max(0, at - 48), at + 1)
    return start >= 0 and raw.startswith(_PLACEHOLDERS, start) and raw.find(b">", start, at) < 0


@functools.lru_cache(maxsize=8)
def _compile_passes(rules: tuple[Rule, ...]) -> tuple[list[_PassSet], list[_Pass]]:
    """(sets of patterns, passes), cached because compiling takes longer than scanning most texts.

    One set of all patterns has so many states that building them takes most of the time; rules that begin with words
    share one, the others are spread over a few.
    """
    options = re2.Options()
    options.max_mem = 256 << 20
    options.log_errors = False
    passes = [_compile_pass(group, options) for group in _group_rules(rules)]
    words = [n for n, one in enumerate(passes) if one.rules[0].trigger or one.rules[0].tail or one.rules[0].keywords]
    others = [number for number in range(len(passes)) if number not in set(words)]
    groups = [words, *(others[i::_SETS] for i in range(_SETS))]
    return [_compile_set(passes, group, options) for group in groups if group], passes


def _group_rules(rules: Sequence[Rule]) -> list[tuple[Rule, ...]]:
    """The rules pass by pass, in order: those for assignments stand in the first one's place."""
    assigned = tuple(rule for rule in rules if rule.tail == "assignment")
    return [
        assigned if rule.tail == "assignment" else (rule,)
        for rule in rules
        if rule.tail != "assignment" or rule is assigned[0]
    ]


def _compile_pass(rules: tuple[Rule, ...], options: re2.Options) -> _Pass:
    first = rules[0]
    if first.tail != "assignment":
        return _Pass(rules, re2.compile(first.trigger or first.pattern, options))
    whole = "(?:" + "|".join(f"(?:{rule.pattern})" for rule in rules) + r")[\w.-]*"
    return _Pass(
        rules,
        re2.compile(whole, options),
        tuple(re.compile(rule.pattern.encode()) for rule in rules),
        tuple(re.compile(rule.unless.encode()) if rule.unless else None for rule in rules),
    )


def _compile_set(passes: Sequence[_Pass], numbers: list[int], options: re2.Options) -> _PassSet:
    automaton = re2.Set.SearchSet(options)
    for number in numbers:
        rule = passes[number].rules[0]
        words = "|".join(re2.escape(word) for word in rule.keywords)
        automaton.Add(f"(?i)(?:{words})" if words and not rule.trigger else passes[number].pattern.pattern)
    automaton.Compile()
    return _PassSet(automaton, numbers)
