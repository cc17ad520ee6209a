"""Patch files: IPS and BPS, made and applied. Offsets count from the start of the ROM without copier header."""

from __future__ import annotations

import zlib
from typing import Final

from afs.errors import DataError

_IPS: Final = b"PATCH"
_EOF: Final = 0x454F46
_MOST: Final = 0x1000000
_READ_SOURCE, _READ_TARGET, _COPY_SOURCE, _COPY_TARGET = range(4)


def make_ips(source: bytes, target: bytes) -> bytes:
    """The IPS patch from one ROM to another; both below 16 MB."""
    if max(len(source), len(target)) > _MOST:
        raise DataError("IPS reaches 16 MB at most; make a BPS patch")
    padded = source[: len(target)].ljust(len(target), b"\0")
    out = bytearray(_IPS)
    for start, end in _differences(padded, target):
        _ips_records(out, target, start, end)
    if len(target) > len(source) and target[-1:] == b"\0":
        _ips_records(out, target, len(target) - 1, len(target))
    out += b"EOF"
    if len(target) < len(source):
        out += len(target).to_bytes(3, "big")
    return bytes(out)


def _differences(source: bytes, target: bytes) -> list[tuple[int, int]]:
    """Spans that differ; spans fewer than 6 bytes apart become one."""
    spans: list[tuple[int, int]] = []
    step = 4096
    for base in range(0, len(target), step):
        if source[base : base + step] == target[base : base + step]:
            continue
        for i in range(base, min(base + step, len(target))):
            if source[i] == target[i]:
                continue
            if spans and i - spans[-1][1] < 6:
                spans[-1] = (spans[-1][0], i + 1)
            else:
                spans.append((i, i + 1))
    return spans


def _ips_records(out: bytearray, target: bytes, start: int, end: int) -> None:
    while start < end:
        if start == _EOF:
            start -= 1  # an offset that reads "EOF" would end the patch
        piece = target[start : min(end, start + 0xFFFF)]
        run = len(piece) - len(piece.lstrip(piece[:1]))
        out += start.to_bytes(3, "big")
        if run > 8:
            out += b"\0\0" + run.to_bytes(2, "big") + piece[:1]
            start += run
        else:
            out += len(piece).to_bytes(2, "big") + piece
            start += len(piece)


def apply_ips(patch: bytes, source: bytes) -> bytes:
    """The ROM after an IPS patch."""
    if patch[:5] != _IPS:
        raise DataError("not an IPS patch: it does not start with PATCH")
    out, at = bytearray(source), 5
    while True:
        head = _take(patch, at, 3, "IPS")
        at += 3
        if head == b"EOF" and len(patch) - at in (0, 3):
            break
        size = int.from_bytes(_take(patch, at, 2, "IPS"), "big")
        at += 2
        if size:
            data = _take(patch, at, size, "IPS")
            at += size
        else:
            run = _take(patch, at, 3, "IPS")
            data = run[2:] * int.from_bytes(run[:2], "big")
            at += 3
        offset = int.from_bytes(head, "big")
        out += bytes(max(offset + len(data) - len(out), 0))
        out[offset : offset + len(data)] = data
    if len(patch) - at == 3:
        del out[int.from_bytes(patch[at:], "big") :]
    return bytes(out)


def _take(data: bytes, at: int, count: int, kind: str) -> bytes:
    piece = data[at : at + count]
    if len(piece) < count:
        raise DataError(f"{kind} patch is cut off at byte {len(data)}")
    return piece


def make_bps(source: bytes, target: bytes) -> bytes:
    """The BPS patch from one ROM to another."""
    writer = _BpsWriter(len(source), target)
    padded = source[: len(target)].ljust(len(target), b"\0")
    at = 0
    for start, end in _differences(padded, target):
        writer.keep(at, start)
        writer.write(start, end)
        at = end
    writer.keep(at, len(target))
    out = writer.out + zlib.crc32(source).to_bytes(4, "little") + zlib.crc32(target).to_bytes(4, "little")
    return bytes(out + zlib.crc32(out).to_bytes(4, "little"))


def _number(value: int) -> bytes:
    """A number in BPS: seven bits a byte, the last with its top bit set, every step counted from one."""
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        if not value:
            out.append(0x80 | low)
            return bytes(out)
        out.append(low)
        value -= 1


class _BpsWriter:
    """Writes the actions of a BPS patch."""

    def __init__(self, source_length: int, target: bytes) -> None:
        self.source_length, self.target = source_length, target
        self.out = bytearray(b"BPS1" + _number(source_length) + _number(len(target)) + _number(0))
        self.copied = 0
        """Where the last copy from the target ended."""

    def keep(self, start: int, end: int) -> None:
        """Bytes that stay; beyond the end of the source they have to be written."""
        middle = min(max(self.source_length, start), end)
        if start < middle:
            self.out += _number((middle - start - 1) << 2 | _READ_SOURCE)
        self.write(middle, end)

    def write(self, start: int, end: int) -> None:
        """New bytes; a long run of one byte is a copy of its first."""
        target = self.target
        while start < end:
            piece = target[start:end]
            run = len(piece) - len(piece.lstrip(piece[:1]))
            if run > 16:
                self.out += _number(_READ_TARGET) + piece[:1]
                self.out += _number((run - 2) << 2 | _COPY_TARGET) + self._distance(start)
                self.copied = start + run - 1
                start += run
            else:
                count = min(len(piece), 256)
                self.out += _number((count - 1) << 2 | _READ_TARGET) + piece[:count]
                start += count

    def _distance(self, to: int) -> bytes:
        distance = to - self.copied
        return _number(abs(distance) << 1 | (distance < 0))


def apply_bps(patch: bytes, source: bytes) -> bytes:
    """The ROM after a BPS patch; all three checksums must be right."""
    if patch[:4] != b"BPS1":
        raise DataError("not a BPS patch: it does not start with BPS1")
    if len(patch) < 19:
        raise DataError(f"the BPS patch is cut off at byte {len(patch)}")
    if zlib.crc32(patch[:-4]) != int.from_bytes(patch[-4:], "little"):
        raise DataError("the BPS patch is damaged: its checksum is wrong")
    if zlib.crc32(source) != int.from_bytes(patch[-12:-8], "little"):
        raise DataError("the BPS patch is for another ROM: the source's checksum is wrong (a copier header?)")
    target = _BpsReader(patch[:-12], source).run()
    if zlib.crc32(target) != int.from_bytes(patch[-8:-4], "little"):
        raise DataError("the BPS patch gave another ROM than it promised")
    return target


class _BpsReader:
    """Carries out the actions of a BPS patch."""

    def __init__(self, patch: bytes, source: bytes) -> None:
        self.patch, self.source, self.at = patch, source, 4
        self.out = bytearray()
        self.from_source = self.from_target = 0

    def run(self) -> bytes:
        """The target."""
        source_length, target_length, notes = self._number(), self._number(), self._number()
        if source_length != len(self.source) or target_length > _MOST:
            raise DataError(f"the BPS patch wants a ROM of {source_length} bytes, got {len(self.source)}")
        self.at += notes
        while self.at < len(self.patch):
            word = self._number()
            self._act(word & 3, (word >> 2) + 1, target_length)
        return bytes(self.out)

    def _act(self, action: int, count: int, target_length: int) -> None:
        start = len(self.out)
        if start + count > target_length:
            raise DataError("the BPS patch writes beyond the end of its target")
        if action == _READ_SOURCE:
            self._append(self.source[start : start + count], count)
        elif action == _READ_TARGET:
            self._append(_take(self.patch, self.at, count, "BPS"), count)
            self.at += count
        elif action == _COPY_SOURCE:
            self.from_source += self._distance()
            self._append(self.source[max(self.from_source, 0) : self.from_source + count], count)
            self.from_source += count
        else:
            self.from_target += self._distance()
            self._copy_target(count)

    def _copy_target(self, count: int) -> None:
        at = self.from_target
        if not 0 <= at < len(self.out):
            raise DataError("the BPS patch copies from outside of its target")
        piece = self.out[at:]
        self._append((piece * (count // len(piece) + 1))[:count], count)
        self.from_target += count

    def _append(self, piece: bytes | bytearray, count: int) -> None:
        if len(piece) != count:
            raise DataError("the BPS patch reads from outside of the ROM")
        self.out += piece

    def _distance(self) -> int:
        word = self._number()
        return -(word >> 1) if word & 1 else word >> 1

    def _number(self) -> int:
        value, unit = 0, 1
        while unit < 1 << 56:
            byte = _take(self.patch, self.at, 1, "BPS")[0]
            self.at += 1
            value += (byte & 0x7F) * unit
            if byte & 0x80:
                return value
            unit <<= 7
            value += unit
        raise DataError("the BPS patch holds a number that is too large")


def apply_patch(patch: bytes, source: bytes) -> bytes:
    """The ROM after an IPS or BPS patch."""
    return apply_bps(patch, source) if patch[:4] == b"BPS1" else apply_ips(patch, source)
