"""Anthropic's Messages format over chat requests: for models that serve chats only, and so that code is checked too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from afs.serve.error_responses import Refusal
from afs.serve.relay import is_billing
from afs.serve.stream_conversion import convert_stream

_ENDS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_CHOICES: dict[str, str] = {"auto": "auto", "any": "required", "none": "none"}
_KEPT = ("temperature", "top_p", "top_k", "stream", "afs")
_UNSUPPORTED = ("mcp_servers", "container")
"""Fields that change what an answer may do; other unknown ones are a client's hints, which any server may ignore."""
_THOUGHTS = ("thinking", "redacted_thinking")

Json = dict[str, Any]


def is_client_job(body: Mapping[str, Any]) -> bool:
    """Whether Claude Code asks for itself (a title, a summary): it marks its system prompt and offers no tools."""
    system = body.get("system")
    blocks = system if isinstance(system, list) else []
    return not body.get("tools") and any(isinstance(block, dict) and is_billing(block) for block in blocks)


def chat_body(body: Json, model: str) -> Json:
    """A Messages request as a chat request; raises Refusal."""
    for field in _UNSUPPORTED:
        if body.get(field):
            raise Refusal(400, f"{field} is not supported here", code="unsupported", param=field)
    if not isinstance(body.get("max_tokens"), int):
        raise Refusal(400, "max_tokens: want a number", param="max_tokens")
    found: Json = {field: body[field] for field in _KEPT if body.get(field) is not None}
    found |= {"model": model, "max_tokens": body["max_tokens"], "messages": _turns(body)}
    if stops := body.get("stop_sequences"):
        found["stop"] = stops
    if tools := _tools(body.get("tools")):
        found["tools"] = tools
        found |= _tool_choice(body.get("tool_choice"))
    if found.get("stream"):
        found["stream_options"] = {"include_usage": True}
    return found


def _objects(value: object, where: str) -> list[Json]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refusal(400, f"{where}: want a list of objects", param=where)
    return value


def _turns(body: Json) -> list[Json]:
    turns = []
    system = _system_text(body.get("system"))
    if system:
        turns.append({"role": "system", "content": system})
    for at, turn in enumerate(_objects(body.get("messages"), "messages")):
        where = f"messages[{at}]"
        content = turn.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else _objects(content, where)
        turns += _assistant(blocks, where) if turn.get("role") == "assistant" else _user(turn, blocks, where)
    return turns


def _system_text(system: object) -> str:
    if system is None or isinstance(system, str):
        return system or ""
    blocks = _objects(system, "system")
    return "\n\n".join(_text(block, "system") for block in blocks if not is_billing(block))


def _text(block: Json, where: str) -> str:
    text = block.get("text")
    if not isinstance(text, str):
        raise Refusal(400, f"{where}: a block's text is not text", param=where)
    return text


def _assistant(blocks: list[Json], where: str) -> list[Json]:
    texts, calls = [], []
    for block in blocks:
        if block.get("type") == "tool_use":
            call = {"name": str(block.get("name")), "arguments": msgspec.json.encode(block.get("input") or {}).decode()}
            calls.append({"id": str(block.get("id")), "type": "function", "function": call})
        elif block.get("type") not in _THOUGHTS:
            texts.append(_text(block, where))
    turn: Json = {"role": "assistant", "content": "\n".join(texts)}
    return [{**turn, "tool_calls": calls} if calls else turn]


def _user(turn: Json, blocks: list[Json], where: str) -> list[Json]:
    """The results of tools as turns of their own, then what the user says."""
    results: list[Json] = []
    parts: list[Json] = []
    for block in blocks:
        kind = block.get("type")
        if kind == "tool_result":
            results.append({"role": "tool", "tool_call_id": str(block.get("tool_use_id")), **_result(block, where)})
        elif kind == "image":
            parts.append({"type": "image_url", "image_url": {"url": _image_url(block.get("source"), where)}})
        elif kind == "text":
            parts.append({"type": "text", "text": _text(block, where)})
        else:
            raise Refusal(400, f"{where}: blocks of type {kind!r} are not supported", code="unsupported", param=where)
    if not parts and results:
        return results
    is_text = all(part["type"] == "text" for part in parts)
    said: object = "\n".join(part["text"] for part in parts) if is_text else parts
    return [*results, {"role": turn.get("role"), "content": said}]


def _result(block: Json, where: str) -> Json:
    content = block.get("content")
    if content is None or isinstance(content, str):
        text = content or ""
    else:
        parts = _objects(content, where)
        text = "\n".join(_text(part, where) for part in parts if part.get("type") == "text")
    return {"content": f"error: {text}" if block.get("is_error") else text}


def _image_url(source: object, where: str) -> str:
    if isinstance(source, dict) and source.get("type") == "url":
        return str(source.get("url"))
    if isinstance(source, dict) and source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    raise Refusal(400, f"{where}: want an image as base64 or url", param=where)


def _tools(given: object) -> list[Json]:
    """The client's own tools; those that run at the provider (web search) are known nowhere else."""
    found = []
    for tool in _objects(given or [], "tools"):
        if isinstance(schema := tool.get("input_schema"), dict):
            function = {"name": tool.get("name"), "description": tool.get("description") or "", "parameters": schema}
            found.append({"type": "function", "function": function})
    return found


def _tool_choice(given: object) -> Json:
    if given is None:
        return {}
    if not isinstance(given, dict) or given.get("type") not in (*_CHOICES, "tool"):
        raise Refusal(400, "tool_choice: want auto, any, tool or none", param="tool_choice")
    named: Json = {"type": "function", "function": {"name": given.get("name")}}
    choice: Json = {"tool_choice": named if given["type"] == "tool" else _CHOICES[given["type"]]}
    return choice | ({"parallel_tool_calls": False} if given.get("disable_parallel_tool_use") else {})


# --- answers -----------------------------------------------------------------------------------------------------


def message_of(answer: Json) -> Json:
    """A whole chat answer as a message."""
    choice = answer["choices"][0]
    blocks: list[Json] = []
    if text := choice["message"].get("content"):
        blocks.append({"type": "text", "text": text})
    for call in choice["message"].get("tool_calls") or ():
        function = call["function"]
        blocks.append(
            {"type": "tool_use", "id": call["id"], "name": function["name"], "input": _arguments(function["arguments"])}
        )
    head = _head(answer["id"], answer["model"], answer.get("usage"))
    return head | {"content": blocks, "stop_reason": _stop_reason(choice.get("finish_reason")), "afs": answer["afs"]}


def _arguments(text: str) -> object:
    try:
        return msgspec.json.decode(text or "{}")
    except msgspec.DecodeError as error:
        raise Refusal(502, f"the model's tool call is not JSON: {error}", code="upstream_error") from error


def _stop_reason(finish: object) -> str:
    return _ENDS.get(str(finish), "end_turn")


def _head(name: str, model: str, usage: object) -> Json:
    return {
        "id": f"msg_{name}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(usage),
    }


def _usage(usage: object) -> Json:
    counts = usage if isinstance(usage, dict) else {}
    return {
        "input_tokens": int(counts.get("prompt_tokens") or 0),
        "output_tokens": int(counts.get("completion_tokens") or 0),
    }


def message_events(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream of chat chunks as the events of a message."""
    return convert_stream(stream, MessageEvents())


def _event(kind: str, fields: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **fields}))


class MessageEvents:
    """Which block of the message is open, and how the message ends."""

    def __init__(self) -> None:
        self.has_begun, self.is_broken = False, False
        self.blocks, self.open = 0, ""
        """Blocks begun so far, and what the open one is: `text`, a tool call's index, or nothing."""
        self.finish_reason: object = None
        self.usage: object = None
        self.note: object = None

    def feed(self, chunk: Json) -> list[bytes]:
        """The events for one chunk."""
        if "error" in chunk:
            self.is_broken = True
            return [_event("error", {"error": chunk["error"]})]
        found = []
        if not self.has_begun:
            self.has_begun = True
            head = _head(chunk.get("id", ""), chunk.get("model", ""), None)
            found.append(_event("message_start", {"message": head}))
        self.usage, self.note = chunk.get("usage") or self.usage, chunk.get("afs") or self.note
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            if text := delta.get("content"):
                found += self._opened("text", {"type": "text", "text": ""})
                found.append(self._delta({"type": "text_delta", "text": text}))
            for call in delta.get("tool_calls") or ():
                found += self._call(call)
        return found

    def _call(self, call: Json) -> list[bytes]:
        function = call.get("function") or {}
        block: Json = {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": {}}
        found = self._opened(f"call {call.get('index', 0)}", block)
        if arguments := function.get("arguments"):
            found.append(self._delta({"type": "input_json_delta", "partial_json": arguments}))
        return found

    def _opened(self, kind: str, block: Json) -> list[bytes]:
        if self.open == kind:
            return []
        found = self._closed()
        self.open, self.blocks = kind, self.blocks + 1
        return [*found, _event("content_block_start", {"index": self.blocks - 1, "content_block": block})]

    def _closed(self) -> list[bytes]:
        if not self.open:
            return []
        self.open = ""
        return [_event("content_block_stop", {"index": self.blocks - 1})]

    def _delta(self, delta: Json) -> bytes:
        return _event("content_block_delta", {"index": self.blocks - 1, "delta": delta})

    def wait(self) -> bytes:
        """A ping."""
        return _event("ping", {})

    def finish(self) -> list[bytes]:
        """The last events, unless an error was the last."""
        if self.is_broken:
            return []
        ends = {"stop_reason": _stop_reason(self.finish_reason), "stop_sequence": None}
        last: Json = {"delta": ends, "usage": _usage(self.usage)} | ({"afs": self.note} if self.note else {})
        return [*self._closed(), _event("message_delta", last), _event("message_stop", {})]
