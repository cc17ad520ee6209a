"""What to play on the emulator and what to look at: data only, light to import."""

from __future__ import annotations

from afs.types import Value


class Read(Value, frozen=True, kw_only=True):
    """Bytes wanted from a memory after the last frame."""

    memory: str
    """`wram`, `vram`, `cgram` or `oam`."""
    start: int = 0
    length: int = 0
    """0 means to the end."""


class Press(Value, frozen=True, kw_only=True):
    """From this frame on, the pad of a port holds these buttons (bit n = button n of `frontend.BUTTONS`)."""

    frame: int
    buttons: int
    port: int = 0


class Play(Value, frozen=True, kw_only=True):
    """One cartridge, from power-on."""

    rom: bytes
    frames: int = 4
    until: int = -1
    """Stop early when the byte at this place in WRAM is not zero; -1: play all frames."""
    presses: tuple[Press, ...] = ()
    reads: tuple[Read, ...] = ()
    picture: bool = False
    fill: int = 0
    """What all memories hold at power-on: 0 for zeros, else noise of that seed."""


class Seen(Value, frozen=True, kw_only=True):
    """What was there after the last frame."""

    pieces: tuple[bytes, ...]
    """One per read."""
    picture: bytes = b""
    """256x224 RGB, if wanted."""
    frames: int = 0
    """Frames played."""
