"""The emulator in worker processes: a cartridge and a number of frames in, memories and a picture out.

A worker holds one core. Each play starts from a gold state, so equal plays give equal bytes in any process. Limits:
frames per play, CPU seconds per play, address space, no files written. A hung program costs only its frames.
"""

from __future__ import annotations

import resource
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from afs.domains.snes.asm import assemble
from afs.domains.snes.emulator import fetch_core, reproducible_states
from afs.domains.snes.emulator.libretro import CGRAM_SIZE, OAM_SIZE, Frontend
from afs.domains.snes.emulator.scenario import Play, Read, Seen
from afs.errors import MissingError, ProcessError, UsageError
from afs.process import Worker
from afs.types import Value

MAX_FRAMES: Final = 3600
MEMORY_MB: Final = 1024
_CPU_S: Final = 120
_HEADERS: Final = ((0x7FB0, 0x8000), (0xFFB0, 0x10000), (0x40FFB0, 0x410000))


class _Request(Value, frozen=True, kw_only=True):
    core: str
    layout: str
    plays: tuple[Play, ...]
    cpu_s: int = _CPU_S


_decode = msgspec.msgpack.Decoder(_Request).decode
_decode_seen = msgspec.msgpack.Decoder(tuple[Seen, ...]).decode


class EmulatedConsole:
    """One core in this process, with its gold states."""

    def __init__(self, core: Path, layout: Path) -> None:
        self.front = Frontend(core)
        name = fetch_core.digest(core)
        known = reproducible_states.stored(layout, name)
        if known is None:
            known = reproducible_states.measured(self.front, name, _probe(), bytes(0x8000))
            reproducible_states.store(layout, known)
        self.layout = known
        self._key: tuple[object, ...] = ()
        self._fresh = b""
        self._gold: dict[int, bytes] = {}

    def play(self, play: Play) -> Seen:
        """Play one cartridge from its gold state."""
        self._insert(play.rom)
        if play.fill not in self._gold:
            self._gold[play.fill] = reproducible_states.gold(self.front, self._fresh, self.layout, play.fill)
        self.front.restore(self._gold[play.fill])
        self.front.pads[:] = [0, 0]
        presses = {(press.frame, press.port & 1): press.buttons for press in play.presses}
        played = 0
        for frame in range(play.frames):
            for port in (0, 1):
                self.front.pads[port] = presses.get((frame, port), self.front.pads[port])
            self.front.frame(watch=play.picture and frame == play.frames - 1)
            played = frame + 1
            if play.until >= 0 and self.front.read("wram", play.until, 1) != b"\0":
                break
        picture = self.front.picture() if play.picture else b""
        return Seen(pieces=self._pieces(play.reads), picture=picture, frames=played)

    def _insert(self, rom: bytes) -> None:
        """Poke a ROM over one with the same header (1 ms), or load it afresh (40 ms)."""
        key = (len(rom), *(rom[start:end] for start, end in _HEADERS))
        if key == self._key and self.front.poke(0, rom):
            return
        self._key, self._gold = (), {}
        self.front.load(rom)
        self._fresh = self.front.save()
        self._key = key

    def _pieces(self, reads: tuple[Read, ...]) -> tuple[bytes, ...]:
        hidden = {"cgram": (self.layout.cgram, CGRAM_SIZE), "oam": (self.layout.oam, OAM_SIZE)}
        state = self.front.save() if any(read.memory in hidden for read in reads) else b""
        vram = reproducible_states.find(self.front, "vram") if state else 0
        found = []
        for read in reads:
            if read.memory in hidden:
                offset, size = hidden[read.memory]
                end = min(size, read.start + read.length) if read.length else size
                found.append(state[vram + offset + read.start : vram + offset + end])
            else:
                found.append(self.front.read(read.memory, read.start, read.length or None))
        return tuple(found)


def _probe() -> bytes:
    source = (Path(__file__).parent / "probe.asm").read_text(encoding="utf-8")
    return bytes(assemble(source).rom).ljust(0x8000, b"\xff")


@cache
def _console(core: str, layout: str) -> EmulatedConsole:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    return EmulatedConsole(Path(core), Path(layout))


def serve(payload: bytes) -> bytes:
    """The worker's entry point: a request in, an observation out."""
    request = _decode(payload)
    console = _console(request.core, request.layout)
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + request.cpu_s, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    return msgspec.msgpack.encode(tuple(console.play(play) for play in request.plays))


class Emulator:
    """Plays cartridges in one worker process, which is replaced when it dies or hangs."""

    def __init__(self, core: Path | None = None) -> None:
        place = core or fetch_core.core()
        if place is None or not fetch_core.supported():
            raise MissingError(f"no emulator core found; {fetch_core.REMEDY}")
        self._core = place
        self._layout = fetch_core.folder() / f"layout-{fetch_core.digest(place)}.json"
        self._worker = Worker(f"{__name__}:serve", memory_mb=MEMORY_MB)

    def play(self, *plays: Play, cpu_s: int = _CPU_S) -> tuple[Seen, ...]:
        """Play cartridges one after the other; raises ProcessError when the emulator dies or hangs on them.

        `cpu_s` limits the CPU seconds; the core never comes back from a stopped CPU (STP).
        """
        frames = sum(play.frames for play in plays)
        if any(not 1 <= play.frames <= MAX_FRAMES for play in plays):
            raise UsageError(f"frames: want 1 to {MAX_FRAMES}")
        request = _Request(core=str(self._core), layout=str(self._layout), plays=plays, cpu_s=cpu_s)
        outcome = self._worker.call(msgspec.msgpack.encode(request), 30 + frames / 15)
        if outcome.problem:
            raise ProcessError(f"the emulator {outcome.problem}")
        return _decode_seen(outcome.value)

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def prepare() -> Path:
    """Fetch the core and measure it, so that its first use is fast; returns its path."""
    place = fetch_core.fetch_core()
    with Emulator(place) as emulator:
        emulator.play(Play(rom=_probe(), frames=1))
    return place
