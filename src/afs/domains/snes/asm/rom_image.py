"""The ROM while it is being written: the base, what was written where, and the whole image when somebody asks."""

from __future__ import annotations

from afs.domains.snes.rom import MAX_SIZE


class Image:
    """A base ROM and the writes to it, kept apart until the bytes are needed."""

    __slots__ = ("_buffer", "_done", "base", "fill", "length", "writes")

    def __init__(self, base: bytes) -> None:
        self.base = base
        """The ROM as it was before."""
        self.length = len(base)
        self.fill = 0
        """What new space between the end of the ROM and a write is filled with."""
        self.writes: list[tuple[int, bytes]] = []
        self._buffer: bytearray | None = None
        self._done = 0

    def put(self, pc: int, data: bytes) -> None:
        """Write bytes, growing the ROM if need be."""
        if pc > self.length and self.fill:
            self.writes.append((self.length, bytes((self.fill,)) * (pc - self.length)))
        self.writes.append((pc, data))
        self.length = max(self.length, pc + len(data))

    def grow(self, length: int) -> None:
        """Make the ROM longer, filled with the fill byte."""
        if length > self.length:
            if self.fill:
                self.writes.append((self.length, bytes((self.fill,)) * (length - self.length)))
            self.length = length

    @property
    def data(self) -> bytearray:
        """The image as it is now; zeros beyond the end for as long as anybody wrote there."""
        if self._buffer is None:
            self._buffer = bytearray(self.base)
        buffer = self._buffer
        if len(buffer) < self.length:
            buffer.extend(bytes(self.length - len(buffer)))
        for pc, data in self.writes[self._done :]:
            buffer[pc : pc + len(data)] = data
        self._done = len(self.writes)
        return buffer

    def get(self, pc: int, count: int) -> bytes:
        """Bytes at a place, zeros beyond the end."""
        data = bytes(self.data[pc : pc + count]) if 0 <= pc <= MAX_SIZE else b""
        return data + bytes(count - len(data))
