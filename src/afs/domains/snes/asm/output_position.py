"""Where the assembler writes: addresses, bank borders, and the bytes on their way into the image.

`pos` is the address labels get, `real` the one bytes go to; they differ inside `base` and structs. `room` counts the
bytes that can be emitted before anything has to be looked at again; below zero means: look now.
"""

from __future__ import annotations

from afs.domains.snes.asm.diagnostics import BlockHalt, FatalHalt
from afs.domains.snes.asm.message_log import MessageLog
from afs.domains.snes.asm.rom_image import Image
from afs.domains.snes.rom import MAX_SIZE, SA1_BANKS, pc_to_snes, snes_to_pc

NOWHERE = -1


class OutputPosition:
    """Where the next byte goes."""

    def __init__(self, rom: bytes, most_bytes: int, log: MessageLog) -> None:
        self.image = Image(rom)
        self._most_bytes, self._log = most_bytes, log
        self.labels_may_move = False
        self.emitted = 0
        self.begin(0)

    def begin(self, number: int) -> None:
        """Start of a pass."""
        self.pass_ = number
        self.image.fill = 0
        self.pos = self.real = self.start = self.real_start = NOWHERE
        self.room = -1
        self.bytes_counted = 0
        self.mapper, self.banks = "lorom", SA1_BANKS
        self.has_mapper = False
        self.checks_banks, self.checks_half_banks = True, False
        self.may_prot = "no"
        self.stream = bytearray()
        self.chunk_at, self.chunk_from = NOWHERE, 0

    def to_pc(self, address: int) -> int:
        """Offset in the ROM, -1 if unmapped."""
        pc = snes_to_pc(address, self.mapper, self.banks)
        return -1 if pc is None else pc

    def to_snes(self, pc: int) -> int:
        """SNES address of an offset, -1 if there is none."""
        address = pc_to_snes(pc, self.mapper, self.banks)
        return -1 if address is None else address

    def move(self, address: int) -> None:
        """Continue at an address, for labels and bytes alike."""
        self.pos = self.real = self.start = self.real_start = address
        self.room = -1

    def verify(self) -> None:
        """There must be an address to write to."""
        if self.pos < 0 or self.real < 0:
            self._log.warn(0, "Wmissing_org")
            self.move(0x8000)

    def emit(self, data: bytes) -> None:
        """Put bytes at the current place."""
        count = len(data)
        room = self.room - count
        if room < 0:
            self._emit_slowly(data)
            return
        self.room = room
        self.pos += count
        self.real += count
        self.bytes_counted += count
        if self.pass_ == 2:
            self.stream += data

    def _emit_slowly(self, data: bytes) -> None:
        self.verify()
        self.may_prot = "no"
        self.emitted += len(data)
        if max(self.emitted, len(self.stream) + len(data)) > self._most_bytes:
            raise FatalHalt("Elimit_output", self._most_bytes, report_in=self.pass_)
        at = 0
        while at < len(data):
            count = min(len(data) - at, 0x8000 - (self.real & 0x7FFF), 0x8000 - (self.pos & 0x7FFF))
            if self.pass_ == 2:
                self._write(data[at : at + count])
            self.step(count)
            at += count
        self.settle()

    def _write(self, data: bytes) -> None:
        pc = self.to_pc(self.real & 0xFFFFFF)
        if pc < 0:
            self.labels_may_move = True
            raise BlockHalt("Esnes_address_doesnt_map_to_rom", self.real & 0xFFFFFFFF, report_in=2)
        if pc + len(data) > MAX_SIZE:
            raise FatalHalt("E16mb_rom_limit", report_in=2)
        if pc != self.chunk_at + len(self.stream) - self.chunk_from:
            self.flush()
            self.chunk_at, self.chunk_from = pc, len(self.stream)
        self.stream += data

    def flush(self) -> None:
        """Hand what was emitted to the image."""
        if len(self.stream) > self.chunk_from:
            self.image.put(self.chunk_at, bytes(self.stream[self.chunk_from :]))
        self.chunk_at, self.chunk_from = NOWHERE, len(self.stream)

    def step(self, count: int) -> None:
        """Advance by some bytes, over bank borders where that is allowed."""
        if self.checks_banks:
            self.pos += count
            self.real += count
        else:
            self.pos = self.start = self.pos & ~0xFFFFFF | self._stepped(self.pos & 0xFFFFFF, count)
            self.real = self.real_start = self.real & ~0xFFFFFF | self._stepped(self.real & 0xFFFFFF, count)
        self.bytes_counted += count

    def _stepped(self, address: int, count: int) -> int:
        mapper = self.mapper
        if mapper in ("exlorom", "fullsa1rom"):
            pc = self.to_pc(address)
            return max(self.to_snes(pc + count), 0) if pc >= 0 else 0xFFFFFF
        low = not address & 0x400000 if mapper != "lorom" else True
        if mapper != "norom" and low and (address & 0xFFFF) + count > 0xFFFF:
            return address + count + 0x8000
        return address + count

    def settle(self) -> None:
        """Work out how many bytes may follow before a border is near."""
        pos, real = self.pos, self.real
        self.room = -1
        if pos < 0 or real < 0:
            return
        if not self.checks_banks:
            if self.mapper in ("exlorom", "fullsa1rom"):
                return
            self.start, self.real_start = pos, real
        elif self._is_across(pos, self.start) or self._is_across(real, self.real_start):
            return
        if self.pass_ == 2:
            pc = self.to_pc(real & 0xFFFFFF)
            if pc < 0:
                return
            if pc != self.chunk_at + len(self.stream) - self.chunk_from:
                self.flush()
                self.chunk_at, self.chunk_from = pc, len(self.stream)
        mask = 0x7FFF8000 if self.checks_half_banks else 0x7FFF0000
        if ((pos ^ self.start) | (real ^ self.real_start)) & mask:
            self.room = 0  # at the very end of a bank: nothing fits, nothing is wrong yet
        else:
            self.room = min(0x8000 - (pos & 0x7FFF), 0x8000 - (real & 0x7FFF)) - (not self.checks_banks)

    def _is_across(self, at: int, start: int) -> bool:
        mask = 0x7FFF8000 if self.checks_half_banks else 0x7FFF0000
        return bool((at ^ start) & mask and ((at - 1) ^ start) & mask)

    def check_banks(self) -> None:
        """After each statement: no bank border may have been crossed."""
        if self.room >= 0 or not self.checks_banks:
            return
        if self.pos < 0 and self.real < 0 and self.start < 0 and self.real_start < 0:
            return
        for at, start in ((self.pos, self.start), (self.real, self.real_start)):
            if self._is_across(at, start):
                raise FatalHalt("Ebank_border_crossed", at & 0xFFFFFFFF, report_in=self.pass_)
