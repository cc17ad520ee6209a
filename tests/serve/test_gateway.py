"""The gateway on a real socket: what reaches the model, streams, verdicts, dialects, errors, access."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2
import msgspec
import openai
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from afs import answer_verifier
from afs.council.answer import Council
from afs.council.reply_check import ReplyChecker
from afs.errors import ProviderError, UsageError
from afs.providers import provider
from afs.providers.base import GREEDY, Sampling, Wire
from afs.serve.access import Tokens, demand_token, hash_token
from afs.serve.gateway import Gateway
from afs.types import Completion, Expert, Message, Tool, Usage

TASK = next(answer_verifier.load_pack("sums").tasks("add", 0, 1))
CODE = "Here it is:\n\n```asm\nlda #$01\nsta $10\nrts\n```\nDone."
WRONG = "Here it is:\n\n```asm\nlda #$01\nedxcxc\nrts\n```\nDone."


class Adder:
    """A model without an HTTP interface; knows one sum and breaks on demand."""

    name = "adder"

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        if messages[-1].text == "break":
            raise ProviderError("adder is out")
        return Completion(text=TASK.reference, model="m", usage=Usage(input_tokens=3, output_tokens=1))


class Backend:
    """A model's server: streams word by word, remembers what it was sent, and notices who leaves."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self.text, self.pause, self.gone = "one two three", 0.0, threading.Event()
        self.go_on = threading.Event()

    def app(self) -> Starlette:
        paths = ("chat/completions", "completions", "responses", "messages", "messages/count_tokens")
        return Starlette(routes=[Route(f"/v1/{path}", self.answer, methods=["POST"]) for path in paths])

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        path = request.url.path.removeprefix("/v1/")
        self.bodies.append((path, body))
        if "too long" in json.dumps(body):
            error = {"code": 400, "message": "exceeds the available context size", "type": "exceed_context_size_error"}
            return JSONResponse({"error": error}, status_code=400)
        if path == "messages/count_tokens":
            return JSONResponse({"input_tokens": 7})
        if body.get("stream"):
            return StreamingResponse(self.words(path), media_type="text/event-stream")
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse({"id": "x", "model": "inner", "choices": [choice], "usage": {"prompt_tokens": 2}})

    async def words(self, path: str) -> AsyncIterator[bytes]:
        try:
            if path != "chat/completions":
                yield b'event: message_start\ndata: {"type": "message_start", "message": {"model": "inner"}}\n\n'
                return
            for word in self.text.split(" "):
                delta = {"content": word + " "}
                yield self.chunk({"index": 0, "delta": delta, "finish_reason": None})
                while self.pause and not self.go_on.is_set():
                    await asyncio.sleep(self.pause)
            yield self.chunk({"index": 0, "delta": {}, "finish_reason": "stop"})
            yield b"data: [DONE]\n\n"
        finally:
            self.gone.set()

    def chunk(self, choice: dict[str, Any]) -> bytes:
        body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "inner", "choices": [choice]}
        return b"data: " + json.dumps(body).encode() + b"\n\n"


class Served:
    """A provider whose requests are passed on to the backend."""

    name = "served"

    def __init__(self, url: str) -> None:
        self.url = url

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        raise AssertionError("its requests are passed on")

    def wire(self) -> Wire:
        dialects = frozenset({"chat/completions", "responses", "messages", "messages/count_tokens"})
        return Wire(f"{self.url}/v1", {"x-key": "k"}, {"id_slot": 3}, dialects)


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def backend() -> Backend:
    return Backend()


@pytest.fixture(scope="module")
def address(backend: Backend) -> Iterator[str]:
    checker = ReplyChecker()
    with running(backend.app()) as url:
        seats = {
            "din": (Expert(name="din", model="d", system="be din"), Served(url)),
            "adder": (Expert(name="adder", model="m"), Adder()),
        }
        tokens = Tokens({"me": hash_token("sesame")})
        with running(Gateway(Council(seats, None, None, checker), tokens=tokens).app()) as gateway:
            yield gateway
    checker.close()


@pytest.fixture
def client(address: str, backend: Backend) -> Iterator[httpx2.Client]:
    backend.bodies.clear()
    backend.text, backend.pause = "one two three", 0.0
    backend.gone.clear()
    backend.go_on.clear()
    with httpx2.Client(base_url=address, headers={"authorization": "Bearer sesame"}, timeout=30) as one:
        yield one


def body(text: str = "add", model: str = "council/din", **more: object) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def chat(client: httpx2.Client, **fields: Any) -> httpx2.Response:
    return client.post("/v1/chat/completions", json=body(**fields))


def events(answer: httpx2.Response) -> list[dict[str, Any]]:
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


def test_every_field_reaches_the_model(client: httpx2.Client, backend: Backend) -> None:
    fields = {
        "temperature": 0.7, "top_p": 0.9, "n": 2, "stop": ["x"], "seed": 4, "max_completion_tokens": 9, "min_p": 0.1,
        "response_format": {"type": "json_object"}, "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "required", "logit_bias": {"5": 1}, "parallel_tool_calls": False,
    }  # fmt: skip
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}, {"type": "text", "text": "?"}]
    sent = body(**fields) | {"messages": [{"role": "user", "content": image}]}
    answer = client.post("/v1/chat/completions", json=sent)
    path, got = backend.bodies[0]
    assert path == "chat/completions" and {key: got[key] for key in fields} == fields
    assert got["messages"] == [{"role": "system", "content": "be din"}, {"role": "user", "content": image}]
    assert got["id_slot"] == 3 and "afs" not in got
    assert answer.json()["model"] == "council/din" and answer.headers["x-expert"] == "din"
    assert answer.json()["choices"][0]["message"]["content"] == "one two three", "no footer where a program reads"


@pytest.mark.parametrize("field", ["logit_bias", "n", "response_format", "audio"])
def test_a_model_that_cannot_honor_a_field_says_which(client: httpx2.Client, field: str) -> None:
    value: object = {"n": 3, "response_format": {"type": "json_object"}}.get(field, {})
    refused = chat(client, model="adder", **{field: value})
    assert refused.status_code == 400 and refused.json()["error"]["param"] == field


def test_the_first_token_is_there_before_the_last(client: httpx2.Client, backend: Backend) -> None:
    backend.pause = 0.01
    with client.stream("POST", "/v1/chat/completions", json=body(stream=True)) as answer:
        lines = answer.iter_lines()
        first = next(line for line in lines if line.startswith("data: "))
        assert json.loads(first[6:])["choices"][0]["delta"]["content"] == "one "
        assert json.loads(first[6:])["model"] == "council/din"
        backend.go_on.set()
        assert [line for line in lines if line][-1] == "data: [DONE]"


def test_who_goes_away_frees_the_model(client: httpx2.Client, backend: Backend) -> None:
    backend.pause = 0.01
    with client.stream("POST", "/v1/chat/completions", json=body(stream=True)) as answer:
        next(answer.iter_lines())
    assert backend.gone.wait(5)


def test_code_is_run_before_it_is_shown(client: httpx2.Client, backend: Backend) -> None:
    backend.text = WRONG
    chunks = events(chat(client, text="Write a routine", stream=True))
    shown = text_of(chunks)
    assert shown.startswith(WRONG) and "✘ refuted: line 5: unknown command" in shown
    blocks = [c["choices"][0]["delta"]["content"] for c in chunks if "edxcxc" in json.dumps(c)]
    assert len(blocks) == 1 and blocks[0].startswith("```asm"), "the block came whole"
    assert chunks[-1]["afs"]["verdict"]["stage"] == "refuted"
    backend.text = CODE
    whole = chat(client, text="Write a routine").json()
    assert whole["afs"]["verdict"]["stage"] == "runs"
    assert whole["choices"][0]["message"]["content"].endswith("▸ runs; effect not stated · 11 cycles · 5 bytes")
    assert chat(client, text="q", afs={"verify": "off"}).json()["afs"]["verdict"] is None


def test_a_task_states_the_check(client: httpx2.Client) -> None:
    answer = chat(client, model="adder", afs={"task": msgspec.to_builtins(TASK)}).json()
    assert answer["afs"]["verdict"]["ok"] is True
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}


def test_a_model_without_a_server_streams_its_whole_answer(client: httpx2.Client) -> None:
    chunks = events(chat(client, model="adder", stream=True, stream_options={"include_usage": True}))
    assert text_of(chunks[:-1]).startswith(TASK.reference) and chunks[-1]["usage"]["total_tokens"] == 4
    broken = chat(client, text="break", model="adder", stream=True)
    assert "adder is out" in broken.text and "[DONE]" not in broken.text


def test_messages_are_answered_and_checked_where_no_server_serves_them(client: httpx2.Client, backend: Backend) -> None:
    backend.text = CODE
    sent = {"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": "Write a routine"}]}
    whole = client.post("/v1/messages", json=sent).json()
    assert (whole["type"], whole["model"], whole["stop_reason"]) == ("message", "council/din", "end_turn")
    assert whole["content"][0]["text"].endswith("▸ runs; effect not stated · 11 cycles · 5 bytes")
    assert whole["afs"]["verdict"]["stage"] == "runs"
    assert [path for path, _ in backend.bodies] == ["chat/completions"]
    streamed = client.post("/v1/messages", json={**sent, "stream": True}).text
    assert "effect not stated" in streamed and streamed.rstrip().endswith('data: {"type":"message_stop"}')
    summed = {**sent, "model": "adder", "messages": [{"role": "user", "content": "add"}]}
    assert client.post("/v1/messages", json=summed).json()["content"][0]["text"].startswith(TASK.reference)
    broken = client.post("/v1/messages", json={**sent, "messages": [{"role": "user", "content": [{"type": "x"}]}]})
    assert (broken.status_code, broken.json()["error"]["param"]) == (400, "messages[0]")


def test_other_dialects_are_passed_on(client: httpx2.Client, backend: Backend) -> None:
    billing = {"type": "text", "text": "x-anthropic-billing-header: cch=123;"}
    sent = {"model": "claude-x", "max_tokens": 5, "system": [billing, {"type": "text", "text": "s"}], "messages": []}
    turn = {"role": "user", "content": "hi"}
    streamed = client.post("/v1/messages?beta=true", json={**sent, "messages": [turn], "stream": True})
    assert b'"model":"council/din"' in streamed.content
    path, got = backend.bodies[0]
    assert path == "messages" and [part["text"] for part in got["system"]] == ["be din", "s"]
    counted = client.post("/v1/messages/count_tokens", json={**sent, "messages": [turn]})
    assert counted.json() == {"input_tokens": 7}
    tools = [{"type": "function", "name": "f"}, {"type": "web_search"}, {"type": "custom", "name": "g"}]
    client.post("/v1/responses", json={"model": "council", "input": "hi", "tools": tools, "store": False})
    assert backend.bodies[-1][1]["tools"] == tools[:1] and backend.bodies[-1][1]["instructions"] == "be din"
    kept = client.post("/v1/responses", json={"model": "council", "input": "hi", "previous_response_id": "r"})
    assert (kept.status_code, kept.json()["error"]["param"]) == (400, "previous_response_id")
    assert client.post("/v1/embeddings", json={"model": "council", "input": "x"}).status_code == 400


def test_models(client: httpx2.Client) -> None:
    for path in ("/v1/models", "/models"):
        found = client.get(path).json()
        assert [m["id"] for m in found["data"]] == ["council", "council/din", "council/adder"]
        assert [m["slug"] for m in found["models"]] == [m["id"] for m in found["data"]]
    assert client.get("/v1/models/council/din").json()["id"] == "council/din"
    assert client.get("/v1/models/gpt").status_code == 404


@pytest.mark.parametrize(
    ("content", "status", "param"),
    [
        (b"not json", 400, None), (b"[1]", 400, None), (b"\xff\xfe", 400, None), (b"[" * 5000 + b"]" * 5000, 400, None),
        (b'{"messages": ' + b"[" * 100000 + b"]" * 100000 + b"}", 400, None),
        (b'{"messages": "x"}', 400, "messages"), (b'{"messages": [3]}', 400, "messages[0]"),
        (b'{"messages": [{"role": "king"}]}', 400, "messages[0]"), (b'{"messages": []}', 400, "messages"),
        (b'{"messages": [{"role": "user", "content": [3]}]}', 400, "messages[0].content"),
        (b'{"messages": [{"role": "user", "content": 3}]}', 400, "messages[0].content"),
        (b'{"messages": [{"role": "assistant", "tool_calls": {}}], "stream": "yes"}', 400, "stream"),
        (b'{"messages": [{"role": "assistant", "tool_calls": {"a": 1}}]}', 400, "messages[0].tool_calls"),
        (b'{"messages": [{"role": "user", "content": "x"}], "stream_options": []}', 400, "stream_options"),
        (b'{"messages": [{"role": "user", "content": "x"}], "afs": "x"}', 400, "afs"),
        (b'{"messages": [{"role": "user", "content": "x"}], "afs": {"task": 3}}', 400, "afs.task"),
        (b'{"messages": [{"role": "user", "content": "x"}], "temperature": "hot"}', 400, "temperature"),
        (b'{"model": "gpt", "messages": [{"role": "user", "content": "x"}]}', 404, "model"),
        (b'{"model": "din", "messages": [{"role": "user", "content": "too long"}]}', 400, "messages"),
        (b'{"model": "adder", "messages": [{"role": "user", "content": "break"}]}', 502, None),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_status_and_its_field(
    client: httpx2.Client, content: bytes, status: int, param: str | None
) -> None:
    answer = client.post("/v1/chat/completions", content=content)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param) and error["message"] and error["type"]


def test_a_task_of_an_unknown_pack_is_no_crash(client: httpx2.Client) -> None:
    task = msgspec.to_builtins(TASK) | {"domain": "nobody"}
    answer = chat(client, model="adder", afs={"task": task})
    assert answer.status_code == 200 and answer.json()["afs"]["verdict"]["ok"] is None


def test_a_body_that_is_too_large_is_not_read(client: httpx2.Client) -> None:
    answer = client.post("/v1/chat/completions", content=b"x" * (17 << 20))
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "body_too_large"


def test_other_paths_and_methods_get_error_objects(client: httpx2.Client) -> None:
    assert client.get("/nowhere").json()["error"]["code"] == "not_found"
    assert client.head("/").status_code == 200
    assert "afs council" in client.get("/").text


def test_who_may_ask(address: str) -> None:
    with httpx2.Client(base_url=address) as stranger:
        assert stranger.post("/v1/chat/completions", json=body()).status_code == 401
        assert stranger.get("/v1/models", headers={"x-api-key": "sesame"}).status_code == 200
        assert stranger.get("/metrics").status_code == 401
        assert stranger.get("/health").json() == {"status": "ok"}
        for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}, {"origin": "null"}):
            refused = stranger.get("/health", headers=headers)
            assert refused.status_code == 403, headers
            assert "access-control-allow-origin" not in refused.headers
        assert stranger.get("/health", headers={"origin": "http://localhost:3000"}).status_code == 200


def test_beyond_this_machine_a_token_is_demanded() -> None:
    with pytest.raises(UsageError, match="needs a token"):
        demand_token("0.0.0.0", Tokens({}))
    demand_token("0.0.0.0", Tokens({"me": hash_token("x")}))
    demand_token("127.0.0.1", Tokens({}))


def test_a_check_that_hangs_or_crashes_lets_the_answer_through() -> None:
    checker = ReplyChecker(timeout_s=0.001)
    verdict = checker("q", CODE)
    checker.close()
    assert verdict.ok is None and verdict.stage == "not checkable"


def test_openais_own_client(address: str, backend: Backend, client: httpx2.Client) -> None:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="sesame", max_retries=0) as theirs:
        turn: Any = [{"role": "user", "content": "hi"}]
        assert theirs.models.retrieve("council").id == "council"
        assert theirs.chat.completions.create(model="council", messages=turn).choices[0].message.content
        chunks = list(theirs.chat.completions.create(model="council", messages=turn, stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices).startswith("one two three")
        with pytest.raises(openai.NotFoundError):
            theirs.chat.completions.create(model="gpt", messages=turn)


def test_our_own_client_understands_it(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNCIL_KEY", "sesame")
    one = provider("openai:council/adder", {"base_url": f"{address}/v1", "key_env": "COUNCIL_KEY"})
    assert one.complete((Message(role="user", text="add"),)).text.startswith(TASK.reference)
