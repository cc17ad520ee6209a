"""The pack object. A configured one makes tasks of its canon; any one judges them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from afs.config import Config, decode_options
from afs.domains.base import Block, Domain, Finding, PackVerb, is_refusal, strip_thinking
from afs.domains.story.canon import Canon, mentions, read_canon
from afs.domains.story.checks import LEFT_TO_JUDGES, check_text, list_citations
from afs.domains.story.families import FAMILIES, NAME, SYSTEM, VERSION, StorySpec, iterate_tasks
from afs.errors import ConfigError, UsageError
from afs.types import Json, Record, Task, Verdict, digest


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
    others = [value for value in canon.values_of(fact.attribute) if value != fact.value]
    if not mentions(said, canon.spellings(fact.value)):
        return f"does not say {fact.value}"
    if any(mentions(said, canon.spellings(value)) for value in others):
        return f"names another {fact.attribute} too"
    return _judge_citation(spec, said)


def _judge_citation(spec: StorySpec, said: str) -> str:
    assert spec.fact is not None
    cited = list_citations(said)
    right = {one.source for one in spec.canon.fact if (one.of, one.attribute) == (spec.fact.of, spec.fact.attribute)}
    if not cited:
        return "cites no source"
    wrong = [one for one in cited if one not in right]
    return f"cites [{wrong[0]}]; want [{spec.fact.source}]" if wrong else ""


def _judge_order(spec: StorySpec, said: str) -> str:
    names = {one.name: (one.name, *one.aliases) for one in spec.canon.event}
    lines = [line for line in said.splitlines() if line.strip()]
    found = [name for line in lines for name in spec.events if mentions(line, names[name])]
    if list_citations(said) and set(list_citations(said)) - {one.id for one in spec.canon.source}:
        return "cites a source that does not exist"
    return "" if found == list(spec.events) else f"want {' < '.join(spec.events)}"


def _judge_contradiction(spec: StorySpec, said: str) -> str:
    if not spec.wrong:
        return "" if re.fullmatch(r"\W*none\W*", said, re.IGNORECASE) else "every sentence agrees with the canon"
    number = re.match(r"\W*(\d+)", said)
    if number is None or int(number[1]) != spec.wrong:
        return f"sentence {spec.wrong} contradicts the canon"
    return _judge_fact(spec, said)


def _judge_text(spec: StorySpec, said: str) -> str:
    if not mentions(said, spec.canon.spellings(spec.about)):
        return f"is not about {spec.about}"
    found = check_text(spec.canon, said)
    return f"line {found[0].line}: {found[0].message}" if found else ""


_JUDGES = {"fact": _judge_fact, "order": _judge_order, "contradiction": _judge_contradiction, "text": _judge_text}
DOMAIN = StoryPack()
