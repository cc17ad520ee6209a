"""Chat answers as streams: prose as it comes; in `hold` each code block is run before it is shown, in `after` the
verdict follows. A refuted answer may be corrected: in `hold` the correction stands in its place, in `after` below it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Literal

import msgspec

from afs.council.reply_check import verdict_words
from afs.errors import ProviderError
from afs.serve import upstream_client
from afs.serve.chat_answers import JudgedAnswer, answer_by_call, answer_by_tools, answer_text, repair, wire_body
from afs.serve.chat_turn import ChatTurn
from afs.serve.error_responses import Refusal, of_provider
from afs.serve.held_code import HeldCode, TextPiece
from afs.serve.upstream_failover import WireCalls
from afs.types import Verdict

_KEEP_ALIVE_S = 10.0
StreamPart = str | dict[str, Any]
"""What a stream shows: mere text, or a chunk."""


def event(body: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


async def stream_by_wire(
    turn: ChatTurn, stack: AsyncExitStack, answer: upstream_client.UpstreamAnswer, wire: WireCalls
) -> AsyncIterator[bytes]:
    """The server's stream as it comes, as events; a problem on the way is an event too."""
    shown = ShownStream(turn)
    try:
        async for chunks in stream_chunks(shown, stack, answer, wire):
            yield b"".join([shown.encode(one) if isinstance(one, str) else event(one) for one in chunks])
    except Refusal as problem:
        yield event(problem.body())
        return
    except ProviderError as error:
        yield event(of_provider(error).body())
        return
    except (msgspec.DecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        yield event(Refusal(502, str(error), code="upstream_error").body())
        return
    yield b"data: [DONE]\n\n"


async def stream_chunks(
    shown: ShownStream, stack: AsyncExitStack, answer: upstream_client.UpstreamAnswer, wire: WireCalls
) -> AsyncIterator[list[StreamPart]]:
    """The chunks of an answer, as many at a time as arrived together; mere text as a string."""
    async with stack:
        async for batch in answer.batches():
            parts: list[StreamPart] = []
            for line in batch:
                if not line.startswith(b"data: {"):
                    continue
                text = read_plain(line)
                if text is not None and (pieces := shown.take(text)) is not None:
                    parts += pieces
                    continue
                chunk = msgspec.json.decode(line[6:], type=dict[str, Any])
                parts += [part async for part in shown.pass_on(chunk)]
            if parts:
                yield parts
        if not shown.is_whole:
            raise upstream_client.UpstreamError("the model's server ended its answer before it was finished")
        async for chunk in shown.finish(wire):
            yield [chunk]


class _Delta(msgspec.Struct, forbid_unknown_fields=True):
    content: str


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    delta: _Delta
    index: Literal[0] = 0
    finish_reason: None = None
    logprobs: None = None


class _PlainChunk(msgspec.Struct):
    choices: tuple[_Choice]
    usage: None = None
    error: None = None
    timings: None = None


_PLAIN = msgspec.json.Decoder(_PlainChunk)


def read_plain(line: bytes) -> str | None:
    """The text of a chunk that holds nothing else, which most of an answer's chunks do; None for any other."""
    try:
        return _PLAIN.decode(line[6:]).choices[0].delta.content
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class ShownStream:
    """What of a stream has been shown, and what is held back."""

    def __init__(self, turn: ChatTurn) -> None:
        self.turn, self.held, self.text = turn, HeldCode(), ""
        chat = turn.chat
        self.judged = chat.verify != "off" and (chat.is_plain or chat.task is not None) and not chat.is_side_job
        self.holds = self.judged and chat.verify == "hold" and chat.is_plain
        self.verdict: Verdict | None = None
        self.head: dict[str, Any] = {"id": turn.id, "object": "chat.completion.chunk", "model": turn.model}
        self.last: list[dict[str, Any]] = []
        self._before = b""
        self.is_whole = False
        """An end was stated, or an error: whatever came after it would be nothing."""
        self.refused: list[str] = []
        """Code that was refuted and may be replaced, with everything after it."""

    def encode(self, text: str) -> bytes:
        """Text as an event, without building a chunk."""
        if not self._before:
            head = msgspec.json.encode({**self.head, "created": self.head.get("created", int(time.time()))})
            self._before = b"data: " + head[:-1] + b',"choices":[{"index":0,"delta":{"content":'
        return self._before + msgspec.json.encode(text) + b'},"finish_reason":null}]}\n\n'

    def take(self, text: str) -> list[str] | None:
        """The text to show now; None where code has to be run first."""
        if self.refused:
            return None
        if self.holds and not self.held.pass_prose(text):
            return None
        self.text += text
        return [text] if text else []

    async def pass_on(self, chunk: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The chunks to show for one of the server's."""
        if "error" in chunk:
            self.is_whole = True
            yield chunk
            return
        chunk |= self.head
        self.head["created"] = chunk.get("created", 0)
        choices = chunk.get("choices") or []
        if not choices or choices[0].get("finish_reason"):
            self.is_whole = self.is_whole or bool(choices)
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
        if self.refused or (piece.is_code and self._may_repair()):
            self.refused.append(piece.text)
            return
        yield self._chunk({"content": piece.text})

    def _may_repair(self) -> bool:
        return self.turn.repairs > 0 and self.verdict is not None and self.verdict.ok is False

    async def finish(self, wire: WireCalls) -> AsyncIterator[dict[str, Any]]:
        """What was held, a correction, the footer, and the server's last chunks with the verdict in them."""
        for piece in self.held.finish():
            async for shown in self._show(piece):
                yield shown
        if self.judged:
            self.verdict = await self.turn.judge(self.text)
        attempts = 1
        if self.judged and self._may_repair():
            assert self.verdict is not None
            yield self._chunk({"reasoning_content": f"{verdict_words(self.verdict)}; asking again\n"})
            best = await repair(self.turn, wire, wire_body(self.turn), self._attempt())
            attempts = best.attempts
            if best.verdict is not self.verdict:
                self.verdict, self.text, self.refused = best.verdict, answer_text(best.answer), []
                yield self._chunk({"content": f"\n\nCorrected:\n\n{self.text}"})
        if self.refused:
            yield self._chunk({"content": "".join(self.refused)})
        if line := self.turn.footer(self.text, self.verdict, attempts):
            yield self._chunk({"content": f"\n\n{line}"})
        usage = next((chunk["usage"] for chunk in self.last if chunk.get("usage")), None)
        self.turn.finish(self.text, self.verdict, usage, attempts)
        for chunk in self.last:
            if chunk.get("choices"):
                chunk["choices"][0]["delta"] = {}
                chunk["afs"] = self.turn.note(self.verdict, attempts)
            yield chunk

    def _attempt(self) -> JudgedAnswer:
        return JudgedAnswer({"choices": [{"message": {"content": self.text}}]}, self.verdict)

    def _chunk(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {**self.head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


async def stream_by_call(turn: ChatTurn) -> AsyncIterator[bytes]:
    """A whole answer as a stream: comments while it is awaited, then the text."""
    work = asyncio.create_task(answer_by_tools(turn) if turn.wants_tools else answer_by_call(turn))
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
        yield event(of_provider(error).body())
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


async def until_deadline(stream: AsyncIterator[bytes], deadline_s: float) -> AsyncIterator[bytes]:
    """A stream that ends with an error event when its time is over."""
    ends = asyncio.get_running_loop().time() + deadline_s
    try:
        while True:
            try:
                async with asyncio.timeout_at(ends):
                    piece = await anext(stream)
            except StopAsyncIteration:
                return
            yield piece
    except TimeoutError:
        yield event(Refusal(504, f"the deadline of {deadline_s:g} s has passed", code="deadline").body())
    finally:
        await stream.aclose()  # type: ignore[attr-defined]
