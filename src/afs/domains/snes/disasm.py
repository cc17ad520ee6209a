"""Bytes -> source in Asar's dialect that assembles to the same bytes, whatever the bytes are.

Code is what can be reached from the entry points, or what a code/data log of a run names, with register widths tracked;
everything else is `db`, and long runs of one byte are `fill`. Names of labels come from the user's symbols. It does not
guess jump tables: give their targets as entries, or a log.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from afs.domains.snes import isa
from afs.domains.snes.flow import ENTRY, Belief, FlowGraph, Insn, effective_address
from afs.domains.snes.flow.fixpoint import Walker, is_call, jump_target
from afs.domains.snes.knowledge.registers import register_at
from afs.domains.snes.mesen_logs import CODE, M8, X8
from afs.domains.snes.rom import MapperName, snes_to_pc
from afs.errors import DataError
from afs.types import Value

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]+")
_SUFFIX: Final = {
    "dp": ".b",
    "dp_x": ".b",
    "dp_y": ".b",
    "abs": ".w",
    "abs_x": ".w",
    "abs_y": ".w",
    "long": ".l",
    "long_x": ".l",
}
_FLOW: Final = frozenset({"jmp", "jml", "jsr", "jsl"})
_ROW: Final = 16
_LONG_RUN: Final = 64
"""Four rows of `db`: from there on `fill` is easier to read."""


class DisasmOptions(Value, frozen=True, kw_only=True):
    """How to read the bytes."""

    entries: tuple[int, ...] = ()
    """Where code starts; empty means at the origin."""
    wide_a: bool = False
    """Is A 16 bits wide at the entries?"""
    wide_x: bool = False
    """Are X and Y 16 bits wide at the entries?"""
    mapper: MapperName = "lorom"
    comments: bool = True
    """Name hardware registers, widths and symbols in comments."""
    log: bytes = b""
    """How each byte was used when the program ran, in the flags of `execution_trace`; empty: not known."""


class Region(NamedTuple):
    """Bytes that lie one after the other in one bank."""

    address: int
    data: bytes


def instruction(op: isa.Op, operand: int, size: int, name: str = "") -> str:
    """One instruction as text; `name` stands for the operand if given."""
    mode, width = op.mode, size - 1
    if mode == "block":
        return f"{op.mnemonic} ${operand & 0xFF:02X},${operand >> 8:02X}"
    pattern = "({})" if op.mnemonic == "pei" else isa.SYNTAX[mode]
    suffix = (".w" if width == 2 else ".b") if mode in ("imm_m", "imm_x") else _SUFFIX.get(mode, "")
    if op.mnemonic in _FLOW or mode == "acc" or width == 0:
        suffix = ""
    text = pattern.format(name or f"${operand:0{2 * width}X}")
    return f"{op.mnemonic}{suffix} {text}".rstrip()


def regions(data: bytes, origin: int, mapper: MapperName) -> list[Region]:
    """Lay bytes out from `origin`, going on in the next bank as the map wants."""
    found, start, address = [], 0, origin
    while start < len(data):
        if address > 0xFFFFFF or snes_to_pc(address, mapper) is None:
            raise DataError(f"${address:06X} is no ROM address of {mapper}: give another address or mapper")
        count = min(0x10000 - (address & 0xFFFF), len(data) - start)
        found.append(Region(address, data[start : start + count]))
        start += count
        first = 0 if mapper == "norom" or (address & 0x400000 and mapper in ("hirom", "exhirom")) else 0x8000
        address = (address & 0xFF0000) + 0x10000 | first
    return found


def disassemble(
    data: bytes,
    origin: int = 0x008000,
    options: DisasmOptions | None = None,
    symbols: Mapping[int, str] | None = None,
) -> str:
    """Source whose assembly is `data` again."""
    how = options or DisasmOptions()
    return "\n".join(_SourceWriter(regions(data, origin, how.mapper), origin, how, symbols or {}).lines()) + "\n"


class _Memory:
    """Decodes; no byte belongs to two instructions."""

    def __init__(self, parts: Sequence[Region]) -> None:
        self.parts = parts
        self.starts = [part.address for part in parts]
        self.taken = [bytearray(len(part.data)) for part in parts]

    def locate(self, address: int) -> tuple[int, int] | None:
        """(region, offset) of an address."""
        index = bisect.bisect_right(self.starts, address) - 1
        if index < 0 or address - self.starts[index] >= len(self.parts[index].data):
            return None
        return index, address - self.starts[index]

    def decode(self, address: int, state: Belief) -> Insn | None:
        place = self.locate(address)
        if place is None:
            return None
        index, offset = place
        data = self.parts[index].data
        op = isa.OPS[data[offset]]
        size = isa.size(op, state.m == 0, state.x == 0)
        taken = self.taken[index]
        if offset + size > len(data) or any(taken[offset : offset + size]):
            return None
        taken[offset : offset + size] = b"\1" * size
        return Insn(address, op, int.from_bytes(data[offset + 1 : offset + size], "little"), size)


class _SourceWriter:
    def __init__(self, parts: Sequence[Region], origin: int, how: DisasmOptions, symbols: Mapping[int, str]) -> None:
        self.parts, self.how = parts, how
        self.memory = _Memory(parts)
        entry = ENTRY._replace(m=int(not how.wide_a), x=int(not how.wide_x), m_from="set", x_from="set")
        entries = how.entries or (origin,)
        self.flow = _follow(self.memory, how, [(address, entry) for address in entries])
        self.symbols = _clean(symbols)
        self.labels = self._labels(entries)

    def _labels(self, entries: Sequence[int]) -> dict[int, str]:
        kinds: dict[int, str] = {address: "sub" for address in entries if self.memory.locate(address)}
        for insn in self.flow.insns.values():
            goal = _goal(insn)
            if goal is not None and kinds.get(goal) != "sub":
                kinds[goal] = "sub" if is_call(insn.op) else "loc"
        kinds.update({address: "" for address in self.symbols if address not in kinds and self.memory.locate(address)})
        taken = set(self.symbols.values())
        labels = {}
        for address, kind in kinds.items():
            name = self.symbols.get(address) or f"{kind}_{address:06X}"
            labels[address] = name if address in self.symbols or name not in taken else f"{name}_"
        return labels

    def lines(self) -> Iterator[str]:
        """The whole source."""
        yield self.how.mapper
        inside = {address for address in self.labels if self._placeable(address)}
        for address in sorted(self.labels.keys() - inside):
            yield f"{self.labels[address]} = ${address:06X}"
        for part in self.parts:
            yield ""
            yield f"org ${part.address:06X}"
            yield from self._region(part, inside)

    def _placeable(self, address: int) -> bool:
        """Can a label stand here: at an instruction or in data?"""
        place = self.memory.locate(address)
        return place is not None and (address in self.flow.insns or not self.memory.taken[place[0]][place[1]])

    def _region(self, part: Region, inside: set[int]) -> Iterator[str]:
        marks = sorted({a - part.address for a in inside if 0 <= a - part.address < len(part.data)})
        offset = 0
        while offset < len(part.data):
            address = part.address + offset
            if address in inside:
                yield f"{self.labels[address]}:{self._widths(address)}"
            insn = self.flow.insns.get(address)
            if insn is not None:
                yield "    " + self._text(insn)
                offset += insn.size
                continue
            count = self._run_length(part, offset, marks)
            if count >= _LONG_RUN:
                yield f"    fillbyte ${part.data[offset]:02X} : fill {count}"
                offset += count
                continue
            stop = self._data_end(part, offset, marks)
            yield "    db " + ",".join(f"${byte:02X}" for byte in part.data[offset:stop])
            offset = stop

    def _run_length(self, part: Region, offset: int, marks: Sequence[int]) -> int:
        """How often the byte here is repeated, up to the next label or instruction."""
        data = part.data
        end = next(iter(marks[bisect.bisect_right(marks, offset) :]), len(data))
        if data[offset : offset + _LONG_RUN].count(data[offset]) < _LONG_RUN:
            return 1
        stop = offset
        while stop < end and data[stop] == data[offset] and part.address + stop not in self.flow.insns:
            stop += 1
        return stop - offset

    def _data_end(self, part: Region, offset: int, marks: Sequence[int]) -> int:
        following = bisect.bisect_right(marks, offset)
        stop = min(offset + _ROW, len(part.data), *(marks[following : following + 1]))
        code = (n for n in range(offset + 1, stop) if part.address + n in self.flow.insns)
        return next(code, stop)

    def _widths(self, address: int) -> str:
        states = self.flow.at(address)
        if not self.how.comments or not states:
            return ""
        return " ; " + " ".join(
            f"{letter}{'/'.join(sorted({_WIDTH[value] for value in values}, key=len))}"
            for letter, values in (("m", [s.m for s in states]), ("x", [s.x for s in states]))
        )

    def _text(self, insn: Insn) -> str:
        goal = _goal(insn)
        if goal is None and insn.op.mode in ("rel8", "rel16"):
            raw = insn.op.code | insn.operand << 8
            data = ",".join(f"${byte:02X}" for byte in raw.to_bytes(insn.size, "little"))
            return f"db {data} ; {insn.op.mnemonic} across the bank border"
        text = instruction(insn.op, insn.operand, insn.size, self.labels[goal] if goal is not None else "")
        remark = self._remark(insn) if self.how.comments and goal is None else ""
        return f"{text} ; {remark}" if remark else text

    def _remark(self, insn: Insn) -> str:
        if not (insn.op.mode in _SUFFIX or insn.op.mode.startswith("dp")):
            return ""
        states = self.flow.at(insn.address)
        places = {effective_address(insn, state) for state in states}
        address = places.pop() if len(places) == 1 else None
        if address is None:
            address = insn.operand if insn.op.mode in ("abs_x", "abs_y", "long_x") else None
        if address is None:
            return ""
        register = register_at(address)
        mirror = address | 0x7E0000 if address < 0x2000 else address
        return self.symbols.get(address) or self.symbols.get(mirror) or (register.name if register else "")


def _follow(memory: _Memory, how: DisasmOptions, roots: Sequence[tuple[int, Belief]]) -> FlowGraph:
    """Walk from the entries, then from every instruction of the log that was not reached."""
    walker = Walker(memory.decode, 5_000_000)
    for address, state in roots:
        walker.root(address, state)
    flow = _walk_mirrors(walker, memory, how.mapper)
    for address, state in _logged_instructions(memory, how.log):
        if address not in flow.insns:
            walker.root(address, state)
            flow = _walk_mirrors(walker, memory, how.mapper)
    return flow


def _logged_instructions(memory: _Memory, log: bytes) -> Iterator[tuple[int, Belief]]:
    """The instructions of a log, one after the other from the start of each run of code bytes."""
    begin = 0
    for part in memory.parts:
        flags = log[begin : begin + len(part.data)]
        begin += len(part.data)
        offset = 0
        while offset < len(flags):
            if not flags[offset] & CODE:
                offset += 1
                continue
            m, x = int(bool(flags[offset] & M8)), int(bool(flags[offset] & X8))
            yield part.address + offset, ENTRY._replace(m=m, x=x, m_from="set", x_from="set")
            offset += isa.size(isa.OPS[part.data[offset]], not m, not x)


def _walk_mirrors(walker: Walker, memory: _Memory, mapper: MapperName) -> FlowGraph:
    """Walk, and continue where jumps name a mirror of the bytes at hand."""
    places = {snes_to_pc(part.address, mapper): part.address for part in memory.parts}
    seen: set[int] = set()
    while True:
        flow = walker.run()
        fresh = {place: goal for place, goal in flow.leaves.items() if place not in seen}
        if not fresh:
            return flow
        seen |= fresh.keys()
        for place, goal in fresh.items():
            mirror = _mirror(goal, mapper, places)
            if mirror is not None and memory.locate(mirror):
                state = flow.at(place)[0]
                walker.root(mirror, ENTRY._replace(m=state.m, x=state.x, m_from=state.m_from, x_from=state.x_from))


def _mirror(address: int, mapper: MapperName, places: Mapping[int | None, int]) -> int | None:
    """Where the bytes of an address lie in the layout at hand."""
    pc = snes_to_pc(address, mapper)
    starts = [start for start in places if start is not None and pc is not None and start <= pc]
    return places[max(starts)] + pc - max(starts) if starts and pc is not None else None


_WIDTH: Final = {1: "8", 0: "16", None: "?"}


def _goal(insn: Insn) -> int | None:
    """Where a label is wanted: target of a jump, call, branch or per; None when a branch wraps round its bank."""
    op = insn.op
    if op.mode not in ("rel8", "rel16"):
        return jump_target(insn) if op.mnemonic in _FLOW else None
    half = 0x80 if op.mode == "rel8" else 0x8000
    offset = (insn.address & 0xFFFF) + insn.size + (insn.operand ^ half) - half
    return insn.address & 0xFF0000 | offset if 0 <= offset <= 0xFFFF else None


def _clean(symbols: Mapping[int, str]) -> dict[int, str]:
    """Symbols that can be labels, each name once."""
    found: dict[int, str] = {}
    names: set[str] = set()
    for address, name in symbols.items():
        if _NAME.fullmatch(name) and name.lower() not in isa.MNEMONICS and name.lower() not in names:
            found[address] = name
            names.add(name.lower())
    return found
