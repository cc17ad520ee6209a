"""`afs memory log`: generated sessions in the format Claude Code writes its own."""

from __future__ import annotations

import random
from pathlib import Path
from typing import ClassVar

from afs import jsonl
from afs.config import Config
from afs.domains.memory.sessions import BRIEF, FULL, MemorySession, draw_session
from afs.types import Json, Value


class LogConfig(Config, frozen=True, kw_only=True):
    """Write generated sessions as an agent's log."""

    positional: ClassVar[tuple[str, ...]] = ("folder",)

    folder: Path
    """Folder to write into, a file a session; it reads like `~/.claude/projects`."""
    count: int = 100
    """Sessions."""
    seed: int = 0
    """Seed of the sessions."""
    full: bool = False
    """Longer sessions, in which facts change and secrets appear."""


class SampleLog(Value, frozen=True, kw_only=True):
    """What `afs memory log` wrote."""

    folder: str
    sessions: int
    messages: int


def write_log(config: LogConfig) -> SampleLog:
    """Write the sessions."""
    rng = random.Random(f"log:{config.seed}")
    total = 0
    for number in range(config.count):
        session = draw_session(FULL if config.full else BRIEF, rng)
        rows = list(_format_rows(session, f"session-{config.seed}-{number:05d}"))
        jsonl.write(config.folder / f"{config.seed}-{number:05d}.jsonl", rows)
        total += len(rows)
    return SampleLog(folder=str(config.folder), sessions=config.count, messages=total)


def _format_rows(session: MemorySession, name: str) -> list[Json]:
    """Turns alternate, and the agent has the last word."""
    rows: list[Json] = []
    texts = [turn.text for turn in session.messages]
    for number, text in enumerate([*texts, *(["noted"] if len(texts) % 2 else [])]):
        role = "user" if number % 2 == 0 else "assistant"
        rows.append(
            {
                "type": role,
                "uuid": f"{name}-{number}",
                "parentUuid": f"{name}-{number - 1}" if number else None,
                "sessionId": name,
                "timestamp": f"2026-01-01T00:{number:02d}:00Z",
                "message": {"id": f"{name}-m{number}", "role": role, "content": [{"type": "text", "text": text}]},
            }
        )
    return rows
