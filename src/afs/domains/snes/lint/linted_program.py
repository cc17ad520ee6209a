"""The rules' view of a program: statements by address, labels, contracts, and the flow of control."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from afs.domains.snes import isa
from afs.domains.snes.contract import Contract
from afs.domains.snes.flow import ENTRY, Belief, FlowGraph, Insn, Visit
from afs.domains.snes.flow.fixpoint import Walker, is_call

_BREAKS_OF_A_PROTOCOL = 4
"""Stray zero bytes taken as code are rarely so many; a handler that is called is used more often."""


class CodeLine(NamedTuple):
    """One assembled statement: its place in the source and its bytes."""

    line: int
    address: int
    data: bytes
    is_code: bool
    file: str = ""


class Program:
    """An assembled source, ready for the rules."""

    def __init__(
        self, lines: Iterable[CodeLine], labels: Mapping[str, int], contracts: Mapping[int, Contract], main: int | None
    ) -> None:
        self.insns: dict[int, Insn] = {}
        self.files: dict[int, str] = {}
        self.file = ""
        """The file that code starts in."""
        self.calls_by_brk = False
        """Does the program use brk to call a handler of its own?"""
        self.main_file = ""
        """The file that was assembled."""
        self.mapper = "lorom"
        self.data: set[int] = set()
        self.starts: list[int] = []
        """First address of each run of adjacent statements."""
        self.names: dict[int, str] = {}
        for name, address in labels.items():
            self.names.setdefault(address, name)
        self.contracts = dict(contracts)
        self.main = main
        """The routine under test, if the source is one."""
        self.promised: set[int] = set()
        """Routines whose contract states explicitly how they end."""
        self._lay(lines)
        self.flow = self._walk()
        self.routines = self._routines()

    def _lay(self, lines: Iterable[CodeLine]) -> None:
        after = -1
        for line in lines:
            if line.address != after:
                self.starts.append(line.address)
            after = line.address + len(line.data)
            self.file = self.file or line.file
            if line.is_code:
                for insn in split(line):
                    self.insns[insn.address] = insn
                    self.files[insn.address] = line.file
                    self.data.discard(insn.address)
            else:
                self.data.update(range(line.address, after))
                for address in range(line.address, after):
                    self.insns.pop(address, None)

    def _walk(self) -> FlowGraph:
        breaks = sum(insn.op.mnemonic == "brk" for insn in self.insns.values())
        self.calls_by_brk = breaks >= _BREAKS_OF_A_PROTOCOL
        budget = 20_000 + 40 * len(self.insns)
        walker = Walker(lambda address, _: self.insns.get(address), budget, self.calls_by_brk)
        strong = [*self.contracts, *([self.main] if self.main is not None else []), *self.starts]
        for address in dict.fromkeys(strong):
            walker.root(address, self.entry(address))
        walker.run()
        for address in sorted(self.names):
            if address in self.insns and address not in walker.flow.insns:
                walker.root(address, self.entry(address))
                walker.run()
        return walker.flow

    def entry(self, address: int) -> Belief:
        """What is known where a routine starts."""
        contract = self.contracts.get(address)
        if contract is None:
            return ENTRY
        bank = address >> 16 if contract.db == "origin" else contract.db
        return ENTRY._replace(
            m={8: 1, 16: 0}.get(contract.m),
            x={8: 1, 16: 0}.get(contract.x),
            d=contract.d if isinstance(contract.d, int) else "d",
            b=bank if isinstance(bank, int) else "b",
            decimal=None if contract.decimal else 0,
        )

    def _routines(self) -> set[int]:
        """Entries that are called, or that have a contract."""
        called = {visit.entry for visit in self.flow.callers}
        return called | set(self.contracts) | ({self.main} if self.main is not None else set())

    def visits(self) -> Iterator[tuple[Insn, Visit, Belief]]:
        """Every instruction with every state it is reached in."""
        for (visit, address), state in self.flow.states.items():
            yield self.insns[address], visit, state

    @cached_property
    def calling_out(self) -> frozenset[Visit]:
        """Routines that call something that is not in this source."""
        return frozenset(
            visit
            for visit, address in self.flow.states
            if is_call(self.insns[address].op)
            and (address in self.flow.leaves or self.insns[address].op.mode == "abs_ind_x")
        )

    def file_of(self, insn: Insn) -> str:
        """The file of an instruction; empty for the main one."""
        file = self.files.get(insn.address, "")
        return file if file != self.main_file else ""

    def name(self, address: int) -> str:
        """A label, or the address."""
        return self.names.get(address, f"${address:06X}")


def split(line: CodeLine) -> Iterator[Insn]:
    """The instructions of a statement; `asl #3` is three."""
    op = isa.OPS[line.data[0]]
    plain = 1 + isa.OPERAND_BYTES[op.mode]
    wide = op.mode in ("imm_m", "imm_x") and len(line.data) == plain + 1
    size = plain + wide
    for offset in range(0, len(line.data) - size + 1, size):
        operand = int.from_bytes(line.data[offset + 1 : offset + size], "little")
        yield Insn(line.address + offset, op, operand, size, line.line)
