"""Aider's chat histories: Markdown in which `####` is the user and `>` is the tool's own output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from afs.ingest import file_walk
from afs.ingest.base import Reading, Unit
from afs.ingest.session_records import build_records
from afs.ingest.session_turns import SessionOptions
from afs.ingest.turn_collector import TurnLog
from afs.types import Dropped, Record

_START = "# aider chat started at"
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_WITH_PROMPT = re.compile(r"/(?:ask|code|architect)\s+")
"""Commands that carry a prompt; Aider writes the prompt once more below, without the command."""
_MODEL = re.compile(r"^> (?:Main model|Model):\s+(\S+)", re.M)


class Aider(SessionOptions, frozen=True, kw_only=True):
    """Files `.aider.chat.history.md`."""

    version = "2"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every history."""
        return file_walk.list_units(place, (".aider.chat.history.md", "chat.history.md", ".aider.md"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per typed turn; commands such as `/add` are set aside."""
        lines = file_walk.read_text(unit, reading).split("\n")
        starts = [n for n, line in enumerate(lines) if line.startswith(_START)]
        if not starts:
            reading.add_unreadable("", f"not an Aider history: no line `{_START} …`")
        for number, start in enumerate(starts):
            end = starts[number + 1] if number + 1 < len(starts) else len(lines)
            session = lines[start + 1 : end]
            model = _MODEL.search("\n".join(session))
            log = TurnLog(reading)
            _read_session(session, start + 2, log, reading)
            origin = {"group": f"{unit.label}#{number + 1}", "maker": f"aider:{model[1]}" if model else ""}
            yield from build_records(log.turns, reading, self, origin=origin)


def _read_session(lines: list[str], first: int, log: TurnLog, reading: Reading) -> None:
    """The turns between two starts."""
    session = _ChatHistory(log, reading)
    speaker, block, begun, fence = "", list[str](), first, ""
    for number, line in enumerate(lines, first):
        who = speaker if fence else _speaker(line, speaker)
        if who != speaker:
            session.add(speaker, block, f"L{begun}")
            speaker, block, begun = who, [], number
        block.append(line[5:] if who == "user" else line)
        if who == "assistant" and (mark := _FENCE.match(line)) and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
    session.add(speaker, block, f"L{begun}")


def _speaker(line: str, before: str) -> str:
    if line.startswith("#### "):
        return "user"
    if line.startswith(("> ", ">")):
        return "tool"
    return "assistant" if line.strip() or before == "assistant" else ""


class _ChatHistory:
    """Adds blocks to the log; a prompt that stands twice is one, an architect's plan is a model's prompt."""

    def __init__(self, log: TurnLog, reading: Reading) -> None:
        self._log, self._reading = log, reading
        self._prompt = self._answer = ""

    def add(self, speaker: str, block: list[str], place: str) -> None:
        """One block of a speaker."""
        text = "\n".join(line.rstrip() for line in block).strip()
        if speaker == "assistant":
            self._prompt, self._answer = "", _squeeze(text)
            self._log.add_answer(place, text)
        elif speaker == "user":
            self._add_prompt(text, place)

    def _add_prompt(self, text: str, place: str) -> None:
        prompt = _WITH_PROMPT.sub("", text, count=1) if _WITH_PROMPT.match(text) else text
        if prompt.startswith(("/", "!")):
            self._reading.counts["typed turns found"] += 1
            self._reading.counts["typed turns set aside: local command"] += 1
        elif self._prompt and _squeeze(prompt) == self._prompt:
            self._reading.counts["entries:repeated prompt"] += 1
        else:
            is_plan = bool(self._answer) and _squeeze(prompt) == self._answer
            self._log.add_user(place, prompt, "model" if is_plan else "person")
            self._prompt = _squeeze(prompt)


def _squeeze(text: str) -> str:
    return "".join(text.split())
