"""Generated sessions, whose facts are known, and sessions from a user's log, whose facts are not.

A fact is a subject with a value. It may be restated with another value: then the earlier claim is stale. Around the
facts there is talk with numbers and paths in it that is not worth remembering, and now and then a secret.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from afs.domains.memory import grounding, notes
from afs.types import Record, Value

_PATHS = ("gfx", "src", "maps", "docs", "sound", "tests")
_STEMS = ("boss", "title", "player", "items", "menu", "door", "lamp", "tiles")
_ENDINGS = ("bin", "asm", "md", "txt")
_TARGETS = ("rom", "all", "test", "lint", "pack", "diff")


def _draw_path(rng: random.Random) -> str:
    return f"{rng.choice(_PATHS)}/{rng.choice(_STEMS)}.{rng.choice(_ENDINGS)}"


def _draw_address(rng: random.Random) -> str:
    return f"${rng.randrange(0x7E0000, 0x7E2000):06X}"


def _draw_number(rng: random.Random) -> str:
    return str(rng.randrange(2, 100))


def _draw_command(rng: random.Random) -> str:
    return f"`make {rng.choice(_TARGETS)}`"


def _draw_branch(rng: random.Random) -> str:
    return f"{rng.choice(('fix', 'add', 'try'))}-{rng.choice(_STEMS)}"


def _draw_from(*values: str) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(values)


_SUBJECTS: tuple[tuple[str, str, Callable[[random.Random], str]], ...] = (
    ("build command", "is", _draw_command),
    ("map mode", "is", _draw_from("LoROM", "HiROM", "ExLoROM", "ExHiROM", "SA1")),
    ("review day", "is", _draw_from("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")),
    ("sound format", "is", _draw_from("mml", "spc", "brr", "wav", "midi", "ogg")),
    ("target region", "is", _draw_from("Japan", "Europe", "America", "Brazil", "Korea")),
    ("work branch", "is", _draw_branch),
    ("boss health", "is", _draw_number),
    ("item limit", "is", _draw_number),
    ("frame budget", "is", _draw_number),
    ("joypad state", "is at", _draw_address),
    ("sprite table", "is in", _draw_path),
    ("menu font", "is in", _draw_path),
    ("free space", "starts at", _draw_address),
    ("save slot", "is at", _draw_address),
    ("door list", "is in", _draw_path),
)
"""Subject, verb, value: those with values of a kind of their own come first, the rest share numbers and paths."""
_LEADS = ("", "Note: ", "I checked: ", "Please remember: ", "As agreed, ", "For later: ")
_NEWER = ("Changed: ", "Correction: ", "From now on ", "No longer true, now ")
_CHATTER = (
    "ok, continue",
    "thanks",
    "let me look",
    "please wait",
    "running it again",
    "that took {n} seconds",
    "the window shows {n} lines",
    "I opened {p} for a moment",
    "line {n} looks odd but is fine",
    "nothing to see in {p}",
)
"""What is not worth remembering: what names nothing comes first."""


class SessionTurn(Value, frozen=True, kw_only=True):
    """One message of a session."""

    role: str
    text: str


class Fact(Value, frozen=True, kw_only=True):
    """Something a session states that is worth remembering."""

    subject: str
    claim: str
    message: int
    """Number of the message that states it, from 1."""


class MemorySession(Value, frozen=True, kw_only=True):
    """A history with what is known of it; kept as the spec of a task."""

    messages: tuple[SessionTurn, ...]
    facts: tuple[Fact, ...] = ()
    """Empty where unknown: then only what is claimed is judged, not what is left out."""
    stale: tuple[str, ...] = ()
    """Claims that were true once."""
    secrets: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Notes of an earlier memory that still hold: they must stay as they are."""
    shown: int = 0
    """Messages before this many are not shown again; their notes are."""
    limit: int = 12
    """Most notes."""


class SessionSize(NamedTuple):
    """How large a session is."""

    facts: tuple[int, int]
    talk: tuple[int, int]
    newer: float
    """Chance that a fact is restated with another value."""
    secret: float = 0.0
    subjects: int = len(_SUBJECTS)
    """How many of the subjects may come up."""
    talk_kinds: int = len(_CHATTER)


SINGLE = SessionSize((1, 1), (1, 1), 0.0, subjects=6, talk_kinds=5)
BRIEF = SessionSize((2, 2), (1, 1), 0.0, subjects=6, talk_kinds=5)
FULL = SessionSize((3, 5), (2, 5), 0.3, 0.25)


def draw_session(plan: SessionSize, rng: random.Random) -> MemorySession:
    """A session of this size."""
    chosen = rng.sample(_SUBJECTS[: plan.subjects], rng.randint(*plan.facts))
    lines: list[tuple[str, str, str]] = []
    for subject, verb, value in chosen:
        lines.append((subject, f"{subject} {verb} {value(rng)}", rng.choice(_LEADS)))
    lines += [("", _draw_chatter(plan, rng), "") for _ in range(rng.randint(*plan.talk))]
    secrets = [f"ghp_{rng.getrandbits(96):024x}"] if rng.random() < plan.secret else []
    lines += [("", f"the token is {secret}, keep it to yourself", "") for secret in secrets]
    rng.shuffle(lines)
    for subject, verb, value in chosen:
        if rng.random() < plan.newer:
            lines.append((subject, f"{subject} {verb} {value(rng)}", rng.choice(_NEWER)))
    return build_session(lines, rng, secrets=secrets)


def build_session(
    lines: Sequence[tuple[str, str, str]], rng: random.Random, *, secrets: Sequence[str] = ()
) -> MemorySession:
    """Lines of (subject or nothing, clause, lead) as a session; the last claim of a subject is the one that holds."""
    messages, facts, stale = [], dict[str, Fact](), list[str]()
    for number, (subject, clause, lead) in enumerate(lines, 1):
        messages.append(SessionTurn(role=rng.choice(("user", "assistant")), text=f"{lead}{clause}"))
        if not subject:
            continue
        if subject in facts and facts[subject].claim != clause:
            stale.append(facts[subject].claim)
        facts[subject] = Fact(subject=subject, claim=clause, message=number)
    found = tuple(facts.values())
    return MemorySession(
        messages=tuple(messages), facts=found, stale=tuple(stale), secrets=tuple(secrets), limit=len(found)
    )


def reorder(session: MemorySession, rng: random.Random) -> MemorySession:
    """The same facts in another order: only for sessions that state nothing twice."""
    of = {fact.message: fact for fact in session.facts}
    order = list(range(1, len(session.messages) + 1))
    rng.shuffle(order)
    facts = tuple(
        Fact(subject=of[old].subject, claim=of[old].claim, message=new) for new, old in enumerate(order, 1) if old in of
    )
    messages = tuple(session.messages[old - 1] for old in order)
    return MemorySession(messages=messages, facts=facts, secrets=session.secrets, limit=len(facts))


def extend(plan: SessionSize, rng: random.Random) -> MemorySession:
    """A session continued after its memory was written: some claims are replaced, the others stay word for word."""
    whole = draw_session(
        plan._replace(facts=(max(3, plan.facts[0]), max(3, plan.facts[1])), newer=0.0, secret=0.0), rng
    )
    ordered = sorted(whole.facts, key=lambda fact: fact.message)
    cut = ordered[-2].message
    early = [fact for fact in ordered if fact.message <= cut]
    changed = rng.choice(early)
    _, verb, value = next(row for row in _SUBJECTS if row[0] == changed.subject)
    while (clause := f"{changed.subject} {verb} {value(rng)}") == changed.claim:
        continue
    messages = (*whole.messages, SessionTurn(role="user", text=rng.choice(_NEWER) + clause))
    facts = (
        *(fact for fact in ordered if fact != changed),
        Fact(subject=changed.subject, claim=clause, message=len(messages)),
    )
    kept = tuple(f"- {fact.claim} [{fact.message}]" for fact in early if fact != changed)
    return MemorySession(messages=messages, facts=facts, stale=(changed.claim,), kept=kept, shown=cut, limit=len(facts))


def _draw_chatter(plan: SessionSize, rng: random.Random) -> str:
    return rng.choice(_CHATTER[: plan.talk_kinds]).format(n=_draw_number(rng), p=_draw_path(rng))


_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_LEAD = re.compile(r"^(?:[\w ,]{1,24}: |[-*#>]+ *|\d+[.)] +)")
_LONGEST_MESSAGE = 400


def session_from_records(records: Sequence[Record], most: int = 12) -> MemorySession | None:
    """A session from a log: its last messages, cut to a readable length; None when there is too little of it."""
    turns: list[SessionTurn] = []
    for record in records:
        for message in record.messages:
            text = " ".join(message.text.split())
            if message.role != "system" and text and not any(text == one.text for one in turns):
                turns.append(SessionTurn(role=message.role, text=text[:_LONGEST_MESSAGE]))
    turns = turns[-most:]
    if len(turns) < 2:
        return None
    return MemorySession(messages=tuple(turns), limit=6)


def extract_notes(session: MemorySession) -> str:
    """Notes without a teacher: the clauses with the most entities, word for word, none that holds a secret."""
    found: list[tuple[int, str, int]] = []
    for number, turn in enumerate(session.messages, 1):
        for clause in _split_clauses(turn.text):
            worth = len(grounding.find_entities(clause))
            if worth and len(clause.split()) >= 3:
                found.append((worth, clause, number))
    best = sorted(found, key=lambda row: (-row[0], row[2]))[: session.limit]
    return notes.format_notes(list({clause: (clause, number) for _, clause, number in best}.values()))


def _split_clauses(text: str) -> Iterator[str]:
    for sentence in _SENTENCE.split(text):
        clause = _LEAD.sub("", sentence).strip().rstrip(".!?")
        if clause and len(clause) <= notes.LONGEST and not notes.find_secret(clause) and "[" not in clause:
            yield clause
