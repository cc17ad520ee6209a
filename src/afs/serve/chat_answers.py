"""Whole answers to chat requests: fetched from an expert's server or asked of it, with the verdict on what it says.

A refuted answer may go back to its expert with the reason; the better of the two is kept, and the reply says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from afs.council.answer import join_facts, rank, repair_request
from afs.council.tool_steps import ToolStep
from afs.serve.chat_request import read_sampling
from afs.serve.chat_turn import ChatTurn
from afs.serve.error_responses import Refusal
from afs.serve.upstream_failover import WireCalls
from afs.types import Completion, Verdict

PATH = "chat/completions"
REPAIR_S = 60.0
"""No further attempt begins after so long."""


def wire_body(turn: ChatTurn) -> dict[str, Any]:
    """The request as the expert's server gets it."""
    body = {key: value for key, value in turn.chat.body.items() if key != "afs"}
    expert = turn.expert
    body["model"] = expert.name if expert else "base"
    if turn.facts:
        body["messages"] = _messages_with_facts(body["messages"], turn.facts)
    if expert is None:
        return body
    if expert.system and not any(message.role == "system" for message in turn.chat.messages):
        body["messages"] = [{"role": "system", "content": expert.system}, *body["messages"]]
    body.setdefault("temperature", expert.temperature)
    if not body.get("max_tokens") and not body.get("max_completion_tokens"):
        body["max_tokens"] = expert.max_tokens
    return body


def _messages_with_facts(messages: list[dict[str, Any]], facts: str) -> list[dict[str, Any]]:
    at = max((n for n, turn in enumerate(messages) if turn.get("role") == "user"), default=-1)
    if at < 0 or not isinstance(messages[at].get("content"), str):
        return messages
    changed = {**messages[at], "content": join_facts(messages[at]["content"], facts)}
    return [*messages[:at], changed, *messages[at + 1 :]]


class JudgedAnswer(NamedTuple):
    """An answer of the server, its verdict, and how many were asked for."""

    answer: dict[str, Any]
    verdict: Verdict | None
    attempts: int = 1


async def repair(turn: ChatTurn, wire: WireCalls, body: dict[str, Any], first: JudgedAnswer) -> JudgedAnswer:
    """The best of a refuted answer and what its expert says when it is shown the reason."""
    best, began, messages = first, time.monotonic(), list(body["messages"])
    latest = first
    for number in range(2, turn.repairs + 2):
        if best.verdict is None or best.verdict.ok is not False or time.monotonic() - began > REPAIR_S:
            break
        assert latest.verdict is not None
        messages += [
            {"role": "assistant", "content": answer_text(latest.answer)},
            {"role": "user", "content": repair_request(latest.verdict)},
        ]
        answer = await wire.fetch(PATH, {**body, "messages": messages, "stream": False})
        latest = JudgedAnswer(answer, await turn.judge(answer_text(answer)), number)
        best = latest if rank(latest.verdict) > rank(best.verdict) else best._replace(attempts=number)
    return best


async def answer_by_wire(turn: ChatTurn, wire: WireCalls) -> tuple[dict[str, Any], Verdict | None]:
    """The server's own answer with the council's name, verdict and footer in it."""
    body = {**wire_body(turn), "stream": False}
    body.pop("stream_options", None)
    answer = await wire.fetch(PATH, body)
    answer, verdict, attempts = await repair(
        turn, wire, body, JudgedAnswer(answer, await turn.judge(answer_text(answer)))
    )
    turn.finish(answer_text(answer), verdict, answer.get("usage"), attempts)
    answer |= {"id": turn.id, "model": turn.model, "afs": turn.note(verdict, attempts)}
    if line := turn.footer(answer_text(answer), verdict, attempts):
        answer["choices"][0]["message"]["content"] = f"{answer_text(answer)}\n\n{line}"
    return answer, verdict


def answer_text(answer: dict[str, Any]) -> str:
    """The text of the first choice."""
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
    if line := turn.footer(text, verdict, reply.attempts):
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
    answer = _completion_body(turn, reply.completion, message, verdict, reply.attempts)
    turn.finish(reply.text, verdict, answer["usage"], reply.attempts)
    return answer, verdict


def _completion_body(
    turn: ChatTurn, completion: Completion, message: dict[str, Any], verdict: Verdict | None, attempts: int
) -> dict[str, Any]:
    used = completion.usage
    finish = "tool_calls" if message.get("tool_calls") else completion.finish
    return {
        "id": turn.id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": turn.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": used.input_tokens,
            "completion_tokens": used.output_tokens,
            "total_tokens": used.input_tokens + used.output_tokens,
        },
        "afs": turn.note(verdict, attempts),
    }


async def answer_by_tools(
    turn: ChatTurn, watch: Callable[[ToolStep], None] = lambda _: None
) -> tuple[dict[str, Any], Verdict | None]:
    """The answer of a model that may call the council's tools; its steps stand in `afs.steps`."""
    expert, chat = turn.expert, turn.chat
    sampling, _ = read_sampling(chat, expert.temperature if expert else 0.0, expert.max_tokens if expert else 512)
    found = await asyncio.to_thread(turn.council.answer_with_tools, chat.messages, turn.name, sampling, watch)
    text = found.completion.text
    verdict = await turn.judge(text)
    line = turn.footer(text, verdict)
    message = {"role": "assistant", "content": f"{text}\n\n{line}" if line else text}
    body = _completion_body(turn, found.completion, message, verdict, 1)
    body["afs"]["steps"] = msgspec.to_builtins(found.steps)
    turn.finish(text, verdict, body["usage"])
    return body, verdict


async def answer(turn: ChatTurn, wire: WireCalls | None) -> tuple[dict[str, Any], Verdict | None]:
    """The answer in the way this turn allows."""
    if turn.wants_tools:
        return await answer_by_tools(turn)
    return await (answer_by_wire(turn, wire) if wire else answer_by_call(turn))
