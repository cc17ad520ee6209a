"""OpenAI's Responses format over chats: what arrives, what is refused, and what its own client reads of the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from afs.serve.error_responses import Refusal
from afs.serve.responses_api import chat_body, is_plain, response_events, response_of

ANSWER = {
    "id": "a", "model": "council/din", "choices": [{"message": {"content": "rts"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "afs": {"verdict": None},
}  # fmt: skip


def test_every_field_arrives() -> None:
    turns = [
        {"role": "user", "content": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "u"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I see"}]},
        {"role": "user", "content": "so?"},
    ]
    form = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}
    found = chat_body(
        {"model": "council", "input": turns, "instructions": "be brief", "max_output_tokens": 7, "text": form,
         "stream": True, "temperature": 0, "store": False}
    )  # fmt: skip
    assert [turn["role"] for turn in found["messages"]] == ["system", "user", "assistant", "user"]
    assert found["messages"][1]["content"][1] == {"type": "image_url", "image_url": {"url": "u"}}
    assert found["messages"][2]["content"] == "I see"
    assert found["response_format"]["json_schema"] == {"name": "n", "schema": {"type": "object"}}
    assert (found["max_completion_tokens"], found["temperature"]) == (7, 0)
    assert found["stream_options"] == {"include_usage": True} and "store" not in found


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": 3}, "input"), ({"input": []}, "input"), ({"input": "x", "instructions": 3}, "instructions"),
        ({"input": [{"role": "user", "content": 3}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0]"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as caught:
        chat_body(body)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_an_agents_request_is_not_plain() -> None:
    assert is_plain({"input": "x"}) and is_plain({"input": [{"role": "user", "content": "x"}]})
    assert not is_plain({"input": "x", "tools": [{"type": "function"}]})
    assert not is_plain({"input": [{"type": "function_call_output"}]}) and not is_plain({"input": [3]})


def test_a_whole_answer_is_what_openais_client_reads() -> None:
    types = pytest.importorskip("openai.types.responses")
    read = types.Response.model_validate(response_of(ANSWER))
    assert (read.output_text, read.status, read.usage.total_tokens) == ("rts", "completed", 5)
    cut = {**ANSWER, "choices": [{"message": {"content": "r"}, "finish_reason": "length"}]}
    assert types.Response.model_validate(response_of(cut)).incomplete_details.reason == "max_output_tokens"


def converted(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield b"data: " + json.dumps(chunk).encode() + b"\n\n"

    async def collect() -> bytes:
        return b"".join([event async for event in response_events(stream())])

    return [json.loads(block.partition("\ndata: ")[2]) for block in asyncio.run(collect()).decode().split("\n\n")[:-1]]


def test_a_stream() -> None:
    said = [{"id": "a", "model": "m", "choices": [{"delta": {"content": text}}]} for text in ("on", "e")]
    last = {"id": "a", "choices": [{"delta": {}, "finish_reason": "stop"}], "afs": {"attempts": 1}}
    events = converted(*said, last, {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta") == "one"
    whole = events[-1]["response"]
    assert events[-1]["type"] == "response.completed" and whole["output"][0]["content"][0]["text"] == "one"
    assert whole["usage"]["total_tokens"] == 3 and whole["afs"] == {"attempts": 1}
    broken = converted(said[0], {"error": {"message": "gone", "code": None, "param": None}})
    assert (broken[-1]["type"], broken[-1]["message"]) == ("error", "gone")
