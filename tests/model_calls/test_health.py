"""Machines of one's own are asked whether they live: closed before a call fails on them, open again once they answer."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from afs.model_calls.health import HealthPoller, address_of, poller_for
from afs.model_calls.target import FAILURES_TO_OPEN, Target
from afs.providers.failures import CallError
from afs.providers.ollama import Ollama
from afs.providers.openai import OpenAI
from afs.providers.openai_hosts import Vllm


class Node(HTTPServer):
    """A server whose list of models answers with `status`."""

    status = 200
    paths: list[str]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Node)
        self.server.paths.append(self.path)
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def node() -> Iterator[Node]:
    server = Node(("127.0.0.1", 0), _Handler)
    server.paths = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_machine_that_is_down_is_closed_and_one_that_came_back_is_open_at_once(node: Node) -> None:
    target = Target(Vllm("m", {"base_url": f"http://127.0.0.1:{node.server_port}/v1"}))
    poller = HealthPoller({})
    poller._addresses = {address_of(target): "models"}
    node.status = 503
    poller.poll()
    poller.apply([target])
    assert target.ready_in(target.clock(), 1) > 0 and "health check: HTTP 503" in target.reason
    node.status = 200
    poller.poll()
    poller.apply([target])
    assert target.ready_in(target.clock(), 1) == 0.0 and node.paths == ["/v1/models"] * 2


def test_an_open_circuit_is_closed_by_a_healthy_machine_and_a_rejected_key_is_not(node: Node) -> None:
    target = Target(Vllm("m", {"base_url": f"http://127.0.0.1:{node.server_port}/v1"}))
    for _ in range(FAILURES_TO_OPEN):
        target.start(1)
        target.fail(CallError("busy", "down"), 1, target.clock())
    assert target.ready_in(target.clock(), 1) > 0
    poller = HealthPoller({})
    poller._addresses = {address_of(target): "models"}
    poller.poll()
    poller.apply([target])
    assert target.ready_in(target.clock(), 1) == 0.0
    target.start(1)
    assert target.ready_in(target.clock(), 1) > 0, "one probe at a time"
    target.fail(CallError("unusable", "the key is rejected"), 1, target.clock())
    poller.apply([target])
    assert math.isinf(target.ready_in(target.clock(), 1))


def test_only_machines_of_ones_own_are_polled(node: Node) -> None:
    url = f"http://127.0.0.1:{node.server_port}"
    paid = Target(OpenAI("m", {"base_url": "http://127.0.0.1:9/v1"}))
    own = Target(Ollama("m", {"base_url": url}))
    with poller_for([paid, own], every_s=0.01) as poller:
        while not poller.found:
            pass
    assert set(poller.found) == {url} and poller.found[url].is_up and node.paths[0] == "/api/tags"
