"""Session readers on real logs: calls and typed turns in the files, counted without the readers, against the records.

    python bench/world/sessions.py --corpus NAME=PATH [--corpus …] [--kind claude-code]

A corpus is a folder of logs that other people published; nothing of it is committed. Expected numbers come from a plain
walk through the JSON below, which shares no code with the readers.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from afs.ingest.base import Reading
from afs.ingest.read_unit import make_source
from afs.types import Dropped, Record

_NOT_TYPED = re.compile(
    r"\s*(?:<(?:local-command|bash-|task-notification|command-name>/(?:clear|compact|model|mcp|exit|context|cost|status)\b)|"
    r"Caveat: The messages|\[Request interrupted|This session is being continued from|Your task is to create a detailed"
    r" summary|<environment_context>|<user_instructions>|# AGENTS\.md|<turn_aborted>|<permissions|<INSTRUCTIONS>|<skill>)"  # noqa: E501
)
_LOCAL = re.compile(r"<command-name>/(?:clear|compact|model|mcp|exit|context|cost|status)\b")
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>\s*", re.S)
_POLLUTION = re.compile(
    r"<task-notification>|<system-reminder>|<local-command|^Your task is to create a detailed summary|"
    r"^This session is being continued|hook (?:additional context|feedback)|^\[Request interrupted|<environment_context>"  # noqa: E501
)


def read_lines(path: Path) -> Iterator[dict[str, object]]:
    """The JSON objects of a file, one per line, or the whole file as one."""
    text = path.read_text("utf-8", "replace")
    if path.suffix == ".json":
        try:
            yield json.loads(text)
        except ValueError:
            return
        return
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(p.get("text") or "" for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    return content if isinstance(content, str) else ""


def expect_claude(path: Path) -> tuple[set[str], int]:
    """(ids of tool calls, number of typed turns) of a Claude Code session."""
    calls, typed = set[str](), Counter[str]()
    queued: list[str] = []
    for row in read_lines(path):
        message = row.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        attachment = row.get("attachment")
        if isinstance(attachment, dict) and attachment.get("type") == "queued_command":
            if attachment.get("commandMode") == "prompt" and (text := _text(attachment.get("prompt"))):
                typed[text.strip()] += 1
        elif row.get("type") == "queue-operation" and row.get("operation") == "enqueue":
            queued.append(_text(row.get("content")).strip())
        elif row.get("type") == "assistant" and isinstance(content, list):
            calls |= {str(b.get("id")) for b in content if b.get("type") == "tool_use"}
        elif row.get("type") == "user" and not row.get("isMeta") and not row.get("isCompactSummary"):
            if isinstance(content, list) and any(b.get("type") == "tool_result" for b in content):
                continue
            text = _REMINDER.sub("", _text(content)).strip()
            if row.get("isSidechain") or not text or _NOT_TYPED.match(text) or _LOCAL.search(text):
                continue
            typed[text] += 1
    extra = [
        t
        for t in queued
        if t and t not in typed and not t.startswith(("<task-notification", "/")) and t != "tool_result"
    ]
    return calls, sum(typed.values()) + len(extra)


def expect_codex(path: Path) -> tuple[set[str], int]:
    """(ids of calls, number of typed turns) of a Codex rollout."""
    calls, typed, number = set[str](), 0, 0
    for row in read_lines(path):
        item = row.get("payload") if row.get("type") == "response_item" else row
        if not isinstance(item, dict):
            continue
        kind = str(item.get("type"))
        if kind.endswith("_call") and kind not in ("web_search_call", "image_generation_call"):
            number += 1
            calls.add(str(item.get("call_id") or item.get("id") or number))
        elif item.get("role") == "user" and kind in ("message", "None"):
            text = _text(item.get("content")).strip()
            typed += bool(text) and not _NOT_TYPED.match(text)
    return calls, typed


def expect_gemini(path: Path) -> tuple[set[str], int]:
    """(ids of calls, number of typed turns) of a Gemini CLI session, without replaying updates."""
    calls, typed = set[str](), set[str]()
    rows = list(read_lines(path))
    rows = rows[0].get("messages", []) if path.suffix == ".json" and rows else rows  # type: ignore[assignment]
    for number, row in enumerate(rows):
        for call in row.get("toolCalls") or []:  # type: ignore[attr-defined]
            calls.add(str(call.get("id")))
        text = _text(row.get("content")).strip()
        if row.get("type") == "user" and text and not text.startswith(("/", "?")):
            typed.add(str(row.get("id") or number))
    return calls, len(typed)


EXPECT = {"claude-code": expect_claude, "codex": expect_codex, "gemini": expect_gemini}


def measure(kind: str, place: Path) -> Counter[str]:
    """Expected and found numbers of one corpus."""
    source = make_source(kind, {})
    total: Counter[str] = Counter()
    for unit in source.units(place):
        calls, typed = EXPECT[kind](unit.path)
        if not calls and not typed:
            continue
        reading = Reading(unit, source="world", domain="general")
        items = list(source.read(unit, reading))
        records = [item for item in items if isinstance(item, Record)]
        drops = [item.record for item in items if isinstance(item, Dropped)]
        kept, dropped = calls_of(records), calls_of(drops)
        total.update(
            files=1, calls=len(calls), typed=typed, silent=not items and not reading.unreadable,
            kept_calls=len(kept & calls), dropped_calls=len((dropped - kept) & calls),
            aside_calls=sum(n for k, n in reading.counts.items() if k.startswith("calls set aside")),
            kept_turns=turns_of(records), dropped_turns=turns_of(drops),
            polluted=sum(bool(_POLLUTION.search(m.text)) for r in records for m in r.messages if m.role == "user"),
            records=len(records), drops=len(drops),
        )  # fmt: skip
        total.update({f"drop: {d.reason}": 1 for d in items if isinstance(d, Dropped)})
    return total


def calls_of(records: list[Record]) -> set[str]:
    """Ids of the calls in some records."""
    return {call.id for record in records for message in record.messages for call in message.tool_calls}


def turns_of(records: list[Record]) -> int:
    """Typed turns in some records: user messages of their own part, not of their history."""
    number = 0
    for record in records:
        if any(tag in ("author:model", "author:none") for tag in record.tags):
            continue
        start = min(record.trained_turns) if record.trained_turns else 0
        while start > 0 and record.messages[start - 1].role == "user":
            start -= 1
        number += sum(message.role == "user" for message in record.messages[start:])
    return number


def main() -> None:
    """One row per corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", required=True, metavar="NAME=PATH")
    parser.add_argument("--kind", default="claude-code", choices=sorted(EXPECT))
    given = parser.parse_args()
    print(
        "| corpus | files | calls | in records | in drops | set aside | typed turns | in records | in drops | polluted | silent |"  # noqa: E501
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for corpus in given.corpus:
        name, _, place = corpus.partition("=")
        t = measure(given.kind, Path(place))
        cells = [
            t[k]
            for k in (
                "files",
                "calls",
                "kept_calls",
                "dropped_calls",
                "aside_calls",
                "typed",
                "kept_turns",
                "dropped_turns",
                "polluted",
                "silent",
            )
        ]
        print(f"| {name} | " + " | ".join(map(str, cells)) + " |")
        print({k: n for k, n in t.items() if k.startswith("drop")})


if __name__ == "__main__":
    main()
