"""The provider `openai:MODEL`: OpenAI's chat completions, and all that speak it (OpenRouter, vLLM, LM Studio …).

Reasoning models take `max_completion_tokens` and no temperature; other hosts get the older names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from afs.providers.base import GREEDY, Sampling, chat_message
from afs.providers.http import CallError, Endpoint, Http, endpoint, secret
from afs.providers.prices import cost_of
from afs.types import Completion, Message, Tool, ToolCall, Usage

_BASE = "https://api.openai.com/v1"
_REASONING = re.compile(r"^(o\d|gpt-5)")


class OpenAI:
    """An endpoint that speaks chat completions."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        place = endpoint(options, "openai")
        self.model, self.name = model, f"openai:{model}"
        self._own = not place.base_url
        self._http = Http(self.name, place.base_url or _BASE, _headers(place), place.timeout_s)

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer."""
        body, seconds = self._http.post("chat/completions", self.request(messages, sampling, tools))
        return self.read(body, seconds)

    def request(self, messages: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]) -> dict[str, Any]:
        """The body of the call."""
        body: dict[str, Any] = {"model": self.model, "messages": [chat_message(m) for m in messages]}
        if self._own and _REASONING.match(self.model):
            body["max_completion_tokens"] = sampling.max_tokens
        else:
            body |= {"max_tokens": sampling.max_tokens, "temperature": sampling.temperature, "seed": sampling.seed}
            if sampling.top_p < 1:
                body["top_p"] = sampling.top_p
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if tools:
            body["tools"] = [{"type": "function", "function": msgspec.to_builtins(tool)} for tool in tools]
        return body

    def read(self, body: Mapping[str, Any], seconds: float) -> Completion:
        """The answer in the body; one without choices is no answer."""
        try:
            choice = body["choices"][0]
            message = choice["message"]
            calls = tuple(_tool_call(call) for call in message.get("tool_calls") or ())
        except (KeyError, IndexError, TypeError, msgspec.DecodeError) as error:
            raise CallError("bad", f"{self.name}: an answer without a usable choice") from error
        finish = {"length": "length", "tool_calls": "tool_calls", "content_filter": "filter"}
        return Completion(
            text=message.get("content") or "",
            thinking=message.get("reasoning_content") or message.get("reasoning") or "",
            tool_calls=calls,
            model=str(body.get("model") or self.model),
            usage=self._usage(body.get("usage") or {}),
            finish=finish.get(choice.get("finish_reason") or "", "stop"),
            seconds=seconds,
        )

    def _usage(self, used: Mapping[str, Any]) -> Usage:
        details = used.get("prompt_tokens_details") or {}
        thought = used.get("completion_tokens_details") or {}
        usage = Usage(
            input_tokens=used.get("prompt_tokens") or 0,
            output_tokens=used.get("completion_tokens") or 0,
            cached_tokens=details.get("cached_tokens") or 0,
            thinking_tokens=thought.get("reasoning_tokens") or 0,
        )
        told = used.get("cost")
        if isinstance(told, int | float):
            return msgspec.structs.replace(usage, cost_usd=float(told))
        cost = cost_of("openai", self.model, usage) if self._own else None
        return msgspec.structs.replace(usage, cost_usd=cost)


def _headers(place: Endpoint) -> dict[str, str]:
    if place.base_url and not place.key_env:
        return dict(place.headers)
    return {"authorization": f"Bearer {secret(place.key_env or 'OPENAI_API_KEY', 'OpenAI')}", **place.headers}


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    arguments = msgspec.json.decode(function.get("arguments") or "{}", type=dict[str, object])
    return ToolCall(id=str(call.get("id") or ""), name=function["name"], arguments=arguments)
