"""Passes a request on to a model's own server, as it came but for what the council adds, and its answer back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import msgspec
from starlette.responses import JSONResponse, Response, StreamingResponse

from afs.errors import ProviderError
from afs.serve import upstream_client
from afs.serve.error_responses import Refusal, of_provider
from afs.serve.token_quotas import count_tokens
from afs.serve.upstream_failover import WireCalls
from afs.types import Expert

_KNOWN_TOOLS = frozenset({"function"})
_ENDS = (b"[DONE]", b"message_stop", b"response.completed", b"response.incomplete", b"response.failed", b'"error"')
"""Marks of the last event, in any dialect."""
_BILLING = "x-anthropic-billing-header"


class PassedOn(NamedTuple):
    """What is done to an answer on its way: the council's name of the model put in, its tokens counted."""

    model: str
    spend: Callable[[int], None]


async def relay(
    wire: WireCalls, path: str, body: Mapping[str, Any], passed: PassedOn, headers: Mapping[str, str]
) -> Response:
    """The answer of another dialect, with the council's name of the model in it."""
    if not body.get("stream"):
        whole = await wire.fetch(path, body)
        passed.spend(count_tokens(whole))
        return JSONResponse(_rename(whole, passed.model), headers=dict(headers))
    stack = AsyncExitStack()
    try:
        answer = await wire.open(stack, path, body)
    except BaseException:
        await stack.aclose()
        raise
    return StreamingResponse(_pass(stack, answer, passed), media_type="text/event-stream", headers=dict(headers))


async def _pass(
    stack: AsyncExitStack, answer: upstream_client.UpstreamAnswer, passed: PassedOn
) -> AsyncIterator[bytes]:
    tokens, is_whole = 0, False
    try:
        async with stack:
            async for line in answer.lines():
                tokens = max(tokens, _tokens_in(line))
                is_whole = is_whole or any(mark in line for mark in _ENDS)
                yield _rename_line(line, passed.model) + b"\n"
            if not is_whole:
                raise upstream_client.UpstreamError("the model's server ended its answer before it was finished")
    except ProviderError as error:
        problem = msgspec.json.encode({"type": "error", **of_provider(error).body()})
        yield b"event: error\ndata: " + problem + b"\n\n"
    finally:
        passed.spend(tokens)


def _tokens_in(line: bytes) -> int:
    if not line.startswith(b"data: {") or b'"usage"' not in line:
        return 0
    try:
        return count_tokens(msgspec.json.decode(line[6:], type=dict[str, Any]))
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return 0


def _rename_line(line: bytes, model: str) -> bytes:
    if not line.startswith(b"data: {") or b'"model"' not in line:
        return line
    try:
        return b"data: " + msgspec.json.encode(_rename(msgspec.json.decode(line[6:]), model))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return line


def _rename(answer: dict[str, Any], model: str) -> dict[str, Any]:
    for table in (answer, answer.get("message"), answer.get("response")):
        if isinstance(table, dict) and "model" in table:
            table["model"] = model
    return answer


# --- what each dialect needs before it is passed on --------------------------------------------------------------


def question_of(path: str, body: Mapping[str, Any]) -> str:
    """The words a request is routed by."""
    if path == "completions":
        return _words(body.get("prompt"))
    turns = body.get("messages") if path.startswith("messages") else body.get("input")
    if isinstance(turns, str):
        return turns
    asked = [
        turn
        for turn in (turns if isinstance(turns, list) else ())
        if isinstance(turn, dict) and turn.get("role", "user") == "user"
    ]
    return _words(asked[-1].get("content")) if asked else ""


def _words(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in parts)


def prepare(path: str, body: dict[str, Any], expert: Expert | None) -> dict[str, Any]:
    """The body with the expert's own instructions, without what changes every turn or no model knows."""
    system = expert.system if expert else ""
    if path.startswith("messages"):
        return _prepare_messages(body, system)
    if path == "responses":
        return _prepare_responses(body, system)
    return body


def _prepare_messages(body: dict[str, Any], system: str) -> dict[str, Any]:
    """Claude Code puts a changing billing line before its system prompt: the prompt cache would never match."""
    given = body.get("system") or []
    if not isinstance(given, str | list):
        raise Refusal(400, "system: want text or a list of blocks", param="system")
    blocks = [{"type": "text", "text": given}] if isinstance(given, str) else given
    kept = [block for block in blocks if isinstance(block, dict) and not is_billing(block)]
    own = [{"type": "text", "text": system}] if system else []
    return {**body, "system": [*own, *kept]} if own or kept else {k: v for k, v in body.items() if k != "system"}


def is_billing(block: Mapping[str, Any]) -> bool:
    """Whether a block of a system prompt is Claude Code's billing line."""
    return str(block.get("text", "")).startswith(_BILLING)


def _prepare_responses(body: dict[str, Any], system: str) -> dict[str, Any]:
    """Codex sends tools that only its own service knows; a stored conversation is nobody's here."""
    if body.get("previous_response_id"):
        raise Refusal(400, "answers are not stored here", code="unsupported", param="previous_response_id")
    ready = dict(body)
    if isinstance(tools := body.get("tools"), list):
        ready["tools"] = [t for t in tools if isinstance(t, dict) and str(t.get("type")) in _KNOWN_TOOLS]
        if not ready["tools"]:
            ready.pop("tools")
            ready.pop("tool_choice", None)
    given = body.get("instructions") or ""
    if not isinstance(given, str):
        raise Refusal(400, "instructions: want text", param="instructions")
    if system:
        ready["instructions"] = "\n\n".join(filter(None, (system, given)))
    return ready
