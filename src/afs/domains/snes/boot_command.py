"""The pack's command `boot`: a ROM from reset on, on one of the CPU cores."""

from __future__ import annotations

import io
from pathlib import Path
from typing import ClassVar, Final

from afs import jsonl
from afs.config import Config
from afs.domains.snes.addressing import Cpu
from afs.domains.snes.bus import Bus
from afs.domains.snes.console import Console
from afs.domains.snes.console_machine import Core, NativeConsole, PythonConsole
from afs.domains.snes.contract import format_range, parse_range
from afs.domains.snes.emulator_commands import press
from afs.domains.snes.harness import padded_rom
from afs.domains.snes.mesen_logs import trace_line, write_cdl
from afs.domains.snes.rom import strip_copier_header
from afs.domains.snes.start_states import place_range
from afs.errors import DataError, UsageError
from afs.types import Value

_MOST_FRAMES: Final = 216_000
"""An hour of play."""
_TRACED_FRAMES: Final = 60
"""A trace has about 10,000 lines a frame."""
_SHOWN: Final = 64


class BootConfig(Config, frozen=True, kw_only=True):
    """Run a ROM from its reset vector, with interrupts, DMA, HDMA and the first pad; no picture and no sound."""

    positional: ClassVar[tuple[str, ...]] = ("rom",)

    rom: Path
    """The ROM, with or without copier header."""
    frames: int = 60
    """Frames to run."""
    press: tuple[str, ...] = ()
    """Buttons held from a frame on, `FRAME:BUTTONS`: `60:start 64: 90:right+b`."""
    read: tuple[str, ...] = ()
    """Memory to show at the end: `$7E0010-$7E001F`, `VRAM $0000-$00FF`."""
    core: Core = "auto"
    """auto, c or python."""
    trace: Path | None = None
    """File for an execution trace in the form of Mesen's trace logger; runs on the Python core."""
    cdl: Path | None = None
    """File for a code/data log in Mesen's form; `afs snes disasm --cdl` reads it. Needs the compiled core."""


class BootResult(Value, frozen=True, kw_only=True):
    """Where the program is after the last frame."""

    stop: str
    """`budget`: still running; `stp`; `wild`: it executes unmapped addresses."""
    frames: int
    instructions: int
    clocks: int
    """Master clocks; DRAM refresh is not counted."""
    pc: str
    registers: dict[str, str]
    memory: dict[str, str] = {}
    unmodeled: tuple[str, ...] = ()
    """What the program used that is not modeled."""
    files: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """3 when the program ran into unmapped addresses."""
        return 3 if self.stop == "wild" else 0

    def text(self) -> str:
        """For a terminal."""
        what = {"budget": "still running", "stp": "stopped by stp", "wild": "executes unmapped addresses"}[self.stop]
        registers = " ".join(f"{name}={value}" for name, value in self.registers.items())
        lines = [
            f"{what} at {self.pc} after {self.frames} frames, {self.instructions} instructions, {self.clocks} clocks",
            registers,
            *(f"{name}: {data}" for name, data in self.memory.items()),
        ]
        lines += [f"not modeled: {what}" for what in self.unmodeled]
        return "\n".join([*lines, *(f"wrote {name}" for name in self.files)])


def boot(config: BootConfig) -> BootResult:
    """Run a ROM from reset on."""
    rom = _read_rom(config)
    presses = _presses(config)
    core = "python" if config.trace else config.core
    console = Console(rom, core=core, logs=config.cdl is not None)
    trace = _start_trace(console) if config.trace else None
    console.play(config.frames, presses)
    machine, regs = console.machine, console.machine.regs
    files = _write(config, console, rom, trace)
    return BootResult(
        stop=console.stop,
        frames=console.frames,
        instructions=machine.instructions,
        clocks=machine.clock,
        pc=f"${regs.pb:02X}:{regs.pc:04X}",
        registers={
            **{name.upper(): f"${getattr(regs, name):04X}" for name in ("a", "x", "y", "s", "d")},
            "DB": f"${regs.db:02X}",
            "P": f"${regs.p:02X}",
            "E": str(int(regs.e)),
        },
        memory=dict(_memory(config, console)),
        unmodeled=console.unmodeled(),
        files=files,
    )


def _read_rom(config: BootConfig) -> bytes:
    most = _TRACED_FRAMES if config.trace else _MOST_FRAMES
    if not 1 <= config.frames <= most:
        raise UsageError(f"--frames: want 1 to {most}, got {config.frames}")
    if config.cdl and (config.trace or config.core == "python"):
        raise UsageError("--cdl: needs the compiled core, so neither --trace nor --core python")
    try:
        return strip_copier_header(config.rom.read_bytes())[1]
    except OSError as error:
        raise DataError(f"{config.rom}: {error.strerror}") from error


def _presses(config: BootConfig) -> dict[int, int]:
    """Frame -> pad word: B is the top bit."""
    found = (press(text) for text in config.press)
    return {one.frame: sum(0x8000 >> bit for bit in range(12) if one.buttons >> bit & 1) for one in found}


def _start_trace(console: Console) -> io.StringIO:
    assert isinstance(console.machine, PythonConsole)
    trace = io.StringIO()

    def record(cpu: Cpu, bus: Bus) -> None:
        trace.write(trace_line(cpu, bus) + "\n")

    console.machine.watch = record
    return trace


def _memory(config: BootConfig, console: Console) -> list[tuple[str, str]]:
    found = []
    for text in config.read:
        bytes_ = parse_range(text)
        if bytes_ is None:
            raise UsageError(f"--read {text!r}: want a range such as $7E0010-$7E001F or VRAM $0000-$00FF")
        data = console.machine.memory(place_range(bytes_, *console.where), bytes_.size)
        shown = data[:_SHOWN].hex(" ").upper()
        found.append((format_range(bytes_), shown if len(data) <= _SHOWN else f"{shown} … {len(data)} bytes"))
    return found


def _write(config: BootConfig, console: Console, rom: bytes, trace: io.StringIO | None) -> tuple[str, ...]:
    wanted: list[tuple[Path, bytes]] = []
    if config.trace and trace is not None:
        wanted.append((config.trace, trace.getvalue().encode()))
    if config.cdl:
        if not isinstance(console.machine, NativeConsole):
            raise UsageError("--cdl: there is no compiled core here")
        flags = console.machine.code_data_log(len(padded_rom(rom)))
        wanted.append((config.cdl, write_cdl(flags[: len(rom)], rom)))
    for path, content in wanted:
        try:
            jsonl.replace(path, content)
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    return tuple(str(path) for path, _ in wanted)
