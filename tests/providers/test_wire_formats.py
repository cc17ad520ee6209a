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
from afs.providers.endpoint import Answer
from afs.providers.failures import CallError, failure
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
    assert (answer.finish, answer.model, answer.answered_by) == ("tool_calls", "m", "m-2026")
    assert answer.usage.cost_usd == 0.5
    assert (answer.usage.input_tokens, answer.usage.cached_tokens) == (10, 6)


def test_reasoning_models_get_the_new_parameters(wire: Any) -> None:
    request = provider("openai:o4-mini").request(CHAT, SAMPLING, ())  # type: ignore[attr-defined]
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
    assert asked.body["options"] == {
        "num_predict": 99,
        "temperature": 0.0,
        "seed": 5,
        "top_p": 1.0,
        "num_ctx": 2048,
        "stop": ["END"],
    }
    assert (answer.text, answer.usage.cost_usd) == ("hi", 0.0)


DATE = "Mon, 30 Nov 2026 12:00:10 GMT"
NOW = 1796040000.0
"""12:00:00 of the day in DATE."""
DAY = [{"@type": "QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}]
SPEND = {"type": "rate_limit_error", "message": "m", "details": {"error_code": "enforced_spend_limit_reached"}}
FAILURES = [
    (429, {"message": "slow down"}, {"retry-after": "7"}, "rate", 7.0),
    (429, {"message": "slow down"}, {"retry-after-ms": "250"}, "rate", 0.25),
    (429, {"message": "slow down"}, {"retry-after": DATE}, "rate", 10.0),
    (429, {"message": "slow down"}, {}, "rate", None),
    (429, {"code": "insufficient_quota", "message": "no money"}, {}, "spent", None),
    (429, {"code": "credit_balance_exhausted", "type": "x"}, {}, "spent", None),
    (429, {"code": "project_spend_limit_exceeded"}, {}, "spent", None),
    (429, SPEND, {}, "spent", None),
    (400, {"message": "Your usage reached a spend limit you set. Access returns on 2026-12-01"}, {}, "spent", 43200.0),
    (400, {"message": "Your credit balance is too low"}, {}, "spent", None),
    (400, {"message": "'temperature' is deprecated for this model."}, {}, "unusable", None),
    (400, {"message": "no minimal", "code": "unsupported_value"}, {}, "unusable", None),
    (400, {"message": "a bad image"}, {}, "task", None),
    (413, {"type": "request_too_large"}, {}, "task", None),
    (409, {"type": "conflict"}, {}, "busy", None),
    (504, {"type": "timeout_error"}, {}, "busy", None),
    (529, {"type": "overloaded_error"}, {}, "busy", None),
    (503, None, {}, "busy", None),
    (401, {"message": "bad key"}, {}, "unusable", None),
    (404, {"type": "not_found_error"}, {}, "unusable", None),
    (429, {"status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "3s", "quotaId": "PerDay"}]}, {}, "rate", 3.0),
    (429, {"status": "RESOURCE_EXHAUSTED", "details": [*DAY, {"retryDelay": "35640s"}]}, {}, "spent", 35640.0),
    (429, {"status": "RESOURCE_EXHAUSTED", "details": DAY}, {}, "spent", 20 * 3600.0),
    (429, {"status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded, limit: 0"}, {}, "unusable", None),
    (402, {"message": "credits"}, {}, "spent", None),
    (402, {"code": 402, "metadata": {"limit_source": "weight_exceeds_budget"}}, {}, "task", None),
    (403, {"metadata": {"limit_source": "openrouter_key_limit", "resets_at": NOW + 60}}, {}, "spent", 60.0),
    (200, {"code": 402, "message": "inner"}, {}, "spent", None),
    (400, {"message": "odd"}, {"x-should-retry": "true"}, "busy", None),
]


@pytest.mark.parametrize(("status", "error", "headers", "kind", "wait"), FAILURES)
def test_every_failure_has_its_class(
    status: int, error: object, headers: dict[str, str], kind: str, wait: float | None
) -> None:
    found = failure("m", status, error, headers, NOW)
    assert (found.kind, found.wait_s) == (kind, wait)
    assert not found.fewer


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (402, {"metadata": {"limit_source": "openrouter_in_flight_budget"}}),
        (503, {"code": "slow_down"}),
        (429, {"type": "rate_limit_error", "details": {"error_code": "ramp_limit_exceeded"}}),
    ],
)
def test_too_many_at_once_is_no_lack_of_money(status: int, error: object) -> None:
    found = failure("m", status, error, {"retry-after": "1"}, NOW)
    assert (found.kind, found.wait_s, found.fewer) == ("rate", 1.0, True)


BROKEN = [
    (200, b"<html>a login page</html>", "bad"),
    (200, b"", "bad"),
    (200, b'{"choices": [{"mess', "bad"),
    (200, {"choices": []}, "bad"),
    (200, {"choices": [{"message": {"tool_calls": [{"function": {"name": "x", "arguments": "{"}}]}}]}, "bad"),
    (503, b"<html>down</html>", "busy"),
    (200, {"error": {"code": 429, "message": "later"}}, "rate"),
]


@pytest.mark.parametrize(("status", "body", "kind"), BROKEN)
def test_broken_answers_are_failures(wire: Any, status: int, body: object, kind: str) -> None:
    wire.say(body, status)
    with pytest.raises(CallError) as caught:
        provider("openai:m", {"base_url": wire.url}).complete(CHAT)
    assert caught.value.kind == kind
    assert len(wire.asked) == 1, "the transport itself never retries"


REASONS: list[tuple[str, dict[str, Any], str]] = [
    ("anthropic", {"content": [], "stop_reason": "model_context_window_exceeded"}, "length"),
    ("anthropic", {"content": [], "stop_reason": "refusal"}, "filter"),
    ("anthropic", {"content": [], "stop_reason": "pause_turn"}, "bad"),
    ("google", {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}, "bad"),
    ("google", {"candidates": [{"finishReason": "SAFETY"}]}, "filter"),
    ("google", {"promptFeedback": {"blockReason": "OTHER"}}, "filter"),
    ("openai", {"choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}]}, "filter"),
    ("ollama", {"message": {"content": ""}, "done_reason": "load", "done": True}, "bad"),
    ("ollama", {"message": {"content": "x"}, "done": False}, "bad"),
    ("openai-responses", {"status": "failed", "error": {"code": "server_error", "message": "x"}}, "busy"),
    ("openai-responses", {"status": "failed", "error": {"code": "rate_limit_exceeded"}, "output": []}, "busy"),
    ("openai-responses", {"status": "incomplete", "output": [], "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
    ("openai-responses", {"status": "completed", "output": [{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]}, "filter"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "finish"), REASONS)
def test_cut_refused_and_broken_are_told_apart(wire: Any, kind: str, body: dict[str, Any], finish: str) -> None:
    one: Any = provider(f"{kind}:m", {"base_url": wire.url})
    answer = Answer(body, {}, 0.1)
    if finish in ("bad", "busy"):
        with pytest.raises(CallError) as caught:
            one.read(answer)
        assert caught.value.kind == finish
    else:
        assert one.read(answer).finish == finish


def test_openrouter_sends_its_key_and_reads_the_cost(wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "or-key")
    wire.say({"model": "d/r1", "choices": [{"message": {"content": "x"}}], "usage": {"cost": 0.25}})
    answer = provider("openrouter:d/r1", {"base_url": wire.url}).complete(CHAT)
    assert wire.asked[0].headers["authorization"] == "Bearer or-key"
    assert answer.usage.cost_usd == 0.25


def test_the_state_of_a_dialogue_goes_back_unchanged(wire: Any) -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    use = {"type": "tool_use", "id": "t", "name": "ls", "input": {}}
    wire.say({"content": [thinking, use], "stop_reason": "tool_use", "usage": {"input_tokens": 1}})
    claude: Any = provider("anthropic:claude-opus-5", {"base_url": wire.url})
    answer = claude.complete(CHAT, SAMPLING, TOOLS)
    turn = Message(role="assistant", tool_calls=answer.tool_calls, provider_state=answer.provider_state)
    body = claude.request([*CHAT, turn], SAMPLING, TOOLS)
    assert body["messages"][-1]["content"] == [thinking, use]
    assert "temperature" not in body, "current Claude models reject it"
    part = {"functionCall": {"name": "ls", "args": {}}, "thoughtSignature": "abc"}
    wire.say({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]})
    gemini: Any = provider("google:gemini-3-pro", {"base_url": wire.url})
    answer = gemini.complete(CHAT, SAMPLING, TOOLS)
    turn = Message(role="assistant", tool_calls=answer.tool_calls, provider_state=answer.provider_state)
    assert gemini.request([*CHAT, turn], SAMPLING, TOOLS)["contents"][-1] == {"role": "model", "parts": [part]}


def test_responses_api(wire: Any) -> None:
    reasoning = {"type": "reasoning", "id": "rs", "encrypted_content": "…", "summary": [{"text": "thus"}]}
    call = {"type": "function_call", "call_id": "c", "name": "ls", "arguments": '{"folder":"x"}'}
    used = {"input_tokens": 8, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 3}}
    wire.say({"id": "r1", "model": "gpt-5.2-x", "status": "completed", "output": [reasoning, call], "usage": used})
    one: Any = provider("openai-responses:gpt-5.2", {"base_url": wire.url})
    answer = one.complete(CHAT, Sampling(schema={"type": "object"}, effort="low"), TOOLS)
    body = wire.asked[0].body
    assert wire.asked[0].path == "/responses" and body["text"]["format"]["schema"] == {"type": "object"}
    assert body["reasoning"] == {"effort": "low"} and "temperature" not in body
    assert (answer.thinking, answer.finish, answer.usage.thinking_tokens) == ("thus", "tool_calls", 3)
    turn = Message(role="assistant", tool_calls=answer.tool_calls, provider_state=answer.provider_state)
    assert one.request([turn], SAMPLING, ())["input"] == [reasoning, call]


def test_nobody_there_and_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(CallError) as caught:
        provider("ollama:q", {"base_url": "http://127.0.0.1:9", "timeout_s": 1.0}).complete(CHAT)
    assert caught.value.kind == "busy" and not caught.value.may_be_charged
    with pytest.raises(ConfigError, match="OPENAI_API_KEY: not set"):
        provider("openai:gpt-5.2")
    secrets = tmp_path / "keys"
    secrets.write_text("export OPENAI_API_KEY='sk-file'\n")
    monkeypatch.setenv("AFS_SECRETS", str(secrets))
    provider("openai:gpt-5.2")
