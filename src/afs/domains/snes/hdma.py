"""HDMA: up to eight tables that write registers at the end of every line of the picture."""

from __future__ import annotations

from typing import Final

from afs.domains.snes.console_machine import ConsoleMachine
from afs.domains.snes.hardware_ports import DMA_PATTERN

_UNIT: Final = (1, 2, 2, 4, 4, 4, 2, 4)
"""Bytes a line, by transfer mode."""
_LINE_CLOCKS: Final = 18
"""What a line costs as soon as one channel is on; 8 more a channel and a byte."""


class Hdma:
    """The channels' progress through a frame."""

    def __init__(self, machine: ConsoleMachine) -> None:
        self._machine = machine
        self._active = self._transfers = 0

    def begin_frame(self, channels: int) -> None:
        """Reload the tables of the channels that are on."""
        self._active, self._transfers = channels, 0
        for channel in _bits(channels):
            base = 0x4300 + channel * 16
            self._put_word(base + 8, self._word(base + 2))
            self._next_entry(channel)

    def run_line(self, channels: int) -> None:
        """The transfers at the end of one line."""
        machine = self._machine
        on = channels & self._active
        clocks = _LINE_CLOCKS if on else 0
        for channel in _bits(on):
            base = 0x4300 + channel * 16
            clocks += 8
            if self._transfers >> channel & 1:
                clocks += 8 * self._transfer(base)
            counter = machine.port(base + 10) - 1 & 0xFF
            machine.port_put(base + 10, counter)
            self._set_transfers(channel, counter >> 7)
            if not counter & 0x7F:
                self._next_entry(channel)
        machine.wait(clocks)

    def _set_transfers(self, channel: int, on: int) -> None:
        self._transfers = self._transfers & ~(1 << channel) | on << channel

    def _next_entry(self, channel: int) -> None:
        machine, base = self._machine, 0x4300 + channel * 16
        counter = self._table_byte(base)
        machine.port_put(base + 10, counter)
        if machine.port(base) & 0x40:
            low = self._table_byte(base)
            self._put_word(base + 5, low | self._table_byte(base) << 8)
        if not counter:
            self._active &= ~(1 << channel)
        self._set_transfers(channel, 1 if counter else 0)

    def _table_byte(self, base: int) -> int:
        at = self._word(base + 8)
        self._put_word(base + 8, at + 1 & 0xFFFF)
        return self._machine.dma_read(self._machine.port(base + 4) << 16 | at)

    def _transfer(self, base: int) -> int:
        machine = self._machine
        control, target = machine.port(base), machine.port(base + 1)
        indirect = bool(control & 0x40)
        place, bank = (base + 5, machine.port(base + 7)) if indirect else (base + 8, machine.port(base + 4))
        count = _UNIT[control & 7]
        for index in range(count):
            at = self._word(place)
            self._put_word(place, at + 1 & 0xFFFF)
            port = 0x2100 | target + DMA_PATTERN[control & 7][index & 3] & 0xFF
            if not control & 0x80:
                machine.port_write(port, machine.dma_read(bank << 16 | at))
        return count

    def _word(self, port: int) -> int:
        return self._machine.port(port) | self._machine.port(port + 1) << 8

    def _put_word(self, port: int, value: int) -> None:
        self._machine.port_put(port, value & 0xFF)
        self._machine.port_put(port + 1, value >> 8)


def _bits(mask: int) -> list[int]:
    return [channel for channel in range(8) if mask >> channel & 1]
