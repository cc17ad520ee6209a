"""An execution trace in the form of Mesen's trace logger, and code/data logs in the form of its `.cdl` files."""

from __future__ import annotations

import zlib
from typing import Final

from afs.domains.snes import isa
from afs.domains.snes.addressing import Cpu
from afs.domains.snes.bus import Bus
from afs.domains.snes.hardware_ports import LINE_CLOCKS, LINES
from afs.errors import DataError

CODE: Final = 0x01
DATA: Final = 0x02
X8: Final = 0x10
M8: Final = 0x20
_MAGIC: Final = b"CDLv2"
_FLAGS: Final = "NVMXDIZC"


def trace_line(cpu: Cpu, bus: Bus) -> str:
    """The instruction about to run: address, bytes, text, registers, flags (capital: set), line and dot of the beam."""
    at = cpu.pb << 16 | cpu.pc
    data, text = decoded(cpu, bus)
    flags = "".join(name if cpu.p >> 7 - bit & 1 else name.lower() for bit, name in enumerate(_FLAGS))
    clock = bus.clocks + bus.stall
    return (
        f"{at:06X}  {data.hex(' ').upper():<12} {text:<28} A:{cpu.a:04X} X:{cpu.x:04X} Y:{cpu.y:04X} S:{cpu.s:04X} "
        f"D:{cpu.d:04X} DB:{cpu.db:02X} P:{flags} V:{clock // LINE_CLOCKS % LINES:<3} H:{clock % LINE_CLOCKS // 4:<3}"
    )


def decoded(cpu: Cpu, bus: Bus) -> tuple[bytes, str]:
    """(bytes, text) of the instruction at the program counter."""
    op = isa.OPS[bus.peek(cpu.pb << 16 | cpu.pc)]
    size = isa.size(op, cpu.wide_a, cpu.wide_x)
    data = bytes(bus.peek(cpu.pb << 16 | cpu.pc + k & 0xFFFF) for k in range(size))
    operand = isa.SYNTAX[op.mode]
    if op.mode in ("rel8", "rel16"):
        bits = 8 * (size - 1)
        by = int.from_bytes(data[1:], "little")
        operand = f"${cpu.pc + size + by - (by >> bits - 1 << bits) & 0xFFFF:04X}"
    elif op.mode == "block":
        operand = operand.format(f"${data[1]:02X}", f"${data[2]:02X}")
    elif size > 1:
        operand = operand.format(f"${int.from_bytes(data[1:], 'little'):0{2 * size - 2}X}")
    return data, f"{op.mnemonic} {operand}".strip()


def write_cdl(flags: bytes, rom: bytes) -> bytes:
    """A `.cdl` file: magic, CRC-32 of the ROM, a byte of flags for each byte of the ROM."""
    return _MAGIC + zlib.crc32(rom).to_bytes(4, "little") + flags


def read_cdl(content: bytes, rom: bytes) -> bytes:
    """The flags of a `.cdl` file; older files are flags only."""
    flags = content[len(_MAGIC) + 4 :] if content.startswith(_MAGIC) else content
    if len(flags) < len(rom):
        raise DataError(f"the code/data log is for a ROM of {len(flags)} bytes, this one has {len(rom)}")
    if content.startswith(_MAGIC) and int.from_bytes(content[5:9], "little") != zlib.crc32(rom):
        raise DataError("the code/data log is for another ROM: its checksum differs")
    return flags[: len(rom)]
