"""A chat request, read strictly: what is malformed is refused with the name of the field."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from afs.errors import AfsError
from afs.providers.base import Sampling
from afs.serve.error_responses import Refusal
from afs.types import Message, Task, Tool, ToolCall

_SHORTEST_S, _LONGEST_S = 0.1, 3600
READ_HERE = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "afs",
        "temperature",
        "top_p",
        "seed",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "tools",
        "tool_choice",
        "response_format",
        "user",
        "metadata",
        "store",
        "reasoning_effort",
        "parallel_tool_calls",
    }
)
"""Fields that a model without an HTTP interface of its own can honor, or that change no answer."""


class Chat(NamedTuple):
    """One request."""

    body: dict[str, Any]
    messages: list[Message]
    model: str
    task: Task | None
    is_stream: bool
    wants_usage: bool
    verify: str
    """`hold`, `after` or `off`."""
    deadline_s: float | None = None
    """Seconds after which the answer is of no use."""
    is_client_job: bool = False
    """Whether the client asks for itself, as its own marks say."""

    @property
    def is_plain(self) -> bool:
        """Whether text may be added to the answer: no tools, no format, one choice, no job of a client's own."""
        fields = ("tools", "response_format", "functions", "grammar", "json_schema")
        return not any(self.body.get(field) for field in fields) and self.body.get("n") in (None, 1)

    @property
    def is_side_job(self) -> bool:
        """Titles, tags and follow-ups that a client asks for beside the conversation."""
        return self.is_client_job or self._is_open_webui_job

    @property
    def _is_open_webui_job(self) -> bool:
        return len(self.messages) == 1 and self.messages[0].text.lstrip().startswith("### Task:")


def parse_chat(body: dict[str, Any]) -> Chat:
    """Read a request; raises Refusal."""
    turns = _want(body, "messages", list)
    if not turns:
        raise Refusal(400, "messages is empty", param="messages")
    own = _want(body, "afs", dict, {})
    options = _want(body, "stream_options", dict, {})
    _check_numbers(body)
    verify = own.get("verify", "hold")
    if verify not in ("hold", "after", "off"):
        raise Refusal(400, f"want hold, after or off, got {verify!r}", param="afs.verify")
    return Chat(
        body=body,
        messages=[_message(turn, f"messages[{at}]") for at, turn in enumerate(turns)],
        model=_want(body, "model", str, "council"),
        task=_task(own.get("task")),
        is_stream=_want(body, "stream", bool, False),
        wants_usage=bool(options.get("include_usage")),
        verify=verify,
        deadline_s=_deadline(own.get("deadline_s")),
    )


def _deadline(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not _SHORTEST_S <= value <= _LONGEST_S:
        raise Refusal(400, f"afs.deadline_s: want seconds from {_SHORTEST_S:g} to {_LONGEST_S}", param="afs.deadline_s")
    return float(value)


def _want(body: dict[str, Any], field: str, kind: type, default: Any = None) -> Any:
    value = body.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise Refusal(400, f"{field}: want {kind.__name__}, got {type(value).__name__}", param=field)
    return value


_NUMBERS = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "n": (1, 16),
    "max_tokens": (0, 1 << 20),
    "max_completion_tokens": (0, 1 << 20),
    "seed": (-(1 << 63), (1 << 64) - 1),
}


def _check_numbers(body: dict[str, Any]) -> None:
    for field, (low, high) in _NUMBERS.items():
        value = body.get(field)
        if value is None:
            continue
        whole = field not in ("temperature", "top_p")
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not low <= value <= high:
            raise Refusal(400, f"{field}: want a number from {low} to {high}", param=field)


def _message(turn: object, where: str) -> Message:
    if not isinstance(turn, dict):
        raise Refusal(400, f"{where}: want an object, got {type(turn).__name__}", param=where)
    role = "system" if turn.get("role") == "developer" else turn.get("role")
    fields = {
        "role": role,
        "text": _text(turn.get("content"), where),
        "tool_call_id": turn.get("tool_call_id") or "",
        "tool_calls": _tool_calls(turn.get("tool_calls"), where),
    }
    try:
        return msgspec.convert(fields, Message)
    except msgspec.ValidationError as error:
        raise Refusal(400, f"{where}: {error}", param=where) from error


def _text(content: object, where: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise Refusal(400, f"{where}.content: want text or a list of parts", param=f"{where}.content")
    texts = [part.get("text", "") for part in content if part.get("type") in ("text", "input_text")]
    if not all(isinstance(text, str) for text in texts):
        raise Refusal(400, f"{where}.content: a part's text is not text", param=f"{where}.content")
    return "".join(texts)


def _tool_calls(calls: object, where: str) -> tuple[ToolCall, ...]:
    found = []
    try:
        for call in calls or ():  # type: ignore[attr-defined]
            arguments = msgspec.json.decode(call["function"].get("arguments") or "{}", type=dict[str, object])
            found.append(ToolCall(id=call.get("id", ""), name=call["function"]["name"], arguments=arguments))
    except (TypeError, KeyError, AttributeError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"{where}.tool_calls: {error}", param=f"{where}.tool_calls") from error
    return tuple(found)


def _task(given: object) -> Task | None:
    if given is None:
        return None
    try:
        return msgspec.convert(given, Task)
    except (msgspec.ValidationError, AfsError) as error:
        raise Refusal(400, f"afs.task: {error}", param="afs.task") from error


def read_sampling(chat: Chat, temperature: float, max_tokens: int) -> tuple[Sampling, list[Tool]]:
    """The settings for a model without an HTTP interface of its own; what it cannot honor is refused by name."""
    body = chat.body
    unknown = sorted(set(body) - READ_HERE)
    if unknown:
        raise Refusal(400, f"this model cannot honor {unknown[0]!r}", code="unsupported", param=unknown[0])
    if body.get("n") not in (None, 1):
        raise Refusal(400, "this model gives one choice", code="unsupported", param="n")
    if any(
        isinstance(turn.get("content"), list)
        and any(p.get("type") not in ("text", "input_text") for p in turn["content"])
        for turn in body["messages"]
    ):
        raise Refusal(400, "this model reads text only", code="unsupported", param="messages")
    stop = body.get("stop")
    try:
        sampling = Sampling(
            temperature=temperature if body.get("temperature") is None else body["temperature"],
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens") or max_tokens,
            top_p=1.0 if body.get("top_p") is None else body["top_p"],
            seed=body.get("seed") or 0,
            stop=msgspec.convert([stop] if isinstance(stop, str) else stop or (), tuple[str, ...]),
            schema=_schema(body.get("response_format")),
        )
        return sampling, [msgspec.convert(tool["function"], Tool) for tool in body.get("tools") or ()]
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise Refusal(400, f"tools or stop: {error}", param="tools") from error


def _schema(form: object) -> dict[str, object] | None:
    if form is None or (isinstance(form, dict) and form.get("type") == "text"):
        return None
    found = form.get("json_schema") if isinstance(form, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("schema"), dict):
        raise Refusal(400, "response_format: want a json_schema", code="unsupported", param="response_format")
    return dict(found["schema"])
