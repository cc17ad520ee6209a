"""Judges notes: every note cites its message, nothing known is missing, and values are the newest."""

from __future__ import annotations

from collections.abc import Sequence

from afs.domains.memory import grounding, notes, sessions
from afs.domains.memory.notes import Note
from afs.domains.memory.sessions import MemorySession


def judge_notes(session: MemorySession, answer: str) -> tuple[str, str, float]:
    """(stage reached, what is wrong or nothing, share of the known facts that were kept)."""
    lines = list(notes.read_notes(answer))
    found = [note for note in lines if isinstance(note, Note)]
    if not found:
        return "extract", str(lines[0]) if lines else "no notes", 0.0
    if wrong := next((line for line in lines if isinstance(line, str)), ""):
        return "form", wrong, 0.0
    if len(found) > session.limit:
        return "form", f"{len(found)} notes, at most {session.limit} are worth keeping", 0.0
    if [n.claim.lower() for n in found] != sorted({n.claim.lower() for n in found}):
        return "form", "the notes are not sorted, or one stands there twice", 0.0
    if notes.find_secret(answer) or any(secret in answer for secret in session.secrets):
        return "secret", "a note holds a secret", 0.0
    for note in found:
        if problem := _find_citation_problem(session, note):
            return ("cite" if "there is no message" in problem else "ground"), problem, 0.0
    return _judge_coverage(session, found)


def _find_citation_problem(session: MemorySession, note: Note) -> str:
    """What is wrong with the provenance of one note."""
    missing = [n for n in note.cited if not 1 <= n <= len(session.messages)]
    if missing:
        return f"line {note.line} cites message {missing[0]}; there is no message of that number"
    return grounding.find_ungrounded(note, " ".join(session.messages[n - 1].text for n in note.cited))


def _judge_coverage(session: MemorySession, found: Sequence[Note]) -> tuple[str, str, float]:
    """Whether everything known was kept, in its newest form."""
    for note in found:
        if notes.normalize_claim(note.claim) in {notes.normalize_claim(claim) for claim in session.stale}:
            return "cover", f"line {note.line} keeps what no longer holds: {note.claim}", 0.0
    missing = [fact for fact in session.facts if not any(_states_fact(note, fact) for note in found)]
    share = 1 - len(missing) / len(session.facts) if session.facts else 1.0
    if missing:
        return "cover", f"left out: {missing[0].claim} [{missing[0].message}]", share
    written = {f"- {note.claim} [{', '.join(map(str, note.cited))}]" for note in found}
    if lost := [line for line in session.kept if line not in written]:
        return "cover", f"an earlier note was changed without a reason: {lost[0]}", share
    return "match", "", 1.0


def _states_fact(note: Note, fact: sessions.Fact) -> bool:
    """Whether a note holds a fact: its subject, its value, its message."""
    claim = notes.normalize_claim(note.claim)
    value = notes.normalize_claim(fact.claim.removeprefix(fact.subject)).split()[-1]
    return fact.message in note.cited and fact.subject in claim and grounding.contains_entity(value, claim)
