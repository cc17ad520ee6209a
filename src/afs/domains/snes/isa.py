"""table: the 65816, each fact about an instruction once.

Assembler, disassembler, both CPU cores, lint, cycle counts, tokenizer and docs read this table. It holds no behavior:
what an instruction does stands in `cpu.py` and `cpu.c`.

A row is `mnemonic mode cycles extra`, in the order of the opcodes. `cycles` counts CPU cycles with 8-bit registers, D.l = 0,
no page crossed, branch not taken, native mode. `extra` adds, one letter each:

    m  +1 with 16-bit A        w  +2 with 16-bit A (read-modify-write)     x  +1 with 16-bit X/Y
    d  +1 when D.l != 0        p  +1 when an index crosses a page or X/Y are 16 bit (reads only)
    t  +1 when taken           b  +1 when taken across a page in emulation mode
    e  -1 in emulation mode    (BRK, COP, RTI)
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Mode = Literal[
    "imp",
    "acc",
    "imm8",
    "imm_m",
    "imm_x",
    "imm16",
    "dp",
    "dp_x",
    "dp_y",
    "dp_ind",
    "dp_ind_x",
    "dp_ind_y",
    "dp_long",
    "dp_long_y",
    "abs",
    "abs_x",
    "abs_y",
    "abs_ind",
    "abs_ind_x",
    "abs_long_ind",
    "long",
    "long_x",
    "sr",
    "sr_ind_y",
    "rel8",
    "rel16",
    "block",
]


class Op(NamedTuple):
    """One opcode."""

    code: int
    mnemonic: str
    mode: Mode
    cycles: int
    extra: str


OPERAND_BYTES: Final[dict[str, int]] = {
    "imp": 0,
    "acc": 0,
    "imm8": 1,
    "imm_m": 1,
    "imm_x": 1,
    "imm16": 2,
    "dp": 1,
    "dp_x": 1,
    "dp_y": 1,
    "dp_ind": 1,
    "dp_ind_x": 1,
    "dp_ind_y": 1,
    "dp_long": 1,
    "dp_long_y": 1,
    "abs": 2,
    "abs_x": 2,
    "abs_y": 2,
    "abs_ind": 2,
    "abs_ind_x": 2,
    "abs_long_ind": 2,
    "long": 3,
    "long_x": 3,
    "sr": 1,
    "sr_ind_y": 1,
    "rel8": 1,
    "rel16": 2,
    "block": 2,
}
"""Bytes after the opcode; `imm_m` and `imm_x` take one more with 16-bit registers."""

SYNTAX: Final[dict[str, str]] = {
    "imp": "",
    "acc": "a",
    "imm8": "#{}",
    "imm_m": "#{}",
    "imm_x": "#{}",
    "imm16": "{}",
    "dp": "{}",
    "dp_x": "{},x",
    "dp_y": "{},y",
    "dp_ind": "({})",
    "dp_ind_x": "({},x)",
    "dp_ind_y": "({}),y",
    "dp_long": "[{}]",
    "dp_long_y": "[{}],y",
    "abs": "{}",
    "abs_x": "{},x",
    "abs_y": "{},y",
    "abs_ind": "({})",
    "abs_ind_x": "({},x)",
    "abs_long_ind": "[{}]",
    "long": "{}",
    "long_x": "{},x",
    "sr": "{},s",
    "sr_ind_y": "({},s),y",
    "rel8": "{}",
    "rel16": "{}",
    "block": "{},{}",
}
"""How an operand is written in Asar's dialect."""

_ROWS = """
brk imm8 8 e    | ora dp_ind_x 6 md | cop imm8 8 e   | ora sr 4 m      | tsb dp 5 wd    | ora dp 3 md   | asl dp 5 wd    | ora dp_long 6 md
php imp 3       | ora imm_m 2 m     | asl acc 2      | phd imp 4       | tsb abs 6 w    | ora abs 4 m   | asl abs 6 w    | ora long 5 m
bpl rel8 2 tb   | ora dp_ind_y 5 mdp| ora dp_ind 5 md| ora sr_ind_y 7 m| trb dp 5 wd    | ora dp_x 4 md | asl dp_x 6 wd  | ora dp_long_y 6 md
clc imp 2       | ora abs_y 4 mp    | inc acc 2      | tcs imp 2       | trb abs 6 w    | ora abs_x 4 mp| asl abs_x 7 w  | ora long_x 5 m
jsr abs 6       | and dp_ind_x 6 md | jsl long 8     | and sr 4 m      | bit dp 3 md    | and dp 3 md   | rol dp 5 wd    | and dp_long 6 md
plp imp 4       | and imm_m 2 m     | rol acc 2      | pld imp 5       | bit abs 4 m    | and abs 4 m   | rol abs 6 w    | and long 5 m
bmi rel8 2 tb   | and dp_ind_y 5 mdp| and dp_ind 5 md| and sr_ind_y 7 m| bit dp_x 4 md  | and dp_x 4 md | rol dp_x 6 wd  | and dp_long_y 6 md
sec imp 2       | and abs_y 4 mp    | dec acc 2      | tsc imp 2       | bit abs_x 4 mp | and abs_x 4 mp| rol abs_x 7 w  | and long_x 5 m
rti imp 7 e     | eor dp_ind_x 6 md | wdm imm8 2     | eor sr 4 m      | mvp block 7    | eor dp 3 md   | lsr dp 5 wd    | eor dp_long 6 md
pha imp 3 m     | eor imm_m 2 m     | lsr acc 2      | phk imp 3       | jmp abs 3      | eor abs 4 m   | lsr abs 6 w    | eor long 5 m
bvc rel8 2 tb   | eor dp_ind_y 5 mdp| eor dp_ind 5 md| eor sr_ind_y 7 m| mvn block 7    | eor dp_x 4 md | lsr dp_x 6 wd  | eor dp_long_y 6 md
cli imp 2       | eor abs_y 4 mp    | phy imp 3 x    | tcd imp 2       | jml long 4     | eor abs_x 4 mp| lsr abs_x 7 w  | eor long_x 5 m
rts imp 6       | adc dp_ind_x 6 md | per rel16 6    | adc sr 4 m      | stz dp 3 md    | adc dp 3 md   | ror dp 5 wd    | adc dp_long 6 md
pla imp 4 m     | adc imm_m 2 m     | ror acc 2      | rtl imp 6       | jmp abs_ind 5  | adc abs 4 m   | ror abs 6 w    | adc long 5 m
bvs rel8 2 tb   | adc dp_ind_y 5 mdp| adc dp_ind 5 md| adc sr_ind_y 7 m| stz dp_x 4 md  | adc dp_x 4 md | ror dp_x 6 wd  | adc dp_long_y 6 md
sei imp 2       | adc abs_y 4 mp    | ply imp 4 x    | tdc imp 2       | jmp abs_ind_x 6| adc abs_x 4 mp| ror abs_x 7 w  | adc long_x 5 m
bra rel8 3 b    | sta dp_ind_x 6 md | brl rel16 4    | sta sr 4 m      | sty dp 3 xd    | sta dp 3 md   | stx dp 3 xd    | sta dp_long 6 md
dey imp 2       | bit imm_m 2 m     | txa imp 2      | phb imp 3       | sty abs 4 x    | sta abs 4 m   | stx abs 4 x    | sta long 5 m
bcc rel8 2 tb   | sta dp_ind_y 6 md | sta dp_ind 5 md| sta sr_ind_y 7 m| sty dp_x 4 xd  | sta dp_x 4 md | stx dp_y 4 xd  | sta dp_long_y 6 md
tya imp 2       | sta abs_y 5 m     | txs imp 2      | txy imp 2       | stz abs 4 m    | sta abs_x 5 m | stz abs_x 5 m  | sta long_x 5 m
ldy imm_x 2 x   | lda dp_ind_x 6 md | ldx imm_x 2 x  | lda sr 4 m      | ldy dp 3 xd    | lda dp 3 md   | ldx dp 3 xd    | lda dp_long 6 md
tay imp 2       | lda imm_m 2 m     | tax imp 2      | plb imp 4       | ldy abs 4 x    | lda abs 4 m   | ldx abs 4 x    | lda long 5 m
bcs rel8 2 tb   | lda dp_ind_y 5 mdp| lda dp_ind 5 md| lda sr_ind_y 7 m| ldy dp_x 4 xd  | lda dp_x 4 md | ldx dp_y 4 xd  | lda dp_long_y 6 md
clv imp 2       | lda abs_y 4 mp    | tsx imp 2      | tyx imp 2       | ldy abs_x 4 xp | lda abs_x 4 mp| ldx abs_y 4 xp | lda long_x 5 m
cpy imm_x 2 x   | cmp dp_ind_x 6 md | rep imm8 3     | cmp sr 4 m      | cpy dp 3 xd    | cmp dp 3 md   | dec dp 5 wd    | cmp dp_long 6 md
iny imp 2       | cmp imm_m 2 m     | dex imp 2      | wai imp 3       | cpy abs 4 x    | cmp abs 4 m   | dec abs 6 w    | cmp long 5 m
bne rel8 2 tb   | cmp dp_ind_y 5 mdp| cmp dp_ind 5 md| cmp sr_ind_y 7 m| pei dp 6 d     | cmp dp_x 4 md | dec dp_x 6 wd  | cmp dp_long_y 6 md
cld imp 2       | cmp abs_y 4 mp    | phx imp 3 x    | stp imp 3       | jml abs_long_ind 6 | cmp abs_x 4 mp| dec abs_x 7 w  | cmp long_x 5 m
cpx imm_x 2 x   | sbc dp_ind_x 6 md | sep imm8 3     | sbc sr 4 m      | cpx dp 3 xd    | sbc dp 3 md   | inc dp 5 wd    | sbc dp_long 6 md
inx imp 2       | sbc imm_m 2 m     | nop imp 2      | xba imp 3       | cpx abs 4 x    | sbc abs 4 m   | inc abs 6 w    | sbc long 5 m
beq rel8 2 tb   | sbc dp_ind_y 5 mdp| sbc dp_ind 5 md| sbc sr_ind_y 7 m| pea imm16 5    | sbc dp_x 4 md | inc dp_x 6 wd  | sbc dp_long_y 6 md
sed imp 2       | sbc abs_y 4 mp    | plx imp 4 x    | xce imp 2       | jsr abs_ind_x 8| sbc abs_x 4 mp| inc abs_x 7 w  | sbc long_x 5 m
"""


def _read(rows: str) -> tuple[Op, ...]:
    cells = [cell.split() for line in rows.strip().splitlines() for cell in line.split("|")]
    return tuple(
        Op(code, cell[0], cell[1], int(cell[2]), cell[3] if len(cell) > 3 else "")  # type: ignore[arg-type]
        for code, cell in enumerate(cells)
    )


OPS: Final[tuple[Op, ...]] = _read(_ROWS)
"""All 256 opcodes, indexed by code."""

ENCODING: Final[dict[tuple[str, str], Op]] = {(op.mnemonic, op.mode): op for op in OPS}
"""(mnemonic, mode) -> opcode."""

MNEMONICS: Final[frozenset[str]] = frozenset(op.mnemonic for op in OPS)

BRANCHES: Final[frozenset[str]] = frozenset(op.mnemonic for op in OPS if op.mode == "rel8")
"""bra and the conditional branches (brl is rel16)."""


def size(op: Op, wide_a: bool, wide_x: bool) -> int:
    """Bytes of the whole instruction."""
    wide = (op.mode == "imm_m" and wide_a) or (op.mode == "imm_x" and wide_x)
    return 1 + OPERAND_BYTES[op.mode] + wide
