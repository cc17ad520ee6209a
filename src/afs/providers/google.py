"""The provider `google:MODEL`: Gemini's generateContent.

`thoughtsTokenCount` there stands outside `candidatesTokenCount`; our output tokens hold both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from afs.providers.base import GREEDY, Sampling
from afs.providers.http import CallError, Http, endpoint, secret
from afs.providers.prices import cost_of
from afs.types import Completion, Message, Tool, ToolCall, Usage

_BASE = "https://generativelanguage.googleapis.com/v1beta"


class Google:
    """Gemini models."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        place = endpoint(options, "google")
        self.model, self.name = model, f"google:{model}"
        headers = {"x-goog-api-key": secret(place.key_env or "GEMINI_API_KEY", "Gemini"), **place.headers}
        self._http = Http(self.name, place.base_url or _BASE, headers, place.timeout_s)

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer."""
        request = self.request(messages, sampling, tools)
        body, seconds = self._http.post(f"models/{self.model}:generateContent", request)
        return self.read(body, seconds)

    def request(self, messages: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]) -> dict[str, Any]:
        """The body of the call."""
        names = {call.id: call.name for m in messages for call in m.tool_calls}
        settings: dict[str, Any] = {"maxOutputTokens": sampling.max_tokens, "temperature": sampling.temperature}
        settings |= {"topP": sampling.top_p, "seed": sampling.seed}
        if sampling.stop:
            settings["stopSequences"] = list(sampling.stop)
        body: dict[str, Any] = {
            "contents": [_turn(m, names) for m in messages if m.role != "system"],
            "generationConfig": settings,
        }
        if system := "\n\n".join(m.text for m in messages if m.role == "system"):
            body["systemInstruction"] = {"parts": [{"text": system}]}
        if tools:
            body["tools"] = [{"functionDeclarations": [msgspec.to_builtins(tool) for tool in tools]}]
        return body

    def read(self, body: Mapping[str, Any], seconds: float) -> Completion:
        """The answer in the body; a blocked prompt is no answer."""
        candidates = body.get("candidates") or []
        if not candidates:
            blocked = (body.get("promptFeedback") or {}).get("blockReason", "no candidate")
            raise CallError("unusable", f"{self.name}: no answer ({blocked})")
        parts = (candidates[0].get("content") or {}).get("parts") or []
        calls = tuple(
            ToolCall(id=p["functionCall"].get("id", ""), name=p["functionCall"]["name"],
                     arguments=p["functionCall"].get("args") or {})
            for p in parts if "functionCall" in p
        )  # fmt: skip
        reason = candidates[0].get("finishReason") or "STOP"
        finish = {"STOP": "stop", "MAX_TOKENS": "length"}.get(reason, "filter")
        return Completion(
            text="".join(p.get("text", "") for p in parts if not p.get("thought")),
            thinking="".join(p.get("text", "") for p in parts if p.get("thought")),
            tool_calls=calls,
            model=str(body.get("modelVersion") or self.model),
            usage=self._usage(body.get("usageMetadata") or {}),
            finish="tool_calls" if calls else finish,
            seconds=seconds,
        )

    def _usage(self, used: Mapping[str, Any]) -> Usage:
        thoughts = used.get("thoughtsTokenCount") or 0
        usage = Usage(
            input_tokens=used.get("promptTokenCount") or 0,
            output_tokens=(used.get("candidatesTokenCount") or 0) + thoughts,
            cached_tokens=used.get("cachedContentTokenCount") or 0,
            thinking_tokens=thoughts,
        )
        return msgspec.structs.replace(usage, cost_usd=cost_of("google", self.model, usage))


def _turn(message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    if message.role == "tool":
        name = message.name or names.get(message.tool_call_id, "")
        return {"role": "user", "parts": [{"functionResponse": {"name": name, "response": {"output": message.text}}}]}
    parts: list[dict[str, Any]] = [{"text": message.text}] if message.text else []
    parts += [{"functionCall": {"name": call.name, "args": call.arguments}} for call in message.tool_calls]
    return {"role": "model" if message.role == "assistant" else "user", "parts": parts}
