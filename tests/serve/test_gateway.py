"""The gateway on a real socket: OpenAI's wire format, streams, errors, a token."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence

import httpx2
import msgspec
import pytest
import uvicorn

from afs import verify
from afs.council.answer import Council
from afs.errors import ProviderError
from afs.providers import provider
from afs.providers.base import GREEDY, Sampling
from afs.serve.gateway import Gateway
from afs.types import Completion, Expert, Message, Tool, Usage

TASK = next(verify.load_pack("sums").tasks("add", 0, 1))


class Adder:
    """Knows one sum; breaks on demand."""

    name = "adder"

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        if messages[-1].text == "break":
            raise ProviderError("adder is out")
        return Completion(text=TASK.reference, model="m", usage=Usage(input_tokens=3, output_tokens=1))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    council = Council({"adder": (Expert(name="adder", model="m"), Adder())}, None, None, verify.check_answer)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Gateway(council, token="sesame").app(), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def client(address: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=address, headers={"authorization": "Bearer sesame"}, timeout=30) as one:
        yield one


def body(text: str = "add", **more: object) -> dict[str, object]:
    return {"model": "council", "messages": [{"role": "user", "content": text}], **more}


def test_models_with_and_without_the_prefix(client: httpx2.Client) -> None:
    for path in ("/v1/models", "/models"):
        assert [m["id"] for m in client.get(path).json()["data"]] == ["council", "council/adder"]
    assert client.get("/health").json() == {"status": "ok", "experts": ["adder"]}


def test_an_answer_says_who_gave_it_and_how_it_was_checked(client: httpx2.Client) -> None:
    told = client.post("/v1/chat/completions", json=body(afs={"task": msgspec.to_builtins(TASK)}))
    answer = told.json()
    assert told.headers["x-expert"] == "adder"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": TASK.reference}
    assert answer["model"] == "council/adder"
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    assert answer["afs"]["verdict"]["ok"] is True
    unchecked = client.post("/v1/chat/completions", json=body()).json()
    assert unchecked["afs"]["verdict"] is None, "what was not checked is not called right"


def test_a_stream_ends_with_done(client: httpx2.Client) -> None:
    told = client.post("/v1/chat/completions", json=body(stream=True, stream_options={"include_usage": True}))
    lines = [line.removeprefix("data: ") for line in told.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1]) == TASK.reference
    assert chunks[-1]["usage"]["total_tokens"] == 4
    broken = client.post("/v1/chat/completions", json=body("break", stream=True))
    assert "adder is out" in broken.text and "[DONE]" not in broken.text


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"not json", 400), (b"{}", 400), (b'{"messages": []}', 400), (b'{"messages": [{"role": "king"}]}', 400),
     (b'{"model": "gpt", "messages": [{"role": "user", "content": "x"}]}', 404),
     (b'{"messages": [{"role": "user", "content": "break"}]}', 502)],
)  # fmt: skip
def test_what_is_wrong_has_its_status(client: httpx2.Client, content: bytes, status: int) -> None:
    told = client.post("/v1/chat/completions", content=content)
    assert told.status_code == status and told.json()["error"]["message"]


def test_without_the_token_nothing_is_said(address: str) -> None:
    with httpx2.Client(base_url=address) as stranger:
        assert stranger.post("/v1/chat/completions", json=body()).status_code == 401


def test_our_own_client_understands_it(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNCIL_KEY", "sesame")
    one = provider("openai:council", {"base_url": f"{address}/v1", "key_env": "COUNCIL_KEY"})
    assert one.complete((Message(role="user", text="add"),)).text == TASK.reference
