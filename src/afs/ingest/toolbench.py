"""ToolBench: answer trees, training conversations in steps, and the parquet form; chains without answer are drops."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from afs.config import Config
from afs.ingest import chats, file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, as_list, assistant, parse_tools, text_of, user
from afs.types import Dropped, Json, Message, Record, Tool, ToolCall

_ACTION = re.compile(
    r"^\s*(?:Thought:\s*(?P<thought>.*?)\s*)?Action:\s*(?P<name>\S[^\n]*?)\s*\n\s*Action Input:\s*(?P<input>.*)$", re.S
)
_STEP = re.compile(r"^Step (\d+): ")
_THOUGHT = re.compile(r"^Thought:[ \t]*", re.M)
_FINISH = "Finish"
_SEARCH = "This is not the first time you try this task, all previous trails failed."
"""Start of the prompt that the tree search inserts between two turns; it is not a user's."""
_TURNS = ("messages", "conversations", "conversation")


class ToolBench(Config, frozen=True, kw_only=True):
    """Files of ToolBench in any of its layouts."""

    version = "3"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every JSON, JSON-lines and Parquet file."""
        return file_walk.list_units(place, row_files.ENDINGS)

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per conversation; of rows that are growing prefixes only the longest."""
        yield from _keep_longest(_read_questions(unit, reading), reading)


def _read_questions(unit: Unit, reading: Reading) -> Iterator[tuple[str, Json]]:
    """The rows that hold a question; other rows are kept as unknown."""
    for place, row in row_files.read_rows(unit, reading):
        if "answer_generation" in row or "query" in row or any(name in row for name in _TURNS):
            reading.count_found()
            yield place, row
        else:
            reading.add_unknown("no conversation", place, row)


def _convert_tree(value: Json, place: str, reading: Reading) -> Record | Dropped:
    """An answer file: the last training messages, or the chain."""
    answer = as_dict(value.get("answer_generation"))
    lists = [as_list(m) for m in as_list(answer.get("train_messages"))]
    turns = [chats.parse_message(as_dict(t)) for t in (lists[-1] if lists else [])]
    messages = _collect_answer([t for t in turns if t is not None], reading)
    query = text_of(answer.get("query"))
    record = _build_record(messages or [user(query)], parse_tools(answer.get("function")), reading, query, place)
    if answer.get("valid_data") is not True:
        return Dropped(record=record, reason="not valid data")
    if (finish := text_of(answer.get("finish_type"))).startswith("give_up"):
        return Dropped(record=record, reason="gave up", detail=finish)
    return _require_answer(record)


def _keep_longest(source: Iterator[tuple[str, Json]], reading: Reading) -> Iterator[Record | Dropped]:
    """Of rows that are prefixes of one conversation, the longest."""
    waiting: tuple[str, str, Json] | None = None
    for place, row in source:
        key = _STEP.sub("", text_of(row.get("id")))
        if waiting is not None:
            same = key and waiting[0] == key and len(chats.list_turns(row)) >= len(chats.list_turns(waiting[2]))
            record = _convert_row(waiting[2], waiting[1], reading)
            if same:
                record = Dropped(
                    record=record.record if isinstance(record, Dropped) else record, reason="step of a longer one"
                )
            yield record
        waiting = (key, place, row)
    if waiting is not None:
        yield _convert_row(waiting[2], waiting[1], reading)


def _convert_row(row: Json, place: str, reading: Reading) -> Record | Dropped:
    """The record of a row in any layout."""
    if "answer_generation" in row:
        return _convert_tree(row, place, reading)
    if any(name in row for name in _TURNS):
        return _convert_conversation(row, place, reading)
    query = text_of(row.get("query"))
    return Dropped(record=_build_record([user(query)], (), reading, query, place), reason="a query without an answer")


def _convert_conversation(row: Json, place: str, reading: Reading) -> Record | Dropped:
    turns = [chats.parse_message(as_dict(turn)) for turn in chats.list_turns(row)]
    parsed = [_parse_action(turn) for turn in turns if turn is not None]
    messages = _collect_answer(parsed, reading)
    tools = _describe_tools(next((m.text for m in parsed if m.role == "system"), ""))
    record = _build_record(messages, tools, reading, _STEP.sub("", text_of(row.get("id"))), place)
    if len(parsed) != len(turns) or not messages:
        return Dropped(record=record, reason="unknown turn")
    finish = next((c.arguments for turn in parsed for c in turn.tool_calls if c.name == _FINISH), {})
    if text_of(finish.get("return_type")).startswith("give_up"):
        return Dropped(record=record, reason="gave up")
    return _require_answer(record)


def _parse_action(turn: Message) -> Message:
    """A turn written as Thought, Action, Action Input, with a native call instead."""
    if turn.role != "assistant" or turn.tool_calls:
        return turn
    match = _ACTION.match(turn.text)
    if match is None:
        return turn
    call = ToolCall(name=match["name"], arguments=chats.parse_arguments(match["input"].strip()))
    return Message(role="assistant", thinking=_THOUGHT.sub("", match["thought"] or "").strip(), tool_calls=(call,))


def _collect_answer(turns: list[Message], reading: Reading) -> list[Message]:
    """Calls with ids and their results; `Finish` is the closing answer; thoughts without a call are thinking.

    A prompt of the tree search is removed with the thought that answers it, and counted.
    """
    out: list[Message] = []
    thoughts: list[str] = []
    number, open_id, searched = 0, "", False
    for turn in turns:
        if turn.role == "user":
            if searched := turn.text.lstrip().startswith(_SEARCH):
                reading.counts["search prompts"] += 1
            else:
                out.append(user(turn.text.strip().removesuffix("Begin!").strip()))
        elif turn.role == "tool" and open_id:
            out.append(Message(role="tool", text=turn.text, tool_call_id=open_id, name=turn.name))
            open_id = ""
        elif turn.role == "assistant":
            thoughts += [] if searched else [turn.thinking, _THOUGHT.sub("", turn.text).strip()]
            if not turn.tool_calls:
                continue
            call, thinking = turn.tool_calls[0], "\n\n".join(filter(None, thoughts))
            thoughts, searched = [], False
            if call.name == _FINISH:
                if call.arguments.get("return_type") == "give_answer":
                    out.append(assistant(text_of(call.arguments.get("final_answer")), thinking=thinking))
                break
            number += 1
            open_id = f"call_{number}"
            call = ToolCall(id=open_id, name=call.name, arguments=call.arguments)
            out.append(Message(role="assistant", thinking=thinking, tool_calls=(call,)))
    return out


def _describe_tools(system: str) -> tuple[Tool, ...]:
    """The tools a system prompt lists as a Python list."""
    start = system.find("[{")
    try:
        return parse_tools(ast.literal_eval(system[start : system.rfind("}]") + 2])) if start >= 0 else ()
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ()


def _build_record(
    messages: list[Message], tools: tuple[Tool, ...], reading: Reading, query: str, place: str = ""
) -> Record:
    used = tuple(tool for tool in tools if tool.name != _FINISH)
    origin: Json = {"group": query[:200]}
    if not reading.license:
        origin["license"] = "Apache-2.0"
    return reading.build_record("tools", messages, place=place, origin=origin, extra={"tools": used})


def _require_answer(record: Record) -> Record | Dropped:
    last = record.messages[-1]
    if last.role == "assistant" and not last.tool_calls and last.text.strip():
        return record
    return Dropped(record=record, reason="no final answer")
