"""Codex rollouts: response items are the conversation; events only repeat it for display."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from afs.ingest import chats, file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, as_list, parse_tools, text_of
from afs.ingest.session_insertions import (
    is_compaction,
    is_interruption,
    is_notice,
    strip_editor_context,
    strip_insertions,
)
from afs.ingest.session_records import build_records
from afs.ingest.session_turns import Author, SessionOptions, Turn
from afs.types import Dropped, Json, Message, Record, Tool, ToolCall

_SILENT = frozenset(
    "event_msg compacted inter_agent_communication inter_agent_communication_metadata token_usage_record world_state"  # noqa: SIM905
    " security_risk_score retained_context realtime_item".split()
)
_COPIED = ("delivered_assistant_message", "compaction_output", "inherited_user_message")


class Codex(SessionOptions, frozen=True, kw_only=True):
    """Files `rollout-*.jsonl` below `.codex/sessions`."""

    version = "3"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every rollout."""
        return file_walk.list_units(place, (".jsonl", ".jsonl.gz", ".jsonl.zst"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per typed turn."""
        rollout = _Rollout(reading)
        for place, row in row_files.read_objects(unit, reading):
            rollout.add(place, row)
        origin = {"group": rollout.group or unit.label, "maker": rollout.maker, "commit": rollout.commit}
        yield from build_records(rollout.turns, reading, self, origin=origin, extra={"tools": rollout.tools})


class _Rollout:
    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.turns: list[Turn] = []
        self.group = self.maker = self.commit = ""
        self.tools: tuple[Tool, ...] = ()
        self._thoughts: list[str] = []
        self._open: list[str] = []
        """Calls without an id that have no result yet."""
        self._is_subagent = False
        self._is_working = False
        """Whether the agent has acted since its task began; what is typed now was queued."""
        self._in_task = False

    def add(self, place: str, row: Json) -> None:
        """One line."""
        kind, payload = text_of(row.get("type")), as_dict(row.get("payload"))
        if kind == "response_item":
            marks = as_dict(row.get("metadata")) or as_dict(payload.get("metadata"))
            if any(mark in marks for mark in _COPIED):
                self.reading.counts["entries:copied"] += 1
            else:
                self._add_item(place, payload)
        elif kind == "session_meta":
            self._add_meta(payload)
        elif kind == "turn_context":
            model = text_of(payload.get("model"))
            self.maker = f"openai:{model}" if model else self.maker
        elif kind in _SILENT:
            self.reading.counts[f"entries:{kind}"] += 1
            if kind == "event_msg":
                self._follow_task(place, text_of(payload.get("type")))
        elif "payload" not in row and (_is_item(kind) or "role" in row):
            self._add_item(place, row)
        elif "payload" not in row and "timestamp" in row and isinstance(row.get("id"), str) and not kind:
            self._add_meta(row)  # the first line of rollouts before 2025-09
        else:
            self.reading.add_unknown(kind or "no type", place, row)

    def _add_meta(self, payload: Json) -> None:
        meta = as_dict(payload.get("meta")) or payload
        if not self.group:
            self._is_subagent = "subagent" in as_dict(meta.get("source"))
        self.group = text_of(meta.get("forked_from_id")) or text_of(meta.get("id")) or self.group
        self.commit = text_of(as_dict(payload.get("git")).get("commit_hash"))
        self.tools = parse_tools(meta.get("dynamic_tools")) or self.tools

    def _follow_task(self, place: str, event: str) -> None:
        if event in ("task_started", "turn_started"):
            self._in_task, self._is_working = True, False
        elif event in ("task_complete", "turn_complete", "turn_aborted"):
            self._in_task = False
            if event == "turn_aborted":
                self.turns.append(Turn(Message(role="user"), place, "interruption"))

    def _add_item(self, place: str, item: Json) -> None:
        kind = text_of(item.get("type")) or "message"
        if not _is_item(kind):
            self.reading.add_unknown(f"item {kind}", place, item)
        elif kind == "message":
            self._add_message(place, item)
        elif kind == "reasoning":
            self._thoughts += [text_of(as_dict(s).get("text")) for s in as_list(item.get("summary"))]
        elif kind.endswith(("_output", "_result")):
            key = _call_id(item) or (self._open.pop(0) if self._open else "")
            output = item.get("output", item.get("result"))
            self.turns.append(Turn(Message(role="tool", text=_parse_output(output), tool_call_id=key), place))
        elif kind in _CALLS:
            self._add_call(place, kind, item)
        else:
            self.reading.counts[f"entries:{kind}"] += 1

    def _add_call(self, place: str, kind: str, item: Json) -> None:
        self.reading.counts["calls found"] += 1
        key = _call_id(item)
        if not key:
            key = f"call {place}"
            self._open.append(key)
        self._add_answer(place, Message(role="assistant", tool_calls=(_parse_call(kind, item, key),)))

    def _add_message(self, place: str, item: Json) -> None:
        role = text_of(item.get("role"))
        content = item.get("content", item.get("message"))
        parts = [text_of(as_dict(part).get("text")) for part in as_list(content)] or [text_of(content)]
        if role == "user":
            self._add_user(place, parts)
        elif role == "assistant":
            self._add_answer(place, Message(role="assistant", text="\n".join(filter(None, parts)).strip()))
        else:
            self.reading.counts[f"entries:{role or 'no role'}"] += 1

    def _add_user(self, place: str, parts: list[str]) -> None:
        raw = "\n".join(filter(None, parts))
        if is_interruption(raw):
            self.turns.append(Turn(Message(role="user"), place, "interruption"))
        plain = [strip_editor_context(part) for part in parts]
        kept = [text for part in plain if not is_notice(part) and (text := strip_insertions(part))]
        text = "\n".join(kept)
        if not text or is_compaction(text):
            self.reading.counts["entries:injected"] += 1
            return
        author: Author = "queued" if self._in_task and self._is_working else "model" if self._is_subagent else "person"
        self.reading.counts["typed turns found"] += author != "model"
        self.turns.append(Turn(Message(role="user", text=text), place, author))

    def _add_answer(self, place: str, message: Message) -> None:
        self._is_working = True
        thinking = "\n\n".join(t for t in self._thoughts if t)
        self._thoughts = []
        turn = Message(role="assistant", text=message.text, thinking=thinking, tool_calls=message.tool_calls)
        self.turns.append(Turn(turn, place))


_CALLS = ("function_call", "custom_tool_call", "local_shell_call", "tool_call", "tool_search_call", "mcp_tool_call")
_OTHERS = ("message", "reasoning", "web_search_call", "ghost_snapshot", "compaction", "image_generation_call")


def _is_item(kind: str) -> bool:
    return kind in _CALLS or kind in _OTHERS or kind.endswith(("_call_output", "tool_result", "function_result"))


def _call_id(item: Json) -> str:
    return text_of(item.get("call_id")) or text_of(item.get("callId")) or text_of(item.get("id"))


def _parse_call(kind: str, item: Json, key: str) -> ToolCall:
    if kind == "local_shell_call":
        action = as_dict(item.get("action"))
        return ToolCall(
            id=key, name="shell", arguments={k: v for k, v in action.items() if k != "type" and v is not None}
        )
    name = text_of(item.get("name")) or text_of(as_dict(item.get("function")).get("name")) or kind
    if kind == "custom_tool_call":
        return ToolCall(id=key, name=name, arguments={"input": item.get("input", "")})
    return ToolCall(id=key, name=name, arguments=chats.parse_arguments(item.get("arguments")))


def _parse_output(value: object) -> str:
    """A result: text, JSON inside text, content items, or an object with its exit code."""
    if isinstance(value, str):
        inner = chats.parse_json(value) if value[:1] in "{[" else None
        return _parse_output(inner) if isinstance(inner, dict) and ("output" in inner or "result" in inner) else value
    if isinstance(value, list):
        return "\n".join(filter(None, (text_of(as_dict(part).get("text")) for part in value)))
    body = as_dict(value)
    named = (text_of(body.get(key)) for key in ("output", "result", "stdout", "stderr"))
    text = next(filter(None, named), "") or _parse_output(body.get("content") or "")
    code = as_dict(body.get("metadata")).get("exit_code", body.get("exitCode"))
    return f"exit code: {code}\n{text}" if isinstance(code, int) and code else text
