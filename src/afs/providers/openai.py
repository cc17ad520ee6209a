"""The provider `openai:MODEL`: OpenAI's chat completions, and every server that speaks it.

`openai-responses:MODEL` is the newer API (`openai_responses.py`); named hosts are in `openai_hosts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from afs.providers.base import GREEDY, Sampling, Wire, chat_message
from afs.providers.capabilities import capabilities_of
from afs.providers.endpoint import Answer, Api, Endpoint, endpoint, find_secret, secret
from afs.providers.failures import CallError
from afs.providers.prices import cost_of
from afs.types import Completion, Message, Tool, ToolCall, Usage

_KEY_OF_HOST = {"openrouter.ai": "OPENROUTER_API_KEY", "api.openai.com": "OPENAI_API_KEY"}
"""Hosts whose key is sent although only an address was named."""
_PATHS = ("chat/completions", "completions", "responses", "messages", "messages/count_tokens", "embeddings")
DIALECTS = frozenset(_PATHS)
"""What servers of one's own are passed; those that lack one say so themselves."""
FINISH = {"length": "length", "tool_calls": "tool_calls", "content_filter": "filter"}


class OpenAI:
    """An endpoint that speaks chat completions."""

    kind = "openai"
    base = "https://api.openai.com/v1"
    key_env = "OPENAI_API_KEY"
    path = "chat/completions"
    models_path = "models"
    length_field = "max_completion_tokens"
    priced_as = "openai"
    own_machine = False
    """Whether such a server runs on the user's own machines, which cost nothing by the token."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        self.place = place = endpoint(options, self.kind)
        self.model, self.name = model, place.name or f"{self.kind}:{model}"
        self.is_own_address = not place.base_url
        self.capabilities = capabilities_of(f"{self.kind}:{model}")
        self.api = Api(self.name, place.base_url or self.base, self._headers(place), place.timeout_s)

    def _headers(self, place: Endpoint) -> dict[str, str]:
        """The key goes to the provider's own address, and elsewhere only when it is named."""
        host = urlsplit(place.base_url).hostname or ""
        named = place.key_env or (self.key_env if not place.base_url else _KEY_OF_HOST.get(host, ""))
        if not named:
            return dict(place.headers)
        return {"authorization": f"Bearer {secret(named, self.kind)}", **place.headers}

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer."""
        answer = self.api.post(self.path, self.request(messages, sampling, tools))
        return self.read(answer)

    def wire(self) -> Wire:
        """Requests passed on carry this server's name of the model."""
        fields = {"model": self.model, **self.place.parameters}
        wire = Wire(url=self.place.base_url or self.base, headers=self._headers(self.place), fields=fields)
        if not self.own_machine:
            return wire
        return wire._replace(dialects=DIALECTS, model=self.model, timeout_s=self.place.timeout_s)

    def request(self, messages: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]) -> dict[str, Any]:
        """The body of the call."""
        body: dict[str, Any] = {"model": self.model, "messages": [chat_message(m) for m in messages]}
        usual = self.length_field if self.is_own_address else "max_tokens"
        body[self.capabilities.length_field or usual] = sampling.max_tokens
        if self.capabilities.temperature:
            if sampling.temperature is not None:
                body["temperature"] = sampling.temperature
            if sampling.top_p < 1:
                body["top_p"] = sampling.top_p
        if self.capabilities.seed:
            body["seed"] = sampling.seed
        if sampling.effort and (sampling.effort in self.capabilities.efforts or not self.is_own_address):
            body["reasoning_effort"] = sampling.effort
        if sampling.schema is not None:
            named = {"name": "answer", "schema": sampling.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if tools:
            body["tools"] = [{"type": "function", "function": msgspec.to_builtins(tool)} for tool in tools]
        return body | self.place.parameters

    def read(self, answer: Answer) -> Completion:
        """The answer in the body; one without choices is no answer."""
        body = answer.body
        usage = self._usage(body.get("usage") or {})
        try:
            choice = body["choices"][0]
            message = choice["message"]
            calls = tuple(tool_call(call) for call in message.get("tool_calls") or ())
        except (KeyError, IndexError, TypeError, AttributeError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CallError("bad", f"{self.name}: an answer without a usable choice", usage=usage) from error
        reason = str(choice.get("finish_reason") or "")
        refusal = message.get("refusal")
        return Completion(
            text=message.get("content") or refusal or "",
            thinking=message.get("reasoning_content") or message.get("reasoning") or "",
            tool_calls=calls,
            model=self.model,
            answered_by=str(body.get("model") or ""),
            usage=usage,
            finish="filter" if refusal else FINISH.get(reason, "stop"),
            raw_finish="refusal" if refusal else reason,
            request_id=answer.request_id or str(body.get("id") or ""),
            seconds=answer.seconds,
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
        return msgspec.structs.replace(usage, cost_usd=self._cost(used, usage, details.get("cache_write_tokens") or 0))

    def _cost(self, used: Mapping[str, Any], usage: Usage, written: int) -> float | None:
        if self.place.price is None and isinstance(stated := used.get("cost"), int | float):
            return float(stated)
        if not used:
            return None
        return self.price_of(usage, cache_writes=written)

    def price_of(self, usage: Usage, *, cache_writes: int = 0, batch: bool = False) -> float | None:
        """US dollars of so many tokens, or None."""
        if self.own_machine and self.place.price is None:
            return 0.0
        known = self.priced_as if self.is_own_address else ""
        return cost_of(known, self.model, usage, price=self.place.price, cache_writes=cache_writes, batch=batch)


def tool_call(call: Mapping[str, Any]) -> ToolCall:
    """A call in OpenAI's form, its arguments a JSON text."""
    function = call["function"]
    arguments = msgspec.json.decode(function.get("arguments") or "{}", type=dict[str, object])
    return ToolCall(id=str(call.get("id") or ""), name=function["name"], arguments=arguments)


def optional_key(key_env: str) -> dict[str, str]:
    """A bearer header when the key is there, for servers that may run without one."""
    key = find_secret(key_env)
    return {"authorization": f"Bearer {key}"} if key else {}
