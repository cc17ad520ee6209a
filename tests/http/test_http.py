"""The client against real sockets: kept connections, every way a body ends, and failures that say what was sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from afs.http import Client, HttpError, TimedOutError, TooLargeError, UnreachableError, connection


@contextmanager
def serving(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives raw answers in turn, on as many connections as it takes; and what it was sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []
    left = list(answers)

    def run() -> None:
        while left:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                while left:
                    raw = b""
                    while b"\r\n\r\n" not in raw:
                        piece = sock.recv(65536)
                        if not piece:
                            break
                        raw += piece
                    if not raw:
                        break
                    asked.append(raw)
                    answer = left.pop(0)
                    sock.sendall(answer)
                    if b"connection: close" in answer or b"HTTP/1.0" in answer or not answer:
                        break

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", asked
    finally:
        listener.close()
        thread.join(5)


OK = b"HTTP/1.1 200 OK\r\nX-Id: 7\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: 1\r\n\r\n"


def test_connections_are_kept_and_bodies_end_in_every_way() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    closing = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end"
    with (
        serving(OK, CHUNKED, interim + OK, closing) as (url, asked),
        Client(url, {"Authorization": "Bearer k"}) as client,
    ):
        first = client.post("chat", b"{}")
        assert (first.status, first.headers["x-id"], first.body) == (200, "7", b"hi")
        assert client.post("chat", b"{}").body == b"abcde"
        assert client.post("chat", b"{}").body == b"hi"
        assert client.request("GET", "models").body == b"to the end"
    assert asked[0].startswith(b"POST /v1/chat HTTP/1.1\r\n") and b"\r\nauthorization: Bearer k\r\n" in asked[0]
    assert asked[0].endswith(b"content-length: 2\r\n\r\n{}") and asked[3].startswith(b"GET /v1/models ")


def test_a_stream_arrives_line_by_line() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\na\r\n\nbc\nlast"
    with serving(answer) as (url, _), Client(url) as client, client.stream("chat", b"{}") as stream:
        assert list(stream.lines) == [b"a", b"", b"bc", b"last"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "the connection broke"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\ncut", "closed by the server"),
        (b"SSH-2.0\r\n\r\n", "no HTTP answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "a chunk of"),
    ],
)
def test_a_broken_answer_may_have_been_charged(answer: bytes, problem: str) -> None:
    with serving(answer) as (url, _), Client(url) as client, pytest.raises(HttpError, match=problem) as caught:
        client.post("chat", b"{}")
    assert caught.value.sent


def test_nobody_there_was_sent_nothing() -> None:
    with pytest.raises(UnreachableError) as caught:
        Client("http://127.0.0.1:9").post("x", b"{}")
    assert not caught.value.sent
    with pytest.raises(HttpError, match="is no address"):
        Client("box:11434")


def test_no_answer_in_time() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.05)
    with pytest.raises(TimedOutError) as caught:
        client.post("x", b"{}")
    assert caught.value.sent
    listener.close()


def test_an_endless_answer_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afs.http.LARGEST_BODY", 10)
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\nconnection: close\r\n\r\n" + b"x" * 20
    with serving(answer) as (url, _), Client(url) as client, pytest.raises(TooLargeError):
        client.post("x", b"{}")


def test_headers_cannot_be_split() -> None:
    with serving(OK) as (url, asked), Client(url) as client:
        with pytest.raises(HttpError, match="line break"):
            client.post("x", b"{}", {"a": "b\r\nc: d"})
        assert client.post("x", b"{}").status == 200
    assert len(asked) == 1 and connection.ProtocolError
