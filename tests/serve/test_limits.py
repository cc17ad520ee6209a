"""Limits of the gateway: heads that never end, deadlines, budgets of tokens."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from tests.serve.chat_backend import ChatBackend, Served, chunk, running

from afs.council.answer import Council
from afs.council.reply_log import ReplyLog
from afs.serve.access import Tokens, add_token, hash_token, hashes_of, read_tokens
from afs.serve.gateway import Gateway
from afs.serve.header_timeout import TimedProtocol
from afs.serve.token_quotas import Spending, count_tokens
from afs.types import Expert
from afs.workspace import Workspace

ASK: dict[str, Any] = {"model": "din", "messages": [{"role": "user", "content": "one two"}]}


class Impatient(TimedProtocol):
    """Waits for a head a quarter of a second."""

    head_s = 0.25


@contextmanager
def impatient(app: ASGIApp) -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=Impatient, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()
    server.should_exit = True
    thread.join(10)
    listener.close()


def council_of(url: str) -> Council:
    return Council({"din": (Expert(name="din", model="d"), Served(url))}, None)


def test_connections_with_half_a_head_are_closed_and_others_answered() -> None:
    with running(ChatBackend("three").app()) as url, impatient(Gateway(council_of(url)).app()) as place:
        half = [socket.create_connection(place, timeout=20) for _ in range(200)]
        for one in half[::2]:
            one.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
        with httpx2.Client(base_url=f"http://{place[0]}:{place[1]}", timeout=30) as client:
            for _ in range(2):
                assert client.post("/v1/chat/completions", json=ASK).status_code == 200
        assert [one.recv(1) for one in half] == [b""] * 200, "each was closed by the server"
        for one in half:
            one.close()


class Sleeper:
    """A model's server that begins and never ends."""

    def __init__(self) -> None:
        self.gone = threading.Event()

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self.answer, methods=["POST"])])

    async def answer(self, request: Request) -> Response:
        if (await request.json()).get("stream"):
            return StreamingResponse(self.words(), media_type="text/event-stream")
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        self.gone.set()
        return JSONResponse({})

    async def words(self) -> Any:
        try:
            yield chunk({"delta": {"content": "one "}, "finish_reason": None})
            await asyncio.Event().wait()
        finally:
            self.gone.set()


@pytest.mark.parametrize("stream", [False, True])
def test_a_deadline_ends_an_answer_and_frees_its_slot(stream: bool) -> None:
    sleeper = Sleeper()
    sent = ASK | {"stream": stream, "afs": {"deadline_s": 0.3, "verify": "off"}}
    with (
        running(sleeper.app()) as url,
        running(Gateway(council_of(url)).app()) as gateway,
        httpx2.Client(base_url=gateway, timeout=30) as client,
    ):
        answer = client.post("/v1/chat/completions", json=sent)
        assert sleeper.gone.wait(10), "the model's server is told that nobody waits"
        if stream:
            events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
            assert events[0]["choices"][0]["delta"]["content"] == "one " and events[-1]["error"]["code"] == "deadline"
        else:
            assert answer.status_code == 504 and answer.json()["error"]["code"] == "deadline"
        for wrong in (0, 5e-324, -1, True, "soon", 1e9):
            refused = client.post("/v1/chat/completions", json=ASK | {"afs": {"deadline_s": wrong}})
            assert refused.status_code == 400 and refused.json()["error"]["param"] == "afs.deadline_s"


def test_a_budget_is_used_up_and_remembered(workspace: Workspace) -> None:
    log, tokens = ReplyLog(workspace), Tokens({"lap": hash_token("a"), "free": hash_token("b")})
    spending = Spending({"lap": 7})
    with (
        running(ChatBackend("three four").app()) as url,
        running(Gateway(council_of(url), tokens=tokens, log=log, spending=spending).app()) as gateway,
        httpx2.Client(base_url=gateway, timeout=30) as client,
    ):
        mine, other = {"x-api-key": "a"}, {"x-api-key": "b"}
        codes = [client.post("/v1/chat/completions", json=ASK, headers=mine).status_code for _ in range(3)]
        refused = client.post("/v1/chat/completions", json=ASK | {"stream": True}, headers=mine)
        assert codes == [200, 200, 429] and refused.json()["error"]["code"] == "budget_exhausted"
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        assert client.post("/v1/chat/completions", json=ASK, headers=other).status_code == 200
        assert 'afs_tokens_today{owner="lap"} 10' in client.get("/metrics", headers=other).text
    again = Spending({"lap": 7})
    again.restore(ReplyLog(workspace).routes())
    assert again.spent() == {"lap": 10, "free": 5}


def test_a_new_day_begins_at_zero() -> None:
    now = [0.0]
    spending = Spending({"lap": 5}, clock=lambda: now[0])
    spending.add("lap", 5)
    now[0] = 86_400.0
    spending.check("lap")
    assert spending.spent() == {}


def test_tokens_of_every_dialect_are_counted() -> None:
    assert count_tokens({"usage": {"prompt_tokens": 2, "completion_tokens": 3}}) == 5
    assert count_tokens({"type": "message_start", "message": {"usage": {"input_tokens": 2, "output_tokens": 1}}}) == 3
    assert count_tokens({"response": {"usage": {"input_tokens": 2, "output_tokens": 9}}}) == 11
    assert count_tokens({"usage": None}) == count_tokens({"usage": {"prompt_tokens": "x"}}) == 0


def test_a_token_of_an_earlier_version_is_read_and_a_limit_is_kept(workspace: Workspace) -> None:
    (workspace.root / "tokens.json").write_text(json.dumps({"old": hash_token("o")}))
    token = add_token(workspace.root, "new", 1000)
    stored = read_tokens(workspace.root)
    assert stored["new"].daily_tokens == 1000 and stored["old"].daily_tokens is None
    assert Tokens(hashes_of(stored)).owner(token) == "new" and Tokens(hashes_of(stored)).owner("o") == "old"
