"""HTTP to a model's own server, on the event loop: one request a connection, its answer as it comes.

Leaving the context closes the connection, which is how a server learns that nobody waits any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from afs.errors import ProviderError

CONNECT_S = 10.0
_LARGEST = 64 << 20
_PIECE = 1 << 16


class UpstreamError(ProviderError):
    """The model's server gave no usable answer."""


class UpstreamTimeout(UpstreamError):  # noqa: N818  a kind of UpstreamError
    """The model's server said nothing for too long."""


class UpstreamAnswer(NamedTuple):
    """A server's answer; `pieces` are its body as it arrives."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]
    first: bytes = b""
    """What was read of the body already."""

    async def read(self) -> bytes:
        """The whole body."""
        return self.first + b"".join([piece async for piece in self.pieces])

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """The lines of the body, as many at a time as arrived together."""
        *whole, rest = self.first.split(b"\n")
        if whole:
            yield [line.rstrip(b"\r") for line in whole]
        async for piece in self.pieces:
            *whole, rest = (rest + piece).split(b"\n")
            yield [line.rstrip(b"\r") for line in whole]
        if rest:
            yield [rest]

    async def lines(self) -> AsyncIterator[bytes]:
        """The body line by line, without their ends."""
        async for batch in self.batches():
            for line in batch:
                yield line


@asynccontextmanager
async def post(url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> AsyncIterator[UpstreamAnswer]:
    """Send JSON; the limit holds for each piece of the answer."""
    place = urlsplit(url)
    secure = place.scheme == "https"
    writer: asyncio.StreamWriter | None = None
    watch: _Watch | None = None
    try:
        async with asyncio.timeout(CONNECT_S):
            port = place.port or (443 if secure else 80)
            reader, writer = await asyncio.open_connection(place.hostname, port, ssl=secure or None)
        fields = {"host": place.netloc, "content-type": "application/json", "connection": "close"}
        fields |= {"content-length": str(len(body)), "accept-encoding": "identity", **headers}
        head = f"POST {place.path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
        writer.write(head.encode("latin-1") + body)
        await writer.drain()
        watch = _Watch(reader, timeout_s)
        status, answered = await _read_head(reader)
        yield UpstreamAnswer(status, answered, _read_body(reader, answered, watch))
    except TimeoutError as error:
        raise UpstreamTimeout(f"{place.netloc}: no answer in time ({timeout_s:g} s)") from error
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise UpstreamError(f"{place.netloc}: {str(error) or type(error).__name__}") from error
    finally:
        if watch is not None:
            watch.stop()
        if writer is not None:
            writer.close()


class _Watch:
    """One timer for all pieces of an answer: setting one for each would cost more than reading it."""

    def __init__(self, reader: asyncio.StreamReader, timeout_s: float) -> None:
        self._reader, self._timeout_s = reader, timeout_s
        self._loop = asyncio.get_running_loop()
        self.last = self._loop.time()
        self._handle = self._loop.call_later(timeout_s, self._check)

    def touch(self) -> None:
        """A piece has come."""
        self.last = self._loop.time()

    def _check(self) -> None:
        left = self.last + self._timeout_s - self._loop.time()
        if left <= 0:
            self._reader.set_exception(TimeoutError())
        else:
            self._handle = self._loop.call_later(left, self._check)

    def stop(self) -> None:
        """The answer is whole, or nobody waits for it."""
        self._handle.cancel()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return int(first.split()[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str], watch: _Watch) -> AsyncIterator[bytes]:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        stated = "content-length" in headers
        left = int(headers.get("content-length", _LARGEST))
        while left > 0 and (piece := await reader.read(_PIECE)):
            watch.touch()
            left -= len(piece)
            yield piece
        if stated and left > 0:
            raise UpstreamError("the connection ended inside an answer")
        return
    rest, is_last = b"", False
    while not is_last:
        piece = await reader.read(_PIECE)
        watch.touch()
        if not piece:
            raise UpstreamError("the connection ended inside an answer")
        data, rest, is_last = _take_chunks(rest + piece)
        if data:
            yield data


def _take_chunks(raw: bytes) -> tuple[bytes, bytes, bool]:
    """(the data of all whole chunks, what is left, whether the last chunk was among them)."""
    parts: list[bytes] = []
    at = 0
    while (end := raw.find(b"\r\n", at)) >= 0:
        size = int(raw[at:end].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts), b"", True
        if len(raw) < end + 2 + size + 2:
            break
        parts.append(raw[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return b"".join(parts), raw[at:], False
