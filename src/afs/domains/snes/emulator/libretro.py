"""A libretro frontend in ctypes: load, poke, run frames, read memories and the picture of one SNES core.

The core is a library with global state: one per process. It trusts its input, so untrusted ROMs run in a worker
(`worker.py`) under limits. No sound, no real-time clock, no save files.
"""

from __future__ import annotations

import ctypes as c
from pathlib import Path
from typing import Final, NamedTuple

from afs.errors import ProcessError

WRAM_SIZE: Final = 0x20000
VRAM_SIZE: Final = 0x10000
OAM_SIZE: Final = 544
CGRAM_SIZE: Final = 512
WIDTH: Final = 256
HEIGHT: Final = 224

_SET_PIXEL_FORMAT, _GET_CAN_DUPE, _GET_LOG, _SET_MEMORY_MAPS = 10, 3, 27, 36 | 0x10000
_WRAM_ID, _VRAM_ID = 2, 3
_CONST = 1
BUTTONS: Final = ("b", "y", "select", "start", "up", "down", "left", "right", "a", "x", "l", "r")
"""Buttons of the pad, in libretro's order: bit n of a pad word is button n."""


class _Game(c.Structure):
    _fields_ = (("path", c.c_char_p), ("data", c.c_void_p), ("size", c.c_size_t), ("meta", c.c_char_p))


class _Descriptor(c.Structure):
    _fields_ = (
        ("flags", c.c_uint64),
        ("ptr", c.c_void_p),
        ("offset", c.c_size_t),
        ("start", c.c_size_t),
        ("select", c.c_size_t),
        ("disconnect", c.c_size_t),
        ("len", c.c_size_t),
        ("addrspace", c.c_char_p),
    )


class _Map(c.Structure):
    _fields_ = (("descriptors", c.POINTER(_Descriptor)), ("count", c.c_uint))


_Environment = c.CFUNCTYPE(c.c_bool, c.c_uint, c.c_void_p)
_Video = c.CFUNCTYPE(None, c.c_void_p, c.c_uint, c.c_uint, c.c_size_t)
_Sample = c.CFUNCTYPE(None, c.c_int16, c.c_int16)
_Batch = c.CFUNCTYPE(c.c_size_t, c.c_void_p, c.c_size_t)
_Poll = c.CFUNCTYPE(None)
_Log = c.CFUNCTYPE(None, c.c_int, c.c_char_p)
_Input = c.CFUNCTYPE(c.c_int16, c.c_uint, c.c_uint, c.c_uint, c.c_uint)


_silent = _Log(lambda _level, _text: None)


class Screen(NamedTuple):
    """A picture as the core gave it: 32-bit BGRX rows, `pitch` bytes apart."""

    pixels: bytes
    width: int
    height: int
    pitch: int


class Frontend:
    """One libretro core in this process."""

    def __init__(self, core: Path) -> None:
        try:
            self._core = c.CDLL(str(core))
        except OSError as error:
            raise ProcessError(f"the emulator core {core} cannot be loaded: {error}") from error
        self._declare()
        self.pads = [0, 0]
        self.watching = False
        self._screen: Screen | None = None
        self._rom_at = 0
        self._loaded = False
        self._rom_size = 0
        self._keep = self._callbacks()
        self._core.retro_init()
        self._state = c.create_string_buffer(0)

    def _declare(self) -> None:
        core = self._core
        core.retro_load_game.argtypes, core.retro_load_game.restype = [c.POINTER(_Game)], c.c_bool
        core.retro_serialize_size.restype = c.c_size_t
        core.retro_serialize.argtypes, core.retro_serialize.restype = [c.c_void_p, c.c_size_t], c.c_bool
        core.retro_unserialize.argtypes, core.retro_unserialize.restype = [c.c_void_p, c.c_size_t], c.c_bool
        core.retro_get_memory_data.argtypes, core.retro_get_memory_data.restype = [c.c_uint], c.c_void_p

    def _callbacks(self) -> tuple[object, ...]:
        core = self._core
        kept = (
            _Environment(self._environment),
            _Video(self._video),
            c.cast(c.CDLL(None).abs, _Sample),  # 500 times a frame: a harmless C function, no way through Python
            _Batch(lambda _data, frames: int(frames)),
            _Poll(lambda: None),
            _Input(self._input),
        )
        for name, callback in zip(
            ("environment", "video_refresh", "audio_sample", "audio_sample_batch", "input_poll", "input_state"),
            kept,
            strict=True,
        ):
            getattr(core, f"retro_set_{name}")(callback)
        return kept

    def _environment(self, command: int, data: int | None) -> bool:
        if command == _SET_MEMORY_MAPS:
            found = c.cast(data or 0, c.POINTER(_Map)).contents
            rows = [found.descriptors[i] for i in range(found.count)]
            self._rom_at = next((row.ptr for row in rows if row.flags & _CONST and row.ptr), 0)
            return True
        if command == _GET_CAN_DUPE:
            c.cast(data or 0, c.POINTER(c.c_bool))[0] = True
            return True
        if command == _GET_LOG:
            c.cast(data or 0, c.POINTER(c.c_void_p))[0] = c.cast(_silent, c.c_void_p)
            return True
        return command == _SET_PIXEL_FORMAT

    def _video(self, data: int | None, width: int, height: int, pitch: int) -> None:
        if data and self.watching:
            self._screen = Screen(c.string_at(data, pitch * height), width, height, pitch)

    def _input(self, port: int, _device: int, _index: int, button: int) -> int:
        return self.pads[port] >> button & 1 if port < len(self.pads) else 0

    def load(self, rom: bytes) -> None:
        """Insert a cartridge; raises ProcessError if the core refuses it."""
        if self._loaded:
            self._core.retro_unload_game()
        self._rom_at = 0
        data = c.create_string_buffer(rom, len(rom))
        game = _Game(b"game.sfc", c.cast(data, c.c_void_p), len(rom), None)
        self._loaded = bool(self._core.retro_load_game(c.byref(game)))
        if not self._loaded:
            raise ProcessError("the emulator refuses this ROM")
        self._rom_size = len(rom)
        self._state = c.create_string_buffer(self._core.retro_serialize_size())

    def poke(self, offset: int, data: bytes) -> bool:
        """Overwrite the inserted cartridge in place; False where the core does not show its ROM."""
        if not self._rom_at or offset + len(data) > self._rom_size:
            return False
        c.memmove(self._rom_at + offset, data, len(data))
        return True

    def frame(self, *, watch: bool = False) -> None:
        """Run one frame; keep its picture when `watch`."""
        self.watching = watch
        self._core.retro_run()

    def save(self) -> bytes:
        """The machine's whole state."""
        if not self._core.retro_serialize(self._state, len(self._state)):
            raise ProcessError("the emulator could not save its state")
        return self._state.raw

    def restore(self, state: bytes) -> None:
        """Go back to a saved state of the same cartridge."""
        if not self._core.retro_unserialize(state, len(state)):
            raise ProcessError("the emulator refused a saved state")

    def read(self, memory: str, start: int = 0, length: int | None = None) -> bytes:
        """Bytes of `wram` or `vram`."""
        where, size = self._place(memory)
        start = min(start, size)
        return c.string_at(where + start, min(size - start, size if length is None else length))

    def write(self, memory: str, start: int, data: bytes) -> None:
        """Overwrite bytes of `wram` or `vram`."""
        where, size = self._place(memory)
        if start + len(data) > size:
            raise ProcessError(f"{memory} has {size} bytes; cannot write {len(data)} at {start}")
        c.memmove(where + start, data, len(data))

    def _place(self, memory: str) -> tuple[int, int]:
        number, size = {"wram": (_WRAM_ID, WRAM_SIZE), "vram": (_VRAM_ID, VRAM_SIZE)}[memory]
        where = self._core.retro_get_memory_data(number)
        if not where:
            raise ProcessError(f"the emulator does not show its {memory}")
        return int(where), size

    def picture(self) -> bytes:
        """The last watched frame as 256x224 RGB; black if none was drawn."""
        return normalized(self._screen) if self._screen is not None else bytes(WIDTH * HEIGHT * 3)


def normalized(screen: Screen) -> bytes:
    """256x224 RGB of a frame of any size (hi-res, interlace, overscan): the nearest pixel of each."""
    top = 8 if screen.height in (239, 240) else 16 if screen.height in (478, 480) else 0
    tall = min(screen.height - top, HEIGHT * 2 if screen.height > 400 else HEIGHT)
    columns = [x * screen.width // WIDTH * 4 for x in range(WIDTH)]
    straight = screen.width == WIDTH
    rows = []
    for y in range(HEIGHT):
        start = (top + y * tall // HEIGHT) * screen.pitch
        row = screen.pixels[start : start + screen.width * 4]
        rgb = bytearray(WIDTH * 3)
        for plane in range(3):
            picked = row[2 - plane :: 4] if straight else bytes(row[at + 2 - plane] for at in columns)
            rgb[plane::3] = picked[:WIDTH]
        rows.append(bytes(rgb))
    return b"".join(rows)
