"""One HTTP/1.1 connection: a request out, an answer in, nothing more.

`http.client` parses headers as mail and sends head and body apart, which costs more CPU than everything else in a call.
Not here: pipelining, compression, cookies, redirects.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Mapping
from typing import IO, NamedTuple

from afs.errors import ProviderError

_LONGEST_HEAD = 1 << 17
_PIECE = 1 << 16
_FRESH_S = 1.0
"""A connection used a moment ago is not looked at before its next use: servers close idle ones after seconds."""
_NO_BODY = (204, 304)


class ProtocolError(ProviderError):
    """The server does not speak HTTP/1.1 as it should."""


class Head(NamedTuple):
    """Status and headers, their names in lower case."""

    status: int
    headers: Mapping[str, str]


class Address(NamedTuple):
    """Where to connect, by which way."""

    host: str
    port: int
    is_secure: bool
    proxy: tuple[str, int] | None = None
    context: ssl.SSLContext | None = None


class Connection:
    """A connected socket with what was read ahead."""

    def __init__(self, address: Address, *, connect_s: float, timeout_s: float) -> None:
        self._ahead = b""
        self.is_kept = True
        """Whether another request may follow."""
        self.used_at = time.monotonic()
        tunnelled = address.proxy is not None and address.is_secure
        self.sock = socket.create_connection(address.proxy or (address.host, address.port), timeout=connect_s)
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tunnelled:
                self._tunnel(address.host, address.port)
            if address.is_secure:
                assert address.context is not None
                self.sock = address.context.wrap_socket(self.sock, server_hostname=address.host)
                self.sock.settimeout(timeout_s)
            else:
                self._limit(timeout_s)
        except BaseException:
            self.sock.close()
            raise

    def _limit(self, timeout_s: float) -> None:
        """Time limits kept by the kernel: one call of it less for every read and write."""
        self.sock.setblocking(True)
        limit = struct.pack("@ll", int(timeout_s), int(timeout_s % 1 * 1e6) or (not int(timeout_s)))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def _tunnel(self, host: str, port: int) -> None:
        self.sock.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode("ascii"))
        head = self.read_head()
        if head.status != 200:
            raise ProtocolError(f"the proxy does not connect to {host}:{port} (HTTP {head.status})")

    def is_usable(self) -> bool:
        """Whether the server still listens, as far as can be seen."""
        if time.monotonic() - self.used_at < _FRESH_S:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)  # something to read on an idle connection is the server's goodbye

    def send(self, head: bytes, body: bytes | IO[bytes] | None) -> None:
        """Send a request."""
        if body is None or isinstance(body, bytes):
            self.sock.sendall(head + (body or b""))
            return
        self.sock.sendall(head)
        while piece := body.read(_PIECE):
            self.sock.sendall(piece)

    def read_head(self) -> Head:
        """The status and the headers of the next answer; interim answers are passed over."""
        while True:
            end = self._ahead.find(b"\r\n\r\n")
            while end < 0:
                if len(self._ahead) > _LONGEST_HEAD:
                    raise ProtocolError("an answer without an end of its headers")
                self._ahead += self._receive()
                end = self._ahead.find(b"\r\n\r\n")
            lines = self._ahead[:end].decode("latin-1").split("\r\n")
            self._ahead = self._ahead[end + 4 :]
            version, _, rest = lines[0].partition(" ")
            if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
                raise ProtocolError(f"no HTTP answer but {lines[0][:60]!r}")
            status = int(rest[:3])
            if status >= 200 or status == 101:
                headers = {
                    name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines[1:])
                }
                closes = "close" in headers.get("connection", "").lower()
                self.is_kept = not closes and version != "HTTP/1.0"
                return Head(status, headers)

    def read_body(self, method: str, head: Head) -> Iterator[bytes]:
        """The body in pieces as they arrive."""
        if method == "HEAD" or head.status in _NO_BODY:
            return
        if "chunked" in head.headers.get("transfer-encoding", "").lower():
            yield from self._chunks()
        elif (length := head.headers.get("content-length")) is not None:
            if not length.isdigit():
                raise ProtocolError(f"a body of {length!r} bytes")
            yield from self._exactly(int(length))
        else:
            self.is_kept = False
            yield from self._to_the_end()
        self.used_at = time.monotonic()

    def _exactly(self, count: int) -> Iterator[bytes]:
        while count:
            if not self._ahead:
                self._ahead = self._receive()
            piece, self._ahead = self._ahead[:count], self._ahead[count:]
            count -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size_text = self._line().partition(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError as error:
                raise ProtocolError(f"a chunk of {size_text[:20]!r} bytes") from error
            yield from self._exactly(size)
            if size == 0:
                while self._line():
                    pass  # trailers
                return
            self._line()

    def _line(self) -> bytes:
        while b"\r\n" not in self._ahead:
            if len(self._ahead) > _LONGEST_HEAD:
                raise ProtocolError("a line without an end")
            self._ahead += self._receive()
        line, _, self._ahead = self._ahead.partition(b"\r\n")
        return line

    def _to_the_end(self) -> Iterator[bytes]:
        if self._ahead:
            piece, self._ahead = self._ahead, b""
            yield piece
        while piece := self.sock.recv(_PIECE):
            yield piece

    def _receive(self) -> bytes:
        try:
            piece = self.sock.recv(_PIECE)
        except BlockingIOError as error:  # the kernel's time limit
            raise TimeoutError(os.strerror(error.errno or 0)) from error
        if not piece:
            raise ConnectionError("closed by the server within an answer")
        return piece

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()
