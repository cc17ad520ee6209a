"""The provider `google:MODEL`: Gemini's generateContent.

`thoughtsTokenCount` there is not part of `candidatesTokenCount`; our output tokens hold both. Parts with a signature of
thought are handed back unchanged while a dialogue lasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from afs.providers.base import GREEDY, Sampling
from afs.providers.capabilities import capabilities_of
from afs.providers.endpoint import Answer, Api, endpoint, secret
from afs.providers.failures import CallError
from afs.providers.prices import cost_of
from afs.types import Completion, Message, Tool, ToolCall, Usage

_BASE = "https://generativelanguage.googleapis.com/v1beta"
_STATE = "google_parts"
_REFUSED = frozenset({"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"})
_COMPLETE = {"STOP": "stop", "MAX_TOKENS": "length", "": "stop"}
"""Every other reason is a broken answer, to be asked again."""


class Google:
    """Gemini models."""

    models_path = "models?pageSize=1000"

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        self.place = place = endpoint(options, "google")
        self.model, self.name = model, place.name or f"google:{model}"
        self.capabilities = capabilities_of(f"google:{model}")
        self.path = f"models/{model}:generateContent"
        headers = {"x-goog-api-key": secret(place.key_env or "GEMINI_API_KEY", "Gemini"), **place.headers}
        self.api = Api(self.name, place.base_url or _BASE, headers, place.timeout_s)

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer."""
        return self.read(self.api.post(self.path, self.request(messages, sampling, tools)))

    def request(self, messages: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]) -> dict[str, Any]:
        """The body of the call."""
        names = {call.id: call.name for m in messages for call in m.tool_calls}
        body: dict[str, Any] = {
            "contents": [_turn(m, names) for m in messages if m.role != "system"],
            "generationConfig": self._settings(sampling),
        }
        if system := "\n\n".join(m.text for m in messages if m.role == "system"):
            body["systemInstruction"] = {"parts": [{"text": system}]}
        if tools:
            body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in tools]}]
        return body | self.place.parameters

    def _settings(self, sampling: Sampling) -> dict[str, Any]:
        settings: dict[str, Any] = {"maxOutputTokens": sampling.max_tokens}
        if self.capabilities.seed:
            settings["seed"] = sampling.seed
        if self.capabilities.temperature:
            settings["topP"] = sampling.top_p
            if sampling.temperature is not None:
                settings["temperature"] = sampling.temperature
        if sampling.stop:
            settings["stopSequences"] = list(sampling.stop)
        if sampling.effort in self.capabilities.efforts and sampling.effort:
            settings["thinkingConfig"] = {"thinkingLevel": sampling.effort.upper()}
        if sampling.schema is not None:
            settings |= {"responseMimeType": "application/json", "responseJsonSchema": sampling.schema}
        return settings

    def read(self, answer: Answer) -> Completion:
        """The answer in the body; a blocked prompt is refused, a malformed answer is no answer."""
        body = answer.body
        usage = self._usage(body.get("usageMetadata") or {})
        candidates = body.get("candidates") or []
        blocked = str((body.get("promptFeedback") or {}).get("blockReason") or "")
        if not candidates and not blocked:
            raise CallError("bad", f"{self.name}: an answer without a candidate", usage=usage)
        candidate = candidates[0] if candidates else {}
        reason = blocked or str(candidate.get("finishReason") or "")
        if reason not in _COMPLETE and reason not in _REFUSED and not blocked:
            raise CallError("bad", f"{self.name}: a broken answer ({reason})", usage=usage)
        parts = (candidate.get("content") or {}).get("parts") or []
        calls = tuple(_call(part["functionCall"]) for part in parts if "functionCall" in part)
        has_state = any("thoughtSignature" in part for part in parts)
        return Completion(
            text="".join(p.get("text", "") for p in parts if not p.get("thought")),
            thinking="".join(p.get("text", "") for p in parts if p.get("thought")),
            tool_calls=calls,
            model=self.model,
            answered_by=str(body.get("modelVersion") or ""),
            usage=usage,
            finish="tool_calls" if calls else _COMPLETE.get(reason, "filter"),
            raw_finish=reason,
            request_id=answer.request_id or str(body.get("responseId") or ""),
            provider_state={_STATE: parts} if has_state else {},
            seconds=answer.seconds,
        )

    def _usage(self, used: Mapping[str, Any]) -> Usage:
        thoughts = used.get("thoughtsTokenCount") or 0
        usage = Usage(
            input_tokens=used.get("promptTokenCount") or 0,
            output_tokens=(used.get("candidatesTokenCount") or 0) + thoughts,
            cached_tokens=used.get("cachedContentTokenCount") or 0,
            thinking_tokens=thoughts,
        )
        return msgspec.structs.replace(usage, cost_usd=self.price_of(usage) if used else None)

    def price_of(self, usage: Usage, *, cache_writes: int = 0, batch: bool = False) -> float | None:
        """US dollars of so many tokens, or None."""
        known = "" if self.place.base_url else "google"
        return cost_of(known, self.model, usage, price=self.place.price, cache_writes=cache_writes, batch=batch)


def _declaration(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}


def _call(call: Mapping[str, Any]) -> ToolCall:
    return ToolCall(id=call.get("id", ""), name=call["name"], arguments=call.get("args") or {})


def _turn(message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    if message.role == "tool":
        name = message.name or names.get(message.tool_call_id, "")
        return {"role": "user", "parts": [{"functionResponse": {"name": name, "response": {"output": message.text}}}]}
    role = "model" if message.role == "assistant" else "user"
    if kept := message.provider_state.get(_STATE):
        return {"role": role, "parts": kept}
    parts: list[dict[str, Any]] = [{"text": message.text}] if message.text else []
    parts += [{"functionCall": {"name": call.name, "args": call.arguments}} for call in message.tool_calls]
    return {"role": role, "parts": parts}
