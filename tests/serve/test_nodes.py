"""Machines of `nodes.toml` behind the council: each fault is an error object, a finished stream, or another machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.serve.chat_backend import running

from afs.council import open_council
from afs.council.answer import Council
from afs.errors import WorkspaceError
from afs.model_calls.model_chain import Caller, find_member_fault, watch_health
from afs.model_calls.target import FAILURES_TO_OPEN, Target
from afs.providers.openai_hosts import Vllm
from afs.serve.gateway import Gateway
from afs.serve.serve_command import refuse_faulty
from afs.types import Expert
from afs.workspace import Workspace

ASK: dict[str, Any] = {"model": "din", "messages": [{"role": "user", "content": "make it faster"}]}


class Node(ThreadingHTTPServer):
    """A machine that serves `din`, well or with one fault."""

    daemon_threads = True
    fault = ""
    served = "din"
    text = "one two three"
    asked = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """A client that left is none of ours."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Node

    def do_GET(self) -> None:
        self._send(200, {"data": [{"id": self.server.served}]})

    def do_POST(self) -> None:
        node = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        node.asked += 1
        self.close_connection = True
        if node.fault == "hangs":
            node.over.wait(20)
        elif node.fault == "busy":
            self._send(503, {"error": {"message": "loading"}})
        elif node.fault == "html":
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>oops</html>"
            )
        elif node.fault == "closes":
            self.connection.close()
        elif body.get("stream"):
            self._stream("chunked" if not node.fault.endswith("plain") else "plain")
        else:
            message = {"role": "assistant", "content": node.text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = json.dumps({"model": node.served, "choices": [choice], "usage": {"prompt_tokens": 1}}).encode()
            end = len(whole) // 2 if node.fault.startswith("dies") else len(whole)
            self.wfile.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(whole)}\r\n\r\n".encode() + whole[:end])

    def _stream(self, framing: str) -> None:
        node, chunked = self.server, framing == "chunked"
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            + (b"transfer-encoding: chunked\r\n\r\n" if chunked else b"connection: close\r\n\r\n")
        )

        def say(data: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
            self.wfile.flush()

        if node.fault == "error first":
            say(b'data: {"error": {"message": "out of memory"}}\n\n')
            say(b"")
            return
        for at, word in enumerate(node.text.split()):
            if at == 2 and node.fault.startswith("dies"):
                return
            if at == 2 and node.fault == "stalls":
                node.over.wait(20)
            choice = {"index": 0, "delta": {"content": word + " "}, "finish_reason": None}
            say(b"data: " + json.dumps({"model": node.served, "choices": [choice]}).encode() + b"\n\n")
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        say(b"data: " + json.dumps({"model": node.served, "choices": [end]}).encode() + b"\n\ndata: [DONE]\n\n")
        say(b"")

    def _send(self, status: int, body: object) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def nodes(count: int) -> Iterator[list[Node]]:
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            node = Node()
            thread = threading.Thread(target=node.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            stack.callback(node.server_close)
            stack.callback(thread.join)
            stack.callback(node.shutdown)
            stack.callback(node.over.set)
            found.append(node)
        yield found


def caller_of(machines: Sequence[Node], timeout_s: float = 0.5) -> Caller:
    options = [
        {"base_url": f"{node.url}/v1", "timeout_s": timeout_s, "name": f"node{n}:din"}
        for n, node in enumerate(machines)
    ]
    return Caller([Target(Vllm("din", one), concurrency=4) for one in options], name="nodes:din")


@contextmanager
def gateway_of(model: Caller) -> Iterator[httpx2.Client]:
    council = Council({"din": (Expert(name="din", model="nodes:din"), model)}, None)
    with running(Gateway(council).app()) as url, httpx2.Client(base_url=url, timeout=30) as client:
        yield client


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def words_of(events: Sequence[dict[str, Any]]) -> str:
    return "".join((e["choices"][0]["delta"].get("content") or "") for e in events if e.get("choices"))


BEFORE_THE_FIRST_BYTE = {
    "hangs": (504, "upstream_timeout"),
    "busy": (429, "busy"),
    "closes": (502, "upstream_error"),
    "html": (502, "upstream_error"),
    "wrong": (502, "wrong_model"),
}


@pytest.mark.parametrize("fault", BEFORE_THE_FIRST_BYTE)
def test_a_fault_of_the_only_machine_is_an_error_object(fault: str) -> None:
    status, code = BEFORE_THE_FIRST_BYTE[fault]
    with nodes(1) as [node], gateway_of(caller_of([node])) as client:
        node.fault = fault
        node.served = "qwen" if fault == "wrong" else "din"
        whole = client.post("/v1/chat/completions", json=ASK)
        assert (whole.status_code, whole.json()["error"]["code"]) == (status, code)
        streamed = client.post("/v1/chat/completions", json=ASK | {"stream": True})
        if fault == "html":
            assert events_of(streamed.text)[-1]["error"]["code"] == code
        elif fault == "wrong":
            assert streamed.status_code == 503 and "qwen answered, not din" in streamed.text, "it rests"
        else:
            assert (streamed.status_code, streamed.json()["error"]["code"]) == (status, code)
        node.fault, node.served = "", "din"
        if fault != "wrong":
            assert client.post("/v1/chat/completions", json=ASK).status_code == 200, "the gateway stays up"


@pytest.mark.parametrize("fault", ["dies", "dies plain", "stalls"])
def test_an_answer_that_breaks_off_is_a_finished_stream_with_an_error_event(fault: str) -> None:
    with nodes(2) as machines, gateway_of(caller_of(machines)) as client:
        machines[0].fault = fault
        answer = client.post("/v1/chat/completions", json=ASK | {"stream": True, "afs": {"verify": "off"}})
        events = events_of(answer.text)
        assert answer.status_code == 200 and words_of(events) == "one two ", "no other machine speaks after it"
        assert events[-1]["error"]["type"] == "upstream_error" and machines[1].asked == 0
        whole = client.post("/v1/chat/completions", json=ASK)
        assert whole.status_code == 200 and whole.json()["choices"][0]["message"]["content"].startswith("one two three")


@pytest.mark.parametrize("fault", ["hangs", "busy", "closes", "wrong", "error first"])
@pytest.mark.parametrize("stream", [False, True])
def test_another_machine_answers_before_the_first_byte(fault: str, stream: bool) -> None:
    with nodes(2) as machines, gateway_of(caller_of(machines)) as client:
        machines[0].fault = fault
        machines[0].served = "qwen" if fault == "wrong" else "din"
        answer = client.post("/v1/chat/completions", json=ASK | {"stream": stream})
        assert answer.status_code == 200 and machines[1].asked == (1 if stream or fault != "error first" else 0)
        text = words_of(events_of(answer.text)) if stream else answer.json()["choices"][0]["message"]["content"]
        assert text.startswith("one two three")


def test_a_broken_answer_of_another_dialect_ends_with_an_error_event() -> None:
    with nodes(1) as [node], gateway_of(caller_of([node])) as client:
        node.fault = "dies plain"
        ask = {"model": "din", "prompt": "x", "stream": True}
        answer = client.post("/v1/completions", json=ask)
        assert events_of(answer.text)[-1]["error"]["type"] == "upstream_error"


def test_a_machine_that_keeps_failing_is_not_asked_until_it_lives() -> None:
    with nodes(1) as [node], gateway_of(caller := caller_of([node])) as client:
        node.fault = "busy"
        codes = [client.post("/v1/chat/completions", json=ASK).status_code for _ in range(FAILURES_TO_OPEN + 3)]
        assert codes[-1] == 503 and node.asked == FAILURES_TO_OPEN, "the circuit is open"
        error = client.post("/v1/chat/completions", json=ASK)
        assert error.json()["error"]["code"] == "model_unavailable" and "failures in a row" in error.text
        assert 'afs_expert_up{expert="din"} 0' in client.get("/metrics").text
        node.fault = ""
        with watch_health([caller], every_s=60) as poller:
            while not poller.found:
                pass
            assert client.post("/v1/chat/completions", json=ASK).status_code == 200, "a poll finds it well"


def test_a_machine_that_serves_another_model_is_closed_by_a_poll() -> None:
    with nodes(2) as machines, gateway_of(caller := caller_of(machines)) as client:
        machines[0].served = "models/qwen-7b.gguf"
        with watch_health([caller], every_s=60) as poller:
            while not poller.found:
                pass
            assert client.post("/v1/chat/completions", json=ASK).status_code == 200
            assert [node.asked for node in machines] == [0, 1]
            assert "serves qwen-7b.gguf, not din" in caller.targets[0].reason
            machines[0].served = "models/din.gguf"
            poller.poll()
            assert client.post("/v1/chat/completions", json=ASK).status_code == 200
            assert [node.asked for node in machines] == [1, 1], "it is back"


def test_a_canary_refuses_what_is_another_model_or_shows_its_template() -> None:
    with nodes(2) as machines:
        assert find_member_fault(caller_of(machines)) == ""
        machines[0].served = "qwen"
        assert find_member_fault(caller_of(machines)) == "", "one of two is enough"
        assert "qwen answered, not din" in find_member_fault(caller_of(machines[:1]))
        machines[1].text = "ok<|im_end|>"
        assert "<|im_end|>" in find_member_fault(caller_of(machines[1:]))
        machines[1].fault = "closes"
        assert find_member_fault(caller_of(machines[1:])) == "", "a machine that is down may come back"


def write_council(root: Path, machines: Sequence[Node], experts: Sequence[str]) -> Workspace:
    """Each expert on a node of its own, as five ports of one machine are five nodes."""
    Workspace.create(root)
    tables = [
        f'[nodes.n{at}]\nurl = "{node.url}"\nkind = "openai"\nmodels = ["{node.served}"]\ntimeout_s = 5\n'
        for at, node in enumerate(machines)
    ]
    (root / "nodes.toml").write_text("\n".join(tables))
    served = ", ".join(f'{name} = "nodes:{name}"' for name in experts)
    fallback = f'fallback = "n{len(machines) - 1}:base"\n' if machines[-1].served == "base" else ""
    text = f'[council]\nrouter = "keywords:triforce"\n{fallback}served_by = {{ {served} }}\n'
    (root / "afs.toml").write_text(text)
    return Workspace(root)


def test_a_council_of_nodes_skips_an_expert_that_is_down_and_refuses_one_that_is_another(tmp_path: Path) -> None:
    with nodes(4) as machines:
        for node, name in zip(machines, ("din", "nayru", "farore", "base"), strict=True):
            node.served, node.text = name, f"{name} answers"
        workspace = write_council(tmp_path / "w", machines, ("din", "nayru", "farore"))
        council = open_council(workspace, checks=False)
        assert council.experts["din"][0].tags == ("optimize",), "a roster knows the name"
        machines[1].served = "qwen"
        refuse_faulty(council, workspace)
        assert "qwen answered, not nayru" in council.refused["nayru"]
        ask = {"messages": [{"role": "user", "content": "find the bug: this crashes, fix it"}], "model": "council"}
        with (
            running(Gateway(council).app()) as url,
            httpx2.Client(base_url=url, timeout=30) as client,
            watch_health(council.members().values(), every_s=60) as poller,
        ):
            while not poller.found:
                pass
            assert "farore answers" in client.post("/v1/chat/completions", json=ask).text
            refused = client.post("/v1/chat/completions", json=ask | {"model": "nayru"})
            assert refused.status_code == 503 and "refused at the start" in refused.json()["error"]["message"]
            machines[2].served = "nothing"
            poller.poll()
            skipped = client.post("/v1/chat/completions", json=ask)
            assert skipped.json()["afs"]["skipped"] == ["farore"] and "base answers" in skipped.text


def test_no_expert_that_may_serve_is_an_error_that_names_each(tmp_path: Path) -> None:
    with nodes(1) as [node]:
        workspace = write_council(tmp_path / "w", [node], ["din"])
        node.served = "qwen"
        with pytest.raises(WorkspaceError, match="qwen answered, not din"):
            refuse_faulty(open_council(workspace, checks=False), workspace)
