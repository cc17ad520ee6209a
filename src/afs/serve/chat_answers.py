"""Chat completions: passed on to an expert's server or asked of it, with the verdict on what it says.

A stream shows prose as it comes; in `hold` each code block is run before it is shown, in `after` the verdict follows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import msgspec

from afs.council import Council
from afs.council.answer import RoutePlan, rank, repair_request
from afs.council.reply_check import footer
from afs.errors import ProviderError
from afs.providers.base import Wire
from afs.serve import relay, upstream
from afs.serve.chat_request import Chat, read_sampling
from afs.serve.held_code import HeldCode, TextPiece
from afs.serve.problems import Refusal
from afs.types import Expert, Verdict, digest

_KEEP_ALIVE_S = 10.0
_PATH = "chat/completions"


class ChatTurn(NamedTuple):
    """A request with who answers it."""

    chat: Chat
    plan: RoutePlan
    name: str
    expert: Expert | None
    council: Council

    @property
    def model(self) -> str:
        """The council's name of the model that answers."""
        return f"council/{self.name}" if self.name else "council"

    def note(self, verdict: Verdict | None, attempts: int = 1) -> dict[str, Any]:
        """The contents of `afs` in the answer."""
        return {
            "route": self.plan.route,
            "asked": self.plan.names,
            "abstained": self.plan.abstained,
            "attempts": attempts,
            "verdict": msgspec.to_builtins(verdict),
        }

    async def judge(self, text: str) -> Verdict | None:
        """The verdict, unless text for a program was asked for."""
        chat = self.chat
        if chat.verify == "off" or not (chat.is_plain or chat.task) or chat.is_side_job:
            return None
        return await asyncio.to_thread(self.council.judge, chat.messages, text, chat.task, self.name)

    def headers(self, verdict: Verdict | None = None) -> dict[str, str]:
        """The route in headers, and the verdict where it is known before the body."""
        found = {"x-expert": self.name or "fallback", "x-confidence": str(self.plan.route.get(self.name, 0))}
        return found | ({"x-afs-verdict": verdict.stage} if verdict else {})


def wire_body(turn: ChatTurn) -> dict[str, Any]:
    """The request as the expert's server gets it."""
    body = {key: value for key, value in turn.chat.body.items() if key != "afs"}
    expert = turn.expert
    body["model"] = expert.name if expert else "base"
    if expert is None:
        return body
    if expert.system and not any(message.role == "system" for message in turn.chat.messages):
        body["messages"] = [{"role": "system", "content": expert.system}, *body["messages"]]
    body.setdefault("temperature", expert.temperature)
    if not body.get("max_tokens") and not body.get("max_completion_tokens"):
        body["max_tokens"] = expert.max_tokens
    return body


# --- whole answers -----------------------------------------------------------------------------------------------


async def answer_by_wire(turn: ChatTurn, wire: Wire) -> tuple[dict[str, Any], Verdict | None]:
    """The server's own answer with the council's name, verdict and footer in it."""
    body = {**wire_body(turn), "stream": False}
    body.pop("stream_options", None)
    answer = await relay.fetch(wire, _PATH, body)
    verdict, attempts = await turn.judge(_text(answer)), 1
    for _ in range(max(turn.council.repairs, 1) if turn.chat.task else turn.council.repairs):
        if verdict is None or verdict.ok is not False:
            break
        turns = [{"role": "assistant", "content": _text(answer)}, {"role": "user", "content": repair_request(verdict)}]
        second = await relay.fetch(wire, _PATH, {**body, "messages": [*body["messages"], *turns]})
        found = await turn.judge(_text(second))
        attempts += 1
        if rank(found) > rank(verdict):
            answer, verdict = second, found
    answer["model"] = turn.model
    answer["afs"] = turn.note(verdict, attempts)
    if verdict and turn.chat.is_plain and (line := footer(verdict)):
        answer["choices"][0]["message"]["content"] = f"{_text(answer)}\n\n{line}"
    return answer, verdict


def _text(answer: dict[str, Any]) -> str:
    try:
        return str(answer["choices"][0]["message"].get("content") or "")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise Refusal(502, "the model's server sent no choice", code="upstream_error") from error


async def answer_by_call(turn: ChatTurn) -> tuple[dict[str, Any], Verdict | None]:
    """The answer of a model that has no HTTP interface of its own."""
    expert, chat = turn.expert, turn.chat
    sampling, tools = read_sampling(chat, expert.temperature if expert else 0.0, expert.max_tokens if expert else 512)
    reply = await asyncio.to_thread(
        turn.council.ask, chat.messages, task=chat.task, expert=turn.name, sampling=sampling, tools=tools
    )
    verdict = reply.verdict if chat.verify != "off" and not chat.is_side_job else None
    text = reply.text
    if verdict and chat.is_plain and (line := footer(verdict)):
        text = f"{text}\n\n{line}"
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls := reply.completion.tool_calls:
        message["content"] = reply.completion.text or None
        message["tool_calls"] = [
            {
                "id": call.id or f"call_{at}",
                "type": "function",
                "function": {"name": call.name, "arguments": msgspec.json.encode(call.arguments).decode()},
            }
            for at, call in enumerate(calls)
        ]
    used = reply.completion.usage
    finish = "tool_calls" if calls else reply.completion.finish
    answer = {
        "id": f"chatcmpl-{digest((reply, time.time()))[:24]}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": turn.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": used.input_tokens,
            "completion_tokens": used.output_tokens,
            "total_tokens": used.input_tokens + used.output_tokens,
        },
        "afs": turn.note(verdict, reply.attempts),
    }
    return answer, verdict


# --- streams -----------------------------------------------------------------------------------------------------


def event(body: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


async def stream_by_wire(
    turn: ChatTurn, stack: AsyncExitStack, answer: upstream.UpstreamAnswer
) -> AsyncIterator[bytes]:
    """The server's stream as it comes, its code held until it has run."""
    async with stack:
        shown = _Shown(turn)
        try:
            async for batch in answer.batches():
                chunks = [
                    event(chunk)
                    for line in batch
                    if line.startswith(b"data: {")
                    async for chunk in shown.pass_on(msgspec.json.decode(line[6:], type=dict[str, Any]))
                ]
                if chunks:
                    yield b"".join(chunks)
            async for chunk in shown.finish():
                yield event(chunk)
        except (ProviderError, msgspec.DecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
            yield event(Refusal(502, str(error), code="upstream_error").body())
            return
        yield b"data: [DONE]\n\n"


class _Shown:
    """What of a stream has been shown, and what is held back."""

    def __init__(self, turn: ChatTurn) -> None:
        self.turn, self.held, self.text = turn, HeldCode(), ""
        chat = turn.chat
        self.judged = chat.verify != "off" and (chat.is_plain or chat.task is not None) and not chat.is_side_job
        self.holds = self.judged and chat.verify == "hold" and chat.is_plain
        self.verdict: Verdict | None = None
        self.head: dict[str, Any] = {}
        self.last: list[dict[str, Any]] = []

    async def pass_on(self, chunk: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The chunks to show for one of the server's."""
        if "error" in chunk:
            yield chunk
            return
        chunk["model"] = self.turn.model
        self.head = {key: chunk[key] for key in ("id", "object", "created", "model") if key in chunk}
        choices = chunk.get("choices") or []
        if not choices or choices[0].get("finish_reason"):
            self.last.append(chunk)
            choices = [{**choices[0], "finish_reason": None}] if choices and choices[0].get("delta") else []
        delta = choices[0].get("delta") or {} if choices else {}
        text = delta.get("content") or ""
        self.text += text
        if not choices:
            return
        if not self.holds or not text:
            yield {**chunk, "choices": choices} if choices is not chunk.get("choices") else chunk
            return
        for piece in self.held.feed(text):
            async for shown in self._show(piece):
                yield shown

    async def _show(self, piece: TextPiece) -> AsyncIterator[dict[str, Any]]:
        if piece.is_code:
            seen = self.text[: self.text.find(piece.text) + len(piece.text)] if piece.text in self.text else self.text
            self.verdict = await self.turn.judge(seen)
        yield self._chunk({"content": piece.text})

    async def finish(self) -> AsyncIterator[dict[str, Any]]:
        """What was held, the footer, and the server's last chunks with the verdict in them."""
        for piece in self.held.finish():
            async for shown in self._show(piece):
                yield shown
        if self.judged:
            self.verdict = await self.turn.judge(self.text)
        if self.verdict and self.turn.chat.is_plain and (line := footer(self.verdict)):
            yield self._chunk({"content": f"\n\n{line}"})
        for chunk in self.last:
            if chunk.get("choices"):
                chunk["choices"][0]["delta"] = {}
                chunk["afs"] = self.turn.note(self.verdict)
            yield chunk

    def _chunk(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {**self.head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


async def stream_by_call(turn: ChatTurn) -> AsyncIterator[bytes]:
    """A whole answer as a stream: comments while it is awaited, then the text."""
    work = asyncio.create_task(answer_by_call(turn))
    try:
        while not work.done():
            done, _ = await asyncio.wait({work}, timeout=_KEEP_ALIVE_S)
            if not done:
                yield b": waiting for the model\n\n"
        body, _ = work.result()
    except Refusal as problem:
        yield event(problem.body())
        return
    except ProviderError as error:
        yield event(Refusal(502, str(error), code="upstream_error").body())
        return
    finally:
        work.cancel()
    head = {key: body[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    choice = body["choices"][0]
    calls = [{"index": at, **call} for at, call in enumerate(choice["message"].get("tool_calls") or ())]
    delta = {**choice["message"], **({"tool_calls": calls} if calls else {})}
    yield event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], "afs": body["afs"]})
    yield event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if turn.chat.wants_usage:
        yield event({**head, "choices": [], "usage": body["usage"]})
    yield b"data: [DONE]\n\n"
