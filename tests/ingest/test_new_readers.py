"""Readers of further agents: each on the shape its tool writes, with an account that adds up; and `auto`."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from afs.ingest.base import Reading, open_balance
from afs.ingest.format_recognition import recognize
from afs.ingest.read_unit import make_source
from afs.types import Dropped, Record


def read(kind: str, place: Path, **options: object) -> tuple[list[Record], list[Dropped], Reading]:
    source = make_source(kind, {"history": "none"} | options)
    records, dropped, whole = [], [], None
    for unit in source.units(place):
        reading = Reading(unit, source="test", domain="general")
        for item in source.read(unit, reading):
            (dropped if isinstance(item, Dropped) else records).append(item)  # type: ignore[arg-type]
        assert not open_balance(reading.counts, "calls") and not open_balance(reading.counts, "typed turns")
        whole = whole or reading
    assert whole is not None
    return records, dropped, whole


def lines(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def talk(record: Record) -> list[str]:
    return [f"{m.role}:{m.text}" + "".join(f"[{c.name}]" for c in m.tool_calls) for m in record.messages]


def write_copilot(folder: Path) -> Path:
    session = {"requests": [], "responderUsername": "GitHub Copilot", "sessionId": "s"}
    request = {"message": {"text": "list"}, "response": [{"value": "Two "}, {"kind": "undoStop"}]}
    return lines(
        folder / "chat.jsonl",
        {"kind": 0, "v": session},
        {"kind": 2, "k": ["requests"], "v": [request]},
        {"kind": 2, "k": ["requests", 0, "response"], "v": [{"value": "files."}]},
    )


def write_copilot_cli(folder: Path) -> Path:
    call = {"toolCallId": "c", "name": "bash", "arguments": {"command": "ls"}}
    return lines(
        folder / "events.jsonl",
        {"type": "session.start", "data": {"sessionId": "s"}},
        {"type": "user.message", "data": {"content": "list"}},
        {"type": "assistant.message", "data": {"content": "", "toolRequests": [call]}},
        {"type": "tool.execution_complete", "data": {"toolCallId": "c", "success": True, "result": {"content": "a"}}},
        {"type": "assistant.message", "data": {"content": "Two files."}},
    )


def write_cursor(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "state.vscdb"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE cursorDiskKV (key TEXT, value BLOB)")
        headers = [{"bubbleId": "1"}, {"bubbleId": "2"}, {"bubbleId": "3"}]
        tool = {"name": "ls", "rawArgs": '{"path": "."}', "toolCallId": "c", "result": "a", "status": "completed"}
        rows = {
            "composerData:x": {"fullConversationHeadersOnly": headers},
            "bubbleId:x:1": {"type": 1, "text": "list"},
            "bubbleId:x:2": {"type": 2, "text": "", "toolFormerData": tool},
            "bubbleId:x:3": {"type": 2, "text": "Two files."},
        }
        db.executemany("INSERT INTO cursorDiskKV VALUES (?, ?)", [(k, json.dumps(v)) for k, v in rows.items()])
    db.close()
    return path


def write_cursor_lines(folder: Path) -> Path:
    def row(role: str, *content: object) -> dict[str, object]:
        return {"role": role, "message": {"content": list(content)}}

    return lines(
        folder / "agent-transcripts" / "a.jsonl",
        row("user", {"type": "text", "text": "<user_query>\nlist\n</user_query>"}),
        row("assistant", {"type": "tool_use", "name": "ls", "input": {"path": "."}}),
        row("user", {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "a"}]}),
        row("assistant", {"type": "text", "text": "Two files."}),
    )


def write_opencode(folder: Path) -> Path:
    storage = folder / "storage"
    tool = {"status": "completed", "input": {"path": "."}, "output": "a"}
    for name, row in {
        "session/p/ses_1.json": {"id": "ses_1"},
        "message/ses_1/msg_1.json": {"id": "m1", "role": "user", "time": {"created": 1}},
        "message/ses_1/msg_2.json": {
            "id": "m2",
            "role": "assistant",
            "time": {"created": 2},
            "modelID": "x",
            "providerID": "y",
        },
        "part/m1/1.json": {"messageID": "m1", "type": "text", "text": "list"},
        "part/m2/1.json": {"messageID": "m2", "type": "tool", "tool": "ls", "callID": "c", "state": tool},
        "part/m2/2.json": {"messageID": "m2", "type": "text", "text": "Two files."},
    }.items():
        lines(storage / name, row)
    return storage


def write_qwen(folder: Path) -> Path:
    def row(number: int, kind: str, *parts: object) -> dict[str, object]:
        parent = f"u{number - 1}" if number else None
        return {
            "uuid": f"u{number}",
            "parentUuid": parent,
            "sessionId": "s",
            "type": kind,
            "message": {"parts": list(parts)},
        }

    return lines(
        folder / "q.jsonl",
        row(0, "user", {"text": "list"}),
        row(1, "assistant", {"text": "hm", "thought": True}, {"functionCall": {"id": "c", "name": "ls", "args": {}}}),
        row(2, "tool_result", {"functionResponse": {"id": "c", "response": {"output": "a"}}}),
        row(3, "assistant", {"text": "Two files."}),
    )


def write_openhands(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    events = [
        {"id": 0, "source": "user", "action": "message", "args": {"content": "list"}},
        {"id": 1, "source": "agent", "action": "run", "args": {"command": "ls"}},
        {"id": 2, "source": "agent", "cause": 1, "observation": "run", "content": "a"},
        {"id": 3, "source": "agent", "action": "finish", "args": {"final_thought": "Two files."}},
    ]
    path = folder / "t.json"
    path.write_text(json.dumps(events))
    return path


def write_antigravity(folder: Path) -> Path:
    return lines(
        folder / "transcript.jsonl",
        {
            "step_index": 0,
            "source": "USER_EXPLICIT",
            "type": "USER_INPUT",
            "content": "<USER_REQUEST>\nlist\n</USER_REQUEST>",
        },
        {
            "step_index": 1,
            "source": "MODEL",
            "type": "PLANNER_RESPONSE",
            "tool_calls": [{"name": "ls", "args": {"a": '"."'}}],
        },
        {"step_index": 2, "source": "MODEL", "type": "LIST_DIRECTORY", "content": "a"},
        {"step_index": 3, "source": "MODEL", "type": "PLANNER_RESPONSE", "content": "Two files."},
    )


WRITERS = {
    "copilot": (write_copilot, write_copilot_cli), "cursor": (write_cursor, write_cursor_lines), "qwen": (write_qwen,),
    "opencode": (write_opencode,), "openhands": (write_openhands,), "antigravity-cli": (write_antigravity,),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "number"), [(kind, n) for kind, made in WRITERS.items() for n in range(len(made))])
def test_a_session_becomes_a_record_with_its_calls(tmp_path: Path, kind: str, number: int) -> None:
    place = WRITERS[kind][number](tmp_path / "in")
    (record,), dropped, _ = read(kind, place)
    assert not dropped
    if kind == "copilot" and number == 0:
        assert talk(record) == ["user:list", "assistant:Two files."]
    else:
        assert [t.partition("[")[0] for t in talk(record)] == [
            "user:list",
            "assistant:",
            "tool:a",
            "assistant:Two files.",
        ]
    if kind != "opencode":
        assert recognize(place) == kind


def test_a_swe_agent_trajectory_ends_with_the_thought_beside_its_last_action(tmp_path: Path) -> None:
    step = {"action": "ls", "thought": "Look around.", "observation": "a"}
    last = {"action": "submit", "thought": "The bug is fixed.", "observation": "diff"}
    history = [{"role": "system", "content": "s"}, {"role": "user", "content": "fix it"}]
    path = tmp_path / "a.traj"
    path.write_text(json.dumps({"history": history, "trajectory": [step, last]}))
    (record,), _, _ = read("swe-agent", path)
    assert talk(record)[0] == "user:fix it" and talk(record)[-1] == "assistant:The bug is fixed."


def test_an_aider_history_has_turns_and_sets_commands_aside(tmp_path: Path) -> None:
    text = (
        "\n# aider chat started at 2025-01-01 10:00:00\n\n> Aider v0.80  \n> Main model: gpt-4o with diff\n\n"
        "#### /add a.py  \n> Added a.py to the chat  \n\n#### fix the bug  \n#### in a.py  \n\nHere:\n\n```python\n#### no turn\n```\n\n"
        "> Applied edit to a.py  \n"
    )
    path = tmp_path / ".aider.chat.history.md"
    path.write_text(text)
    (record,), dropped, reading = read("aider", path)
    assert talk(record) == ["user:fix the bug\nin a.py", "assistant:Here:\n\n```python\n#### no turn\n```"]
    assert record.origin.maker == "aider:gpt-4o" and not dropped
    assert reading.counts["typed turns set aside: local command"] == 1


def test_auto_recognizes_what_a_folder_holds_and_lists_the_rest(tmp_path: Path) -> None:
    for kind, writers in WRITERS.items():
        writers[0](tmp_path / kind)
    (tmp_path / "notes.bin").write_bytes(b"\x00\x01")
    (tmp_path / "a.asm").write_text("; Clears it\nClear:\n lda #0\n sta $10\n stz $12\n rts\n")
    source = make_source("auto", {})
    units = list(source.units(tmp_path))
    assert {u.kind for u in units} == {*WRITERS, "asm", ""}
    assert [u.path.name for u in units if u.problem] == ["notes.bin"]
    records = []
    for unit in units:
        if not unit.problem:
            records += [r for r in source.read(unit, Reading(unit, source="t", domain="g")) if isinstance(r, Record)]
    assert len(records) == len(WRITERS) + 1
