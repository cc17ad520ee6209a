"""Each provider's real wire format against a local server: requests, answers, and the classes of failure."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from afs.errors import ConfigError
from afs.providers import provider
from afs.providers.base import Sampling
from afs.providers.http import CallError
from afs.types import Message, Tool, ToolCall

_spec = importlib.util.spec_from_file_location("wire", Path(__file__).with_name("wire.py"))
assert _spec and _spec.loader
wire_module = sys.modules.setdefault("wire", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(wire_module)

CHAT = (
    Message(role="system", text="be brief"),
    Message(role="user", text="list"),
    Message(role="assistant", tool_calls=(ToolCall(id="c1", name="ls", arguments={"folder": "."}),)),
    Message(role="tool", text="a.txt", tool_call_id="c1"),
)
TOOLS = (Tool(name="ls", description="List.", parameters={"type": "object", "properties": {}}),)
SAMPLING = Sampling(temperature=0.0, max_tokens=99, seed=5, stop=("END",))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for key in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(key, f"test-{key}")
    with wire_module.serving() as server:
        yield server


def test_openai(wire: Any) -> None:
    call = {"id": "c2", "type": "function", "function": {"name": "ls", "arguments": '{"folder": "x"}'}}
    wire.say(
        {
            "model": "m-2026",
            "choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}],
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 6},
                "cost": 0.5,
            },
        }
    )
    one = provider("openai:m", {"base_url": wire.url + "/v1", "key_env": "OPENAI_API_KEY"})
    answer = one.complete(CHAT, SAMPLING, TOOLS)
    (asked,) = wire.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == "Bearer test-OPENAI_API_KEY"
    assert asked.body["temperature"] == 0.0 and asked.body["max_tokens"] == 99 and asked.body["stop"] == ["END"]
    turns = asked.body["messages"]
    assert turns[2]["tool_calls"][0]["function"] == {"name": "ls", "arguments": '{"folder":"."}'}
    assert turns[3] == {"role": "tool", "content": "a.txt", "tool_call_id": "c1"}
    assert answer.tool_calls == (ToolCall(id="c2", name="ls", arguments={"folder": "x"}),)
    assert (answer.finish, answer.model, answer.usage.cost_usd) == ("tool_calls", "m-2026", 0.5)
    assert (answer.usage.input_tokens, answer.usage.cached_tokens) == (10, 6)


def test_reasoning_models_get_the_new_parameters() -> None:
    from afs.providers.openai import OpenAI

    body = OpenAI.__new__(OpenAI)
    body.model, body._own = "o4-mini", True
    request = body.request(CHAT, SAMPLING, ())
    assert request["max_completion_tokens"] == 99
    assert not {"max_tokens", "temperature", "seed"} & set(request)


def test_anthropic(wire: Any) -> None:
    wire.say(
        {
            "model": "claude-x",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "here"},
                {"type": "tool_use", "id": "t", "name": "ls", "input": {"folder": "y"}},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 3},
        }
    )
    answer = provider("anthropic:claude-x", {"base_url": wire.url}).complete(CHAT, SAMPLING, TOOLS)
    (asked,) = wire.asked
    assert asked.path == "/messages" and asked.headers["x-api-key"] == "test-ANTHROPIC_API_KEY"
    assert asked.body["system"] == "be brief"
    assert asked.body["messages"][1]["content"] == [
        {"type": "tool_use", "id": "c1", "name": "ls", "input": {"folder": "."}}
    ]
    assert asked.body["messages"][2]["content"][0]["type"] == "tool_result"
    assert asked.body["tools"][0]["input_schema"]["type"] == "object"
    assert (answer.text, answer.thinking, answer.finish) == ("here", "hm", "tool_calls")
    assert (answer.usage.input_tokens, answer.usage.cached_tokens) == (12, 7)
    assert answer.usage.cost_usd is None, "an unknown model has an unknown price, never 0"


def test_anthropic_takes_an_oauth_token(wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "tok")
    wire.say({"content": [{"type": "text", "text": "x"}], "usage": {}})
    provider("anthropic:m", {"base_url": wire.url}).complete(CHAT)
    assert wire.asked[0].headers["authorization"] == "Bearer tok"
    assert "x-api-key" not in wire.asked[0].headers


def test_google(wire: Any) -> None:
    parts = [{"text": "because", "thought": True}, {"text": "ok"}]
    used = {"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 5}
    wire.say({"candidates": [{"content": {"parts": parts}, "finishReason": "MAX_TOKENS"}], "usageMetadata": used})
    answer = provider("google:gemini-x", {"base_url": wire.url}).complete(CHAT, SAMPLING, TOOLS)
    (asked,) = wire.asked
    assert asked.path == "/models/gemini-x:generateContent"
    assert asked.body["systemInstruction"] == {"parts": [{"text": "be brief"}]}
    contents = asked.body["contents"]
    assert contents[1] == {"role": "model", "parts": [{"functionCall": {"name": "ls", "args": {"folder": "."}}}]}
    assert contents[2]["parts"][0]["functionResponse"]["name"] == "ls"
    assert (answer.text, answer.thinking, answer.finish) == ("ok", "because", "length")
    assert (answer.usage.output_tokens, answer.usage.thinking_tokens) == (7, 5)


def test_ollama(wire: Any) -> None:
    wire.say(
        {"model": "q", "message": {"content": "hi"}, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}
    )
    answer = provider("ollama:q", {"base_url": wire.url}).complete(CHAT, SAMPLING, TOOLS)
    (asked,) = wire.asked
    assert asked.path == "/api/chat"
    assert asked.body["options"] == {"num_predict": 99, "temperature": 0.0, "seed": 5, "top_p": 1.0, "stop": ["END"]}
    assert (answer.text, answer.usage.cost_usd) == ("hi", 0.0)


FAILURES = [
    (429, {"error": {"message": "slow down"}}, {"retry_after": "7"}, "rate", 7.0),
    (429, {"error": {"code": "insufficient_quota", "message": "no money"}}, {}, "spent", None),
    (
        429,
        {"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "3s", "quotaId": "PerDay"}]}},
        {},
        "rate",
        3.0,
    ),
    (429, {"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"quotaId": "RequestsPerDay"}]}}, {}, "spent", None),
    (402, {"error": {"message": "credits"}}, {}, "spent", None),
    (529, {"error": {"type": "overloaded_error"}}, {}, "busy", None),
    (503, b"<html>down</html>", {}, "busy", None),
    (401, {"error": {"message": "bad key"}}, {}, "unusable", None),
    (200, {"error": {"code": 402, "message": "inner"}}, {}, "spent", None),
    (200, b"<html>a login page</html>", {}, "bad", None),
    (200, {"choices": []}, {}, "bad", None),
]


@pytest.mark.parametrize(("status", "body", "headers", "kind", "wait"), FAILURES)
def test_every_failure_has_its_class(
    wire: Any, status: int, body: object, headers: dict[str, str], kind: str, wait: float | None
) -> None:
    wire.say(body, status, **headers)
    with pytest.raises(CallError) as caught:
        provider("openai:m", {"base_url": wire.url}).complete(CHAT)
    assert (caught.value.kind, caught.value.wait_s) == (kind, wait)
    assert len(wire.asked) == 1, "the transport itself never retries"


def test_nobody_there_and_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(CallError) as caught:
        provider("ollama:q", {"base_url": "http://127.0.0.1:9", "timeout_s": 1.0}).complete(CHAT)
    assert caught.value.kind == "busy"
    with pytest.raises(ConfigError, match="OPENAI_API_KEY: not set"):
        provider("openai:gpt-5.2")
    secrets = tmp_path / "keys"
    secrets.write_text("export OPENAI_API_KEY='sk-file'\n")
    monkeypatch.setenv("AFS_SECRETS", str(secrets))
    provider("openai:gpt-5.2")
