"""Faults put into working programs, by category: where they bite is proved by running (`debug`), not assumed here.

An injector gets a program and gives the spoiled code and what goes wrong, or None where it does not apply.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

from afs.domains.snes.tasks.program_builder import TypedProgram


class Fault(NamedTuple):
    """Spoiled code, and what is wrong with it."""

    code: str
    why: str


Injector = Callable[[TypedProgram, random.Random], Fault | None]


def _split_lines(code: str) -> list[str]:
    return code.rstrip("\n").split("\n")


def _join_lines(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _find_lines(lines: list[str], pattern: str) -> list[int]:
    return [at for at, line in enumerate(lines) if re.match(rf"\s*{pattern}", line)]


def _mode_mismatch(routine: TypedProgram, rng: random.Random) -> Fault | None:
    """The widths are switched the wrong way, or not at all, before wide code."""
    lines = _split_lines(routine.code)
    hits = _find_lines(lines[:3], r"(?:rep|sep) #\$[0-9A-F]{2}$")
    if not hits or lines[hits[0]].strip()[:3] != "rep":
        return None
    at = hits[0]
    if rng.random() < 0.5:
        why = f"the code expects wider registers, but `{lines[at].strip()}` is missing: operands are misread"
        return Fault(_join_lines(lines[:at] + lines[at + 1 :]), why)
    bits = int(lines[at][-2:], 16)
    wrong = {0x20: 0x10, 0x10: 0x20, 0x30: 0x10}[bits]
    spoiled = lines[at][:-2] + f"{wrong:02X}"
    why = f"`{spoiled.strip()}` switches the wrong register's width; the code needs `rep #${bits:02X}`"
    return Fault(_join_lines([*lines[:at], spoiled, *lines[at + 1 :]]), why)


def _missing_sep(routine: TypedProgram, rng: random.Random) -> Fault | None:
    """The widths are not put back."""
    lines = _split_lines(routine.code)
    hits = _find_lines(lines[-3:], r"sep #\$[0-9A-F]{2}$")
    if not hits:
        return None
    at = len(lines) - len(lines[-3:]) + hits[-1]
    why = (
        f"the routine returns in wide mode: `{lines[at].strip()}` before the return is missing, so the caller misreads"
    )
    return Fault(_join_lines(lines[:at] + lines[at + 1 :]), f"{why} its own code")


def _stack_imbalance(routine: TypedProgram, rng: random.Random) -> Fault | None:
    """One push or pull too many."""
    lines = _split_lines(routine.code)
    pulls = _find_lines(lines, r"pl[abdxy]\b")
    if pulls and rng.random() < 0.7:
        at = rng.choice(pulls)
        why = (
            f"a value is pushed but `{lines[at].strip()}` is missing: the return takes the wrong address from the stack"
        )
        return Fault(_join_lines(lines[:at] + lines[at + 1 :]), why)
    push = rng.choice(["pha", "phx", "phy", "php"])
    at = len(lines) - 1
    pulled = push.replace("h", "l")
    why = f"`{push}` has no matching `{pulled}`: at the return the pushed value is used as the return address"
    first = 0 if push != "pha" else min(1, at)
    return Fault(_join_lines([*lines[:first], f"    {push}", *lines[first:]]), why)


def _return_mismatch(routine: TypedProgram, rng: random.Random) -> Fault | None:
    """RTS for RTL or the other way round."""
    ends = routine.contract.ends
    other = {"rts": "rtl", "rtl": "rts"}[ends]
    caller = {"rts": "JSR", "rtl": "JSL"}[ends]
    lines = _split_lines(routine.code)
    why = f"the routine is called with {caller}, so it must end with {ends.upper()}; {other.upper()} pulls"
    return Fault(_join_lines([*lines[:-1], f"    {other}"]), f"{why} the wrong number of bytes")


def _endianness(routine: TypedProgram, rng: random.Random) -> Fault | None:
    """Low and high byte are swapped in bytewise code."""
    for code in (routine.slow, routine.code):
        lines = _split_lines(code)
        stores = [
            (at, int(m[1], 16)) for at, line in enumerate(lines) if (m := re.match(r"\s*sta \$([0-9A-F]+)$", line))
        ]
        pairs = [(a, b) for (a, x), (b, y) in pairwise(stores) if y == x + 1]
        if pairs:
            a, b = rng.choice(pairs)
            lines[a], lines[b] = lines[b], lines[a]
            why = "the low and high byte are stored in the wrong order; the 65816 is little-endian, low byte first"
            return Fault(_join_lines(lines), why)
    return None


def _addressing_mode(routine: TypedProgram, rng: random.Random) -> Fault | None:
    """Immediate for memory or memory for immediate."""
    lines = _split_lines(routine.code)
    loads = _find_lines(lines, r"(?:lda|adc|sbc|cmp|and|ora|eor) #?\$[0-9A-F]{2}$")
    if not loads:
        return None
    at = rng.choice(loads)
    good = lines[at]
    lines[at] = good.replace("#", "") if "#" in good else good.replace("$", "#$")
    meant, taken = ("a constant", "memory") if "#" in good else ("memory", "a constant")
    return Fault(_join_lines(lines), f"`{lines[at].strip()}` uses {taken} where {meant} is meant: `{good.strip()}`")


def _branch(routine: TypedProgram, rng: random.Random) -> Fault | None:
    """The condition is the wrong way round."""
    lines = _split_lines(routine.code)
    hits = _find_lines(lines, r"(?:bcc|bcs|beq|bne|bpl|bmi|bvc|bvs) ")
    if not hits:
        return None
    at = rng.choice(hits)
    good = lines[at].split()[0]
    bad = {"bcc": "bcs", "beq": "bne", "bpl": "bmi", "bvc": "bvs"}
    bad |= {value: key for key, value in bad.items()}
    lines[at] = lines[at].replace(good, bad[good], 1)
    return Fault(_join_lines(lines), f"the condition is inverted: `{bad[good]}` must be `{good}`")


def _zero_flag(routine: TypedProgram, rng: random.Random) -> Fault | None:
    """Something between a test and its branch changes the flags."""
    lines = _split_lines(routine.code)
    tests = [
        at
        for at in _find_lines(lines, r"(?:beq|bne) ")
        if at and re.match(r"\s*(?:lda|cmp|dex|dey|inx) ?", lines[at - 1])
    ]
    if not tests:
        return None
    at = rng.choice(tests)
    index = "x" if "dey" in lines[at - 1] or re.search(r"\by\b", routine.code) else "y"
    spare = rng.choice([f"    ld{index} #${'01' if routine.contract.x == 8 else '0001'}", f"    in{index}"])
    why = f"`{spare.strip()}` between the test and the branch sets N and Z itself, so the branch tests its result"
    return Fault(_join_lines([*lines[:at], spare, *lines[at:]]), why)


def _off_by_one(routine: TypedProgram, rng: random.Random) -> Fault | None:
    """A loop runs one time too many or too few."""
    lines = _split_lines(routine.code)
    bounds = _find_lines(lines, r"(?:ld[xy]|cp[xy]) #\$[0-9A-F]+$")
    closes = _find_lines(lines, r"bpl again$")
    if closes and rng.random() < 0.3:
        at = closes[-1]
        lines[at] = lines[at].replace("bpl", "bne")
        return Fault(
            _join_lines(lines), "`bne` ends the loop when the index reaches 0, so element 0 is never handled; `bpl`"
        )
    bounds = [at for at in bounds if not lines[at].endswith(("$00", "$0000"))]
    if not bounds or not _find_lines(lines, r"again:"):
        return None
    at = rng.choice(bounds)
    digits = lines[at].rpartition("$")[2]
    value = int(digits, 16) + rng.choice([-1, 1])
    good = lines[at].strip()
    lines[at] = lines[at][: -len(digits)] + f"{value:0{len(digits)}X}"
    return Fault(_join_lines(lines), f"the loop bound is off by one: `{lines[at].strip()}` must be `{good}`")


def _block_move(routine: TypedProgram, rng: random.Random) -> Fault | None:
    """MVN set up wrongly."""
    lines = _split_lines(routine.code)
    move = _find_lines(lines, "mvn ")
    if not move:
        return None
    at = move[0]
    kind = rng.randrange(3)
    if kind == 0:
        lines[at] = lines[at].replace("mvn", "mvp")
        return Fault(
            _join_lines(lines), "MVP counts downwards from the last bytes; X and Y point at the first ones: MVN"
        )
    if kind == 1:
        x, y = _find_lines(lines, "ldx #")[0], _find_lines(lines, "ldy #")[0]
        lines[x], lines[y] = lines[x].replace("ldx", "ldy"), lines[y].replace("ldy", "ldx")
        return Fault(_join_lines(lines), "X is the source and Y the destination of MVN; here they are swapped")
    count = _find_lines(lines, "lda #")[0]
    digits = lines[count].rpartition("$")[2]
    lines[count] = lines[count][: -len(digits)] + f"{int(digits, 16) + 1:04X}"
    return Fault(_join_lines(lines), "MVN moves A+1 bytes, so A must hold the number of bytes minus one")


def _dma(routine: TypedProgram, rng: random.Random) -> Fault | None:
    """A DMA register set wrongly."""
    wrong = (
        ("lda #$1801", "lda #$1800", "DMA mode 0 writes every byte to $2118; VRAM words need mode 1 ($2118/$2119)"),
        ("lda #$1801", "lda #$2201", "the destination is $2122 (palette); VRAM data goes to $2118"),
        ("lda #$1801", "lda #$1809", "$4300 has the fixed-source bit set, so the first byte is sent repeatedly"),
        ("lda #$01\n    sta $420B", "lda #$02\n    sta $420B", "$420B starts channel 1; channel 0 was set up"),
        ("lda #$7E\n    sta $4304", "lda #$00\n    sta $4304", "the source bank in $4304 is $00; the data lie in $7E"),
        ("lda #$80\n    sta $2115", "lda #$00\n    sta $2115", "VMAIN $00 steps after $2118; words need $80"),
    )
    applicable = [row for row in wrong if row[0] in routine.code]
    if not applicable:
        return None
    good, bad, why = rng.choice(applicable)
    return Fault(routine.code.replace(good, bad, 1), why)


def _direct_page(routine: TypedProgram, rng: random.Random) -> Fault | None:
    """An absolute address cut down to the direct page."""
    cells = sorted(set(re.findall(r"(?<![#\w])\$(0[2-9A-F][0-9A-F]{2}|1[0-9A-F]{3})\b", routine.code)))
    if not cells:
        return None
    cell = rng.choice(cells)
    spoiled = re.sub(rf"(?<!#)\${cell}\b", f"${cell[2:]}", routine.code)
    why = f"`${cell[2:]}` is a direct page address: with D = $0000 it is ${int(cell[2:], 16):04X}, not ${cell}"
    return Fault(spoiled, why)


LIBRARY: Final[Mapping[str, tuple[Injector, tuple[str, ...]]]] = {
    "mode-mismatch": (_mode_mismatch, ()),
    "missing-sep": (_missing_sep, ()),
    "stack-imbalance": (_stack_imbalance, ()),
    "jsr-rtl-mismatch": (_return_mismatch, ()),
    "endianness": (
        _endianness,
        ("store16", "copy16", "add16", "sub16", "add-constant16", "copy24", "sign-extend"),
    ),
    "addressing-mode": (_addressing_mode, ()),
    "branch": (
        _branch,
        (
            "maximum8", "minimum16", "clamp", "saturating-add", "saturating-sub", "countdown", "wrap-counter",
            "equal-flag", "choose", "sign-of", "distance", "absolute16", "count-bits", "largest", "count-equal", "find",
            "sign-extend",
        ),
    ),
    "zero-flag": (
        _zero_flag,
        ("equal-flag", "choose", "sign-of", "countdown", "wrap-counter", "find", "count-equal", "decrement-all"),
    ),
    "off-by-one": (
        _off_by_one,
        ("fill", "copy", "total", "total16", "parity", "largest", "count-equal", "find", "reverse", "decrement-all"),
    ),
    "mvn-mvp": (_block_move, ("block-move",)),
    "dma": (_dma, ("dma-video",)),
    "direct-page": (_direct_page, ()),
}  # fmt: skip
"""Category -> injector, and the programs it fits (empty: any)."""
