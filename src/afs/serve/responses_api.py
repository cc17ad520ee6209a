"""OpenAI's Responses format over chat requests, for questions without tools: so that code in them is checked too."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from afs.serve.error_responses import Refusal
from afs.serve.stream_conversion import convert_stream

Json = dict[str, Any]
_KEPT = ("model", "temperature", "top_p", "stream", "afs")
_TEXT_PARTS = ("input_text", "output_text", "text")


def is_plain(body: Mapping[str, Any]) -> bool:
    """Whether a chat can stand for the request: turns of text and images, no tools, nothing of an agent's."""
    turns = body.get("input")
    items = turns if isinstance(turns, list) else []
    typed = {item.get("type", "message") if isinstance(item, dict) else "" for item in items}
    return not body.get("tools") and not body.get("previous_response_id") and typed <= {"message"}


def chat_body(body: Json) -> Json:
    """A Responses request as a chat request; raises Refusal."""
    found: Json = {field: body[field] for field in _KEPT if body.get(field) is not None}
    instructions = body.get("instructions") or ""
    if not isinstance(instructions, str):
        raise Refusal(400, "instructions: want text", param="instructions")
    turns = [{"role": "system", "content": instructions}] if instructions else []
    found["messages"] = turns + _turns(body.get("input"))
    if body.get("max_output_tokens") is not None:
        found["max_completion_tokens"] = body["max_output_tokens"]
    if form := _response_format(body.get("text")):
        found["response_format"] = form
    if found.get("stream"):
        found["stream_options"] = {"include_usage": True}
    return found


def _turns(given: object) -> list[Json]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise Refusal(400, "input: want text or a list of turns", param="input")
    turns = []
    for at, item in enumerate(given):
        content = item.get("content")
        if not isinstance(content, str):
            content = _parts(content, f"input[{at}]")
        turns.append({"role": item.get("role", "user"), "content": content})
    return turns


def _parts(content: object, where: str) -> str | list[Json]:
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise Refusal(400, f"{where}.content: want text or a list of parts", param=f"{where}.content")
    parts: list[Json] = []
    for part in content:
        if part.get("type") in _TEXT_PARTS and isinstance(part.get("text"), str):
            parts.append({"type": "text", "text": part["text"]})
        elif part.get("type") == "input_image" and isinstance(part.get("image_url"), str):
            parts.append({"type": "image_url", "image_url": {"url": part["image_url"]}})
        else:
            raise Refusal(400, f"{where}: parts of type {part.get('type')!r} are not supported", param=where)
    is_text = all(part["type"] == "text" for part in parts)
    return "\n".join(part["text"] for part in parts) if is_text else parts


def _response_format(text: object) -> Json | None:
    form = text.get("format") if isinstance(text, dict) else None
    if not isinstance(form, dict) or form.get("type") in (None, "text"):
        return None
    inner = {key: value for key, value in form.items() if key != "type"}
    return {"type": form["type"], "json_schema": inner} if form["type"] == "json_schema" else {"type": form["type"]}


# --- answers -----------------------------------------------------------------------------------------------------


def response_of(answer: Json) -> Json:
    """A whole chat answer as a response."""
    choice = answer["choices"][0]
    shape = ResponseShape(answer["id"], answer["model"], str(choice["message"].get("content") or ""))
    return shape.whole(choice.get("finish_reason"), answer.get("usage")) | {"afs": answer["afs"]}


class ResponseShape:
    """A response with one message in it, as it stands so far."""

    def __init__(self, name: str, model: str, text: str = "") -> None:
        self.name, self.model, self.text, self.created = name, model, text, int(time.time())

    def item(self, status: str) -> Json:
        """The message."""
        content = [self.part()] if status != "in_progress" else []
        return {
            "type": "message",
            "id": f"msg_{self.name}",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def part(self) -> Json:
        """The message's text."""
        return {"type": "output_text", "text": self.text, "annotations": []}

    def head(self, status: str) -> Json:
        """The response without its output."""
        return {
            "id": f"resp_{self.name}",
            "object": "response",
            "created_at": self.created,
            "status": status,
            "model": self.model,
            "output": [],
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": None,
        }

    def whole(self, finish: object, usage: object) -> Json:
        """The finished response."""
        status = "incomplete" if finish == "length" else "completed"
        counts = usage if isinstance(usage, dict) else {}
        read, written = (int(counts.get(key) or 0) for key in ("prompt_tokens", "completion_tokens"))
        return self.head(status) | {
            "output": [self.item(status)],
            "incomplete_details": {"reason": "max_output_tokens"} if finish == "length" else None,
            "usage": {
                "input_tokens": read,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": written,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": read + written,
            },
        }


def response_events(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream of chat chunks as the events of a response."""
    return convert_stream(stream, ResponseEvents())


class ResponseEvents:
    """The events of a response, numbered."""

    def __init__(self) -> None:
        self.number, self.shape, self.is_broken = 0, ResponseShape("", ""), False
        self.finish_reason: object = None
        self.usage: object = None
        self.note: object = None

    def _event(self, kind: str, fields: Json) -> bytes:
        body = {"type": kind, "sequence_number": self.number, **fields}
        self.number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(body))

    @property
    def _place(self) -> Json:
        return {"item_id": f"msg_{self.shape.name}", "output_index": 0, "content_index": 0}

    def feed(self, chunk: Json) -> list[bytes]:
        """The events for one chunk."""
        if "error" in chunk:
            self.is_broken = True
            return [self._event("error", {**chunk["error"]})]
        found = []
        if not self.shape.name:
            self.shape = ResponseShape(str(chunk.get("id")), str(chunk.get("model")))
            found = self._begin()
        self.usage, self.note = chunk.get("usage") or self.usage, chunk.get("afs") or self.note
        for choice in chunk.get("choices") or ():
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            if text := (choice.get("delta") or {}).get("content"):
                self.shape.text += text
                found.append(self._event("response.output_text.delta", {**self._place, "delta": text, "logprobs": []}))
        return found

    def _begin(self) -> list[bytes]:
        head, item = self.shape.head("in_progress"), self.shape.item("in_progress")
        return [
            self._event("response.created", {"response": head}),
            self._event("response.in_progress", {"response": head}),
            self._event("response.output_item.added", {"output_index": 0, "item": item}),
            self._event("response.content_part.added", {**self._place, "part": self.shape.part()}),
        ]

    def wait(self) -> bytes:
        """A comment."""
        return b": waiting for the model\n\n"

    def finish(self) -> list[bytes]:
        """The last events, unless an error was the last."""
        if self.is_broken or not self.shape.name:
            return []
        whole = self.shape.whole(self.finish_reason, self.usage) | ({"afs": self.note} if self.note else {})
        text = {**self._place, "text": self.shape.text, "logprobs": []}
        return [
            self._event("response.output_text.done", text),
            self._event("response.content_part.done", {**self._place, "part": self.shape.part()}),
            self._event("response.output_item.done", {"output_index": 0, "item": whole["output"][0]}),
            self._event(f"response.{whole['status']}", {"response": whole}),
        ]
