"""Finds what the rules describe in one text: candidates by needles, then each rule's pattern and checks at its places.

Rules for assignments share one pass over their names; the strictest rule whose words the whole name holds decides.
Rules without needles, such as those of a user's gitleaks file, are searched for by RE2 in the whole text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, cast

import re2

from afs.redaction.assignment_patterns import TAILS
from afs.redaction.candidates import (
    DOTTED,
    FOLDED,
    PLAIN,
    RUN,
    WORD,
    Candidate,
    CandidateFinder,
    Needle,
    expand_needle,
    run_bit,
)
from afs.redaction.rules import Match, Rule, list_checks

_REMEMBERED = 1 << 14
"""Names, and values by rule, of which the decision is kept."""
_LONGEST = 4096
"""Characters that an open repetition of a pattern may take, except in keys that span lines."""
_UNANCHORED, _ANCHORED = re2._Anchor.UNANCHORED, re2._Anchor.ANCHOR_START
_KINDS = ("SECRET", "EMAIL", "USER", "HOST", "IP", "CARD", "PHONE")
_PLACEHOLDER = re.compile(rb"<[A-Z]{2,6}:[\w.:-]{1,80}>")
_PLACEHOLDERS = 0
"""The pass of placeholders: what was replaced before is never looked at again."""
_NO_ADDRESS = (b"v", b"version", b"ver")
"""Words in front of four numbers that make them a version."""

Span = tuple[int, int]


class Decider:
    """A rule with its decisions on values so far."""

    def __init__(self, rule: Rule, allow: frozenset[str]) -> None:
        self.rule, self.id, self.kind = rule, rule.id, rule.kind
        self._is_address = rule.check == "ipv4"
        self._allow = allow
        self._checks = list_checks(rule)
        self._known: dict[bytes, bool] = {}

    def accepts_at(self, raw: bytes, start: int, end: int) -> bool:
        """Whether the value at a place must be replaced; a version is no address."""
        if self._is_address and raw[max(0, start - 9) : start].lower().rstrip(b" :").endswith(_NO_ADDRESS):
            return False
        value = raw[start:end]
        if (decision := self._known.get(value)) is None:
            decision = self._decide(value.decode("utf-8", "replace"))
            if len(self._known) < _REMEMBERED:
                self._known[value] = decision
        return decision

    def _decide(self, value: str) -> bool:
        if self._allow and value.lower() in self._allow:
            return False
        for check in self._checks:  # noqa: SIM110 - `all` over a generator takes twice the time
            if not check(value):
                return False
        return True


Place = tuple[int, int, Decider]


class Cover:
    """The parts of a text that are taken, and by what."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.matches: list[Match] = []
        self.taken = bytearray(len(raw))

    def add(self, start: int, end: int, rule: str, kind: str) -> None:
        """Take a part, unless some of it is taken already."""
        if self.is_free(start, end):
            self.take(start, end, rule, kind)

    def take(self, start: int, end: int, rule: str, kind: str) -> None:
        """Take a part that is free."""
        self.taken[start:end] = b"\x01" * (end - start)
        self.matches.append((start, end, rule, kind))

    def block(self, start: int, end: int) -> None:
        """Keep others from taking a part."""
        self.taken[start:end] = b"\x01" * (end - start)

    def is_free(self, start: int, end: int) -> bool:
        """Whether nothing of a part is taken."""
        return self.taken.find(1, start, end) < 0


class Pass(Protocol):
    """What is tried at a candidate."""

    is_whole: bool
    """Whether a match is replaced from its candidate on."""
    is_final: bool
    """Whether nothing is looked for inside a match that was rejected; otherwise a match is short."""

    def list_places(self, raw: bytes, start: int, end: int) -> Iterable[Place]:
        """The spans that its rules would replace."""


class Matcher:
    """Compiled rules, and the decisions on names and values made so far."""

    def __init__(self, rules: Sequence[Rule], allow: frozenset[str]) -> None:
        self._passes: dict[int, Pass] = {}
        self.learning = frozenset(rule.id for rule in rules if rule.learn)
        self._searched = _SearchSet()
        needles = [Needle(f"<{kind}:".encode(), _PLACEHOLDERS) for kind in _KINDS]
        groups = dict(enumerate(_group_rules(rules), _PLACEHOLDERS + 1))
        option = next((n for n, group in groups.items() if group[0].tail == "option"), -1)
        for number, group in groups.items():
            one = self._passes[number] = _make_pass([Decider(rule, allow) for rule in group])
            if isinstance(one, _TextScan):
                self._searched.add(number, group[0])
            needles += [needle for rule in group for needle in _list_needles(rule, number, option)]
        self._searched.compile()
        self._finder = CandidateFinder(list(dict.fromkeys(needles)))

    def find(self, raw: bytes) -> Cover:
        """Every span to replace; a rule earlier in the file wins."""
        cover = Cover(raw)
        taken = cover.taken
        current, last = -1, 0
        for number, start, end in self._list_candidates(raw):
            if number != current:
                if number == _PLACEHOLDERS:
                    _block_placeholder(cover, start)
                    continue
                current, last, one = number, 0, self._passes[number]
                list_places, is_whole, is_final = one.list_places, one.is_whole, one.is_final
            if start < last or (is_whole and taken[start]):
                continue
            for first, stop, decider in list_places(raw, start, end):
                if not stop > first >= last:
                    continue
                if taken.find(1, first, stop) < 0 and decider.accepts_at(raw, first, stop):
                    cover.take(first, stop, decider.id, decider.kind)
                    last = stop
                elif is_final:
                    last = stop
        return cover

    def _list_candidates(self, raw: bytes) -> Iterable[Candidate]:
        found = self._finder.find(raw)
        if more := self._searched.match(raw):
            found = sorted([*found, *more], key=lambda candidate: candidate[0])
        return found


def _block_placeholder(cover: Cover, start: int) -> None:
    if match := _PLACEHOLDER.match(cover.raw, start):
        cover.block(*match.span())


class _Pattern:
    """A pattern tried at a candidate."""

    is_final = True

    def __init__(self, decider: Decider) -> None:
        self.is_whole = not decider.rule.groups
        self.list_places = _anchor(decider)


class _Tail:
    """A word, and what must follow it."""

    is_whole = is_final = False

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self._match = _compile_pattern(decider.rule.pattern).match
        self._tail = TAILS[decider.rule.tail]

    def list_places(self, raw: bytes, start: int, end: int) -> Iterator[Place]:
        """The groups of what follows."""
        word = self._match(raw, start)
        if word and (behind := self._tail.match(raw, word.end())):
            yield from ((*behind.span(i), self._decider) for i in range(1, behind.re.groups + 1))


class _Assignment:
    """A name and the value assigned to it, under the first rule whose words the name holds."""

    is_whole = is_final = False

    def __init__(self, deciders: Sequence[Decider]) -> None:
        self._rules = [
            (one, re.compile(one.rule.pattern.encode()), re.compile((one.rule.unless or "(?!)").encode()))
            for one in deciders
        ]
        self._match = TAILS["assignment"].match
        self._names: dict[bytes, Decider | None] = {}

    def list_places(self, raw: bytes, start: int, end: int) -> Iterable[Place]:
        """The value behind the name."""
        name = raw[start:end]
        if name in self._names:
            decider = self._names[name]
        else:
            decider = self._choose(name)
            if len(self._names) < _REMEMBERED:
                self._names[name] = decider
        if decider is None:
            return ()
        behind = self._match(raw, end)
        if behind is None or not behind.lastindex:
            return ()
        return ((*behind.span(behind.lastindex), decider),)

    def _choose(self, name: bytes) -> Decider | None:
        for decider, words, unless in self._rules:
            if words.search(name):
                return None if unless.search(name) else decider
        return None


class _TextScan:
    """A pattern searched for in the whole text."""

    is_whole = is_final = False

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self._match = re2.compile(decider.rule.pattern, _make_options())._regexp.Match

    def list_places(self, raw: bytes, start: int, end: int) -> Iterator[Place]:
        """Every match; the wrapper's `finditer` costs three times as much."""
        at, size = 0, len(raw)
        while at <= size:
            spans: list[Span] = self._match(_UNANCHORED, raw, at, size)
            first, stop = spans[0]
            if first < 0:
                return
            chosen = spans[1:] if self._decider.rule.groups else spans[:1]
            yield from ((*span, self._decider) for span in chosen)
            at = stop if stop > at else at + 1


class _SearchSet:
    """Names the passes without needles that match somewhere, in one walk."""

    def __init__(self) -> None:
        self._automaton = re2.Set.SearchSet(_make_options())
        self._numbers: list[int] = []

    def add(self, number: int, rule: Rule) -> None:
        """A pass; a rule with keywords is tried only where one of them is."""
        words = "|".join(re2.escape(word) for word in rule.keywords)
        self._automaton.Add(f"(?i)(?:{words})" if words else rule.pattern)
        self._numbers.append(number)

    def compile(self) -> None:
        """Build the automaton; nothing can be added afterwards."""
        if self._numbers:
            self._automaton.Compile()

    def match(self, raw: bytes) -> list[Candidate]:
        """A candidate for each pass that matches."""
        if not self._numbers:
            return []
        found = cast("list[int] | None", self._automaton.Match(raw)) or []
        return [(self._numbers[index], 0, 0) for index in sorted(found)]


def _make_options() -> re2.Options:
    options = re2.Options()
    options.max_mem = 256 << 20
    options.log_errors = False
    return options


def _make_pass(deciders: Sequence[Decider]) -> Pass:
    first, rule = deciders[0], deciders[0].rule
    if rule.tail == "assignment":
        return _Assignment(deciders)
    if rule.tail:
        return _Tail(first)
    return _Pattern(first) if rule.needles else _TextScan(first)


def _group_rules(rules: Sequence[Rule]) -> list[tuple[Rule, ...]]:
    """The rules pass by pass, in order: those for assignments stand in the first one's place."""
    assigned = tuple(rule for rule in rules if rule.tail == "assignment")
    return [
        assigned if rule.tail == "assignment" else (rule,)
        for rule in rules
        if rule.tail != "assignment" or rule is assigned[0]
    ]


def _list_needles(rule: Rule, number: int, option: int) -> Iterator[Needle]:
    """What the kernel looks for on behalf of a rule."""
    folded = FOLDED if rule.any_case else 0
    shape = WORD if rule.tail == "assignment" else DOTTED if rule.check == "ipv4" else RUN if rule.left else PLAIN
    for word in rule.needles:
        for text, flags in expand_needle(word):
            yield Needle(
                text.lower() if folded else text,
                number,
                flags=flags | folded,
                shape=shape,
                left=run_bit(rule.left) if rule.left else 0,
                least=rule.least,
                back=rule.back,
                option=option if shape == WORD else -1,
            )


def _anchor(decider: Decider) -> Callable[[bytes, int, int], Sequence[Place]]:
    """A function that tries a rule's pattern at one place: the match or its groups. Unicode classes need RE2."""
    pattern, groups = decider.rule.pattern, decider.rule.groups
    if "\\p" in pattern:
        search = re2.compile(pattern, _make_options())._regexp.Match
        cut = slice(1, None) if groups else slice(0, 1)
        return lambda raw, at, _: [(*span, decider) for span in search(_ANCHORED, raw, at, len(raw))[cut]]
    compiled = _compile_pattern(pattern)
    try_match, last = compiled.match, compiled.groups if groups else 0

    def list_groups(raw: bytes, at: int, _: int) -> Sequence[Place]:
        match = try_match(raw, at)
        return [(*match.span(number), decider) for number in range(1, last + 1)] if match else ()

    def find_one(raw: bytes, at: int, _: int) -> Sequence[Place]:
        match = try_match(raw, at)
        if match is None:
            return ()
        first, stop = match.span(last)
        return ((first, stop, decider),)

    return list_groups if last > 1 else find_one


@functools.lru_cache(maxsize=512)
def _compile_pattern(pattern: str) -> re.Pattern[bytes]:
    bounded = re.sub(r"\{(\d+),\}", rf"{{\1,{_LONGEST}}}", pattern)
    return re.compile(bounded.replace("\\z", "\\Z").encode())
