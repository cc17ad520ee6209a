"""Histories into memory: every note cites its message, and what it claims must stand there.

`single`, `brief` and `recall` are whole sessions, `reorder` the same facts in another order, `extend` a session that
continues after its memory was written. Facts of generated sessions are known, so leaving one out or keeping an old
value is judged as well; of a session from a log only what is claimed can be judged.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from afs.domains.base import Block, Finding, PackVerb, strip_thinking
from afs.domains.memory import grounding, notes, sessions
from afs.domains.memory.note_judge import judge_notes
from afs.domains.memory.notes import Note
from afs.domains.memory.sessions import MemorySession
from afs.errors import UsageError
from afs.types import Record, Task, Verdict, digest

_FAMILIES = ("single", "brief", "recall", "reorder", "extend")
_SYSTEM = "Write notes `- claim [message]`, sorted, nothing else."
GROUPS = 50


class MemoryPack:
    """The pack object; see `afs.domains.base.Domain` for what each member is for."""

    name = "memory"
    version = "2"
    families = _FAMILIES
    verbs: Mapping[str, PackVerb] = {
        "log": PackVerb(
            config="afs.domains.memory.log_writer:LogConfig",
            function="afs.domains.memory.log_writer:write_log",
            help="write generated sessions as an agent's log, to try the full pipeline on",
        )
    }
    dialects: tuple[str, ...] = ()
    suites: Mapping[str, str] = {}
    prompts: Mapping[str, str] = {"memory": _SYSTEM}
    probes = ("[1] user: build command is `make rom`",)
    controls = ("- build command is `make rom` [1]\n",)

    def tasks(self, family: str, seed: int, n: int) -> Iterator[Task]:
        """`n` different tasks of a family."""
        if family not in _FAMILIES:
            raise UsageError(f"the pack memory has no family {family!r}; it has: {', '.join(_FAMILIES)}")
        rng = random.Random(f"{family}:{seed}")
        seen: set[str] = set()
        while len(seen) < n:
            session = _draw_session(family, rng)
            key = digest((family, session))[:16]
            if key not in seen:
                seen.add(key)
                yield _build_task(family, session, key)

    def from_session(self, records: Sequence[Record]) -> Task | None:
        """A task out of the records of one session of a log; its reference is what can be had without a teacher."""
        session = sessions.session_from_records(records)
        if session is None or not (reference := sessions.extract_notes(session)):
            return None
        key = digest(("session", session))[:16]
        return msgspec.structs.replace(_build_task("session", session, key), reference=reference)

    def extract(self, text: str) -> tuple[Block, ...]:
        """Every note of an answer."""
        found = [note for note in notes.read_notes(text) if isinstance(note, Note)]
        return tuple(Block(kind="note", text=note.claim, line=note.line) for note in found)

    def check(self, task: Task, answer: str) -> Verdict:
        """Form, secrets, citations, grounding, then whether all that is known to be worth it was kept."""
        session = msgspec.convert(task.spec, MemorySession)
        said = strip_thinking(answer)
        stage, problem, share = judge_notes(session, said)
        worth = {"extract": 0.0, "form": 0.1, "secret": 0.0, "cite": 0.2, "ground": 0.3, "cover": 0.35, "match": 1.0}
        score = worth[stage] + (0.1 * share if stage == "cover" else 0.0)
        found = len(self.extract(said))
        return Verdict(task=task.id, ok=not problem, score=score, stage=stage, reason=problem, facts={"notes": found})

    def lint(self, text: str) -> tuple[Finding, ...]:
        """Lines that are no notes, and secrets."""
        wrong = [line for line in notes.read_notes(text) if isinstance(line, str)]
        found = [Finding(rule="note-form", message=line) for line in wrong]
        return (*found, *([Finding(rule="secret", message="holds a secret")] if notes.find_secret(text) else []))

    def annotate(self, record: Record) -> tuple[str, ...]:
        """The entities a record speaks of."""
        return tuple(sorted({one for m in record.messages for one in grounding.find_entities(m.text)}))

    def wrong_answers(self, task: Task) -> Iterator[tuple[str, str]]:
        """Answers that must be rejected."""
        session = msgspec.convert(task.spec, MemorySession)
        yield "empty", ""
        yield "echo", task.prompt
        yield "prose", "We had a productive session and settled several questions."
        lines = task.reference.splitlines()
        yield "prose padding", task.reference + "\n\nIn summary, everything is going well."
        yield (
            "padding as a note",
            task.reference + f"\n- overall the project makes good progress [{_last_message(session)}]",
        )
        yield "no citation", task.reference.replace(lines[0], lines[0].rpartition(" [")[0])
        yield "message that is not there", _cite_message(task.reference, len(session.messages) + 7)
        yield "another message cited", _cite_message(task.reference, _find_unrelated_message(session, lines[0]))
        yield "invented path", _append_to_claim(lines, "src/invented/ghost.asm")
        yield "wrong number", _append_to_claim(lines, "7919")
        yield "negated", _append_to_claim(lines, "not")
        yield "leaked secret", task.reference + f"\n- the token is ghp_{'0a1b2c' * 4} [{_last_message(session)}]"
        yield "too long", _append_to_claim(lines, " ".join(["indeed"] * 40))
        if session.facts:
            yield "a fact left out", "\n".join(lines[1:])
        if session.stale and session.facts:
            yield "an old value", _restore_stale_claim(session, task.reference)
        if len(lines) > 1:
            yield "not in order", "\n".join(reversed(lines))
        if len(session.facts) > 1:
            yield "values swapped", _swap_values(session)


def _draw_session(family: str, rng: random.Random) -> MemorySession:
    if family == "extend":
        return sessions.extend(sessions.FULL, rng)
    if family == "reorder":
        return sessions.reorder(sessions.draw_session(sessions.FULL._replace(newer=0.0), rng), rng)
    return sessions.draw_session({"single": sessions.SINGLE, "brief": sessions.BRIEF}.get(family, sessions.FULL), rng)


def _build_task(family: str, session: MemorySession, key: str) -> Task:
    memory = format_earlier_memory(session)
    rows = [f"[{n}] {m.role}: {m.text}" for n, m in enumerate(session.messages, 1) if n > session.shown]
    facts = [(fact.claim, fact.message) for fact in session.facts]
    return Task(
        id=key,
        domain=MemoryPack.name,
        version=MemoryPack.version,
        family=family,
        prompt="\n".join([*memory, *rows]),
        reference=notes.format_notes(facts),
        spec=msgspec.to_builtins(session),
        group=str(int(digest(sorted(claim for claim, _ in facts) or key)[:8], 16) % GROUPS),
        system=_SYSTEM,
    )


def format_earlier_memory(session: MemorySession) -> list[str]:
    """The memory that a session continues from, as the prompt shows it."""
    if not session.shown:
        return []
    old = [line.rpartition(" [")[0].removeprefix("- ") for line in session.kept]
    before = list(zip(old, (int(line.rpartition("[")[2][:-1]) for line in session.kept), strict=True))
    before += [(claim, _find_message_stating(session, claim)) for claim in session.stale]
    return ["Memory so far:", *notes.format_notes(before).splitlines(), ""]


def _find_message_stating(session: MemorySession, claim: str) -> int:
    return next(n for n, m in enumerate(session.messages, 1) if m.text.endswith(claim))


def _last_message(session: MemorySession) -> int:
    """A message to cite: the last one."""
    return len(session.messages)


def _cite_message(text: str, message: int) -> str:
    first, _, rest = text.partition("\n")
    return "\n".join(part for part in (f"{first.rpartition(' [')[0]} [{message}]", rest) if part)


def _find_unrelated_message(session: MemorySession, line: str) -> int:
    """A message that does not say what a note says."""
    claim = line.removeprefix("- ").rpartition(" [")[0]
    for number, turn in enumerate(session.messages, 1):
        if grounding.find_ungrounded(Note(1, claim, (number,)), turn.text):
            return number
    return 0


def _append_to_claim(lines: Sequence[str], word: str) -> str:
    """The first claim with a word at its end."""
    claim, _, cited = lines[0].rpartition(" [")
    return "\n".join([f"{claim} {word} [{cited}", *lines[1:]])


def _swap_values(session: MemorySession) -> str:
    """The reference with the values of the first two facts exchanged."""
    first, second, *rest = session.facts
    one, other = first.claim.rpartition(" "), second.claim.rpartition(" ")
    if one[2] == other[2]:
        return ""
    changed = [(f"{one[0]} {other[2]}", first.message), (f"{other[0]} {one[2]}", second.message)]
    return notes.format_notes([*changed, *((fact.claim, fact.message) for fact in rest)])


def _restore_stale_claim(session: MemorySession, reference: str) -> str:
    """The reference with an old claim in the place of the new one, cited where it once stood."""
    old = session.stale[0]
    subject = next(fact for fact in session.facts if old.startswith(fact.subject))
    rest = [(fact.claim, fact.message) for fact in session.facts if fact != subject]
    return notes.format_notes([*rest, (old, _find_message_stating(session, old))])


DOMAIN = MemoryPack()
