"""The provider `anthropic:MODEL`: Anthropic's messages API, with a key or an OAuth token.

`input_tokens` there excludes what came from the cache; ours includes it, as every other provider's does. `max_tokens`
caps thinking and answer together. Thinking blocks are handed back unchanged while a dialogue lasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from afs.providers.base import GREEDY, Sampling
from afs.providers.capabilities import capabilities_of
from afs.providers.endpoint import Answer, Api, endpoint, find_secret, secret
from afs.providers.failures import CallError
from afs.providers.prices import cost_of
from afs.types import Completion, Message, Tool, ToolCall, Usage

_BASE = "https://api.anthropic.com/v1"
_STATE = "anthropic_content"
_FINISH = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "filter",
}


class Anthropic:
    """Anthropic's models."""

    path = "messages"
    models_path = "models?limit=1000"

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        self.place = place = endpoint(options, "anthropic")
        self.model, self.name = model, place.name or f"anthropic:{model}"
        self.capabilities = capabilities_of(f"anthropic:{model}")
        headers = {"anthropic-version": "2023-06-01", **place.headers, **_key(place.key_env)}
        self.api = Api(self.name, place.base_url or _BASE, headers, place.timeout_s)

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer."""
        return self.read(self.api.post(self.path, self.request(messages, sampling, tools)))

    def request(self, messages: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]) -> dict[str, Any]:
        """The body of the call."""
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": sampling.max_tokens,
            "messages": [_turn(m) for m in messages if m.role != "system"],
        }
        if self.capabilities.temperature and sampling.temperature is not None:
            body["temperature"] = sampling.temperature
        if system := "\n\n".join(m.text for m in messages if m.role == "system"):
            body["system"] = system
        output: dict[str, Any] = {}
        if sampling.effort in self.capabilities.efforts and sampling.effort:
            output["effort"] = sampling.effort
        if sampling.schema is not None:
            output["format"] = {"type": "json_schema", "schema": sampling.schema}
        if output:
            body["output_config"] = output
        if sampling.stop:
            body["stop_sequences"] = list(sampling.stop)
        if tools:
            body["tools"] = [
                {"name": t.name, "description": t.description, "input_schema": t.parameters} for t in tools
            ]
        return body | self.place.parameters

    def read(self, answer: Answer) -> Completion:
        """The answer in the body; a paused turn is unfinished work of the server, not an answer."""
        body = answer.body
        usage = self._usage(body.get("usage") or {})
        blocks, reason = body.get("content"), str(body.get("stop_reason") or "")
        if not isinstance(blocks, list):
            raise CallError("bad", f"{self.name}: an answer without content", usage=usage)
        if reason == "pause_turn":
            raise CallError("bad", f"{self.name}: the turn was paused", usage=usage)
        calls = tuple(
            ToolCall(id=b.get("id", ""), name=b.get("name", ""), arguments=b.get("input") or {})
            for b in blocks
            if b.get("type") == "tool_use"
        )
        has_state = any(b.get("type") in ("thinking", "redacted_thinking") for b in blocks)
        return Completion(
            text="".join(b.get("text", "") for b in blocks if b.get("type") == "text"),
            thinking="".join(b.get("thinking", "") for b in blocks if b.get("type") == "thinking"),
            tool_calls=calls,
            model=self.model,
            answered_by=str(body.get("model") or ""),
            usage=usage,
            finish=_FINISH.get(reason, "stop"),
            raw_finish=reason,
            request_id=answer.request_id or str(body.get("id") or ""),
            provider_state={_STATE: blocks} if has_state else {},
            seconds=answer.seconds,
        )

    def _usage(self, used: Mapping[str, Any]) -> Usage:
        read, write = used.get("cache_read_input_tokens") or 0, used.get("cache_creation_input_tokens") or 0
        usage = Usage(
            input_tokens=(used.get("input_tokens") or 0) + read + write,
            output_tokens=used.get("output_tokens") or 0,
            cached_tokens=read,
        )
        cost = self.price_of(usage, cache_writes=write) if used else None
        return msgspec.structs.replace(usage, cost_usd=cost)

    def price_of(self, usage: Usage, *, cache_writes: int = 0, batch: bool = False) -> float | None:
        """US dollars of so many tokens, or None."""
        known = "" if self.place.base_url else "anthropic"
        return cost_of(known, self.model, usage, price=self.place.price, cache_writes=cache_writes, batch=batch)


def _key(key_env: str) -> dict[str, str]:
    """A named key first, then the token of a subscription, then the usual key."""
    if not key_env and (token := find_secret("CLAUDE_CODE_OAUTH_TOKEN") or find_secret("ANTHROPIC_AUTH_TOKEN")):
        return {"authorization": f"Bearer {token}", "anthropic-beta": "oauth-2025-04-20"}
    return {"x-api-key": secret(key_env or "ANTHROPIC_API_KEY", "Anthropic")}


def _turn(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.text}
        return {"role": "user", "content": [result]}
    if kept := message.provider_state.get(_STATE):
        return {"role": message.role, "content": kept}
    blocks: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text else []
    blocks += [{"type": "tool_use", "id": c.id, "name": c.name, "input": c.arguments} for c in message.tool_calls]
    return {"role": message.role, "content": blocks}
