"""An instruction as written: mnemonic, suffix, operand form -> the opcodes it may become. No state, no values.

Every fact about opcodes comes from `isa`. What an operand is worth is computed by `encoder`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from afs.domains.snes.asm.operand_digits import fixed_width, plain_number
from afs.domains.snes.asm.source_text import is_balanced, split_arguments
from afs.domains.snes.isa import BRANCHES, ENCODING, MNEMONICS

Codes = tuple[int, int, int]
"""Opcodes for an operand of one, two and three bytes; -1 where there is none."""

_MODES: Final[dict[str, tuple[str, str, str]]] = {
    "sr_y": ("sr_ind_y", "", ""),
    "long_y": ("dp_long_y", "", ""),
    "ind_y": ("dp_ind_y", "", ""),
    "sr": ("sr", "", ""),
    "long_ind": ("dp_long", "abs_long_ind", ""),
    "ind_x": ("dp_ind_x", "abs_ind_x", ""),
    "ind": ("dp_ind", "abs_ind", ""),
    "x": ("dp_x", "abs_x", "long_x"),
    "y": ("dp_y", "abs_y", ""),
    "direct": ("dp", "abs", "long"),
    "imm": ("imm8", "", ""),
}
_BRACKETS: Final = (
    ("sr_y", "(", ",s),y"),
    ("long_y", "[", "],y"),
    ("ind_y", "(", "),y"),
    ("sr", "", ",s"),
    ("long_ind", "[", "]"),
    ("ind_x", "(", ",x)"),
    ("ind", "(", ")"),
    ("x", "", ",x"),
    ("y", "", ",y"),
)
_INDEXED: Final = re.compile(r"[,)\]]")
_LABEL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REPEATABLE: Final = frozenset(("asl", "lsr", "rol", "ror", "inc", "dec", "inx", "dex", "iny", "dey", "nop"))
_SIGNATURE: Final = frozenset(("brk", "cop", "wdm"))
_SUFFIX: Final = {"b": 1, "w": 2, "l": 3, "d": 4}
NONE: Final[Codes] = (-1, -1, -1)


class Instruction:
    """One written instruction, ready to be encoded."""

    __slots__ = (
        "codes",
        "const",
        "explicit",
        "form",
        "implicit",
        "mnemonic",
        "name",
        "operand",
        "second",
        "suffix",
        "width",
    )

    def __init__(self, mnemonic: str, form: str, operand: str = "", suffix: str = "") -> None:
        self.mnemonic, self.form, self.operand, self.suffix = mnemonic, form, operand, suffix
        self.second = ""
        """The other operand of mvn and mvp."""
        self.codes: Codes = NONE
        self.explicit = _SUFFIX.get(suffix, 0)
        """The width the suffix asks for, 0 without one."""
        self.width: int | None = None
        """The width, where it does not depend on labels."""
        self.const: bytes | None = None
        """The whole instruction, where it depends on nothing at all."""
        self.name = ""
        """The operand, where it is the name of a label and nothing else."""
        self.implicit = False
        """An immediate whose width is written nowhere."""


def read_instruction(words: list[str]) -> Instruction | None:
    """The instruction in these words, or None if there is none of that shape."""
    head = words[0]
    if len(words) > 2 or not (len(head) == 3 or (len(head) == 5 and head[3] == ".")):
        return None
    return _read(head, words[1] if len(words) > 1 else None)


@lru_cache(maxsize=50_000)
def _read(head: str, operand: str | None) -> Instruction | None:
    mnemonic = head[:3].lower()
    if mnemonic not in MNEMONICS:
        return None
    suffix = head[4:].lower()
    if operand is None:
        return None if suffix or len(head) > 3 else _without_operand(mnemonic)
    return _with_operand(mnemonic, suffix, operand) if operand else None


def _without_operand(mnemonic: str) -> Instruction | None:
    op = ENCODING.get((mnemonic, "imp")) or ENCODING.get((mnemonic, "acc"))
    found = Instruction(mnemonic, "imp")
    if op is not None:
        found.const = bytes((op.code,))
    elif mnemonic in _SIGNATURE:
        found.const = bytes((ENCODING[mnemonic, "imm8"].code, 0))
    else:
        return None
    return found


def _with_operand(mnemonic: str, suffix: str, text: str) -> Instruction | None:
    low = text.lower()
    if low == "a" and (mnemonic, "acc") in ENCODING and not suffix:
        found = Instruction(mnemonic, "acc", text)
        found.const = bytes((ENCODING[mnemonic, "acc"].code,))
        return found
    if text[0] == "#":
        return _immediate(mnemonic, suffix, text[1:])
    form, operand = operand_form(text, low)
    if form == "direct" and mnemonic in ("mvn", "mvp"):
        return _block_move(mnemonic, suffix, text)
    if mnemonic in BRANCHES or mnemonic in ("brl", "per"):
        if form != "direct":
            return None
        found = Instruction(mnemonic, "branch", operand, suffix)
        code = ENCODING.get((mnemonic, "rel8")) or ENCODING[mnemonic, "rel16"]
        found.codes = (code.code, -1, -1) if code.mode == "rel8" else (-1, code.code, -1)
        if _LABEL.fullmatch(operand) and operand not in ("a", "A"):
            found.name = operand
        return found
    found = Instruction(mnemonic, form, operand, suffix)
    found.codes = codes_of(mnemonic, form)
    if found.codes == NONE:
        return None
    _settle(found)
    return found


@lru_cache(maxsize=2_000)
def codes_of(mnemonic: str, form: str) -> Codes:
    """The opcodes of a mnemonic in one form of operand."""
    if mnemonic == "pei":
        return (ENCODING["pei", "dp"].code, -1, -1) if form == "ind" else NONE
    if mnemonic == "pea":
        return (-1, ENCODING["pea", "imm16"].code, -1) if form == "direct" else NONE
    if mnemonic == "jmp" and form == "long_ind":
        mnemonic = "jml"
    one, two, three = _MODES[form]
    codes = tuple(op.code if (op := ENCODING.get((mnemonic, mode))) else -1 for mode in (one, two, three))
    return codes[0], codes[1], codes[2]


def operand_form(text: str, low: str) -> tuple[str, str]:
    """(form, operand without its brackets and index)."""
    if low[-1] not in "xys)]" or not _INDEXED.search(low):
        return "direct", text
    for form, left, right in _BRACKETS:
        if not low.endswith(right) or not low.startswith(left):
            continue
        if form == "ind" and not is_balanced(text[1:-1]):
            continue
        end = len(text) - len(right)
        return form, text[len(left) : max(end, len(left))]
    return "direct", text


def _immediate(mnemonic: str, suffix: str, operand: str) -> Instruction | None:
    found = Instruction(mnemonic, "imm", operand, suffix)
    op = ENCODING.get((mnemonic, "imm_m")) or ENCODING.get((mnemonic, "imm_x"))
    if op is not None:
        found.form = "imm_m" if op.mode == "imm_m" else "imm_x"
        found.codes = (op.code, op.code, -1)
        found.implicit = not found.explicit and not (operand[:1] == "$" and plain_number(operand) is not None)
    elif mnemonic in _REPEATABLE:
        found.form = "repeat"
        row = ENCODING.get((mnemonic, "acc")) or ENCODING[mnemonic, "imp"]
        found.codes = (row.code, -1, -1)
        found.width = fixed_width(operand, True)
        return found
    elif (mnemonic, "imm8") in ENCODING:
        found.codes = (ENCODING[mnemonic, "imm8"].code, -1, -1)
    else:
        return None
    _settle(found)
    return found


def _block_move(mnemonic: str, suffix: str, text: str) -> Instruction | None:
    found = Instruction(mnemonic, "block", text, suffix)
    code = ENCODING[mnemonic, "block"].code
    found.codes = (-1, code, -1)
    parts = split_arguments(text) if is_balanced(text) else []
    if not suffix and len(parts) == 2:
        found.operand, found.second, found.width = parts[0], parts[1], 2
        values = plain_number(parts[0]), plain_number(parts[1])
        if values[0] is not None and values[1] is not None:
            found.const = bytes((code, values[0] & 0xFF, values[1] & 0xFF))
        return found
    found.form = "direct"
    _settle(found)
    return found


def _settle(found: Instruction) -> None:
    """Work out beforehand what does not depend on the place or on labels."""
    if found.suffix and found.explicit in (0, 4):
        found.width = found.explicit or None
        return
    if _LABEL.fullmatch(found.operand):
        if found.operand not in ("a", "A"):
            found.name = found.operand
        found.width = found.explicit or None
        return
    value = plain_number(found.operand)
    width = found.explicit or fixed_width(found.operand, found.form.startswith("imm"))
    found.width = width
    if value is None or width is None:
        return
    code, size = choose_opcode(found, width)
    if code >= 0 and not (found.form == "y" and width == 1 and found.codes[0] < 0):
        found.const = bytes((code,)) + (value & 0xFFFFFF).to_bytes(3, "little")[:size]


def choose_opcode(found: Instruction, width: int) -> tuple[int, int]:
    """(opcode, operand bytes) for an operand of this width; opcode -1 if there is none."""
    one, two, three = found.codes
    if found.mnemonic in ("mvn", "mvp") and width != 2:
        return -1, 0
    if found.form in ("imm_m", "imm_x"):
        return (one, 1) if width == 1 else (two, 2)
    if width == 1 and one >= 0:
        return one, 1
    free = not found.explicit
    if two >= 0 and (width == 2 or (free and width < 2)):
        return two, 2
    if three >= 0 and (width == 3 or (free and width < 3)):
        return three, 3
    return -1, 0
