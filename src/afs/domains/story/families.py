"""The families: facts with their citation, events in order, sentences that contradict, and free texts within limits."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

import msgspec

from afs.domains.story.canon import Canon, CanonFact
from afs.domains.story.checks import is_other_value
from afs.types import Task, Value, digest

NAME, VERSION = "story", "2"
SYSTEM = "You keep a story's canon. State only what the canon says, and cite its source as [id] behind each fact."
_EVENTS = 5
_SENTENCES = 4


class StorySpec(Value, frozen=True, kw_only=True):
    """The task's own data: all that a check needs."""

    canon: Canon
    fact: CanonFact | None = None
    events: tuple[str, ...] = ()
    """In the right order."""
    wrong: int = 0
    """Number of the sentence that contradicts the canon; 0: none."""
    about: str = ""
    """The name a text is about."""


def build_task(family: str, prompt: str, reference: str, spec: StorySpec, group: str) -> Task:
    """A task; tasks on one name or event stay on one side of a split."""
    return Task(
        id=digest((NAME, family, prompt, spec))[:16],
        domain=NAME,
        family=family,
        version=VERSION,
        prompt=prompt,
        reference=reference,
        spec=msgspec.to_builtins(spec),
        group=group,
        system=SYSTEM,
    )


def cite(fact: CanonFact, canon: Canon) -> str:
    """A fact as a sentence with its citation."""
    return f"{_write(fact, canon)} [{fact.source}]"


def ask_fact(canon: Canon, rng: random.Random) -> Iterator[Task]:
    """What the canon says of a name."""
    for fact in rng.sample(canon.fact, len(canon.fact)):
        prompt = f"In {canon.title}, what is the {fact.attribute} of {fact.of}? One sentence, with the citation."
        yield build_task("fact", prompt, cite(fact, canon), StorySpec(canon=canon, fact=fact), fact.of)


def ask_order(canon: Canon, rng: random.Random) -> Iterator[Task]:
    """Put events into their order."""
    if len(canon.event) < 2:
        return
    while True:
        chosen = sorted(rng.sample(range(len(canon.event)), min(len(canon.event), rng.randint(2, _EVENTS))))
        names = [canon.event[at].name for at in chosen]
        shown = rng.sample(names, len(names))
        prompt = f"Order these events of {canon.title}, the earliest first, one per line:\n" + "\n".join(
            f"- {name}" for name in shown
        )
        spec = StorySpec(canon=canon, events=tuple(names))
        yield build_task("order", prompt, "\n".join(f"- {name}" for name in names), spec, " < ".join(names))


def ask_contradiction(canon: Canon, rng: random.Random) -> Iterator[Task]:
    """Name the sentence that contradicts the canon, and the fact it contradicts."""
    usable = [fact for fact in canon.fact if _list_others(canon, fact)]
    while usable:
        facts = rng.sample(canon.fact, min(_SENTENCES, len(canon.fact)))
        wrong = rng.randrange(len(facts) + 1)
        fact = facts[wrong - 1] if wrong else None
        if fact is not None and fact not in usable:
            continue
        lines = [f"{at}. {_write(one, canon)}" for at, one in enumerate(facts, 1)]
        reference = "none"
        if fact is not None:
            other = rng.choice(_list_others(canon, fact))
            lines[wrong - 1] = f"{wrong}. {_write(msgspec.structs.replace(fact, value=other), canon)}"
            reference = f"{wrong}. {cite(fact, canon)}"
        prompt = (
            f"Which of these sentences contradicts the canon of {canon.title}? Answer with its number and the right"
            " fact with its citation, or `none`.\n" + "\n".join(lines)
        )
        spec = StorySpec(canon=canon, fact=fact, wrong=wrong)
        yield build_task("contradiction", prompt, reference, spec, fact.of if fact else facts[0].of)


def _list_others(canon: Canon, fact: CanonFact) -> list[str]:
    return [value for value in canon.values_of(fact.attribute) if is_other_value(value, fact.value)]


def ask_text(canon: Canon, rng: random.Random) -> Iterator[Task]:
    """Write freely about a name; only what the canon declares is checked."""
    for name in rng.sample(canon.name, len(canon.name)):
        facts = [fact for fact in canon.fact if fact.of == name.name]
        if facts:
            prompt = f"Write a short passage about {name.name} for {canon.title}. Cite the source of every fact."
            reference = "\n".join(cite(fact, canon) for fact in facts)
            yield build_task("text", prompt, reference, StorySpec(canon=canon, about=name.name), name.name)


def _write(fact: CanonFact, canon: Canon) -> str:
    return f"The {canon.words_of(fact.attribute)[0]} of {fact.of} is {fact.value}."


FAMILIES: Mapping[str, Callable[[Canon, random.Random], Iterator[Task]]] = {
    "fact": ask_fact,
    "order": ask_order,
    "contradiction": ask_contradiction,
    "text": ask_text,
}
MOST_REPEATS = 50
"""After so many drawn tasks that were drawn before, a family has no more."""


def iterate_tasks(canon: Canon, family: str, seed: int, n: int) -> Iterator[Task]:
    """At most `n` different tasks."""
    seen: set[str] = set()
    repeats = 0
    for task in FAMILIES[family](canon, random.Random(f"{family}:{seed}")):
        if len(seen) == n or repeats == MOST_REPEATS:
            return
        repeats = repeats + 1 if task.id in seen else 0
        if task.id not in seen:
            seen.add(task.id)
            yield task
