"""What the bytes of a routine say: its listing, the registers it touches, the remarks of the lint rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from afs.domains.snes.contract import Contract
from afs.domains.snes.disasm import instruction
from afs.domains.snes.explain.explanation import FindingRow, ListingRow, TouchedRegister
from afs.domains.snes.explain.rom_code import RomCode, RomRoutine
from afs.domains.snes.flow import Belief, Insn, effective_address
from afs.domains.snes.flow.fixpoint import jump_target
from afs.domains.snes.knowledge.registers import register_at
from afs.domains.snes.lint.lint_source import CHECKS
from afs.domains.snes.lint.linted_program import CodeLine, Program
from afs.domains.snes.lint.rule import findings
from afs.domains.snes.memory_map import name_of
from afs.domains.snes.register_command import WHEN
from afs.domains.snes.rom import snes_to_pc

_STORES: Final = frozenset({"sta", "stx", "sty", "stz"})
_CHANGES: Final = frozenset({"inc", "dec", "asl", "lsr", "rol", "ror", "tsb", "trb"})
_NO_DATA: Final = frozenset({"jmp", "jml", "jsr", "jsl", "pea", "per"})


class RoutineNames:
    """What addresses are called: the user's symbols, registers, then plain addresses."""

    def __init__(self, symbols: Mapping[int, str], entry: int) -> None:
        self.symbols, self.entry = symbols, entry

    def find(self, address: int) -> str:
        """A symbol, with the mirrors of low RAM and of the other half of the map; empty when there is none."""
        low = address & 0xFFFF if address >> 16 & 0x7F < 0x40 else address
        for place in (address, address ^ 0x800000, low | 0x7E0000 if low < 0x2000 else address, low):
            if place in self.symbols:
                return self.symbols[place]
        return ""

    def describe(self, address: int) -> str:
        """A name with its address, or the address."""
        name = self.find(address)
        return f"{name} (${address:06X})" if name else f"${address:06X}"

    def describe_data(self, address: int) -> str:
        """The same for data, whose bank is often left out."""
        name, place = self.find(address), name_of(address)
        return f"{name} ({place})" if name else place

    def label(self, address: int) -> str:
        """What a jump to an address shows."""
        return self.find(address) or f"{'sub' if address == self.entry else 'loc'}_{address:06X}"


def list_code(code: RomCode, routine: RomRoutine, names: RoutineNames) -> Iterator[ListingRow]:
    """The routine's instructions with the widths they run in."""
    own = {insn.address for insn in routine.insns}
    goals = {goal for insn in routine.insns if (goal := jump_target(insn)) in own} | {routine.address}
    for insn in routine.insns:
        state = routine.states[insn.address]
        goal = jump_target(insn)
        place = snes_to_pc(insn.address, code.mapper) or 0
        name = names.label(goal) if goal in own else names.find(goal) if goal is not None else ""
        yield ListingRow(
            address=f"{insn.address:06X}",
            bytes=code.data[place : place + insn.size].hex(" ").upper(),
            widths=f"m{format_width(state.m)} x{format_width(state.x)}",
            label=names.label(insn.address) if insn.address in goals else "",
            text=_write(insn, name or (f"${goal:06X}" if goal is not None and goal > 0xFFFF else "")),
            remark=_remark(insn, state, names),
        )


def _write(insn: Insn, name: str) -> str:
    if insn.op.mode in ("rel8", "rel16") or name:
        goal = jump_target(insn)
        return instruction(insn.op, insn.operand, insn.size, name or (f"${goal:06X}" if goal is not None else ""))
    return instruction(insn.op, insn.operand, insn.size)


def format_width(width: int | None) -> str:
    """8, 16, or `?` when paths disagree."""
    return {1: "8", 0: "16", None: "?"}[width]


def find_touched(insn: Insn, state: Belief) -> int | None:
    """The address of the data an instruction touches, as far as it is certain; of a table, its start."""
    if insn.op.mnemonic in _NO_DATA or insn.op.mode in ("rel8", "rel16", "imm8", "imm_m", "imm_x", "imm16"):
        return None
    found = effective_address(insn, state)
    if found is None and insn.op.mode in ("abs_x", "abs_y", "long_x"):
        return insn.operand
    return found


def _remark(insn: Insn, state: Belief, names: RoutineNames) -> str:
    address = find_touched(insn, state)
    if address is None:
        return ""
    register = register_at(address)
    return names.find(address) or (f"{register.name}: {register.purpose}" if register else "")


def is_write(insn: Insn) -> bool:
    """Does it change memory?"""
    return insn.op.mnemonic in _STORES or (insn.op.mnemonic in _CHANGES and insn.op.mode not in ("acc", "imp"))


def list_registers(routine: RomRoutine) -> tuple[TouchedRegister, ...]:
    """The hardware registers that its own instructions name."""
    found: dict[int, tuple[set[str], list[str]]] = {}
    for insn in routine.insns:
        address = find_touched(insn, routine.states[insn.address])
        if address is None:
            continue
        narrow = routine.states[insn.address].m == 1 or insn.op.mnemonic in ("stx", "sty", "ldx", "ldy")
        for place in (address,) if narrow else (address, address + 1):
            if register := register_at(place):
                kinds, places = found.setdefault(register.address, (set(), []))
                kinds |= _kinds(insn)
                places.append(f"${insn.address:06X}")
    rows = []
    for address, (kinds, places) in sorted(found.items()):
        register = register_at(address)
        assert register is not None
        rows.append(
            TouchedRegister(
                address=register.hexa,
                name=register.name,
                access=" and ".join(sorted(kinds)),
                purpose=register.purpose,
                when=WHEN[register.when],
                places=tuple(dict.fromkeys(places)),
            )
        )
    return tuple(rows)


def _kinds(insn: Insn) -> set[str]:
    if insn.op.mnemonic in _CHANGES:
        return {"reads", "writes"}
    return {"writes"} if is_write(insn) else {"reads"}


def list_findings(code: RomCode, routine: RomRoutine, m: int | None, x: int | None) -> Iterator[FindingRow]:
    """Remarks of the lint rules on the routine's own instructions; rules about contracts have none to go by."""
    own = {insn.address for insn in routine.insns}
    order = {place: number for number, place in enumerate(sorted(routine.flow.insns), 1)}
    lines = []
    for place, number in order.items():
        insn = routine.flow.insns[place]
        offset = snes_to_pc(place, code.mapper) or 0
        lines.append(CodeLine(number, place, code.data[offset : offset + insn.size], True))
    contract = Contract(m={1: 8, 0: 16}.get(m, 0), x={1: 8, 0: 16}.get(x, 0), d="any", db="any")  # type: ignore[arg-type]
    program = Program(lines, {}, {routine.address: contract}, None)
    program.mapper = code.mapper
    places = {number: place for place, number in order.items()}
    for rule, check in CHECKS.items():
        if rule.startswith("contract-"):
            continue
        for one in findings(rule, check, program):
            if places[one.line] in own:
                yield FindingRow(place=f"${places[one.line]:06X}", rule=rule, message=one.message, sure=one.sure)
