"""LC_LZ2, the compression of Super Mario World and, with the other byte order, of A Link to the Past's graphics.

A stream is a row of chunks and ends with $FF. A chunk begins with %CCCLLLLL: command and length − 1 (1–32 bytes), or
%111CCCLL LLLLLLLL for 1–1024 bytes:

    0  copy the bytes that follow            3  increasing: the byte that follows, + 1 each time
    1  fill with the byte that follows       4  copy from earlier output, from the address that follows
    2  fill with the two bytes that follow, in turn

The length counts bytes in every command, also in 2, where it may be odd. Commands 5, 6 and (in a long chunk) 7 act as
4: decompressors test the command's highest bit only. A copy runs byte by byte, so it may read what it has just
written. The address counts from the start of the output; its bytes lie high first in Super Mario World and in A Link to
the Past's overworld data (Hyrule Magic's mode), low first in the latter's graphics.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, NamedTuple

from afs.errors import DataError

Order = Literal["big", "little"]
SHORT: Final = 32
LONG: Final = 1024
END: Final = 0xFF
MOST: Final = 1 << 16
"""An address has 16 bits."""


def decompress(data: bytes, order: Order = "big", start: int = 0) -> bytes:
    """The output of a stream that begins at `start`."""
    return decompress_from(data, order, start)[0]


def decompress_from(data: bytes, order: Order = "big", start: int = 0) -> tuple[bytes, int]:
    """The output, and where the stream ends."""
    out = bytearray()
    at = start
    while True:
        head = _take(data, at, 1)[0]
        if head == END:
            return bytes(out), at + 1
        command, length, at = _read_head(data, at, head)
        at = _run(data, at, command, length, out, order)
        if len(out) > MOST:
            raise DataError(f"byte {at}: more than {MOST} bytes of output: not LC_LZ2, or damaged")


def _read_head(data: bytes, at: int, head: int) -> tuple[int, int, int]:
    if head >> 5 != 7:
        return head >> 5, (head & 31) + 1, at + 1
    return head >> 2 & 7, ((head & 3) << 8 | _take(data, at + 1, 1)[0]) + 1, at + 2


def _run(data: bytes, at: int, command: int, length: int, out: bytearray, order: Order) -> int:
    if command == 0:
        out += _take(data, at, length)
        return at + length
    if command == 1:
        out += _take(data, at, 1) * length
        return at + 1
    if command == 2:
        pair = _take(data, at, 2)
        out += (pair * (length // 2 + 1))[:length]
        return at + 2
    if command == 3:
        first = _take(data, at, 1)[0]
        out += bytes((first + n) & 0xFF for n in range(length))
        return at + 1
    source = int.from_bytes(_take(data, at, 2), order)
    if source >= len(out):
        raise DataError(f"byte {at}: copies from output byte {source}, of which {len(out)} exist (byte order {order})")
    for n in range(length):
        out.append(out[source + n])
    return at + 2


def _take(data: bytes, at: int, count: int) -> bytes:
    if at + count > len(data):
        raise DataError(f"the stream ends at byte {len(data)} in the middle of a chunk")
    return data[at : at + count]


class _Chunk(NamedTuple):
    """One chunk of the shortest parse."""

    command: int
    length: int
    payload: bytes


def compress(data: bytes, order: Order = "big") -> bytes:
    """The shortest stream there is for this format.

    Dynamic programming from the end: what is left never costs more when it is shorter, so of each fill and copy only
    the longest short and the longest long chunk matter; lengths of plain copies are a minimum over a sliding window.
    """
    if len(data) > MOST:
        raise DataError(f"{len(data)} bytes: LC_LZ2 addresses at most {MOST}")
    out = bytearray()
    at = 0
    chunks = _parse(data, order)
    while at < len(data):
        chunk = chunks[at]
        length = chunk.length - 1
        if chunk.length <= SHORT:
            out.append(chunk.command << 5 | length)
        else:
            out += bytes((0xE0 | chunk.command << 2 | length >> 8, length & 0xFF))
        out += chunk.payload
        at += chunk.length
    return bytes(out) + bytes((END,))


def _parse(data: bytes, order: Order) -> list[_Chunk]:
    """The best chunk at every place."""
    size = len(data)
    cost = [0] * (size + 1)
    chunks = [_Chunk(0, 1, b"")] * size
    copies = _longest_copies(data)
    plain = _PlainCopies(cost)
    runs = [1] * (size + 1), [1] * (size + 1), [1] * (size + 1)
    for at in range(size - 1, -1, -1):
        plain.enter(at + 1)
        _measure_runs(data, at, runs)
        best, length = plain.best(at)
        chunk = _Chunk(0, length, data[at : at + length])
        pair = data[at : at + 2] if at + 1 < size else data[at:] * 2
        fills = ((1, runs[0][at], data[at : at + 1]), (2, runs[1][at], pair), (3, runs[2][at], data[at : at + 1]))
        source, longest = copies[at]
        for command, most, payload in (*fills, (4, longest, source.to_bytes(2, order))):
            for part in {min(most, SHORT), min(most, LONG)} - {0}:
                price = (1 if part <= SHORT else 2) + len(payload) + cost[at + part]
                if price < best:
                    best, chunk = price, _Chunk(command, part, payload)
        cost[at], chunks[at] = best, chunk
    return chunks


def _measure_runs(data: bytes, at: int, runs: tuple[list[int], list[int], list[int]]) -> None:
    """How far a fill, a fill by two and a count go from here."""
    size = len(data)
    same, pairs, rising = runs
    if at + 1 < size:
        same[at] = same[at + 1] + 1 if data[at] == data[at + 1] else 1
        rising[at] = rising[at + 1] + 1 if (data[at] + 1) & 0xFF == data[at + 1] else 1
        pairs[at] = (pairs[at + 1] + 1 if data[at] == data[at + 2] else 2) if at + 2 < size else 2


class _PlainCopies:
    """The cheapest plain copy from a place: min over lengths of cost[at + length] + length, and the head."""

    def __init__(self, cost: list[int]) -> None:
        self._cost = cost
        self._near: deque[int] = deque()
        self._far: deque[int] = deque()

    def enter(self, end: int) -> None:
        """Another place where a copy may end: the one just after the place asked next."""
        for window in (self._near, self._far):
            while window and self._key(window[-1]) >= self._key(end):
                window.pop()
            window.append(end)

    def _key(self, end: int) -> int:
        return self._cost[end] + end

    def best(self, at: int) -> tuple[int, int]:
        """(price, length)."""
        for window, most in ((self._near, SHORT), (self._far, LONG)):
            while window[0] > at + most:
                window.popleft()
        near, far = self._near[0], self._far[0]
        price = self._key(near) - at + 1
        other = self._key(far) - at + (1 if far - at <= SHORT else 2)
        return (price, near - at) if price <= other else (other, far - at)


def _longest_copies(data: bytes) -> list[tuple[int, int]]:
    """(source, length) of the longest earlier match at every place; overlap with the place itself is allowed."""
    places: dict[bytes, list[int]] = {}
    found = []
    for at in range(len(data)):
        key = data[at : at + 3]
        best, longest = 0, 0
        most = min(LONG, len(data) - at)
        for source in places.get(key, ()):
            length = _match(data, source, at, longest, most)
            if length > longest:
                best, longest = source, length
                if longest == most:
                    break
        found.append((best, longest if longest > 2 else 0))
        if len(key) == 3:
            places.setdefault(key, []).append(at)
    return found


def _match(data: bytes, source: int, at: int, least: int, most: int) -> int:
    """How long two places agree; 0 when not longer than `least`."""
    if data[source + least] != data[at + least] if at + least < len(data) else True:
        return 0
    length = 3
    while length < most and data[source + length] == data[at + length]:
        length += 1
    return length
