"""The gateway: OpenAI's wire format in front of the council. The only async module.

`model` is `council` (the router decides) or an expert's name (`farore` or `council/farore`). The route stands in
headers and in `afs` of the body. A request may carry a task (`"afs": {"task": {…}}`): then the answer is checked before
it is sent.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from afs.council.answer import Council, Reply
from afs.errors import ProviderError
from afs.serve.serve_command import ServeConfig
from afs.types import Message, Task, ToolCall, digest

NAME = "council"
_KEEP_ALIVE_S = 10.0


class Gateway:
    """The application's state: the council, its admission limit and its counters."""

    def __init__(self, council: Council, *, token: str = "", concurrency: int = 4) -> None:
        self.council, self.token = council, token
        self.started = int(time.time())
        self.counts: Counter[str] = Counter()
        self._gate = asyncio.Semaphore(concurrency)

    def app(self) -> Starlette:
        """The Starlette application."""
        routes = []
        for prefix in ("/v1", ""):
            routes += [
                Route(f"{prefix}/models", self.models),
                Route(f"{prefix}/chat/completions", self.chat, methods=["POST"]),
            ]
        return Starlette(routes=[*routes, Route("/health", self.health), Route("/metrics", self.metrics)])

    async def health(self, _: Request) -> Response:
        """Alive, with the names of the experts."""
        return JSONResponse({"status": "ok", "experts": list(self.council.experts)})

    async def metrics(self, _: Request) -> Response:
        """Counters in Prometheus' text form."""
        rows = [
            f'afs_{name.partition(":")[0]}{{expert="{name.partition(":")[2]}"}} {n}' for name, n in self.counts.items()
        ]
        return Response("\n".join(rows) + "\n", media_type="text/plain")

    async def models(self, request: Request) -> Response:
        """The council and every expert."""
        if refusal := self._refuse(request):
            return refusal
        names = [NAME, *(f"{NAME}/{name}" for name in self.council.experts)]
        rows = [{"id": name, "object": "model", "created": self.started, "owned_by": "afs"} for name in names]
        return JSONResponse({"object": "list", "data": rows})

    async def chat(self, request: Request) -> Response:
        """One answer, whole or as a stream."""
        if refusal := self._refuse(request):
            return refusal
        try:
            body = msgspec.json.decode(await request.body(), type=dict[str, Any])
            messages = [_message(turn) for turn in body["messages"]]
            task = _task(body)
            expert = self._expert(str(body.get("model") or NAME))
        except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError, ValueError) as error:
            return _problem(400, f"bad request: {error}", "invalid_request_error")
        if not messages:
            return _problem(400, "bad request: messages is empty", "invalid_request_error")
        if expert is None:
            return _problem(404, f"no model is called {body.get('model')!r}", "model_not_found")
        reply_task = asyncio.create_task(self._ask(messages, task, expert))
        if body.get("stream"):
            usage = bool((body.get("stream_options") or {}).get("include_usage"))
            return StreamingResponse(self._stream(reply_task, usage), media_type="text/event-stream")
        try:
            reply = await reply_task
        except ProviderError as error:
            self.counts["errors:"] += 1
            return _problem(502, str(error), "upstream_error")
        headers = {"x-expert": reply.expert or "fallback", "x-confidence": str(reply.route.get(reply.expert, 0))}
        return JSONResponse(self._body(reply), headers=headers)

    async def _ask(self, messages: list[Message], task: Task | None, expert: str) -> Reply:
        async with self._gate:
            reply = await asyncio.to_thread(self.council.ask, messages, task=task, expert=expert)
        self.counts[f"answers:{reply.expert}"] += 1
        return reply

    def _body(self, reply: Reply) -> dict[str, Any]:
        used = reply.completion.usage
        return {
            "id": f"chatcmpl-{digest((reply, time.time()))[:24]}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": f"{NAME}/{reply.expert}" if reply.expert else NAME,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": reply.text},
                    "finish_reason": reply.completion.finish,
                }
            ],
            "usage": _usage(used.input_tokens, used.output_tokens),
            "afs": {"route": reply.route, "asked": reply.asked, "verdict": msgspec.to_builtins(reply.verdict)},
        }

    async def _stream(self, work: asyncio.Task[Reply], usage: bool) -> AsyncIterator[bytes]:
        try:
            while not work.done():
                done, _ = await asyncio.wait({work}, timeout=_KEEP_ALIVE_S)
                if not done:
                    yield b": waiting for the model\n\n"
            body = self._body(work.result())
        except ProviderError as error:
            self.counts["errors:"] += 1
            yield _event({"error": {"message": str(error), "type": "upstream_error"}})
            return
        finally:
            work.cancel()
        head = {key: body[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
        text = body["choices"][0]["message"]["content"]
        first = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
        yield _event({**head, "choices": [first], "afs": body["afs"]})
        last = {"index": 0, "delta": {}, "finish_reason": body["choices"][0]["finish_reason"]}
        yield _event({**head, "choices": [last]})
        if usage:
            yield _event({**head, "choices": [], "usage": body["usage"]})
        yield b"data: [DONE]\n\n"

    def _refuse(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.token and not hmac.compare_digest(given.encode(), self.token.encode()):
            return _problem(401, "the token is missing or wrong", "authentication_error")
        return None

    def _expert(self, model: str) -> str | None:
        name = model.removeprefix(f"{NAME}/")
        if model == NAME:
            return ""
        return name if name in self.council.experts else None


def _message(turn: dict[str, Any]) -> Message:
    content = turn.get("content") or ""
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if part.get("type") == "text")
    calls = tuple(
        ToolCall(
            id=call.get("id", ""),
            name=call["function"]["name"],
            arguments=msgspec.json.decode(call["function"].get("arguments") or "{}", type=dict[str, object]),
        )
        for call in turn.get("tool_calls") or ()
    )
    role = "system" if turn["role"] == "developer" else turn["role"]
    return msgspec.convert(
        {"role": role, "text": content, "tool_call_id": turn.get("tool_call_id") or "", "tool_calls": calls}, Message
    )


def _task(body: dict[str, Any]) -> Task | None:
    given = (body.get("afs") or {}).get("task")
    return msgspec.convert(given, Task) if given else None


def _usage(read: int, written: int) -> dict[str, int]:
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _problem(status: int, message: str, kind: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind}}, status_code=status)


def run_server(council: Council, listener: socket.socket, config: ServeConfig) -> None:
    """Serve on the socket until a signal stops it."""
    token = os.environ.get(config.token_env, "") if config.token_env else ""
    app = Gateway(council, token=token, concurrency=config.concurrency).app()
    settings = uvicorn.Config(app, log_level="warning", lifespan="off")
    uvicorn.Server(settings).run(sockets=[listener])
