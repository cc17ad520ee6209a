"""ToolBench: answer trees, training conversations in steps, and the parquet form; only chains that end in an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from afs.config import Config
from afs.ingest import chats, files, rows
from afs.ingest.base import Reading, Unit, as_dict, as_list, text_of, tools_of
from afs.types import Dropped, Json, Message, Record, Tool, ToolCall

_ACTION = re.compile(
    r"^\s*(?:Thought:\s*(?P<thought>.*?)\s*)?Action:\s*(?P<name>\S[^\n]*?)\s*\n\s*Action Input:\s*(?P<input>.*)$", re.S
)
_STEP = re.compile(r"^Step (\d+): ")
_FINISH = "Finish"


class ToolBench(Config, frozen=True, kw_only=True):
    """Files of ToolBench in any of its layouts."""

    version = "1"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every JSON, JSON-lines and Parquet file."""
        return files.units(place, rows.ENDINGS)

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per conversation; of one told in growing steps only the whole."""
        if (unit.member or unit.path.name).lower().endswith(".json"):
            value = rows.whole(unit, reading)
            if isinstance(value, dict) and "answer_generation" in value:
                reading.found()
                yield _tree(value, reading)
                return
            source: Iterator[tuple[str, Json]] = ((f"[{i}]", as_dict(row)) for i, row in enumerate(as_list(value)))
        else:
            source = rows.rows(unit, reading)
        yield from _longest(source, reading)


def _tree(value: Json, reading: Reading) -> Record | Dropped:
    """An answer file: the last training messages, or the chain."""
    answer = as_dict(value.get("answer_generation"))
    lists = [as_list(m) for m in as_list(answer.get("train_messages"))]
    turns = [chats.message(as_dict(t)) for t in (lists[-1] if lists else [])]
    messages = _answered([t for t in turns if t is not None])
    if not messages:
        messages = [Message(role="user", text=text_of(answer.get("query")))]
    tools = tools_of(answer.get("function"))
    made = _record(messages, tools, reading, text_of(answer.get("query")))
    if answer.get("valid_data") is not True:
        return Dropped(record=made, reason="not valid data")
    if text_of(answer.get("finish_type")) != "give_answer" or not lists:
        return Dropped(record=made, reason="gave up", detail=text_of(answer.get("finish_type")))
    return made if _ends(messages) else Dropped(record=made, reason="no final answer")


def _longest(source: Iterator[tuple[str, Json]], reading: Reading) -> Iterator[Record | Dropped]:
    """Of rows that are prefixes of one conversation, the longest."""
    waiting: tuple[str, str, Json] | None = None
    for place, row in source:
        reading.found()
        key = _STEP.sub("", text_of(row.get("id")))
        if waiting is not None:
            same = key and waiting[0] == key and len(chats.turns_of(row)) >= len(chats.turns_of(waiting[2]))
            made = _conversation(waiting[2], waiting[1], reading)
            if same:
                made = Dropped(record=made.record if isinstance(made, Dropped) else made, reason="step of a longer one")
            yield made
        waiting = (key, place, row)
    if waiting is not None:
        yield _conversation(waiting[2], waiting[1], reading)


def _conversation(row: Json, place: str, reading: Reading) -> Record | Dropped:
    turns = [chats.message(as_dict(turn)) for turn in chats.turns_of(row)]
    parsed = [_acted(turn) for turn in turns if turn is not None]
    messages = _answered(parsed)
    tools = _described(next((m.text for m in parsed if m.role == "system"), ""))
    made = _record(messages, tools, reading, _STEP.sub("", text_of(row.get("id"))), place)
    if len(parsed) != len(turns) or not messages:
        return Dropped(record=made, reason="unknown turn")
    return made if _ends(messages) else Dropped(record=made, reason="gave up")


def _acted(turn: Message) -> Message:
    """Thought, Action, Action Input as a native call."""
    if turn.role != "assistant" or turn.tool_calls:
        return turn
    match = _ACTION.match(turn.text)
    if match is None:
        return turn
    call = ToolCall(name=match["name"], arguments=chats.arguments(match["input"].strip()))
    return Message(role="assistant", thinking=match["thought"] or "", tool_calls=(call,))


def _answered(turns: list[Message]) -> list[Message]:
    """Calls with ids and their results; `Finish` is the closing answer; thoughts without a call are thinking."""
    out: list[Message] = []
    thought, number, open_id = "", 0, ""
    for turn in turns:
        if turn.role == "system":
            continue
        if turn.role == "assistant" and not turn.tool_calls:
            thought = "\n\n".join(filter(None, (thought, turn.text.removeprefix("Thought:").strip())))
        elif turn.role == "assistant":
            call = turn.tool_calls[0]
            thinking = "\n\n".join(filter(None, (thought, turn.thinking, turn.text)))
            thought = ""
            if call.name == _FINISH:
                if call.arguments.get("return_type") == "give_answer":
                    text = text_of(call.arguments.get("final_answer"))
                    out.append(Message(role="assistant", text=text, thinking=thinking))
                break
            number += 1
            open_id = f"call_{number}"
            call = ToolCall(id=open_id, name=call.name, arguments=call.arguments)
            out.append(Message(role="assistant", thinking=thinking, tool_calls=(call,)))
        elif turn.role == "tool":
            if open_id:
                out.append(Message(role="tool", text=turn.text, tool_call_id=open_id, name=turn.name))
                open_id = ""
        else:
            out.append(Message(role="user", text=turn.text.strip().removesuffix("Begin!").strip()))
    return out


def _described(system: str) -> tuple[Tool, ...]:
    """The tools a system prompt lists as a Python-like list."""
    start = system.find("[{")
    found = chats.parse(system[start : system.rfind("}]") + 2].replace("'", '"')) if start >= 0 else None
    return tuple(tool for tool in tools_of(found) if tool.name != _FINISH)


def _record(messages: list[Message], tools: tuple[Tool, ...], reading: Reading, query: str, place: str = "") -> Record:
    used = tuple(tool for tool in tools if tool.name != _FINISH)
    origin: Json = {"group": query[:200]}
    if not reading.licence:
        origin["licence"] = "Apache-2.0"
    return reading.record("tools", messages, place=place, origin=origin, extra={"tools": used})


def _ends(messages: list[Message]) -> bool:
    last = messages[-1]
    return last.role == "assistant" and not last.tool_calls and bool(last.text.strip())
