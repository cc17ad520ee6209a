"""Lines of an event log: whole lines from a place in the file, decoded leniently; a torn last line waits."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

STEP_MARK = b'"event":"train.step"'
_MARK_WITHIN = 90
"""The event's name is the second field of a line, so it stands within the first bytes."""


class StepLine(msgspec.Struct):
    """One training step, as far as curves need it; a figure that is not a number is written as null."""

    time: str
    step: int
    total: int = 0
    stage: str = ""
    epoch: int = 0
    taken: bool = True
    seconds: float | None = None
    loss: float | None = None
    lr: float | None = None
    grad_norm: float | None = None
    tokens_s: float | None = None


class EventLine(NamedTuple):
    """One line: a step, another event, or neither when it cannot be read."""

    offset: int
    size: int
    step: StepLine | None
    event: dict[str, object] | None


_decode_step = msgspec.json.Decoder(StepLine).decode
_decode_event = msgspec.json.Decoder(dict[str, object]).decode


def parse_line(line: bytes, offset: int) -> EventLine:
    """A line decoded; broken ones keep their place only."""
    size = len(line) + 1
    try:
        if STEP_MARK in line[:_MARK_WITHIN]:
            return EventLine(offset, size, _decode_step(line), None)
        return EventLine(offset, size, None, _decode_event(line))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return EventLine(offset, size, None, None)


def split_lines(block: bytes, offset: int) -> Iterator[EventLine]:
    """Whole lines of a block that begins at `offset`."""
    place = offset
    for line in block.split(b"\n")[:-1]:
        if line.strip():
            yield parse_line(line, place)
        place += len(line) + 1


def open_plain(path: Path) -> int:
    """A handle to a regular file; links, pipes and folders are refused as missing."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(path)
    return handle


def read_block(handle: int, offset: int, limit: int) -> bytes:
    """Whole lines from `offset` on, at least one however long it is; empty when no whole line follows."""
    block = os.pread(handle, limit, offset)
    end = block.rfind(b"\n") + 1
    while not end and len(block) == limit:
        limit *= 4
        block = os.pread(handle, limit, offset)
        end = block.rfind(b"\n") + 1
    return block[:end]


def sample_lines(handle: int, size: int, windows: int, width: int) -> Iterator[EventLine]:
    """Lines from evenly spaced windows of a large file, its start and end included."""
    for number in range(windows):
        start = (size - width) * number // max(1, windows - 1)
        block = os.pread(handle, width, start)
        begin = 0 if start == 0 else block.find(b"\n") + 1
        end = block.rfind(b"\n") + 1
        if end > begin:
            yield from split_lines(block[begin:end], start + begin)


_minutes: dict[str, float] = {}


def parse_time(text: object) -> float | None:
    """Seconds since the epoch of an ISO stamp; minutes are remembered, for a log has many lines per minute."""
    if not isinstance(text, str) or len(text) < 19:
        return None
    minute = text[:16]
    known = _minutes.get(minute)
    try:
        if known is not None and text.endswith("+00:00"):
            return known + float(text[17:-6])
        moment = datetime.fromisoformat(text).timestamp()
        if text.endswith("+00:00"):
            if len(_minutes) > 4096:
                _minutes.clear()
            _minutes[minute] = moment - float(text[17:-6])
    except (ValueError, OverflowError):
        return None
    return moment
