"""Encodes one SPC700 instruction at the current place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afs.domains.snes.asm.diagnostics import BlockHalt
from afs.domains.snes.asm.expressions import evaluate_integer, signed
from afs.domains.snes.asm.operand_width import operand_width
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.spc700_forms import Spc700Form, read_spc700


def encode_spc700(s: Session, words: list[str]) -> bool:
    """Emit the instruction in these words; False if there is none."""
    if len(words) > 2:
        return False
    form = read_spc700(words[0], words[1] if len(words) == 2 else None)
    if form is None:
        return False
    if form.size < 0:
        raise BlockHalt("Einvalid_opcode_length")
    if form.size > 2:
        raise BlockHalt("Eopcode_length_too_long")
    _ENCODERS[form.kind](s, form)
    return True


def _value(s: Session, text: str) -> int:
    """The value as 32 unsigned bits; 0 before the last pass."""
    return evaluate_integer(s, text) & 0xFFFFFFFF if s.pass_ == 2 else 0


def _bytes(value: int, count: int) -> bytes:
    return (value & ((1 << 8 * count) - 1)).to_bytes(count, "little")


def _fixed(s: Session, form: Spc700Form) -> None:
    s.out.emit(bytes((form.code,)))


def _byte(s: Session, form: Spc700Form) -> None:
    s.out.emit(bytes((form.code,)) + _bytes(_value(s, form.operands[0]), 1))


def _narrow(s: Session, form: Spc700Form) -> None:
    """One byte, with a warning where the value looks like a word."""
    value = _value(s, form.operands[0])
    is_negative = bool(value & 0x80000000)
    loses = value & 0xFF00 != 0xFF00 if is_negative else bool(value & 0xFF00)
    if loses and form.size != 1:
        s.log.warn(2, "Wspc700_assuming_8_bit")
    s.out.emit(bytes((form.code,)) + _bytes(value, 1))


def _word(s: Session, form: Spc700Form) -> None:
    s.out.emit(bytes((form.code,)) + _bytes(_value(s, form.operands[0]), 2))


def _any(s: Session, form: Spc700Form) -> None:
    """A byte or a word, by the suffix or by how the operand is written."""
    size = form.size or operand_width(s, form.operands[0], False)
    if size == 1:
        _byte(s, form)
    else:
        _word(s, form._replace(code=form.wide_code))


def _pair(s: Session, form: Spc700Form) -> None:
    first, second = form.operands
    s.out.emit(bytes((form.code,)) + _bytes(_value(s, second), 1) + _bytes(_value(s, first), 1))


def _distance(s: Session, text: str, size: int) -> int:
    """To a label or address from the next instruction; a number of one byte is the distance itself."""
    is_distance = operand_width(s, text, False) == 1
    value = signed(_value(s, text))
    distance = value if is_distance else value - ((s.out.pos & 0xFFFFFF) + size)
    if s.pass_ == 2 and s.maths.found_label and not -128 <= distance <= 127:
        raise BlockHalt("Erelative_branch_out_of_bounds", distance, report_in=2)
    return distance


def _branch(s: Session, form: Spc700Form) -> None:
    s.out.emit(bytes((form.code,)) + _bytes(_distance(s, form.operands[0], 2), 1))


def _compare(s: Session, form: Spc700Form) -> None:
    """cbne and dbnz with memory: an address, then a distance."""
    distance = _distance(s, form.operands[1], 3)
    s.out.emit(bytes((form.code,)) + _bytes(_value(s, form.operands[0]), 1) + _bytes(distance, 1))


def _tcall(s: Session, form: Spc700Form) -> None:
    number = _value(s, form.operands[0])
    if number >= 16:
        raise BlockHalt("Einvalid_tcall", report_in=2)
    s.out.emit(bytes((number << 4 | form.code,)))


def _carry(s: Session, form: Spc700Form) -> None:
    """13 bits of address, 3 bits of bit number."""
    address = _value(s, form.operands[0])
    if address >= 0x2000:
        raise BlockHalt("Espc700_addr_out_of_range", f"${address:X}", report_in=2)
    s.out.emit(bytes((form.code,)) + _bytes(form.bit << 13 | address, 2))


def _direct_page(s: Session, text: str) -> bytes:
    address = _value(s, text)
    if address >= 0x100:
        raise BlockHalt("Esnes_address_out_of_bounds", address, report_in=2)
    return _bytes(address, 1)


def _bit(s: Session, form: Spc700Form) -> None:
    s.out.emit(bytes((form.code,)) + _direct_page(s, form.operands[0]))


def _bit_branch(s: Session, form: Spc700Form) -> None:
    distance = signed(_value(s, form.operands[1])) - (s.out.pos & 0xFFFFFF) - 3
    if s.pass_ == 2 and not -128 <= distance <= 127:
        raise BlockHalt("Erelative_branch_out_of_bounds", distance, report_in=2)
    s.out.emit(bytes((form.code,)) + _direct_page(s, form.operands[0]) + _bytes(distance, 1))


def _xplus(s: Session, form: Spc700Form) -> None:
    raise BlockHalt("Euse_xplus")


_ENCODERS: Final[dict[str, Callable[[Session, Spc700Form], None]]] = {
    "fixed": _fixed,
    "byte": _byte,
    "narrow": _narrow,
    "word": _word,
    "any": _any,
    "pair": _pair,
    "branch": _branch,
    "compare": _compare,
    "tcall": _tcall,
    "carry": _carry,
    "bit": _bit,
    "bit_branch": _bit_branch,
    "xplus": _xplus,
}
