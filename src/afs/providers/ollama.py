"""The provider `ollama:MODEL`: Ollama's own chat API, on this machine or on a node (`base_url`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from afs.providers.base import GREEDY, Sampling
from afs.providers.http import CallError, Http, endpoint
from afs.types import Completion, Message, Tool, ToolCall, Usage

_BASE = "http://127.0.0.1:11434"


class Ollama:
    """Models served by Ollama; they cost nothing by the token."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        place = endpoint(options, "ollama")
        self.model, self.name = model, f"ollama:{model}"
        self._http = Http(self.name, place.base_url or _BASE, place.headers, place.timeout_s)

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer."""
        body, seconds = self._http.post("api/chat", self.request(messages, sampling, tools))
        return self.read(body, seconds)

    def request(self, messages: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]) -> dict[str, Any]:
        """The body of the call."""
        options: dict[str, Any] = {"num_predict": sampling.max_tokens, "temperature": sampling.temperature}
        options |= {"seed": sampling.seed, "top_p": sampling.top_p}
        if sampling.stop:
            options["stop"] = list(sampling.stop)
        body = {"model": self.model, "messages": [_turn(m) for m in messages], "stream": False, "options": options}
        if tools:
            body["tools"] = [{"type": "function", "function": msgspec.to_builtins(tool)} for tool in tools]
        return body

    def read(self, body: Mapping[str, Any], seconds: float) -> Completion:
        """The answer in the body."""
        message = body.get("message")
        if not isinstance(message, dict):
            raise CallError("bad", f"{self.name}: an answer without a message")
        calls = tuple(
            ToolCall(name=call["function"]["name"], arguments=call["function"].get("arguments") or {})
            for call in message.get("tool_calls") or ()
        )
        used = Usage(
            input_tokens=body.get("prompt_eval_count") or 0, output_tokens=body.get("eval_count") or 0, cost_usd=0.0
        )
        return Completion(
            text=message.get("content") or "",
            thinking=message.get("thinking") or "",
            tool_calls=calls,
            model=str(body.get("model") or self.model),
            usage=used,
            finish="length" if body.get("done_reason") == "length" else "tool_calls" if calls else "stop",
            seconds=seconds,
        )


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        turn["tool_calls"] = [{"function": {"name": c.name, "arguments": c.arguments}} for c in message.tool_calls]
    if message.role == "tool" and message.name:
        turn["tool_name"] = message.name
    return turn
