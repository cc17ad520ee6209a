"""The provider `anthropic:MODEL`: Anthropic's messages API, with a key or an OAuth token.

`input_tokens` there excludes what came from the cache; ours includes it, as every other provider's does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from afs.providers.base import GREEDY, Sampling
from afs.providers.http import CallError, Http, endpoint, secret
from afs.providers.prices import cost_of
from afs.types import Completion, Message, Tool, ToolCall, Usage

_BASE = "https://api.anthropic.com/v1"


class Anthropic:
    """Anthropic's models."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        place = endpoint(options, "anthropic")
        self.model, self.name = model, f"anthropic:{model}"
        headers = {"anthropic-version": "2023-06-01", **place.headers, **_key(place.key_env)}
        self._http = Http(self.name, place.base_url or _BASE, headers, place.timeout_s)

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer."""
        body, seconds = self._http.post("messages", self.request(messages, sampling, tools))
        return self.read(body, seconds)

    def request(self, messages: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]) -> dict[str, Any]:
        """The body of the call."""
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "messages": [_turn(m) for m in messages if m.role != "system"],
        }
        if system := "\n\n".join(m.text for m in messages if m.role == "system"):
            body["system"] = system
        if sampling.stop:
            body["stop_sequences"] = list(sampling.stop)
        if tools:
            body["tools"] = [
                {"name": t.name, "description": t.description, "input_schema": t.parameters} for t in tools
            ]
        return body

    def read(self, body: Mapping[str, Any], seconds: float) -> Completion:
        """The answer in the body."""
        blocks = body.get("content")
        if not isinstance(blocks, list):
            raise CallError("bad", f"{self.name}: an answer without content")
        calls = tuple(
            ToolCall(id=b.get("id", ""), name=b.get("name", ""), arguments=b.get("input") or {})
            for b in blocks
            if b.get("type") == "tool_use"
        )
        finish = {"max_tokens": "length", "tool_use": "tool_calls", "refusal": "filter"}
        return Completion(
            text="".join(b.get("text", "") for b in blocks if b.get("type") == "text"),
            thinking="".join(b.get("thinking", "") for b in blocks if b.get("type") == "thinking"),
            tool_calls=calls,
            model=str(body.get("model") or self.model),
            usage=self._usage(body.get("usage") or {}),
            finish=finish.get(body.get("stop_reason") or "", "stop"),
            seconds=seconds,
        )

    def _usage(self, used: Mapping[str, Any]) -> Usage:
        read, write = used.get("cache_read_input_tokens") or 0, used.get("cache_creation_input_tokens") or 0
        usage = Usage(
            input_tokens=(used.get("input_tokens") or 0) + read + write,
            output_tokens=used.get("output_tokens") or 0,
            cached_tokens=read,
        )
        return msgspec.structs.replace(usage, cost_usd=cost_of("anthropic", self.model, usage))


def _key(key_env: str) -> dict[str, str]:
    if not key_env and (token := os.environ.get("CLAUDE_CODE_OAUTH_TOKEN")):
        return {"authorization": f"Bearer {token}", "anthropic-beta": "oauth-2025-04-20"}
    return {"x-api-key": secret(key_env or "ANTHROPIC_API_KEY", "Anthropic")}


def _turn(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.text}
        return {"role": "user", "content": [result]}
    blocks: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text else []
    blocks += [{"type": "tool_use", "id": c.id, "name": c.name, "input": c.arguments} for c in message.tool_calls]
    return {"role": message.role, "content": blocks}
