"""Whole answers to chat requests: fetched from an expert's server or asked of it, with the verdict on what it says.

A refuted answer may go back to its expert with the reason; the better of the two is kept, and the reply says so.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

import msgspec

from afs.council.answer import rank, repair_request
from afs.council.reply_check import footer
from afs.providers.base import Wire
from afs.serve import wire_calls
from afs.serve.chat_request import read_sampling
from afs.serve.chat_turn import ChatTurn
from afs.serve.problems import Refusal
from afs.types import Verdict

PATH = "chat/completions"
REPAIR_S = 60.0
"""No further attempt begins after so long."""


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


class Attempt(NamedTuple):
    """An answer of the server, its verdict, and how many were asked for."""

    answer: dict[str, Any]
    verdict: Verdict | None
    count: int = 1


async def repair(turn: ChatTurn, wire: Wire, body: dict[str, Any], first: Attempt) -> Attempt:
    """The best of a refuted answer and what its expert says when it is shown the reason."""
    best, began, messages = first, time.monotonic(), list(body["messages"])
    latest = first
    for count in range(2, turn.repairs + 2):
        if best.verdict is None or best.verdict.ok is not False or time.monotonic() - began > REPAIR_S:
            break
        assert latest.verdict is not None
        messages += [
            {"role": "assistant", "content": answer_text(latest.answer)},
            {"role": "user", "content": repair_request(latest.verdict)},
        ]
        answer = await wire_calls.fetch(wire, PATH, {**body, "messages": messages, "stream": False})
        latest = Attempt(answer, await turn.judge(answer_text(answer)), count)
        best = latest if rank(latest.verdict) > rank(best.verdict) else best._replace(count=count)
    return best


async def answer_by_wire(turn: ChatTurn, wire: Wire) -> tuple[dict[str, Any], Verdict | None]:
    """The server's own answer with the council's name, verdict and footer in it."""
    body = {**wire_body(turn), "stream": False}
    body.pop("stream_options", None)
    answer = await wire_calls.fetch(wire, PATH, body)
    answer, verdict, attempts = await repair(turn, wire, body, Attempt(answer, await turn.judge(answer_text(answer))))
    turn.finish(answer_text(answer), verdict, answer.get("usage"), attempts)
    answer |= {"id": turn.id, "model": turn.model, "afs": turn.note(verdict, attempts)}
    if verdict and turn.chat.is_plain and (line := footer(verdict, attempts)):
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
    if verdict and chat.is_plain and (line := footer(verdict, reply.attempts)):
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
        "afs": turn.note(verdict, reply.attempts),
    }
    turn.finish(reply.text, verdict, answer["usage"], reply.attempts)
    return answer, verdict


