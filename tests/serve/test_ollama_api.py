"""Ollama's format over chats: calls and results find each other, a broken answer is an error line, nothing is dropped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from afs.serve.error_responses import Refusal
from afs.serve.ollama_api import answer_lines, answer_of, chat_body

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def request(*turns: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"model": "council", "messages": list(turns), **more}


def test_results_of_tools_are_matched_by_name_and_in_order() -> None:
    calls = [{"function": {"name": name, "arguments": {"at": at}}} for at, name in enumerate(["look", "hear", "look"])]
    found = chat_body("chat", request(
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "a", "tool_name": "look"},
        {"role": "tool", "content": "b", "tool_name": "look"},
        {"role": "tool", "content": "c"},
        tools=[TOOL], stream=False,
    ))  # fmt: skip
    asked, *answered = found["messages"]
    assert [call["id"] for call in asked["tool_calls"]] == ["call_0", "call_1", "call_2"]
    assert json.loads(asked["tool_calls"][1]["function"]["arguments"]) == {"at": 1}
    assert [turn["tool_call_id"] for turn in answered] == ["call_0", "call_2", "call_1"]
    assert found["tools"] == [TOOL] and found["stream"] is False and "stream_options" not in found


def test_what_is_not_said_streams_and_is_unlimited() -> None:
    found = chat_body("generate", {"model": "council:latest", "prompt": "hi", "options": {"num_predict": -1}})
    assert found["stream"] is True and found["model"] == "council" and "max_tokens" not in found
    schema = {"type": "object"}
    format_ = chat_body("chat", request(format=schema))["response_format"]
    assert format_ == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("chat", {"messages": []}, "model"), ("chat", request(options=3), "options"),
        ("chat", request(options={"mirostat": 2}), "options.mirostat"), ("chat", request(format="xml"), "format"),
        ("chat", {"model": "x", "messages": "hi"}, "messages"), ("chat", request({"content": 3}), "messages"),
        ("chat", request({"role": "user", "content": "x", "images": [3]}), "messages"),
        ("chat", request({"role": "assistant", "content": "", "tool_calls": [3]}), "messages"),
        ("generate", {"model": "x", "prompt": "p", "system": 3}, "system"),
        ("generate", {"model": "x", "prompt": "p", "raw": True}, "raw"),
        ("generate", {"model": "x", "prompt": "p", "context": [1]}, "context"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused_by_name(path: str, body: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as caught:
        chat_body(path, body)
    assert (caught.value.status, caught.value.param) == (400, param)


def lines(path: str, *chunks: dict[str, Any] | str) -> list[dict[str, Any]]:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield (chunk if isinstance(chunk, str) else f"data: {json.dumps(chunk)}").encode() + b"\n\n"

    async def gather() -> list[bytes]:
        return [line async for line in answer_lines(path, "council", 0.0)(stream())]

    return [json.loads(line) for line in asyncio.run(gather())]


def chunk(**delta: object) -> dict[str, Any]:
    return {"model": "council/din", "choices": [{"delta": delta, "finish_reason": None}]}


def test_a_call_is_shown_once_when_it_is_whole() -> None:
    pieces = [
        chunk(content="I "),
        ": working",
        chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "look", "arguments": '{"at'}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '": 1}'}}]),
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}, "afs": {"expert": "din"}},
        "data: [DONE]",
    ]
    first, waiting, last = lines("chat", *pieces)
    assert first["message"] == {"role": "assistant", "content": "I "} and waiting["message"]["content"] == ""
    assert last["message"]["tool_calls"] == [{"function": {"name": "look", "arguments": {"at": 1}}}]
    assert (last["done"], last["prompt_eval_count"], last["eval_count"]) == (True, 3, 5)
    assert last["afs"] == {"expert": "din"} and last["model"] == "council/din"


def test_a_stream_that_breaks_ends_with_an_error_line() -> None:
    broken = lines("generate", chunk(content="a"), {"error": {"message": "the model died"}})
    assert [row.get("response") for row in broken] == ["a", None] and broken[-1] == {"error": "the model died"}
    unreadable = chunk(tool_calls=[{"index": 0, "function": {"name": "look", "arguments": "{"}}])
    assert "not JSON" in lines("chat", unreadable)[-1]["error"]


def test_a_cut_answer_says_so() -> None:
    choice = {"message": {"content": "half"}, "finish_reason": "length"}
    found = answer_of("generate", 0.0)({"model": "m", "choices": [choice], "afs": {"expert": ""}})
    assert (found["response"], found["done_reason"], found["done"]) == ("half", "length", True)
