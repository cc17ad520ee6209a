"""The provider `ollama:MODEL`: Ollama's own chat API, on this machine or on a node (`base_url`).

Ollama cuts a prompt that is longer than its context without a word, so the context is stated with every call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from afs.providers.base import GREEDY, Sampling, Wire
from afs.providers.endpoint import Answer, Api, endpoint
from afs.providers.failures import CallError
from afs.providers.openai import DIALECTS
from afs.providers.prices import cost_of
from afs.types import Completion, Message, Tool, ToolCall, Usage

_BASE = "http://127.0.0.1:11434"
_CONTEXT_STEP = 2048
"""Ollama reloads a model when its context changes, so lengths are rounded up to few different ones."""


class Ollama:
    """Models served by Ollama; they cost nothing by the token."""

    path = "api/chat"
    models_path = "api/tags"
    own_machine = True

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        self.place = place = endpoint(options, "ollama")
        self.model, self.name = model, place.name or f"ollama:{model}"
        self.api = Api(self.name, place.base_url or _BASE, place.headers, place.timeout_s)

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer."""
        return self.read(self.api.post(self.path, self.request(messages, sampling, tools)))

    def wire(self) -> Wire:
        """Requests passed on go to Ollama's own copy of OpenAI's API."""
        root = (self.place.base_url or _BASE).rstrip("/")
        fields = {"model": self.model, **self.place.parameters}
        wire = Wire(url=f"{root}/v1", headers=self.place.headers, fields=fields, dialects=DIALECTS)
        return wire._replace(model=self.model, timeout_s=self.place.timeout_s)

    def request(self, messages: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]) -> dict[str, Any]:
        """The body of the call."""
        options: dict[str, Any] = {"num_predict": sampling.max_tokens, "seed": sampling.seed, "top_p": sampling.top_p}
        if sampling.temperature is not None:
            options["temperature"] = sampling.temperature
        options["num_ctx"] = _context(messages, sampling.max_tokens)
        if sampling.stop:
            options["stop"] = list(sampling.stop)
        body: dict[str, Any] = {"model": self.model, "messages": [_turn(m) for m in messages], "stream": False}
        body["options"] = options
        if sampling.effort:
            body["think"] = False if sampling.effort == "none" else sampling.effort
        if sampling.schema is not None:
            body["format"] = sampling.schema
        if tools:
            body["tools"] = [{"type": "function", "function": msgspec.to_builtins(tool)} for tool in tools]
        return body | self.place.parameters

    def read(self, answer: Answer) -> Completion:
        """The answer in the body; a model that was only loaded has not answered."""
        body = answer.body
        message, reason = body.get("message"), str(body.get("done_reason") or "")
        if not isinstance(message, dict) or reason == "load" or body.get("done") is False:
            raise CallError("bad", f"{self.name}: an answer without a message")
        calls = tuple(
            ToolCall(name=call["function"]["name"], arguments=call["function"].get("arguments") or {})
            for call in message.get("tool_calls") or ()
        )
        used = Usage(input_tokens=body.get("prompt_eval_count") or 0, output_tokens=body.get("eval_count") or 0)
        return Completion(
            text=message.get("content") or "",
            thinking=message.get("thinking") or "",
            tool_calls=calls,
            model=self.model,
            answered_by=str(body.get("model") or ""),
            usage=msgspec.structs.replace(used, cost_usd=self.price_of(used)),
            finish="length" if reason == "length" else "tool_calls" if calls else "stop",
            raw_finish=reason,
            request_id=answer.request_id,
            seconds=answer.seconds,
        )

    def price_of(self, usage: Usage, *, cache_writes: int = 0, batch: bool = False) -> float | None:
        """US dollars of so many tokens: 0 unless the user states a price."""
        price = self.place.price
        return cost_of("", self.model, usage, price=price, cache_writes=cache_writes, batch=batch) if price else 0.0


def _context(messages: Sequence[Message], answer: int) -> int:
    """Room for the prompt at three bytes a token, and for the answer."""
    size = sum(len(m.text.encode("utf-8", "surrogatepass")) for m in messages) // 3 + 64 * len(messages) + answer
    return -(-size // _CONTEXT_STEP) * _CONTEXT_STEP


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        turn["tool_calls"] = [{"function": {"name": c.name, "arguments": c.arguments}} for c in message.tool_calls]
    if message.role == "tool" and message.name:
        turn["tool_name"] = message.name
    return turn
