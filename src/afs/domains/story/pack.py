"""The pack object. A configured one makes tasks of its canon; any one judges them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from afs.config import Config, decode_options
from afs.domains.base import Block, Domain, Finding, PackVerb, is_refusal, strip_thinking
from afs.domains.story.canon import Canon, read_canon
from afs.domains.story.checks import LEFT_TO_JUDGES, check_text, is_other_value, list_citations
from afs.domains.story.families import FAMILIES, NAME, SYSTEM, VERSION, StorySpec, iterate_tasks
from afs.domains.story.mentions import mentions
from afs.errors import ConfigError, UsageError
from afs.types import Json, Record, Task, Verdict, digest

_ITEM = re.compile(r"\s*(?:[-*+\u2022]|\d+[.):])\s")
_NUMBER = re.compile(
    r"\W*(?:(?:the|answer|sentence|number|no|is|it|line)\b[\s.:#*`]*)*(\d+|first|second|third|fourth)\b"
    r"(?!\s*(?:,|/|&|and|or)\s*(?:sentence\s*)?\d)",
    re.IGNORECASE,
)
"""The sentence that an answer names first, and no second one."""
_ORDINALS = {"first": "1", "second": "2", "third": "3", "fourth": "4"}
_NONE = re.compile(r"\W*(?:none|no sentence|no contradiction|there (?:is|are) no)\b", re.IGNORECASE)
_EXCEPTION = re.compile(r"\d|\b(?:but|except|besides|apart|only|other than)\b", re.IGNORECASE)


class StoryOptions(Config, frozen=True, kw_only=True):
    """Where the canon is."""

    path: Path
    """The canon, a TOML file."""


class StoryPack:
    """See `afs.domains.base.Domain` for what each member is for."""

    name = NAME
    version = VERSION
    families: tuple[str, ...] = tuple(FAMILIES)
    verbs: Mapping[str, PackVerb] = {
        "check": PackVerb(
            config="afs.domains.story.check_command:StoryCheckConfig",
            function="afs.domains.story.check_command:check_draft",
            help="check a draft against a declared canon: facts, order of events, citations, style",
        )
    }
    dialects: tuple[str, ...] = ()
    suites: Mapping[str, str] = {}
    prompts: Mapping[str, str] = {"canon": SYSTEM}
    probes: tuple[str, ...] = ("What is a canon?",)
    controls: tuple[str, ...] = ("[no-such-source]\n",)

    def __init__(self, options: StoryOptions | None = None) -> None:
        self.options = options

    def configure(self, options: Json) -> Domain:
        """The pack for one canon."""
        return StoryPack(decode_options(StoryOptions, options, prefix="options"))

    @property
    def license(self) -> str:
        """Of the tasks this pack makes."""
        return self._read().license if self.options else ""

    @property
    def identity(self) -> str:
        """What the tasks depend on beside the family and the seed."""
        return digest(self._read())[:24]

    def _read(self) -> Canon:
        if self.options is None:
            raise ConfigError("options", 'name the canon: options = { path = "canon.toml" }')
        return read_canon(self.options.path)

    def tasks(self, family: str, seed: int, n: int) -> Iterator[Task]:
        """`n` tasks of a family, or as many as the canon gives."""
        if family not in FAMILIES:
            raise UsageError(f"the pack story has no family {family!r}; it has: {', '.join(FAMILIES)}")
        yield from iterate_tasks(self._read(), family, seed, n)

    def extract(self, text: str) -> tuple[Block, ...]:
        """The whole answer, when there is one."""
        return (Block(kind="text", text=text.strip()),) if text.strip() else ()

    def check(self, task: Task, answer: str) -> Verdict:
        """What the canon says of an answer; a free text that passes is marked as left to judges for the rest."""
        spec = msgspec.convert(task.spec, StorySpec)
        said = strip_thinking(answer).strip()
        if not said or is_refusal(said):
            return Verdict(task=task.id, ok=False, score=0.0, stage="extract", reason="no answer")
        problem = _JUDGES[task.family](spec, said)
        facts: Json = {"left_to_judges": list(LEFT_TO_JUDGES)} if task.family == "text" else {}
        return Verdict(
            task=task.id, ok=not problem, score=0.0 if problem else 1.0, stage="match", reason=problem, facts=facts
        )

    def lint(self, text: str) -> tuple[Finding, ...]:
        """Only a canon can say."""
        return ()

    def annotate(self, record: Record) -> tuple[str, ...]:
        """The sources a record cites."""
        return tuple(sorted({cited for m in record.messages for cited in list_citations(m.text)}))

    def wrong_answers(self, task: Task) -> Iterator[tuple[str, str]]:
        """Answers that must be rejected."""
        spec = msgspec.convert(task.spec, StorySpec)
        yield "empty", ""
        yield "refusal", "I cannot answer that."
        yield "invented source", re.sub(r"\[[\w.-]+\]", "[no-such-source]", task.reference) + " [no-such-source]"
        if task.family == "order":
            yield "backwards", "\n".join(f"- {name}" for name in reversed(spec.events))
        elif task.family == "contradiction":
            yield "another sentence", "none" if spec.wrong else "1. That is wrong."
        else:
            yield "no citation", re.sub(r"\s*\[[\w.-]+\]", "", task.reference)
            for fact in spec.canon.fact:
                others = [value for value in spec.canon.values_of(fact.attribute) if value != fact.value]
                if (fact == spec.fact or fact.of == spec.about) and others:
                    yield "another value", task.reference.replace(fact.value, others[0])


def _judge_fact(spec: StorySpec, said: str) -> str:
    assert spec.fact is not None
    fact, canon = spec.fact, spec.canon
    stated = canon.asserted_values(said, fact.attribute)
    if fact.value not in stated:
        return f"does not say {fact.value}"
    if any(is_other_value(value, fact.value) for value in stated):
        return f"names another {fact.attribute} too"
    others = [one.of for one in canon.fact if one.attribute == fact.attribute and one.of != fact.of]
    if not mentions(said, canon.spellings(fact.of)) and any(mentions(said, canon.spellings(one)) for one in others):
        return f"is not about {fact.of}"
    wrong = [one for one in check_text(canon, said, must_cite=False) if one.rule == "contradiction"]
    return wrong[0].message if wrong else _judge_citation(spec, said)


def _judge_citation(spec: StorySpec, said: str) -> str:
    assert spec.fact is not None
    cited = list_citations(said)
    right = {one.source for one in spec.canon.fact if (one.of, one.attribute) == (spec.fact.of, spec.fact.attribute)}
    if not cited:
        return "cites no source"
    wrong = [one for one in cited if one not in right]
    return f"cites [{wrong[0]}]; want [{spec.fact.source}]" if wrong else ""


def _judge_order(spec: StorySpec, said: str) -> str:
    """The events in the order the answer names them, in its list where it has one."""
    listed = "\n".join(line for line in said.splitlines() if _ITEM.match(line))
    mentioned = spec.canon.find_events(listed) or spec.canon.find_events(said)
    found = [one.what for one in mentioned if one.what in spec.events]
    if list_citations(said) and set(list_citations(said)) - {one.id for one in spec.canon.source}:
        return "cites a source that does not exist"
    return "" if found == list(spec.events) else f"want {' < '.join(spec.events)}"


def _judge_contradiction(spec: StorySpec, said: str) -> str:
    if not spec.wrong:
        is_none = _NONE.match(said) and not _EXCEPTION.search(said)
        return "" if is_none and not list_citations(said) else "every sentence agrees with the canon"
    number = _NUMBER.match(said)
    if number is None or _ORDINALS.get(number[1].lower(), number[1]) != str(spec.wrong):
        return f"sentence {spec.wrong} contradicts the canon"
    return _judge_fact(spec, said)


def _judge_text(spec: StorySpec, said: str) -> str:
    canon = spec.canon
    if not mentions(said, canon.spellings(spec.about)):
        return f"is not about {spec.about}"
    if found := check_text(canon, said):
        return f"line {found[0].line}: {found[0].message}"
    facts = [fact for fact in canon.fact if fact.of == spec.about]
    is_informed = any(fact.value in canon.asserted_values(said, fact.attribute) for fact in facts)
    return "" if is_informed else f"states no fact that the canon has of {spec.about}"


_JUDGES = {"fact": _judge_fact, "order": _judge_order, "contradiction": _judge_contradiction, "text": _judge_text}
DOMAIN = StoryPack()
