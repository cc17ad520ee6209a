"""Codex rollouts: response items are the conversation; events only repeat it for display."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from afs.config import Config
from afs.ingest import chats, file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, as_list, text_of
from afs.ingest.session_records import Turn, build_records
from afs.types import Dropped, Json, Message, Record, ToolCall

_SILENT = frozenset(
    "event_msg compacted inter_agent_communication inter_agent_communication_metadata token_usage_record world_state"  # noqa: SIM905
    " security_risk_score retained_context realtime_item".split()
)
_INJECTED = (
    "<environment_context>", "<user_instructions>", "# AGENTS.md instructions", "<turn_aborted>", "<permissions",
    "<collaboration_mode>", "<INSTRUCTIONS>", "<skill>", "<user_shell_command>", "<subagent_notification>",
)  # fmt: skip
_COPIED = ("delivered_assistant_message", "compaction_output", "inherited_user_message")


class Codex(Config, frozen=True, kw_only=True):
    """Files `rollout-*.jsonl` below `.codex/sessions`."""

    version = "2"

    narration: bool = False
    """Keep what the agent says between its tool calls."""
    thinking: bool = True
    """Keep the summaries of its reasoning."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every rollout."""
        return file_walk.list_units(place, (".jsonl", ".jsonl.gz", ".jsonl.zst"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per human turn."""
        rollout = _Rollout(self, reading)
        for place, row in row_files.read_objects(unit, reading):
            rollout.add(place, row)
        origin = {"group": rollout.group or unit.label, "maker": rollout.maker, "commit": rollout.commit}
        yield from build_records(rollout.turns, reading, origin=origin, narration=self.narration)


class _Rollout:
    def __init__(self, options: Codex, reading: Reading) -> None:
        self.options, self.reading = options, reading
        self.turns: list[Turn] = []
        self.group = self.maker = self.commit = ""
        self._thoughts: list[str] = []

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
            meta = as_dict(payload.get("meta")) or payload
            self.group = text_of(meta.get("forked_from_id")) or text_of(meta.get("id")) or self.group
            self.commit = text_of(as_dict(payload.get("git")).get("commit_hash"))
        elif kind == "turn_context":
            model = text_of(payload.get("model"))
            self.maker = f"openai:{model}" if model else self.maker
        elif kind in _SILENT:
            self.reading.counts[f"entries:{kind}"] += 1
        elif "payload" not in row and (kind in _ITEMS or "role" in row):
            self._add_item(place, row)
        else:
            self.reading.add_unknown(kind or "no type", place, row)

    def _add_item(self, place: str, item: Json) -> None:
        kind = text_of(item.get("type")) or "message"
        if kind not in _ITEMS:
            self.reading.add_unknown(f"item {kind}", place, item)
        elif kind == "message":
            self._add_message(place, item)
        elif kind == "reasoning":
            if self.options.thinking:
                self._thoughts += [text_of(as_dict(s).get("text")) for s in as_list(item.get("summary"))]
        elif kind.endswith("_output"):
            key = _call_id(item)
            self.turns.append(
                Turn(Message(role="tool", text=_parse_output(item.get("output")), tool_call_id=key), place)
            )
        elif kind in ("function_call", "custom_tool_call", "local_shell_call"):
            self._add_answer(place, Message(role="assistant", tool_calls=(_parse_call(kind, item),)))
        else:
            self.reading.counts[f"entries:{kind}"] += 1

    def _add_message(self, place: str, item: Json) -> None:
        role = text_of(item.get("role"))
        content = item.get("content")
        parts = [as_dict(part) for part in as_list(content)]
        text = "\n".join(filter(None, (text_of(p.get("text")) for p in parts))) or text_of(content)
        if role == "user":
            if text.lstrip().startswith(_INJECTED):
                self.reading.counts["entries:injected"] += 1
            elif text.strip():
                self.turns.append(Turn(Message(role="user", text=text.strip()), place))
        elif role == "assistant":
            self._add_answer(place, Message(role="assistant", text=text.strip()))
        else:
            self.reading.counts[f"entries:{role or 'no role'}"] += 1

    def _add_answer(self, place: str, message: Message) -> None:
        thinking = "\n\n".join(t for t in self._thoughts if t)
        self._thoughts = []
        turn = Message(role="assistant", text=message.text, thinking=thinking, tool_calls=message.tool_calls)
        self.turns.append(Turn(turn, place))


_ITEMS = frozenset(
    "message reasoning function_call function_call_output custom_tool_call custom_tool_call_output local_shell_call"  # noqa: SIM905
    " local_shell_call_output web_search_call ghost_snapshot compaction image_generation_call".split()
)


def _call_id(item: Json) -> str:
    return text_of(item.get("call_id")) or text_of(item.get("callId")) or text_of(item.get("id"))


def _parse_call(kind: str, item: Json) -> ToolCall:
    key = _call_id(item)
    if kind == "local_shell_call":
        action = as_dict(item.get("action"))
        return ToolCall(
            id=key, name="shell", arguments={k: v for k, v in action.items() if k != "type" and v is not None}
        )
    if kind == "custom_tool_call":
        return ToolCall(id=key, name=text_of(item.get("name")), arguments={"input": item.get("input", "")})
    return ToolCall(id=key, name=text_of(item.get("name")), arguments=chats.parse_arguments(item.get("arguments")))


def _parse_output(value: object) -> str:
    """A result: text, JSON inside text, content items, or an object with its exit code."""
    if isinstance(value, str):
        inner = chats.parse_json(value) if value[:1] in "{[" else None
        return _parse_output(inner) if isinstance(inner, dict) and ("output" in inner or "result" in inner) else value
    if isinstance(value, list):
        return "\n".join(filter(None, (text_of(as_dict(part).get("text")) for part in value)))
    body = as_dict(value)
    text = text_of(body.get("output")) or text_of(body.get("result")) or _parse_output(body.get("content") or "")
    code = as_dict(body.get("metadata")).get("exit_code")
    return f"exit code: {code}\n{text}" if isinstance(code, int) and code else text
