"""HTTP for all that calls a server: kept connections, JSON, streams of lines, and failures that say what was sent.

One request at a time on each connection, so any number of threads may share a client. Nothing is retried and no
redirect is followed: a repeated call can cost money, so that decision belongs to the caller.
"""

from __future__ import annotations

import os
import ssl
import urllib.request
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, NamedTuple
from urllib.parse import SplitResult, urlsplit

from afs.errors import ProviderError
from afs.http.connection import Address, Connection, ProtocolError

CONNECT_S = 10.0
"""A server that accepts no connection within this time is down or behind a firewall."""
LARGEST_BODY = 64 << 20
"""No answer of a model is longer; a server that sends more is broken, and memory is not for it to fill."""


class HttpError(ProviderError):
    """No answer; `sent` says whether the server may have received the request, and so may charge for it."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class UnreachableError(HttpError):
    """No connection: nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=False)


class TimedOutError(HttpError):
    """The request was sent and no answer came in time."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=True)


class TooLargeError(HttpError):
    """The answer is longer than any usable one."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=True)


class Response(NamedTuple):
    """What a server said; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, whatever bytes are in it."""
        return self.body.decode("utf-8", "replace")


class Stream(NamedTuple):
    """An answer that arrives line by line."""

    status: int
    headers: Mapping[str, str]
    lines: Iterator[bytes]


class Client:
    """Requests to one address."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str] = {},
        *,
        timeout_s: float = 120.0,
        connect_s: float = CONNECT_S,
        ca_file: str = "",
    ) -> None:
        self.base_url, self.timeout_s, self.connect_s = base_url.rstrip("/"), timeout_s, min(connect_s, timeout_s)
        place = urlsplit(self.base_url)
        try:
            port = place.port
        except ValueError:
            port = -1
        if place.scheme not in ("http", "https") or not place.hostname or port == -1:
            raise HttpError(f"{base_url!r} is no address; want http://host:port/path", sent=False)
        is_secure = place.scheme == "https"
        proxy = _proxy_of(place)
        self._address = Address(
            place.hostname, port or (443 if is_secure else 80), is_secure, proxy, _tls(ca_file) if is_secure else None
        )
        self._root = (f"http://{place.netloc}" if proxy and not is_secure else "") + place.path
        common = {"host": place.netloc.rpartition("@")[2], "accept-encoding": "identity", **_lower(headers)}
        self._common = {"content-type": "application/json", "user-agent": "afs", **common}
        self._heads: dict[tuple[str, str], bytes] = {}
        """Heads of requests that differ only in the length of their bodies."""
        self._idle: deque[Connection] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def request(
        self, method: str, path: str, body: bytes | IO[bytes] | None = None, headers: Mapping[str, str] = {}
    ) -> Response:
        """One request, its whole answer read."""
        with self._exchange(method, path, body, headers) as connection:
            head = connection.read_head()
            pieces, size = [], 0
            for piece in connection.read_body(method, head):
                size += len(piece)
                if size > LARGEST_BODY:
                    connection.is_kept = False
                    raise TooLargeError(f"{self.base_url}: an answer of more than {LARGEST_BODY >> 20} MiB")
                pieces.append(piece)
            return Response(head.status, head.headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def post(self, path: str, body: bytes, headers: Mapping[str, str] = {}) -> Response:
        """Send JSON."""
        return self.request("POST", path, body, headers)

    @contextmanager
    def stream(self, path: str, body: bytes, headers: Mapping[str, str] = {}) -> Iterator[Stream]:
        """Send JSON and read the answer as it comes; the time limit holds for each piece."""
        with self._exchange("POST", path, body, headers) as connection:
            head = connection.read_head()
            yield Stream(head.status, head.headers, _lines(connection.read_body("POST", head)))

    def close(self) -> None:
        """Close the idle connections."""
        _close_all(self._idle)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: bytes | IO[bytes] | None, headers: Mapping[str, str]
    ) -> Iterator[Connection]:
        connection = self._connected()
        is_whole = False
        try:
            connection.send(self._head(method, path, body, headers), body)
            yield connection
            is_whole = True
        except TimeoutError as error:
            raise TimedOutError(f"{self.base_url}: no answer in time ({self.timeout_s:g} s)") from error
        except (OSError, ProtocolError) as error:
            text = str(error) or type(error).__name__
            raise HttpError(f"{self.base_url}: the connection broke: {text}", sent=True) from error
        finally:
            if is_whole and connection.is_kept:
                self._idle.append(connection)
            else:
                connection.close()

    def _head(self, method: str, path: str, body: bytes | IO[bytes] | None, headers: Mapping[str, str]) -> bytes:
        if not headers and isinstance(body, bytes) and (known := self._heads.get((method, path))):
            return b"%b%d\r\n\r\n" % (known, len(body))
        merged = {**self._common, **_lower(headers)} if headers else self._common
        target = self._root + ("/" + path.lstrip("/") if path else "") or "/"
        lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in merged.items()]]
        if body is not None and "content-length" not in merged:
            size = len(body) if isinstance(body, bytes) else os.fstat(body.fileno()).st_size
            lines.append(f"content-length: {size}")
        text = "\r\n".join(lines)
        if text.count("\n") != len(lines) - 1 or not text.isascii():
            raise HttpError(
                f"{self.base_url}: a header or a path holds a line break or a special character", sent=False
            )
        found = text.encode("ascii")
        if not headers and isinstance(body, bytes):
            self._heads[method, path] = found[: found.rindex(b" ") + 1]
        return found + b"\r\n\r\n"

    def _connected(self) -> Connection:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took the last one
                break
            if connection.is_usable():
                return connection
            connection.close()
        try:
            return Connection(self._address, connect_s=self.connect_s, timeout_s=self.timeout_s)
        except (OSError, ProtocolError) as error:
            raise UnreachableError(f"{self.base_url}: no connection: {str(error) or type(error).__name__}") from error


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _close_all(idle: deque[Connection]) -> None:
    while idle:
        idle.popleft().close()


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    size, rest = 0, b""
    for piece in pieces:
        size += len(piece)
        if size > LARGEST_BODY:
            raise TooLargeError(f"a stream of more than {LARGEST_BODY >> 20} MiB")
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r")
    if rest:
        yield rest


@lru_cache(maxsize=8)
def _tls(ca_file: str) -> ssl.SSLContext:
    """One context a process: loading the certificates costs 20 ms."""
    return ssl.create_default_context(cafile=ca_file or None)


def _proxy_of(place: SplitResult) -> tuple[str, int] | None:
    """The proxy that the environment names for an address, as every other program here would use it."""
    address = urllib.request.getproxies().get(place.scheme)
    if not address or urllib.request.proxy_bypass(place.hostname or ""):
        return None
    proxy = urlsplit(address if "://" in address else f"http://{address}")
    return (proxy.hostname or "", proxy.port or 80)
