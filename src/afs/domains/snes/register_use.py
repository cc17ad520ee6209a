"""What a routine reads before it writes, and the constants it holds: found by decoding its code, without running it.

It decides two things about start states. Constants are the borders worth trying. A register that is read although the
contract does not declare it means that trying every declared input is not trying everything. Code whose widths cannot
be followed is said to read everything.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from afs.domains.snes import isa
from afs.domains.snes.contract import FLAGS, Contract

EVERYTHING: Final = frozenset({"a", "b", "x", "y", "s", "pb", "i", *FLAGS})
_A_FULL: Final = frozenset({"a", "b"})
_MOST_PAIRED: Final = 6
"""Constants whose sums and differences are tried as well; with more of them the pairs would crowd out the rest."""
_FOLLOWED: Final = 4096
"""Instructions, each in the widths it is reached with, after which a routine is too long to follow."""


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_READS_A: Final = _set_of("adc sbc and ora eor cmp bit sta pha tax tay asl lsr rol ror inc dec tsb trb")
_WRITES_A: Final = _set_of("adc sbc and ora eor lda pla txa tya")
_ON_A: Final = _set_of("asl lsr rol ror inc dec")
_SETS_NZ: Final = _set_of(
    "adc sbc and ora eor lda ldx ldy pla plx ply txa tya tax tay txy tyx tsx asl lsr rol ror inc dec inx "
    "iny dex dey cmp cpx cpy xba tcd tdc tsc pld plb"
)
_SETS_C: Final = _set_of("adc sbc asl lsr rol ror cmp cpx cpy clc sec xce")
_SETS_V: Final = _set_of("adc sbc clv")
_READS: Final = {
    "adc": "c",
    "sbc": "c",
    "rol": "c",
    "ror": "c",
    "bcc": "c",
    "bcs": "c",
    "xce": "c",
    "beq": "z",
    "bne": "z",
    "bpl": "n",
    "bmi": "n",
    "bvc": "v",
    "bvs": "v",
    "stx": "x",
    "phx": "x",
    "txa": "x",
    "txy": "x",
    "txs": "x",
    "inx": "x",
    "dex": "x",
    "cpx": "x",
    "sty": "y",
    "phy": "y",
    "tya": "y",
    "tyx": "y",
    "iny": "y",
    "dey": "y",
    "cpy": "y",
    "tsx": "s",
    "tsc": "s",
    "mvn": "abxy",
    "mvp": "abxy",
    "xba": "ab",
    "tcd": "ab",
    "tcs": "ab",
}
_WRITES: Final = {
    "ldx": "x",
    "plx": "x",
    "tax": "x",
    "tyx": "x",
    "tsx": "x",
    "ldy": "y",
    "ply": "y",
    "tay": "y",
    "txy": "y",
    "xba": "ab",
    "tdc": "ab",
    "tsc": "ab",
    "mvn": "ab",
    "mvp": "ab",
    "sei": "i",
    "cli": "i",
}
_OF_THE_CALLER: Final = _set_of("tsx tsc txs tcs phk per pla plx ply plb pld plp")
_UNFOLLOWED: Final = frozenset({"plp", "rti", "xce", "cop", "brk"})


class CodeFacts(NamedTuple):
    """What decoding found out about a routine."""

    reads: frozenset[str]
    """Registers and flags it reads before it writes them: a, b (high byte of A), x, y, s, pb, i, n, v, z, c."""
    constants: frozenset[int]
    """Immediate operands."""
    sees_caller: bool
    """Can it tell where it was called from: S, the stack, or the program bank?"""


class _Step(NamedTuple):
    reads: frozenset[str]
    writes: frozenset[str]
    following: tuple[tuple[int, int, int], ...]
    constant: int | None
    constant_size: int
    sees_caller: bool = False


@lru_cache(maxsize=4096)
def examine_code(code: bytes, m: int, x: int) -> CodeFacts:
    """The facts of a routine entered with A `m` and X/Y `x` bits wide."""
    steps: dict[tuple[int, int, int], _Step] = {}
    waiting, followed = [(0, m, x)], True
    while waiting and followed:
        place = waiting.pop()
        if place in steps:
            continue
        step = _decode(code, place) if len(steps) < _FOLLOWED else None
        if step is None:
            followed = False
            break
        steps[place] = step
        waiting += step.following
    constants = {_widened(step) for step in steps.values() if step.constant is not None}
    found = frozenset(value for pair in constants for value in pair)
    sees = not followed or any(step.sees_caller for step in steps.values())
    return CodeFacts(_live_at_entry(steps, (0, m, x)) if followed else EVERYTHING, found, sees)


def _widened(step: _Step) -> tuple[int, int]:
    value = step.constant or 0
    return value, value | value << 8 if step.constant_size == 1 else value


def _decode(code: bytes, place: tuple[int, int, int]) -> _Step | None:
    """One instruction and where control goes; None where that cannot be followed."""
    at, m, x = place
    if at == len(code):
        return _Step(frozenset(), frozenset(), (), None, 0)  # it falls off its end
    if not 0 <= at < len(code) or not m or not x:
        return None
    op = isa.OPS[code[at]]
    size = isa.size(op, m == 16, x == 16)
    operand = int.from_bytes(code[at + 1 : at + size], "little")
    if op.mnemonic in _UNFOLLOWED or at + size > len(code):
        return None
    following = _following(op, operand, place, at + size)
    if following is None:
        return None
    immediate = operand if op.mode in ("imm_m", "imm_x", "imm8") and op.mnemonic not in ("rep", "sep") else None
    sees = op.mnemonic in _OF_THE_CALLER or op.mode.startswith("sr")
    return _Step(_reads(op, m, x), _writes(op, m), following, immediate, size - 1, sees)


def _following(
    op: isa.Op, operand: int, place: tuple[int, int, int], after: int
) -> tuple[tuple[int, int, int], ...] | None:
    _, m, x = place
    name = op.mnemonic
    if name in ("rts", "rtl", "stp", "wai"):
        return ()
    if name in ("rep", "sep"):
        width = 16 if name == "rep" else 8
        return ((after, width if operand & 0x20 else m, width if operand & 0x10 else x),)
    if op.mode == "rel8":
        target = (after + (operand ^ 0x80) - 0x80, m, x)
        return (target,) if name == "bra" else (target, (after, m, x))
    if name == "brl":
        return ((after + (operand ^ 0x8000) - 0x8000, m, x),)
    if name in ("jmp", "jml"):
        return ((operand & 0x7FFF, m, x),) if op.mode in ("abs", "long") else None
    return None if name in ("jsr", "jsl") else ((after, m, x),)


def _reads(op: isa.Op, m: int, x: int) -> frozenset[str]:
    name, wide = op.mnemonic, {"a", "b"} if m == 16 else {"a"}
    found = set(_READS.get(name, ""))
    if name == "phk":
        found.add("pb")
    if name == "php":
        found |= {*FLAGS, "i"}
    if name in _READS_A and (name not in _ON_A or op.mode == "acc"):
        found |= _A_FULL if name in ("tax", "tay") and x == 16 else wide
    if op.mode.endswith("_x"):
        found.add("x")
    if op.mode.endswith("_y"):
        found.add("y")
    return frozenset(found | ({"s"} if op.mode.startswith("sr") else set()))


def _writes(op: isa.Op, m: int) -> frozenset[str]:
    name = op.mnemonic
    found = set(_WRITES.get(name, ""))
    if name in _WRITES_A or (name in _ON_A and op.mode == "acc"):
        found |= _A_FULL if m == 16 else {"a"}
    found |= {"n", "z"} if name in _SETS_NZ else {"z"} if name in ("tsb", "trb", "bit") else set()
    found |= {"n", "v"} if name == "bit" and op.mode != "imm_m" else set()
    return frozenset(found | ({"c"} if name in _SETS_C else set()) | ({"v"} if name in _SETS_V else set()))


def _live_at_entry(steps: dict[tuple[int, int, int], _Step], entry: tuple[int, int, int]) -> frozenset[str]:
    """Read before written on some path: the usual backward iteration."""
    live: dict[tuple[int, int, int], frozenset[str]] = dict.fromkeys(steps, frozenset())
    changed = True
    while changed:
        changed = False
        for place, step in reversed(steps.items()):
            after = frozenset().union(*(live[nxt] for nxt in step.following))
            new = step.reads | (after - step.writes)
            if new != live[place]:
                live[place], changed = new, True
    return live[entry]


def undeclared_reads(contract: Contract, *codes: bytes) -> tuple[str, ...]:
    """Registers and flags that one of the routines reads and the contract does not declare."""
    declared = set(contract.inputs)
    return tuple(
        sorted({name for code in codes for name in examine_code(code, contract.m, contract.x).reads} - declared)
    )


def values_to_try(contract: Contract, *codes: bytes) -> tuple[int, ...]:
    """The constants of the routines, their negatives and complements, with neighbors; sums and differences of a few."""
    constants = sorted({value for code in codes for value in examine_code(code, contract.m, contract.x).constants})
    found: set[int] = set()
    for value in constants:
        found.update(base + step for base in (value, -value, ~value) for step in (-1, 0, 1))
    if len(constants) <= _MOST_PAIRED:
        found.update(one + sign * two for one in constants for two in constants for sign in (-1, 1))
    return tuple(sorted({value & 0xFFFF for value in found}))
