"""A local HTTP server that answers as it is told and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Asked(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: dict[str, object]


class Wire:
    """What the server will say next, and what it heard."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self.answer: Callable[[Asked], tuple[int, object, dict[str, str]]] = lambda _: (500, {}, {})

    def say(self, body: object, status: int = 200, **headers: str) -> None:
        """Answer every request with this."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        self.answer = lambda _: (status, body, named)


@contextmanager
def serving() -> Iterator[Wire]:
    """Run the server."""
    wire = Wire()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length) or b"{}")
            asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            wire.asked.append(asked)
            status, answer, headers = wire.answer(asked)
            raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for key, value in {"content-length": str(len(raw)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    wire.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield wire
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
