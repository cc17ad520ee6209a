"""A scripted teacher in this process, and a chat server that answers `sums` rightly and counts what it was asked."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from afs import plugins
from afs.providers.base import GREEDY, Sampling
from afs.providers.failures import CallError
from afs.types import Completion, Message, Tool, Usage
from afs.workspace import Workspace

Say = Callable[[str, Sampling, int], "str | CallError | Completion"]


class Script:
    """What the teacher answers: (question, sampling, number of the call) -> text, an answer, or a failure."""

    def __init__(self) -> None:
        self.say: Say = lambda text, sampling, number: right(text)
        self.asked: list[str] = []
        self.conversations: list[Sequence[Message]] = []
        self.lock = threading.Lock()

    def of(self, kind: str) -> list[str]:
        """Questions that one model was asked."""
        return [text for text in self.asked if text.startswith(f"{kind}|")]


SCRIPT = Script()
PRICE = 0.25
PROBE = "Reply with the word ok."
"""What the small call asks that tries a model before a campaign."""


class Pupil:
    """A model that follows the script."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        self.name = f"pupil:{model}"
        self.model = model

    def price_of(self, usage: Usage, *, cache_writes: int = 0, batch: bool = False) -> float:
        """A quarter for each answer in the worst case."""
        return PRICE if usage.output_tokens else 0.0

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        text = messages[-1].text
        with SCRIPT.lock:
            SCRIPT.asked.append(f"{self.model}|{text}")
            SCRIPT.conversations.append(messages)
            number = len(SCRIPT.asked)
        answer = SCRIPT.say(f"{self.model}|{text}", sampling, number)
        if isinstance(answer, CallError):
            raise answer
        if isinstance(answer, Completion):
            return answer
        return Completion(text=answer, model=self.model, usage=Usage(output_tokens=1, cost_usd=PRICE))


def right(text: str) -> str:
    """The right answer to a question of `sums`."""
    numbers = [int(n) for n in re.findall(r"\d+", text.partition("|")[2] or text)]
    word = (text.partition("|")[2] or text).split()[0]
    if word == "add":
        return str(sum(numbers))
    if word == "multiply":
        return str(numbers[0] * numbers[1])
    if word == "reverse":
        return " ".join(map(str, numbers[::-1]))
    return " ".join(map(str, sorted(numbers) if word == "sort" else numbers))


@pytest.fixture(autouse=True)
def _one_worker(workspace: Workspace) -> None:
    """One process that judges: starting a second costs more than these tests."""
    workspace.settings = msgspec.structs.replace(workspace.settings, jobs=1)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """The teacher `pupil:`."""
    monkeypatch.setitem(plugins.TABLES["provider"], "pupil", "scripted_pupil:Pupil")
    monkeypatch.setitem(sys.modules, "scripted_pupil", sys.modules[__name__])
    SCRIPT.__init__()  # type: ignore[misc]
    yield SCRIPT


class ChatServer:
    """An OpenAI-compatible server whose answers to `add` are right; `fault(number)` may answer instead."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.url = ""
        self.bill = 0
        """Billionths of a dollar charged, at one dollar per million tokens each way."""
        self.fault: Callable[[int], tuple[int, bytes, Mapping[str, str]] | None] = lambda number: None
        self.on_call: Callable[[int], None] = lambda number: None
        self.models: list[str] = []
        """What its list of models names; empty: it has none."""
        self.refused: str = ""
        """A field of the body it does not take."""


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    """A running server."""
    state = ChatServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            raw = json.dumps({"data": [{"id": name} for name in state.models]}).encode()
            self.send_response(200 if state.models else 404)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            question = body["messages"][-1]["content"]
            with state.lock:
                state.asked[question] += 1
                number = state.asked.total()
            state.on_call(number)
            fault = state.fault(number)
            if state.refused in body:
                text = f"Unsupported parameter: '{state.refused}' is not supported with this model."
                fault = (400, json.dumps({"error": {"message": text, "code": "unsupported_parameter"}}).encode(), {})
            status, raw, headers = fault or (200, self.answer(body, question), {})
            self.send_response(status)
            for key, value in {"content-length": str(len(raw)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(raw)

        def answer(self, body: Mapping[str, object], question: str) -> bytes:
            used = {"prompt_tokens": len(question), "completion_tokens": 3}
            with state.lock:
                state.bill += 1000 * (len(question) + 3)
            message = {"content": right(question)}
            table = {"model": "m-1", "choices": [{"message": message, "finish_reason": "stop"}], "usage": used}
            return json.dumps(table).encode()

        def log_message(self, *_: object) -> None:
            """Silent."""

        def handle(self) -> None:
            with suppress(ConnectionError):  # the campaign was killed
                super().handle()

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
