"""Chunks that hold only text take a short path, and look like those of the long one."""

from __future__ import annotations

import json

import pytest
from tests.serve.chat_backend import Served

from afs.council.answer import Council, RoutePlan
from afs.serve.chat_request import parse_chat
from afs.serve.chat_streams import ShownStream, read_plain
from afs.serve.chat_turn import ChatTurn
from afs.serve.held_code import HeldCode
from afs.types import Expert


def line(choice: dict[str, object], **more: object) -> bytes:
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return b"data: " + json.dumps(body).encode()


@pytest.mark.parametrize(
    ("choice", "more", "text"),
    [
        ({"index": 0, "delta": {"content": 'a "b" é'}, "finish_reason": None}, {}, 'a "b" é'),
        ({"index": 0, "delta": {"content": ""}, "finish_reason": None}, {"usage": None}, ""),
        ({"index": 0, "delta": {"content": "a", "role": "assistant"}, "finish_reason": None}, {}, None),
        ({"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}, {}, None),
        ({"index": 1, "delta": {"content": "a"}, "finish_reason": None}, {}, None),
        ({"index": 0, "delta": {"tool_calls": []}, "finish_reason": None}, {}, None),
        ({"index": 0, "delta": {"content": "a"}, "logprobs": {"content": []}}, {}, None),
        ({"index": 0, "delta": {"content": "a"}}, {"usage": {"prompt_tokens": 1}}, None),
        ({"index": 0, "delta": {"content": "a"}}, {"error": {"message": "no"}}, None),
    ],
)
def test_only_mere_text_is_plain(choice: dict[str, object], more: dict[str, object], text: str | None) -> None:
    assert read_plain(line(choice, **more)) == text


def shown(verify: str) -> ShownStream:
    expert = (Expert(name="din", model="d"), Served("http://127.0.0.1:9"))
    council = Council({"din": expert}, None)
    chat = parse_chat({"messages": [{"role": "user", "content": "x"}], "stream": True, "afs": {"verify": verify}})
    return ShownStream(ChatTurn(chat, RoutePlan({"din": 1.0}, ["din"], False), "din", expert[0], council, "id1", 0.0))


def test_text_as_an_event_reads_like_a_chunk() -> None:
    stream = shown("off")
    assert stream.take('a "b"\n') == ['a "b"\n'] and stream.text == 'a "b"\n'
    event = json.loads(stream.encode('a "b"\n')[6:])
    assert event["choices"] == [{"index": 0, "delta": {"content": 'a "b"\n'}, "finish_reason": None}]
    assert (event["id"], event["model"], event["object"]) == ("id1", "council/din", "chat.completion.chunk")
    assert event["created"] > 0 and stream.take("") == []


def test_code_leaves_the_short_path_until_its_block_is_over() -> None:
    stream = shown("hold")
    assert stream.take("See:\n") == ["See:\n"] and stream.take("``") is None
    held = HeldCode()
    whole = ["See:\n", "\n``", "`asm\n", "rts\n", "```\n", "more", " text\n", "~~~\n", "x\n~~~\n"]
    pieces = []
    for text in whole:
        pieces += [(text, False)] if held.pass_prose(text) else [(p.text, p.is_code) for p in held.feed(text)]
    assert "".join(text for text, _ in pieces) == "".join(whole)
    assert [text for text, is_code in pieces if is_code] == ["```asm\nrts\n```\n", "~~~\nx\n~~~\n"]
