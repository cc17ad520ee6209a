"""One assembly while it runs: its parts, and what belongs to none of them.

Pass 0 finds the bank of each label, pass 1 its exact address, pass 2 writes. `begin` resets what a pass forgets.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from afs.domains.snes.asm.block_nesting import BlockNesting
from afs.domains.snes.asm.diagnostics import BlockHalt, FatalHalt
from afs.domains.snes.asm.directive_state import Arithmetic, DataSettings, FreeSpaces, OperandSettings
from afs.domains.snes.asm.limits import AsmLimits
from afs.domains.snes.asm.macro_call import MacroCall
from afs.domains.snes.asm.message_log import MessageLog, SourcePlace
from afs.domains.snes.asm.output_position import OutputPosition
from afs.domains.snes.asm.source_files import Files, SourceTexts
from afs.domains.snes.asm.statement_log import StatementLog, Stretch
from afs.domains.snes.asm.statements import Statement
from afs.domains.snes.asm.symbol_tables import Names, Struct

MAIN_CPU, SPC700, SPC700_INLINE = range(3)
"""Whose instructions are assembled."""


class SpcBlock(NamedTuple):
    """An open `spcblock`."""

    header: int
    """Where its length is written."""
    namespace: str
    """The one around it."""
    execute_at: int | None = None


class StatementBudget:
    """Stops a source that never ends."""

    def __init__(self, limits: AsmLimits) -> None:
        self._seconds = limits.seconds
        self._deadline = time.monotonic() + limits.seconds if limits.seconds is not None else None
        self.statements = limits.statements
        self._run = self._next_check = 0

    def count(self, statements: int, pass_: int) -> None:
        """Some more statements are about to run."""
        self._run += statements
        if self._run > self._next_check:
            self._check(pass_)

    def _check(self, pass_: int) -> None:
        self._next_check = self._run + 256
        if self._run > self.statements:
            raise FatalHalt("Elimit_statements", self.statements, report_in=pass_)
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise FatalHalt("Elimit_time", self._seconds, report_in=pass_)


class Session:
    """The parts of an assembly; `s` in every function of this package."""

    def __init__(self, files: Files, limits: AsmLimits, rom: bytes, defines: Mapping[str, str], strict: bool) -> None:
        self.limits, self.is_strict = limits, strict
        self.budget = StatementBudget(limits)
        self.sources = SourceTexts(files)
        self.at = SourcePlace()
        self.log = MessageLog(self.at, self.sources, limits.errors)
        self.out = OutputPosition(rom, limits.bytes_out, self.log)
        self.names = Names(defines)
        self.maths = Arithmetic()
        self.operands = OperandSettings()
        self.data = DataSettings()
        self.free = FreeSpaces()
        self.fixes_checksum = True
        self.listing: list[tuple[int, Statement | Stretch, str, int, int, int]] = []
        self.tape: StatementLog | None = None
        """Where the first pass records what it runs."""
        self.is_replaying = False
        self.is_volatile = False
        """Did the text that was run depend on what may change from pass to pass?"""
        self.begin(0)

    def begin(self, number: int) -> None:
        """Start of a pass."""
        self.pass_ = number
        self.at.begin()
        self.log.begin(number)
        self.out.begin(number)
        self.names.begin()
        self.maths.begin()
        self.operands.begin()
        self.data.begin()
        self.free.begin()
        self.sources.included_once = []
        self.flow = BlockNesting()
        self.macro: MacroCall | None = None
        self.macro_calls = 0
        self.pc_stack: list[tuple[int, ...]] = []
        self.base_stack: list[int] = []
        self.depth = 0
        self.repeat_next = 1
        self.version_allowed, self.is_top = True, True
        self.arch = MAIN_CPU
        self.spc_block: SpcBlock | None = None
        self.inline_header, self.inline_start = -1, 0
        self.set_fast()

    def set_fast(self) -> None:
        """May constant statements be copied without a look? After every change of what this depends on."""
        quiet = not self.is_strict and "Wimplicitly_sized_immediate" in self.log.muted
        self.is_fast = quiet and self.arch == MAIN_CPU and self.spc_block is None

    def touch(self) -> None:
        """Note that a value depends on the pass."""
        self.is_volatile = True

    def struct_size(self, name: str) -> int:
        """Bytes of a struct."""
        return self._struct(name).size

    def object_size(self, name: str) -> int:
        """Bytes of a struct with its longest extension."""
        return self._struct(name).object_size

    def _struct(self, name: str) -> Struct:
        found = self.names.structs.get(name)
        if found is None or self.pass_ == 0:
            self.touch()
        if found is None and self.pass_:
            raise BlockHalt("Estruct_not_found", name, report_in=2)
        return found or Struct(0, 0, 0, False)
