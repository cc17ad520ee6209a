"""Readers of agent logs: megabytes per second and core, and decoding with validation of stored records.

python bench/ingest.py [--small]
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from pathlib import Path

import msgspec
from planted import corpus

from afs.ingest.base import Reading
from afs.ingest.read_unit import make_source
from afs.types import Message, Origin, Record, record_id


def claude(texts: list[str], path: Path) -> None:
    """A session: question, call, result, answer."""
    rows, parent = [], None
    for i, text in enumerate(texts):
        for j, (kind, content) in enumerate(
            (
                ("user", text.partition("\n")[0]),
                ("assistant", [{"type": "tool_use", "id": f"t{i}", "name": "Read", "input": {"path": f"src/{i}.asm"}}]),
                ("user", [{"type": "tool_result", "tool_use_id": f"t{i}", "content": text}]),
                ("assistant", [{"type": "text", "text": text}]),
            )
        ):
            key = f"{i}-{j}"
            message = {"role": kind, "content": content} | (
                {"id": key, "model": "m", "usage": {"input_tokens": 9}} if kind == "assistant" else {}
            )
            rows.append(
                {
                    "type": kind,
                    "uuid": key,
                    "parentUuid": parent,
                    "sessionId": "s",
                    "cwd": "/x",
                    "version": "2",
                    "timestamp": "2026",
                    "message": message,
                }
            )
            parent = key
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))


def claude_full(texts: list[str], path: Path) -> None:
    """The same session with what today's files hold beside it: usage, copies of results, who and where."""
    claude(texts, path)
    rows = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    for number, row in enumerate(rows):
        row |= {"userType": "external", "isSidechain": False, "gitBranch": "main", "requestId": f"req_{number}"}
        if row["type"] == "assistant":
            row["message"]["usage"] = {
                "input_tokens": 9, "cache_creation_input_tokens": 812, "cache_read_input_tokens": 40_960,
                "cache_creation": {"ephemeral_5m_input_tokens": 812, "ephemeral_1h_input_tokens": 0},
                "output_tokens": 411, "service_tier": "standard",
            }  # fmt: skip
        elif isinstance(content := row["message"]["content"], list):
            text = content[0]["content"]
            row["toolUseResult"] = {"type": "text", "file": {"filePath": "src/a.asm", "content": text, "numLines": 40}}
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def codex(texts: list[str], path: Path) -> None:
    """A rollout."""
    rows = []
    for i, text in enumerate(texts):
        for payload in (
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text.partition("\n")[0]}]},
            {
                "type": "function_call",
                "name": "shell",
                "arguments": json.dumps({"cmd": ["cat", f"{i}.asm"]}),
                "call_id": f"c{i}",
            },
            {"type": "function_call_output", "call_id": f"c{i}", "output": text},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]},
        ):
            rows.append({"timestamp": "t", "type": "response_item", "payload": payload})
            rows.append(
                {"timestamp": "t", "type": "event_msg", "payload": {"type": "agent_message", "message": text[:400]}}
            )
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))


def gemini(texts: list[str], path: Path) -> None:
    """An append-only session."""
    rows: list[dict[str, object]] = [{"sessionId": "g"}]
    for i, text in enumerate(texts):
        call = {
            "id": f"c{i}",
            "name": "read",
            "args": {"p": i},
            "status": "success",
            "result": [{"functionResponse": {"response": {"output": text}}}],
        }
        rows.append({"id": f"u{i}", "type": "user", "content": [{"text": text.partition("\n")[0]}]})
        rows.append({"id": f"a{i}", "type": "gemini", "content": "", "toolCalls": [call]})
        rows.append({"id": f"b{i}", "type": "gemini", "content": text})
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))


def alpaca(texts: list[str], path: Path) -> None:
    """Plain pairs."""
    rows = ({"instruction": t.partition("\n")[0], "output": t} for t in texts)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))


def main() -> None:
    """Write each form, read it, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    texts = corpus(2_000 if parser.parse_args().small else 40_000).texts
    print("| reader | MB | records | MB / CPU s | records / CPU s |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name, write in (
            ("claude-code", claude), ("claude-code, whole", claude_full), ("codex", codex), ("gemini", gemini),
            ("jsonl", alpaca),
        ):  # fmt: skip
            kind = name.partition(",")[0]
            path = Path(folder) / "session-1.jsonl"
            write(texts, path)
            size = path.stat().st_size / 1e6
            gc.disable()  # as `afs.ingest.read_unit.read_unit` does
            started = time.process_time()
            source, count = make_source(kind, {}), 0
            for unit in source.units(path):
                count += sum(1 for _ in source.read(unit, Reading(unit, source="b", domain="d")))
            spent = time.process_time() - started
            gc.enable()
            print(f"| {name} | {size:.0f} | {count:,} | {size / spent:.0f} | {count / spent:,.0f} |")
    stored(texts)


def stored(texts: list[str]) -> None:
    """Decoding and validating records of ours."""
    turns = [(Message(role="user", text=t.partition("\n")[0]), Message(role="assistant", text=t)) for t in texts]
    lines = [
        msgspec.json.encode(
            Record(
                id=record_id("d", m),
                domain="d",
                kind="pair",
                messages=m,
                origin=Origin(source="b", uri="a#L1", license="MIT"),
            )
        )
        for m in turns
    ]
    decode = msgspec.json.Decoder(Record).decode
    started = time.process_time()
    for line in lines:
        decode(line)
    spent = time.process_time() - started
    print(
        f"\ndecode + validate of stored records: {len(lines) / spent:,.0f} records / CPU s ({sum(map(len, lines)) / 1e6 / spent:.0f} MB/s)"  # noqa: E501
    )


if __name__ == "__main__":
    main()
