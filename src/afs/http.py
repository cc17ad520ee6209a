"""HTTP for all that calls a server: kept connections, JSON, streams of lines, and failures that say what was sent.

Standard-library connections, one request on each at a time, so any number of threads may share a client. Nothing is
retried and no redirect is followed: a repeated call can cost money, so that decision belongs to the caller.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import urllib.request
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import IO, NamedTuple
from urllib.parse import SplitResult, urlsplit

from afs.errors import ProviderError

CONNECT_S = 10.0
"""A server that accepts no connection within this time is down or behind a firewall."""
LARGEST_BODY = 64 << 20
"""No answer of a model is longer; a server that sends more is broken, and memory is not for it to fill."""
_PIECE = 1 << 16


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
        self.base_url, self.headers = base_url.rstrip("/"), dict(headers)
        self.timeout_s, self.connect_s = timeout_s, min(connect_s, timeout_s)
        place = urlsplit(self.base_url)
        if place.scheme not in ("http", "https") or not place.hostname:
            raise HttpError(f"{base_url!r} is no address; want http://host:port/path", sent=False)
        self._place, self._ca_file = place, ca_file
        self._proxy = _proxy_of(place)
        self._root = f"{place.scheme}://{place.netloc}" if self._proxy and place.scheme == "http" else ""
        self._idle: deque[http.client.HTTPConnection] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def request(
        self, method: str, path: str, body: bytes | IO[bytes] | None = None, headers: Mapping[str, str] = {}
    ) -> Response:
        """One request, its whole answer read."""
        connection = self._send(method, path, body, headers)
        kept = False
        try:
            with _failures(f"{method} {self.base_url}", self.timeout_s):
                answer = connection.getresponse()
                content = answer.read(LARGEST_BODY)
                if not answer.isclosed() and answer.read(1):
                    raise TooLargeError(f"{self.base_url}: an answer of more than {LARGEST_BODY >> 20} MiB")
            kept = not answer.will_close
            return Response(answer.status, {k.lower(): v for k, v in answer.headers.items()}, content)
        finally:
            self._give_back(connection, kept)

    def post(self, path: str, body: bytes, headers: Mapping[str, str] = {}) -> Response:
        """Send JSON."""
        return self.request("POST", path, body, headers)

    @contextmanager
    def stream(self, path: str, body: bytes, headers: Mapping[str, str] = {}) -> Iterator[Stream]:
        """Send JSON and read the answer as it comes; the time limit holds for each line."""
        connection = self._send("POST", path, body, headers)
        kept = False
        try:
            with _failures(f"POST {self.base_url}", self.timeout_s):
                answer = connection.getresponse()
                yield Stream(answer.status, {k.lower(): v for k, v in answer.headers.items()}, _lines(answer))
                kept = answer.isclosed() and not answer.will_close
        finally:
            self._give_back(connection, kept)

    def close(self) -> None:
        """Close the idle connections."""
        _close_all(self._idle)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(
        self, method: str, path: str, body: bytes | IO[bytes] | None, headers: Mapping[str, str]
    ) -> http.client.HTTPConnection:
        connection = self._connected()
        target = self._root + self._place.path + ("/" + path.lstrip("/") if path else "")
        merged = {"content-type": "application/json", "accept-encoding": "identity", **self.headers, **headers}
        try:
            with _failures(f"{method} {self.base_url}", self.timeout_s):
                connection.request(method, target or "/", body, merged)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self) -> http.client.HTTPConnection:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took the last one
                break
            if connection.sock is not None and not _is_readable(connection.sock):
                return connection
            connection.close()
        connection = self._new()
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise UnreachableError(f"{self.base_url}: no connection: {str(error) or type(error).__name__}") from error
        if connection.sock is not None:
            connection.sock.settimeout(self.timeout_s)
        return connection

    def _new(self) -> http.client.HTTPConnection:
        place, proxy = self._place, self._proxy
        secure = place.scheme == "https"
        host, port = place.hostname or "", place.port or (443 if secure else 80)
        at = (proxy.hostname or "", proxy.port or 80) if proxy else (host, port)
        if not secure:
            return http.client.HTTPConnection(*at, timeout=self.connect_s)
        context = _tls(self._ca_file)
        connection = http.client.HTTPSConnection(*at, timeout=self.connect_s, context=context)
        if proxy:
            connection.set_tunnel(host, port)
        return connection

    def _give_back(self, connection: http.client.HTTPConnection, kept: bool) -> None:
        if kept and connection.sock is not None:
            self._idle.append(connection)
        else:
            connection.close()


def _close_all(idle: deque[http.client.HTTPConnection]) -> None:
    while idle:
        idle.popleft().close()


def quick_get(url: str, *, timeout_s: float = 2.0, headers: Mapping[str, str] = {}) -> Response:
    """One short look at an address."""
    place = urlsplit(url)
    with closing(Client(f"{place.scheme}://{place.netloc}", headers, timeout_s=timeout_s)) as client:
        return client.request("GET", place.path + (f"?{place.query}" if place.query else ""))


@contextmanager
def _failures(what: str, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise TimedOutError(f"{what}: no answer in time ({timeout_s:g} s)") from error
    except (OSError, http.client.HTTPException) as error:
        raise HttpError(f"{what}: the connection broke: {str(error) or type(error).__name__}", sent=True) from error


def _is_readable(sock: socket.socket) -> bool:
    """Whether an idle connection has something to read: the server's goodbye."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    size = 0
    while line := answer.readline(_PIECE << 4):
        size += len(line)
        if size > LARGEST_BODY:
            raise TooLargeError(f"a stream of more than {LARGEST_BODY >> 20} MiB")
        yield line.rstrip(b"\r\n")


@lru_cache(maxsize=8)
def _tls(ca_file: str) -> ssl.SSLContext:
    """One context a process: loading the certificates costs 20 ms."""
    return ssl.create_default_context(cafile=ca_file or None)


def _proxy_of(place: SplitResult) -> SplitResult | None:
    """The proxy that the environment names for an address, as every other program here would use it."""
    address = urllib.request.getproxies().get(place.scheme)
    if not address or urllib.request.proxy_bypass(place.hostname or ""):
        return None
    return urlsplit(address if "://" in address else f"http://{address}")
