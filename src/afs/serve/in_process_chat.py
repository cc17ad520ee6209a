"""A conversation with the council from this process: the text as it comes, then the reply with route and verdict.

The same code as the gateway's, without a port: what is held, checked and repaired there is here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from afs.council import Council
from afs.council.reply_check import footer, verdict_words
from afs.council.reply_log import LoggedReply, ReplyLog, new_reply_id
from afs.council.tool_steps import ToolStep
from afs.errors import ProviderError
from afs.providers.base import chat_message
from afs.serve import chat_answers, chat_streams
from afs.serve.chat_request import Chat, parse_chat
from afs.serve.chat_turn import ChatTurn
from afs.serve.error_responses import Refusal
from afs.serve.upstream_failover import wire_of
from afs.types import Message, Task


class LocalChat:
    """The council with its log; after `ask` is exhausted, `reply` holds what it said."""

    def __init__(self, council: Council, log: ReplyLog | None = None, *, keeps_last: bool = False) -> None:
        """`keeps_last` writes the last conversation, so that another process can rate it."""
        self.council, self.log, self.keeps_last = council, log, keeps_last
        self.reply: LoggedReply | None = None
        self.watch: Callable[[ToolStep], None] = lambda _: None
        """Called with each call of a tool."""

    def ask(
        self, messages: Sequence[Message], *, expert: str = "", verify: str = "hold", task: Task | None = None
    ) -> Iterator[str]:
        """The answer's text as it comes."""
        self.reply = None
        turn = self._turn(messages, expert, verify, task)
        with asyncio.Runner() as runner:
            pieces = self._pieces(turn)
            try:
                while (piece := runner.run(_next(pieces))) is not None:
                    yield piece
            except Refusal as problem:
                raise ProviderError(problem.message) from problem
            finally:
                runner.run(pieces.aclose())

    def _turn(self, messages: Sequence[Message], expert: str, verify: str, task: Task | None) -> ChatTurn:
        plan = self.council.plan(messages, expert)
        name = (plan.names or [""])[0]
        member, _ = self.council.member(name)
        body: dict[str, Any] = {"messages": [chat_message(m) for m in messages], "afs": {"verify": verify}}
        chat: Chat = parse_chat(body)._replace(task=task, messages=list(messages))
        return ChatTurn(chat, plan, name, member, self.council, new_reply_id(), time.monotonic(), expert, self._keep)

    def _keep(self, reply: LoggedReply) -> None:
        self.reply = reply
        if self.log is not None:
            self.log.add(reply, keep=self.keeps_last)

    async def _pieces(self, turn: ChatTurn) -> AsyncGenerator[str, None]:
        if len(turn.plan.names) > 1 and not turn.wants_tools:
            yield await asyncio.to_thread(self._ask_several, turn)
            return
        wire = None if turn.wants_tools else wire_of(self.council.member(turn.name)[1])
        if turn.wants_tools:
            body, _ = await chat_answers.answer_by_tools(turn, self.watch)
            yield str(body["choices"][0]["message"]["content"] or "")
            return
        if wire is None:
            body, _ = await chat_answers.answer_by_call(turn)
            yield str(body["choices"][0]["message"]["content"] or "")
            return
        turn, stack = await turn.with_facts(), AsyncExitStack()
        sent = {**chat_answers.wire_body(turn), "stream": True, "stream_options": {"include_usage": True}}
        answer = await wire.open(stack, chat_answers.PATH, sent)
        try:
            async for chunks in chat_streams.stream_chunks(chat_streams.ShownStream(turn), stack, answer, wire):
                for chunk in chunks:
                    yield chunk if isinstance(chunk, str) else _text(chunk)
        except (msgspec.DecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
            raise ProviderError(f"the model's server: {error}") from error

    def _ask_several(self, turn: ChatTurn) -> str:
        """The best verdict of experts that are equally likely."""
        found = self.council.ask(turn.chat.messages, task=turn.chat.task)
        counts = {"prompt_tokens": found.completion.usage.input_tokens}
        counts["completion_tokens"] = found.completion.usage.output_tokens
        turn._replace(name=found.expert).finish(found.text, found.verdict, counts, found.attempts)
        line = footer(found.verdict, found.attempts) if found.verdict else ""
        return "\n\n".join(filter(None, (found.text, line)))


async def _next(pieces: AsyncIterator[str]) -> str | None:
    return await anext(pieces, None)


def _text(chunk: dict[str, Any]) -> str:
    if "error" in chunk:
        raise ProviderError(str(chunk["error"]))
    choices = chunk.get("choices") or [{}]
    return str((choices[0].get("delta") or {}).get("content") or "")


def summary(reply: LoggedReply) -> str:
    """One line below an answer: who answered, how likely, the verdict, attempts, tokens and time."""
    who = reply.expert or "the base model"
    chance = f", {reply.route[reply.expert]:.0%}" if reply.expert in reply.route else ""
    unsure = "; no expert was likely enough" if reply.abstained else ""
    checked = verdict_words(reply.verdict) if reply.verdict else "not checked"
    repaired = f"; {reply.attempts} attempts" if reply.attempts > 1 else ""
    tokens = f"; {reply.usage.output_tokens} tokens" if reply.usage.output_tokens else ""
    return f"— {who}{chance}{unsure}; {checked}{repaired}{tokens}; {reply.seconds:.2f} s; {reply.id}"
