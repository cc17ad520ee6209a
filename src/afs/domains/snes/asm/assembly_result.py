"""The result of an assembly: bytes and their places, labels, messages, and a line for every statement that wrote."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from afs.domains.snes.asm.diagnostics import Diagnostic
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.source_text import display_text
from afs.domains.snes.asm.statements import DataLine, Statement
from afs.domains.snes.rom import checksum, pc_to_snes


class Written(NamedTuple):
    """A run of bytes in one bank."""

    address: int
    """SNES address, in the FastROM half where the map has one."""
    pc: int
    """Offset in the ROM without copier header."""
    data: bytes


class Assembled(NamedTuple):
    """One statement that wrote bytes."""

    address: int
    data: bytes
    file: str
    line: int
    source: str
    """The line of the source."""
    text: str
    """The statement, defines and macro arguments put in."""
    mnemonic: str
    """Small letters; empty for data."""
    form: str
    """How the operand is written: direct, x, y, imm, ind, … (`instruction_forms`); empty for data."""
    operand: str
    """The expression in the operand."""
    suffix: str
    """`b`, `w`, `l` or nothing."""

    @property
    def width(self) -> int:
        """Bytes after the opcode."""
        return len(self.data) - 1 if self.mnemonic else 0


class Assembly:
    """The outcome of `assemble`."""

    def __init__(self, session: Session) -> None:
        self._s = session
        self.labels: dict[str, int] = {
            name: at & 0xFFFFFF for name, at in session.names.labels.items() if not name.startswith(":")
        }
        """Full name -> SNES address."""
        self.messages: tuple[Diagnostic, ...] = tuple(session.log.diagnostics)
        """Warnings and prints, in order."""
        self.mapper = session.out.mapper
        self.banks = session.out.banks

    @property
    def prints(self) -> tuple[str, ...]:
        """What the source printed."""
        return tuple(d.message for d in self.messages if d.severity == "print")

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """Warnings only."""
        return tuple(d for d in self.messages if d.severity == "warning")

    def source_crc(self, file: str) -> int:
        """CRC-32 of a source file."""
        return zlib.crc32(self._s.sources.texts.get(file, "").encode("latin-1", "replace"))

    @cached_property
    def blocks(self) -> tuple[Written, ...]:
        """What was written, in order of place, without the checksum."""
        return tuple(self._pieces())

    def _pieces(self) -> Iterator[Written]:
        image = self._s.out.image
        for start, end in _merged(image.writes):
            data = image.writes[0][1] if len(image.writes) == 1 else image.get(start, end - start)
            at = start
            while at < end:
                count = min(self._contiguous(at), end - at)
                address = pc_to_snes(at, self.mapper, self.banks)
                yield Written(address or 0, at, data[at - start : at - start + count])
                at += count

    def _contiguous(self, pc: int) -> int:
        """Bytes from an offset to the end of its bank."""
        address = pc_to_snes(pc, self.mapper, self.banks) or 0
        room = 0x8000 - (pc & 0x7FFF)
        if (address + room) & 0xFFFF and pc_to_snes(pc + room, self.mapper, self.banks) == address + room:
            room += 0x8000
        return room

    @cached_property
    def data(self) -> bytes:
        """All written bytes one after the other: the code of a snippet that stays in one place."""
        return b"".join(block.data for block in self.blocks)

    @property
    def image(self) -> bytes:
        """The whole ROM as the source wrote it."""
        return bytes(self._s.out.image.data)

    @cached_property
    def rom(self) -> bytes:
        """The whole ROM, its checksum corrected unless the source said `norom`."""
        image = bytearray(self._s.out.image.data)
        at = self._s.out.to_pc(0xFFDC)
        if self._s.fixes_checksum and 0 <= at < len(image):
            _write_checksum(image, at)
        return bytes(image)

    @cached_property
    def statements(self) -> tuple[Assembled, ...]:
        """Every statement that wrote, in the order they ran."""
        s = self._s
        found = []
        for pos, what, file, line, begin, end in s.listing:
            if isinstance(what, Statement):
                found.append(self._line(pos, what, file, line, bytes(s.out.stream[begin:end])))
                continue
            for st, file_, line_, _ in what.parts:
                assert st.const is not None
                found.append(self._line(pos, st, file_, line_, st.const))
                pos += len(st.const)
        return tuple(found)

    def _line(self, pos: int, st: Statement | DataLine, file: str, line: int, data: bytes) -> Assembled:
        lines = self._s.sources.raw_lines.get(file, [])
        source = display_text(lines[line]) if 0 <= line < len(lines) else display_text(st.text)
        op = st.op if isinstance(st, Statement) else None
        fields = (op.mnemonic, op.form, display_text(op.operand), op.suffix) if op is not None else ("", "", "", "")
        return Assembled(max(pos, 0) & 0xFFFFFF, data, file, line + 1, source, display_text(st.text), *fields)


def _merged(writes: list[tuple[int, bytes]]) -> list[list[int]]:
    spans: list[list[int]] = []
    for start, data in sorted((pc, len(data)) for pc, data in writes):
        if spans and start <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], start + data)
        elif data:
            spans.append([start, start + data])
    return spans


def _write_checksum(image: bytearray, at: int) -> None:
    """Write the checksum as far as the image reaches."""
    length = len(image)
    image[at : at + 4] = b"\xff\xff\0\0"[: max(length - at, 0)]
    total = checksum(image)
    whole = (total ^ 0xFFFF).to_bytes(2, "little") + total.to_bytes(2, "little")
    image[at : at + 4] = whole[: max(length - at, 0)]
