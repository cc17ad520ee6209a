"""A model's server for tests of chats: says its lines one after another, word by word where a stream is asked for."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from afs.providers.base import GREEDY, Sampling, Wire
from afs.types import Completion, Message, Tool


class ChatBackend:
    """The server, and what it was sent."""

    def __init__(self, *lines: str) -> None:
        self.lines, self.bodies = list(lines), list[dict[str, Any]]()

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self.answer, methods=["POST"])])

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        text = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        usage = {"prompt_tokens": 3, "completion_tokens": len(text.split())}
        if body.get("stream"):
            return StreamingResponse(self.words(text, usage), media_type="text/event-stream")
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return JSONResponse({"id": "x", "model": "inner", "choices": [choice], "usage": usage})

    async def words(self, text: str, usage: dict[str, int]) -> AsyncIterator[bytes]:
        for at, word in enumerate(text.split(" ")):
            yield chunk({"delta": {"content": word if at == 0 else " " + word}, "finish_reason": None})
        yield chunk({"delta": {}, "finish_reason": "stop"})
        yield b"data: " + json.dumps({"id": "x", "choices": [], "usage": usage}).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"


def chunk(choice: dict[str, Any]) -> bytes:
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "choices": [{"index": 0, **choice}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


class Served:
    """A provider whose requests are passed on to the server."""

    name = "served"

    def __init__(self, url: str) -> None:
        self.url = url

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        raise AssertionError("its requests are passed on")

    def wire(self) -> Wire:
        return Wire(f"{self.url}/v1", {}, {})


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """The address of an application on a real port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listener.close()
