"""What Asar silently accepts: values that do not fit, suffixes that are too small, branches to bare numbers …

Every finding is an error with our own id, `Estrict_…`. What needs the flow of control is in the linter.
"""

from __future__ import annotations

import re
from typing import Final

from afs.domains.snes.asm.diagnostics import BlockHalt
from afs.domains.snes.asm.instruction_reader import Instruction
from afs.domains.snes.asm.session import Session

_OPERATORS: Final = re.compile(r"(?<=[A-Za-z0-9_.'\])]) *(\*\*|<<|>>|[*/%+\-&|^])")
_LEVEL: Final = {"**": 4, "*": 3, "/": 3, "%": 3, "+": 2, "-": 2, "<<": 1, ">>": 1, "&": 0, "|": 0, "^": 0}
_ADDRESS_FORMS: Final = frozenset(("direct", "x", "y"))


def check_value(value: int, size: int) -> None:
    """A value must fit its bytes, signed or unsigned."""
    if size and not -(1 << (8 * size - 1)) <= value < 1 << (8 * size):
        raise BlockHalt("Estrict_value_too_big", _shown(value), size, report_in=2)


def _shown(value: int) -> str:
    return f"${value:X}" if value >= 0 else str(value)


def check_instruction(s: Session, op: Instruction, value: int, size: int) -> None:
    """The value of an operand against the bytes it got."""
    if s.pass_ != 2:
        return
    check_operators(s, op.operand)
    value = _whole_value(op, value)
    if op.mnemonic in ("jsr", "jmp") and op.form == "direct" and value > 0xFFFF:
        here = s.out.pos >> 16 & 0x7F
        if (value >> 16) & 0x7F != here:
            raise BlockHalt("Estrict_lost_bank", _shown(value), value >> 16, s.out.pos >> 16 & 0xFF, report_in=2)
        return
    if s.maths.found_label and op.form in _ADDRESS_FORMS:
        if op.explicit == 1 and value & 0xFFFF > 0xFF and not 0x2100 <= value & 0xFFFF < 0x4400:
            raise BlockHalt("Estrict_forced_width", _shown(value), 2, 1, report_in=2)
        return
    if s.maths.found_label and (size >= 2 or takes_part(op.operand)):
        return
    if op.explicit and op.form not in ("imm", "imm_m", "imm_x") and value >= 1 << (8 * size):
        raise BlockHalt("Estrict_forced_width", _shown(value), (value.bit_length() + 7) // 8, size, report_in=2)
    check_value(value, size)


def _whole_value(op: Instruction, value: int) -> int:
    """A constant instruction holds only the bytes that were kept: read the number again."""
    from_text = op.operand
    if op.const is None:
        return value
    if from_text.startswith("$"):
        return int(from_text[1:], 16)
    if from_text.startswith("%"):
        return int(from_text[1:], 2)
    return int(from_text) if from_text.isascii() and from_text.isdigit() else value


def takes_part(text: str) -> bool:
    """Does an expression cut a part out of an address on purpose?"""
    return any(sign in text for sign in (">>", "&", "<:", "/", "%"))


def check_bare_branch(s: Session) -> None:
    """`bra $9000` is a distance in Asar, hardly ever what was meant."""
    raise BlockHalt("Estrict_branch_number", report_in=2)


def check_operators(s: Session, text: str) -> None:
    """Operators of different strength need parentheses as long as maths runs from left to right."""
    if s.maths.priority or s.maths.always_priority:
        return
    seen: dict[int, int] = {}
    depth = 0
    plain = re.sub(r"\"[^\"]*\"|'[^']*'", "0", text)
    for match in re.finditer(r"[(),\[\]]|" + _OPERATORS.pattern, plain):
        token = match.group()
        if token in "([":
            depth += 1
            seen.pop(depth, None)
        elif token in ")]":
            depth -= 1
        elif token == ",":
            seen.pop(depth, None)
        elif seen.setdefault(depth, _LEVEL[match[1]]) != _LEVEL[match[1]]:
            raise BlockHalt("Estrict_mixed_operators", report_in=2)
