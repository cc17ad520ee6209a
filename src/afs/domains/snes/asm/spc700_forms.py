"""table: SPC700 instructions as written in Asar's dialect -> opcodes and what follows them. No state, no values.

A row is `mnemonic operands kind opcode [opcode for a word]`. In an operand `*` is the expression; the first row that
fits is taken. The kinds are carried out by `spc700_encoder`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from afs.domains.snes.asm.source_text import is_balanced, split_arguments

_SIZES: Final = {"b": 1, "w": 2, "l": 3, "d": 4}
_NONE: Final = {
    "nop": 0x00,
    "brk": 0x0F,
    "clrp": 0x20,
    "setp": 0x40,
    "clrc": 0x60,
    "ret": 0x6F,
    "reti": 0x7F,
    "setc": 0x80,
    "ei": 0xA0,
    "di": 0xC0,
    "clrv": 0xE0,
    "notc": 0xED,
    "sleep": 0xEF,
    "stop": 0xFF,
    "xcn": 0x9F,
}
_ONE: Final = """
asl a fixed 1C | das a fixed BE | daa a fixed DF | dec a fixed 9C | inc a fixed BC | lsr a fixed 5C
pop a fixed AE | push a fixed 2D | rol a fixed 3C | ror a fixed 7C | xcn a fixed 9F
dec x fixed 1D | inc x fixed 3D | pop x fixed CE | push x fixed 4D
dec y fixed DC | inc y fixed FC | pop y fixed EE | push y fixed 6D
pop p fixed 8E | push p fixed 0D | mul ya fixed CF | jmp (*+x) word 1F
asl *+x byte 1B | dec *+x byte 9B | inc *+x byte BB | lsr *+x byte 5B | rol *+x byte 3B | ror *+x byte 7B
"""
_ONE_LAST: Final = """
tcall * tcall 01 | asl * any 0B 0C | dec * any 8B 8C | inc * any AB AC | lsr * any 4B 4C | rol * any 2B 2C
ror * any 6B 6C | jmp * word 5F | call * word 3F | decw * byte 1A | incw * byte 3A | pcall * byte 4F
bpl * branch 10 | bra * branch 2F | bmi * branch 30 | bvc * branch 50 | bvs * branch 70 | bcc * branch 90
bcs * branch B0 | bne * branch D0 | beq * branch F0
"""
_TWO: Final = """
mov (x)+ a xplus 00 | mov (x+) a fixed AF | mov (x) a fixed C6 | mov a (x)+ xplus 00 | mov a (x+) fixed BF
mov a (x) fixed E6 | mov a x fixed 7D | mov a y fixed DD | mov x a fixed 5D | mov x sp fixed 9D
mov y a fixed FD | mov sp x fixed BD
mov (*+x) a narrow C7 | mov (*)+y a narrow D7 | mov *+x a any D4 D5 | mov *+y a word D6 | mov * a any C4 C5
mov *+x y narrow DB | mov *+y x narrow D9 | mov * x any D8 C9 | mov * y any CB CC
mov a #* narrow E8 | mov a (*+x) narrow E7 | mov a (*)+y narrow F7 | mov a *+x any F4 F5 | mov a *+y word F6
mov a * any E4 E5 | mov x #* narrow CD | mov x *+y narrow F9 | mov x * any F8 E9
mov y #* narrow 8D | mov y *+x narrow FB | mov y * any EB EC
mov * #* pair 8F | mov * * pair FA
cmp x #* narrow C8 | cmp x * any 3E 1E | cmp y #* narrow AD | cmp y * any 7E 5E
tset * a word 0E | tclr * a word 4E | div ya x fixed 9E
cmpw ya * narrow 5A | addw ya * narrow 7A | subw ya * narrow 9A | movw ya * narrow BA | movw * ya narrow DA
cbne *+x * compare DE | dbnz y * branch FE | dbnz * * compare 6E | cbne * * compare 2E
"""
_ALU: Final = """
a (x) fixed 06 | (x) (y) fixed 19 | a #* narrow 08 | a (*+x) narrow 07 | a (*)+y narrow 17 | a *+x any 14 15
a *+y word 16 | a * any 04 05 | * #* pair 18 | * * pair 09
"""
_ALU_BASE: Final = {"or": 0x00, "and": 0x20, "eor": 0x40, "cmp": 0x60, "adc": 0x80, "sbc": 0xA0}
_CARRY: Final = {"or": 0x0A, "and": 0x4A, "eor": 0x8A, "mov": 0xAA, "not": 0xEA}
_CARRY_NOT: Final = {"or": 0x2A, "and": 0x6A}


class Spc700Form(NamedTuple):
    """One written instruction, ready to be encoded."""

    kind: str
    code: int
    wide_code: int = -1
    operands: tuple[str, ...] = ()
    size: int = 0
    """The width the suffix asks for, 0 without one."""
    bit: int = 0


class _FormRow(NamedTuple):
    patterns: tuple[str, ...]
    kind: str
    code: int
    wide_code: int


def _rows(text: str, count: int) -> dict[str, list[_FormRow]]:
    found: dict[str, list[_FormRow]] = {}
    for row in text.replace("\n", "|").split("|"):
        name, *words = row.split() or [""]
        if words:
            codes = [int(word, 16) for word in words[count + 1 :]]
            found.setdefault(name, []).append(_FormRow(tuple(words[:count]), words[count], codes[0], (*codes, -1)[1]))
    return found


def _two_operand_rows() -> dict[str, list[_FormRow]]:
    rows = _rows(_TWO, 2)
    for name, base in _ALU_BASE.items():
        alu = _rows(_ALU.replace("|", "| op ").replace("\n", "\nop "), 2)["op"]
        rows.setdefault(name, []).extend(
            row._replace(code=row.code + base, wide_code=row.wide_code + base if row.wide_code >= 0 else -1)
            for row in alu
        )
    return rows


_ONE_ROWS: Final = _rows(_ONE, 1)
_ONE_LAST_ROWS: Final = _rows(_ONE_LAST, 1)
_TWO_ROWS: Final = _two_operand_rows()


def _expression(pattern: str, text: str) -> str | None:
    """The expression in an operand, None if it does not fit the pattern."""
    low = text.lower()
    if "*" not in pattern:
        return "" if low == pattern else None
    left, _, right = pattern.partition("*")
    if len(low) < len(left) + len(right) or not low.startswith(left) or not low.endswith(right):
        return None
    return text[len(left) : len(text) - len(right)]


def _fitting(rows: list[_FormRow], arguments: list[str], size: int) -> Spc700Form | None:
    for row in rows:
        found = [_expression(pattern, text) for pattern, text in zip(row.patterns, arguments, strict=True)]
        if None not in found:
            wanted = tuple(text for text, pattern in zip(found, row.patterns, strict=True) if text and "*" in pattern)
            return Spc700Form(row.kind, row.code, row.wide_code, wanted, size)
    return None


def _bit_operand(name: str, text: str) -> tuple[str, str, int] | None:
    """(mnemonic without its digit, expression, bit) of `set1 $12.3` or `set3 $12`."""
    at = text.rfind(".")
    if at >= 0 and text[at + 1 :].isascii() and len(text) == at + 2 and text[at + 1].isdigit():
        bit = int(text[at + 1])
        return (name.removesuffix("1"), text[:at], bit) if bit < 8 else None
    return (name[:-1], text, int(name[-1])) if name[-1] in "01234567" else None


def _carry_form(name: str, text: str, bit: int) -> Spc700Form | None:
    """`or1 c,$1234.5` and its like: a bit of memory with the carry."""
    inverted = text.startswith("!")
    code = (_CARRY_NOT if inverted else _CARRY).get(name)
    if code is None:
        return None
    return Spc700Form("carry", code, operands=(text[1:] if inverted else text,), bit=bit)


def _one_operand(name: str, text: str, size: int) -> Spc700Form | None:
    found = _fitting(_ONE_ROWS.get(name, []), [text], size)
    if found is not None:
        return found
    bit = _bit_operand(name, text)
    if bit is None:
        return _fitting(_ONE_LAST_ROWS.get(name, []), [text], size)
    code = {"set": 0x02, "clr": 0x12}.get(bit[0])
    carry = _carry_form(*bit)
    if carry is not None or code is None:
        return carry
    return Spc700Form("bit", code | bit[2] << 5, operands=(bit[1],))


def _two_operands(name: str, arguments: list[str], size: int) -> Spc700Form | None:
    first, second = arguments
    if first.lower() == "c" and (bit := _bit_operand(name, second)) and (found := _carry_form(*bit)):
        return found
    bit = _bit_operand(name, first)
    if bit is None:
        return _fitting(_TWO_ROWS.get(name, []), arguments, size)
    if bit[0] == "mov" and second.lower() == "c":
        return Spc700Form("carry", 0xCA, operands=(bit[1],), bit=bit[2])
    code = {"bbs": 0x03, "bbc": 0x13}.get(bit[0])
    return None if code is None else Spc700Form("bit_branch", code | bit[2] << 5, operands=(bit[1], second))


@lru_cache(maxsize=20_000)
def read_spc700(head: str, operands: str | None) -> Spc700Form | None:
    """The instruction in these words, or None if there is none of that shape."""
    if operands is None:
        code = _NONE.get(head.lower())
        return None if code is None else Spc700Form("fixed", code)
    name, dot, suffix = head.lower().partition(".")
    size = _SIZES.get(suffix[:1], -1) if dot else 0
    if not name or not is_balanced(operands):
        return None
    arguments = split_arguments(operands)
    if len(arguments) == 1:
        found = _one_operand(name, arguments[0], size)
    else:
        found = _two_operands(name, arguments, size) if len(arguments) == 2 else None
    return found
