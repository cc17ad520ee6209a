"""The provider `openai-responses:MODEL`: OpenAI's Responses API.

A dialogue hands the reasoning items back; they lie in `provider_state` while it lasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from afs.providers.base import Sampling
from afs.providers.capabilities import capabilities_of
from afs.providers.endpoint import Answer
from afs.providers.failures import CallError, failure
from afs.providers.openai import OpenAI
from afs.types import Completion, Json, Message, Tool, ToolCall, Usage

_STATE = "openai_output"


class OpenAIResponses(OpenAI):
    """OpenAI's models through /v1/responses."""

    kind = "openai-responses"
    path = "responses"

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        super().__init__(model, options)
        self.capabilities = capabilities_of(f"openai:{model}")

    def request(self, messages: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]) -> dict[str, Any]:
        """The body of the call; nothing is kept on the server."""
        items = [item for m in messages for item in _items(m)]
        body: dict[str, Any] = {"model": self.model, "input": items, "max_output_tokens": sampling.max_tokens}
        body |= {"store": False, "include": ["reasoning.encrypted_content"]}
        if self.capabilities.temperature and sampling.temperature is not None:
            body["temperature"] = sampling.temperature
        if sampling.effort and sampling.effort in self.capabilities.efforts:
            body["reasoning"] = {"effort": sampling.effort}
        if sampling.schema is not None:
            body["text"] = {
                "format": {"type": "json_schema", "name": "answer", "schema": sampling.schema, "strict": True}
            }
        if tools:
            body["tools"] = [{"type": "function", **msgspec.to_builtins(tool)} for tool in tools]
        return body | self.place.parameters

    def read(self, answer: Answer) -> Completion:
        """The answer in the body; a failed one comes with HTTP 200."""
        body = answer.body
        usage = self._used(body.get("usage") or {})
        output = body.get("output")
        if body.get("status") == "failed" or not isinstance(output, list):
            problem = body.get("error") or {"message": "an answer without output", "code": "server_error"}
            raise _with_usage(failure(self.name, 500, problem, answer.headers), usage)
        parts = [p for item in output if item.get("type") == "message" for p in item.get("content") or ()]
        refused = any(part.get("type") == "refusal" for part in parts)
        reason = str((body.get("incomplete_details") or {}).get("reason") or body.get("status") or "")
        calls = tuple(self._call(item, usage) for item in output if item.get("type") == "function_call")
        finish = {"max_output_tokens": "length", "content_filter": "filter"}.get(reason, "stop")
        thoughts = [s.get("text", "") for i in output if i.get("type") == "reasoning" for s in i.get("summary") or ()]
        keeps = any(item.get("type") == "reasoning" for item in output)
        return Completion(
            text="".join(part.get("text") or part.get("refusal") or "" for part in parts),
            thinking="\n".join(thoughts),
            tool_calls=calls,
            model=self.model,
            answered_by=str(body.get("model") or ""),
            usage=usage,
            finish="filter" if refused else "tool_calls" if calls and finish == "stop" else finish,
            raw_finish="refusal" if refused else reason,
            request_id=answer.request_id or str(body.get("id") or ""),
            provider_state={_STATE: output} if keeps else {},
            seconds=answer.seconds,
        )

    def _call(self, item: Mapping[str, Any], usage: Usage) -> ToolCall:
        try:
            arguments = msgspec.json.decode(item.get("arguments") or "{}", type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CallError("bad", f"{self.name}: the arguments of a tool are not JSON", usage=usage) from error
        return ToolCall(id=str(item.get("call_id") or ""), name=str(item.get("name") or ""), arguments=arguments)

    def _used(self, used: Mapping[str, Any]) -> Usage:
        return self._usage(
            {
                "prompt_tokens": used.get("input_tokens"),
                "completion_tokens": used.get("output_tokens"),
                "prompt_tokens_details": used.get("input_tokens_details"),
                "completion_tokens_details": used.get("output_tokens_details"),
            }
            if used
            else {}
        )


def _with_usage(error: CallError, usage: Usage) -> CallError:
    error.usage = usage
    return error


def _items(message: Message) -> list[Json]:
    if kept := message.provider_state.get(_STATE):
        return list(kept)  # type: ignore[call-overload, no-any-return]
    if message.role == "tool":
        return [{"type": "function_call_output", "call_id": message.tool_call_id, "output": message.text}]
    items: list[Json] = [{"role": message.role, "content": message.text}] if message.text else []
    for call in message.tool_calls:
        arguments = msgspec.json.encode(call.arguments).decode()
        items.append({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments})
    return items
