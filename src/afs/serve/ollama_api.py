"""Ollama's own format over chat requests, for clients that speak no other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from afs.serve.error_responses import Refusal
from afs.serve.stream_conversion import convert_stream

VERSION = "0.13.0"
"""The version whose requests are read here; clients refuse a server that calls itself older than they need."""
MEDIA_TYPE = "application/x-ndjson"
PATHS = ("chat", "generate")
_OPTIONS = {
    "num_predict": "max_tokens",
    **{name: name for name in ("temperature", "top_p", "top_k", "min_p", "seed", "stop")},
    **{name: name for name in ("repeat_penalty", "presence_penalty", "frequency_penalty")},
}
"""Option -> field of a chat request."""
_HINTS = frozenset({"num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "numa", "use_mmap"})
"""Options that say how a model is loaded; it is loaded already."""
_READ = {
    "chat": frozenset({"model", "messages", "tools", "format", "options", "stream", "keep_alive", "think", "afs"}),
    "generate": frozenset(
        {"model", "prompt", "system", "images", "format", "options", "stream", "keep_alive", "think", "raw", "afs"}
    ),
}

Json = dict[str, Any]


def chat_body(path: str, body: Json) -> Json:
    """A request of `/api/chat` or `/api/generate` as a chat request; raises Refusal."""
    for field, value in body.items():
        if field not in _READ[path] and value:
            raise Refusal(400, f"{field} is not supported here", code="unsupported", param=field)
    for field in ("think", "raw"):
        if body.get(field):
            raise Refusal(400, f"{field} is not supported here", code="unsupported", param=field)
    is_stream = body.get("stream", True) is not False
    found: Json = {"model": model_name(body), "stream": is_stream, "messages": _turns(path, body)}
    found |= _options(body.get("options"))
    if body.get("format"):
        found["response_format"] = _response_format(body["format"])
    for field in ("tools", "afs"):
        if body.get(field):
            found[field] = body[field]
    return found | ({"stream_options": {"include_usage": True}} if is_stream else {})


def model_name(body: Json) -> str:
    """The model that is asked; Ollama's clients put a tag behind a name that has none."""
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise Refusal(400, "model: want a name", param="model")
    return name.removesuffix(":latest")


def _turns(path: str, body: Json) -> list[Json]:
    if path == "chat":
        given = body.get("messages")
        if not isinstance(given, list) or not all(isinstance(turn, dict) for turn in given):
            raise Refusal(400, "messages: want a list of objects", param="messages")
        return list(_with_call_ids(given))
    user = {"role": "user", "content": body.get("prompt") or "", "images": body.get("images")}
    return [*_system(body.get("system")), {"role": "user", "content": _content(user)}]


def _system(text: object) -> list[Json]:
    if text is not None and not isinstance(text, str):
        raise Refusal(400, "system: want text", param="system")
    return [{"role": "system", "content": text}] if text else []


def _with_call_ids(given: Iterable[Json]) -> Iterable[Json]:
    """The turns; calls have no ids in this format: results find their calls by the tool's name, in order."""
    waiting: list[tuple[str, str]] = []
    for turn in given:
        calls = []
        for call in turn.get("tool_calls") or ():
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                raise Refusal(400, "messages: a tool call has no function", param="messages")
            waiting.append((f"call_{len(waiting)}", str(function.get("name"))))
            arguments = msgspec.json.encode(function.get("arguments") or {}).decode()
            calls.append({"id": waiting[-1][0], "type": "function",
                          "function": {"name": waiting[-1][1], "arguments": arguments}})  # fmt: skip
        found: Json = {"role": turn.get("role"), "content": _content(turn)}
        if calls:
            found["tool_calls"] = calls
        if turn.get("role") == "tool":
            name = turn.get("tool_name")
            at = next((n for n, (_, tool) in enumerate(waiting) if tool and (name is None or tool == name)), None)
            found["tool_call_id"] = waiting[at][0] if at is not None else "call_0"
            if at is not None:
                waiting[at] = (waiting[at][0], "")
        yield found


def _content(turn: Json) -> object:
    text, images = turn.get("content", ""), turn.get("images") or ()
    if not isinstance(text, str) or not all(isinstance(image, str) for image in images):
        raise Refusal(400, "messages: want text, and images as base64", param="messages")
    if not images:
        return text
    parts: list[Json] = [{"type": "text", "text": text}]
    return parts + [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}} for image in images]


def _options(given: object) -> Json:
    if given is not None and not isinstance(given, dict):
        raise Refusal(400, "options: want an object", param="options")
    found = {}
    for name, value in (given or {}).items():
        if name in _OPTIONS:
            if value is not None and not (name == "num_predict" and value in (-1, -2)):  # -1, -2: no limit
                found[_OPTIONS[name]] = value
        elif name not in _HINTS:
            raise Refusal(400, f"options.{name} is not supported here", code="unsupported", param=f"options.{name}")
    return found


def _response_format(given: object) -> Json:
    if given == "json":
        return {"type": "json_object"}
    if isinstance(given, dict):
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": given}}
    raise Refusal(400, 'format: want "json" or a JSON schema', param="format")


# --- answers -----------------------------------------------------------------------------------------------------


def answer_of(path: str, began: float) -> Callable[[Json], Json]:
    """Turns a whole chat answer into one of this path."""

    def convert(answer: Json) -> Json:
        choice = answer["choices"][0]
        message = choice["message"]
        said = _said(path, message.get("content") or "", [_call(call) for call in message.get("tool_calls") or ()])
        return _head(answer["model"]) | said | _end(choice.get("finish_reason"), answer.get("usage"), began, answer)

    return convert


def _head(model: str) -> Json:
    return {"model": model, "created_at": datetime.now(UTC).isoformat().replace("+00:00", "Z")}


def _said(path: str, text: str, calls: list[Json]) -> Json:
    if path == "generate":
        return {"response": text, "done": False}
    message: Json = {"role": "assistant", "content": text}
    return {"message": message | ({"tool_calls": calls} if calls else {}), "done": False}


def _call(call: Json) -> Json:
    function = call["function"]
    try:
        arguments = msgspec.json.decode(function.get("arguments") or "{}")
    except msgspec.DecodeError as error:
        raise Refusal(502, f"the model's tool call is not JSON: {error}", code="upstream_error") from error
    return {"function": {"name": function.get("name"), "arguments": arguments}}


def _end(finish: object, usage: object, began: float, last: Mapping[str, Any]) -> Json:
    counts = usage if isinstance(usage, dict) else {}
    spent = int((time.monotonic() - began) * 1e9)
    found: Json = {
        "done": True,
        "done_reason": "length" if finish == "length" else "stop",
        "total_duration": spent,
        "load_duration": 0,
        "prompt_eval_count": int(counts.get("prompt_tokens") or 0),
        "prompt_eval_duration": 0,
        "eval_count": int(counts.get("completion_tokens") or 0),
        "eval_duration": spent,
    }
    return found | ({"afs": last["afs"]} if last.get("afs") else {})


def answer_lines(path: str, model: str, began: float) -> Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]:
    """Turns a stream of chat chunks into lines of this path."""
    return partial(convert_stream, events=OllamaLines(path, model, began))


class OllamaLines:
    """The lines of one answer; a tool call is shown when its arguments are whole."""

    def __init__(self, path: str, model: str, began: float) -> None:
        self.path, self.model, self.began = path, model, began
        self.calls: dict[int, Json] = {}
        self.finish_reason: object = None
        self.usage: object = None
        self.last: Json = {}
        self.is_broken = False

    def feed(self, chunk: Json) -> list[bytes]:
        """The lines for one chunk."""
        if "error" in chunk:
            self.is_broken = True
            error = chunk["error"]
            return [self._line({"error": str(error.get("message") if isinstance(error, dict) else error)})]
        self.usage, self.model = chunk.get("usage") or self.usage, chunk.get("model") or self.model
        self.last = {"afs": chunk["afs"]} if chunk.get("afs") else self.last
        found = []
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            for call in delta.get("tool_calls") or ():
                self._add_call(call)
            if text := delta.get("content"):
                found.append(self._line(_head(self.model) | _said(self.path, text, [])))
        return found

    def _add_call(self, piece: Json) -> None:
        call = self.calls.setdefault(int(piece.get("index") or 0), {"function": {"name": "", "arguments": ""}})
        function = piece.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""

    def wait(self) -> bytes:
        """Nothing: a client reads every line as a part of the answer, so an empty one keeps the connection open."""
        return self._line(_head(self.model) | _said(self.path, "", []))

    def finish(self) -> list[bytes]:
        """The calls, then how it ended."""
        if self.is_broken:
            return []
        try:
            calls = [_call(call) for _, call in sorted(self.calls.items())]
        except Refusal as problem:
            return [self._line({"error": problem.message})]
        end = _end(self.finish_reason, self.usage, self.began, self.last)
        return [self._line(_head(self.model) | _said(self.path, "", calls) | end)]

    def _line(self, row: Json) -> bytes:
        return msgspec.json.encode(row) + b"\n"


# --- models ------------------------------------------------------------------------------------------------------


def model_rows(rows: Iterable[Mapping[str, Any]]) -> Json:
    """The list of `/api/tags`."""
    return {"models": [_model_row(str(row["id"]), float(row["created"])) for row in rows]}


def _model_row(name: str, created: float) -> Json:
    moment = datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
    return {"name": name, "model": name, "modified_at": moment, "size": 0, "digest": "", "details": _details()}


def _details() -> Json:
    return {"parent_model": "", "format": "gguf", "family": "afs", "families": ["afs"], "parameter_size": "",
            "quantization_level": ""}  # fmt: skip


def model_facts() -> Json:
    """The answer of `/api/show`: what a client needs to know before it asks."""
    return {"modelfile": "", "parameters": "", "template": "", "details": _details(), "model_info": {},
            "capabilities": ["completion", "tools"]}  # fmt: skip


def error_body(problem: Refusal) -> Json:
    """A problem as this format has it."""
    return {"error": problem.message}
