"""Anthropic's Messages format over chats: every field arrives or is refused by name, and answers come back whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from afs.serve.error_responses import Refusal
from afs.serve.messages_api import chat_body, is_client_job, message_events, message_of

BILLING = {"type": "text", "text": "x-anthropic-billing-header: cch=1;"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
TOOL = {"name": "look", "description": "d", "input_schema": {"type": "object"}}


def request(*turns: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"model": "council", "max_tokens": 9, "messages": list(turns), **more}


def test_every_field_arrives() -> None:
    said = [
        {"role": "user", "content": [{"type": "text", "text": "see"}, IMAGE]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "I look"},
            {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": 1}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "dark"}], "is_error": True},
            {"type": "text", "text": "so?"},
        ]},
    ]  # fmt: skip
    more = {
        "system": [BILLING, {"type": "text", "text": "be brief"}], "stop_sequences": ["END"], "temperature": 0,
        "top_k": 4, "stream": True, "tools": [TOOL, {"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True}, "metadata": {"user_id": "u"},
    }  # fmt: skip
    found = chat_body(request(*said, **more), "council")
    assert found["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [
            {"type": "text", "text": "see"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        ]},
        {"role": "assistant", "content": "I look", "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}},
        ]},
        {"role": "tool", "tool_call_id": "t1", "content": "error: dark"},
        {"role": "user", "content": "so?"},
    ]  # fmt: skip
    function = {"name": "look", "description": "d", "parameters": {"type": "object"}}
    assert found["tools"] == [{"type": "function", "function": function}]
    assert (found["tool_choice"], found["parallel_tool_calls"]) == ("required", False)
    assert (found["stop"], found["temperature"], found["top_k"], found["max_tokens"]) == (["END"], 0, 4, 9)
    assert found["stream_options"] == {"include_usage": True} and "metadata" not in found


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"max_tokens": None}, "max_tokens"), ({"system": 3}, "system"), ({"system": [3]}, "system"),
        ({"messages": "x"}, "messages"), ({"messages": [3]}, "messages"), ({"mcp_servers": [1]}, "mcp_servers"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": 1}]}]}, "messages[0]"),
        ({"tools": 3}, "tools"), ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused_by_name(more: dict[str, object], param: str) -> None:
    with pytest.raises(Refusal) as caught:
        chat_body({**request({"role": "user", "content": "hi"}), **more}, "council")
    assert (caught.value.status, caught.value.param) == (400, param)


def test_claude_codes_own_jobs_are_known_by_their_mark() -> None:
    assert is_client_job({"system": [BILLING]})
    assert not is_client_job({"system": [BILLING], "tools": [TOOL]}) and not is_client_job({"system": "be brief"})


def test_a_whole_answer() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at": 2}'}}
    message = {"role": "assistant", "content": "text", "tool_calls": [call]}
    answer = {
        "id": "a", "model": "council/din", "choices": [{"message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "afs": {"verdict": None},
    }  # fmt: skip
    found = message_of(answer)
    assert found["content"] == [
        {"type": "text", "text": "text"}, {"type": "tool_use", "id": "c", "name": "look", "input": {"at": 2}},
    ]  # fmt: skip
    assert (found["stop_reason"], found["usage"]) == ("tool_use", {"input_tokens": 3, "output_tokens": 2})
    call["function"] = {"name": "look", "arguments": '{"at"'}
    with pytest.raises(Refusal, match="not JSON"):
        message_of(answer)


def converted(*chunks: dict[str, Any] | bytes) -> list[dict[str, Any]]:
    """What a stream of chat chunks becomes, however the bytes are cut."""

    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            line = chunk if isinstance(chunk, bytes) else b"data: " + json.dumps(chunk).encode() + b"\n\n"
            for at in range(0, len(line), 7):
                yield line[at : at + 7]

    async def collect() -> bytes:
        return b"".join([event async for event in message_events(stream())])

    blocks = asyncio.run(collect()).decode().split("\n\n")[:-1]
    events = [json.loads(block.partition("\ndata: ")[2]) for block in blocks]
    assert [block.partition("\n")[0] for block in blocks] == [f"event: {event['type']}" for event in events]
    return events


def delta(**fields: object) -> dict[str, Any]:
    return {"id": "a", "model": "council/din", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def test_a_stream_of_text_and_calls() -> None:
    first = {"index": 0, "id": "c1", "function": {"name": "look", "arguments": '{"at"'}}
    events = converted(
        b": waiting for the model\n\n", delta(role="assistant", content=""), delta(content="I "), delta(content="look"),
        delta(tool_calls=[first]), delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        {"id": "a", "choices": [{"delta": {}, "finish_reason": "tool_calls"}], "afs": {"attempts": 1}},
        {"id": "a", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 4}}, b"data: [DONE]\n\n",
    )  # fmt: skip
    assert [event["type"] for event in events] == [
        "ping", "message_start", "content_block_start", "content_block_delta", "content_block_delta",
        "content_block_stop", "content_block_start", "content_block_delta", "content_block_delta",
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert [event["index"] for event in events if "index" in event] == [0, 0, 0, 0, 1, 1, 1, 1]
    arguments = [e["delta"]["partial_json"] for e in events if e.get("delta", {}).get("type") == "input_json_delta"]
    assert json.loads("".join(arguments)) == {"at": 1}
    last = events[-2]
    assert (last["delta"]["stop_reason"], last["usage"]) == ("tool_use", {"input_tokens": 5, "output_tokens": 4})
    assert last["afs"] == {"attempts": 1}


def test_a_broken_stream_ends_with_its_error() -> None:
    events = converted(delta(content="I "), {"error": {"message": "gone", "type": "upstream_error"}})
    assert events[-1] == {"type": "error", "error": {"message": "gone", "type": "upstream_error"}}
    assert [event["type"] for event in events].count("message_stop") == 0


def test_an_answer_cut_at_the_limit_says_so() -> None:
    events = converted(delta(content="a"), {"id": "a", "choices": [{"delta": {}, "finish_reason": "length"}]})
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
