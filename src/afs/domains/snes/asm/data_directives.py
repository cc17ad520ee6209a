"""Directives that emit data: db dw dl dd, fill, pad, incbin, and the character table."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from afs.domains.snes.asm import freespace, strict_warnings
from afs.domains.snes.asm.diagnostics import BlockHalt, FatalHalt
from afs.domains.snes.asm.expressions import evaluate_int32, evaluate_integer, signed
from afs.domains.snes.asm.operand_digits import plain_number
from afs.domains.snes.asm.print_text import unquote
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.source_text import find_char, find_outside, is_balanced, is_name, split_arguments

WIDTHS: Final = {"b": 1, "byte": 1, "w": 2, "word": 2, "l": 3, "long": 3, "d": 4, "dword": 4}
_RANGE: Final = re.compile(r"(?:\((.*?)\)|([0-9A-Fa-f]*))-(?:\((.*)\)|([0-9A-Fa-f]*))")


@lru_cache(maxsize=20_000)
def _split_data(text: str) -> tuple[str, ...] | None:
    """The values between the commas; None if the parentheses do not match."""
    if '"' not in text and "(" not in text and "'" not in text:
        return tuple(text.split(","))
    return tuple(split_arguments(text)) if is_balanced(text) else None


def emit_data(s: Session, words: list[str]) -> None:
    """db dw dl dd."""
    width = WIDTHS[words[0][1].lower()]
    text = words[1]
    parts = _split_data(text)
    if parts is None:
        raise BlockHalt("Emismatched_parentheses")
    if s.pass_ < 2 and '"' not in text and "#" not in text:
        s.out.emit(bytes(width * len(parts)))
        return
    for part in parts:
        if part.startswith('"'):
            _string(s, part, width)
        else:
            _number(s, part, width)


def _string(s: Session, part: str, width: int) -> None:
    if part == '"STAR"':
        s.log.warn(0, "Wxkas_patch")
    table, text = s.data.table, unquote(part).encode("latin-1")
    if width == 1:
        s.out.emit(bytes([table[c] & 0xFF for c in text]))
    else:
        s.out.emit(b"".join([table[c].to_bytes(4, "little")[:width] for c in text]))


def _number(s: Session, part: str, width: int) -> None:
    if part.startswith("#"):
        s.log.warn(0, "Wfeature_deprecated", "# before a number in data", "leave the # out")
        part = part[1:]
    if s.pass_ < 2:
        s.out.emit(bytes(width))
        return
    value = plain_number(part)
    if value is None:
        value = evaluate_integer(s, part)
        if s.is_strict:
            strict_warnings.check_operators(s, part)
        if s.maths.found_label and (width > 1 or strict_warnings.takes_part(part)):
            s.out.emit((value & ((1 << 8 * width) - 1)).to_bytes(width, "little"))
            return
    if s.is_strict:
        strict_warnings.check_value(value, width)
    s.out.emit((value & ((1 << 8 * width) - 1)).to_bytes(width, "little"))


def _static_integer(s: Session, text: str) -> int:
    value = evaluate_int32(s, text)
    if s.maths.found_label and not s.maths.found_static:
        raise BlockHalt("Eno_labels_here")
    return value


def emit_fill(s: Session, words: list[str]) -> None:
    """fill n · fill align n · fill align n offset m — and the same for skip."""
    amount = _amount(s, words)
    if words[0].lower() == "skip":
        s.out.step(amount)
        s.out.room = -1
        return
    emit_pattern(s, s.data.fill_bytes, amount)


def _amount(s: Session, words: list[str]) -> int:
    if len(words) not in (2, 3, 5):
        raise BlockHalt("Eunknown_command", report_in=1)
    if len(words) == 2:
        return _static_integer(s, words[1])
    if words[1].lower() != "align" or (len(words) == 5 and words[3].lower() != "offset"):
        raise BlockHalt("Eunknown_command", report_in=1)
    alignment = _static_integer(s, words[2])
    offset = _static_integer(s, words[4]) if len(words) == 5 else 0
    if alignment > 0x800000:
        raise BlockHalt("Ealignment_too_big")
    if alignment < 1:
        raise BlockHalt("Ealignment_too_small")
    if alignment & (alignment - 1):
        raise BlockHalt("Einvalid_alignment")
    return -(s.out.pos - offset) & (alignment - 1)


def emit_pattern(s: Session, pattern: bytes, amount: int) -> None:
    """Emit so many bytes of a repeating pattern."""
    if amount > s.limits.bytes_out:
        raise FatalHalt("Elimit_output", s.limits.bytes_out, report_in=s.pass_)
    if amount > 0:
        s.out.emit((pattern * (amount // len(pattern) + 1))[:amount])


def set_pattern(s: Session, words: list[str]) -> None:
    """fillbyte fillword filllong filldword, padbyte …"""
    name = words[0].lower()
    kind = "fill" if name.startswith("fill") else "pad"
    width = WIDTHS[name.removeprefix(kind)]
    value = evaluate_integer(s, words[1]) & 0xFFFFFFFF
    if s.maths.found_label and not s.maths.found_static:
        s.log.warn(1, "Wfeature_deprecated", f"labels in {name}", "write the number")
    pattern = value.to_bytes(4, "little")[:width] * (12 // width)
    if kind == "fill":
        s.data.fill_bytes = pattern
    else:
        s.data.pad_bytes = pattern


def emit_padding(s: Session, words: list[str]) -> None:
    """Fill up to an address."""
    if s.out.real & 0xFF000000 and s.out.real > 0:
        raise BlockHalt("Epad_in_freespace")
    address = evaluate_int32(s, words[1])
    if address & 0xFF000000:
        raise BlockHalt("Esnes_address_doesnt_map_to_rom", address & 0xFFFFFFFF)
    if address > s.out.real:
        emit_pattern(s, s.data.pad_bytes, s.out.to_pc(address) - s.out.to_pc(s.out.real))


def include_binary(s: Session, words: list[str]) -> None:
    """incbin "file", incbin "file":start..end."""
    if len(words) == 4 and words[2] != "->":
        raise BlockHalt("Ebroken_incbin")
    name, limits = words[1], ""
    at = find_char(name, ":")
    if at >= 0:
        name, limits = name[:at], name[at + 1 :]
    start, end = _range(s, limits) if at >= 0 else (0, 0)
    content = s.sources.files.read(unquote(name), s.at.file)
    end = end or len(content)
    if start < 0:
        raise BlockHalt("Efile_offset_out_of_bounds", start, name)
    if end < start or end > len(content):
        raise BlockHalt("Efile_offset_out_of_bounds", end, name)
    if len(words) == 4:
        _put_elsewhere(s, words[3], content[start:end])
    else:
        s.out.emit(content[start:end])


def _put_elsewhere(s: Session, target: str, content: bytes) -> None:
    """incbin "file" -> address, or -> label."""
    s.log.warn(0, "Wfeature_deprecated", "incbin with a target", "put an org before the incbin")
    s.out.room = -1
    if is_name(target):
        freespace.place_file(s, target, content)
        return
    pc = s.out.to_pc(_static_integer(s, target))
    if pc < 0 or pc + len(content) > 0xFFFFFF:
        raise BlockHalt("E16mb_rom_limit")
    s.out.image.grow(pc + len(content))
    if s.pass_ == 2:
        s.out.flush()
        s.out.image.put(pc, content)


def _range(s: Session, text: str) -> tuple[int, int]:
    at = find_outside(text, "..")
    if at >= 0:
        return _static_integer(s, text[:at]), _static_integer(s, text[at + 2 :])
    s.log.warn(0, "Wfeature_deprecated", "incbin ranges with -", "write :start..end")
    match = _RANGE.fullmatch(text)
    if match is None or '"' in text:
        raise BlockHalt("Ebroken_incbin")
    start = _static_integer(s, match[1]) if match[1] is not None else signed(int(match[2] or "0", 16))
    end = _static_integer(s, match[3]) if match[3] is not None else signed(int(match[4] or "0", 16))
    return start, end


def set_character(s: Session, words: list[str]) -> bool:
    """`'a' = $61`; False if the words say something else."""
    head = words[0]
    if len(head) != 3 or head[0] != "'" or head[2] != "'":
        return False
    s.data.table[ord(head[1])] = evaluate_integer(s, words[2]) & 0xFFFFFFFF
    if s.maths.found_label and not s.maths.found_static:
        raise BlockHalt("Eno_labels_here")
    return True


def clear_table(s: Session, words: list[str]) -> None:
    """cleartable."""
    s.data.table = list(range(256))


def push_table(s: Session, words: list[str]) -> None:
    """pushtable."""
    s.data.tables.append(list(s.data.table))


def pull_table(s: Session, words: list[str]) -> None:
    """pulltable."""
    if not s.data.tables:
        raise BlockHalt("Epulltable_without_table")
    s.data.table = s.data.tables.pop()


def load_table(s: Session, words: list[str]) -> None:
    """table "file"[,ltr|,rtl]: lines `A=41`, or `41=A` with rtl."""
    s.log.warn(0, "Wfeature_deprecated", "table", "assign the characters: 'a' = $61")
    name = words[1]
    is_flipped = name.lower().endswith(",rtl")
    if is_flipped or name.lower().endswith(",ltr"):
        name = name[:-4]
    content = s.sources.files.read(unquote(name), s.at.file).decode("latin-1").split("\0")[0].replace("\r", "")
    s.data.table = list(_read_table(content.removeprefix("ï»¿"), is_flipped))


@lru_cache(maxsize=64)
def _read_table(content: str, is_flipped: bool) -> tuple[int, ...]:
    table = [0x40028020 | (i * 0x26594131) & 0xFFFFFFFF for i in range(256)]
    for number, line in enumerate(content.split("\n"), 1):
        if not line:
            continue
        match = re.fullmatch(r"([0-9A-Fa-f]+)=(.)" if is_flipped else r"(.)=([0-9A-Fa-f]+)", line)
        if match is None or not 4 <= len(line) <= 10 or len(line) & 1:
            raise BlockHalt("Einvalid_table_file", number)
        character, value = (match[2], match[1]) if is_flipped else (match[1], match[2])
        table[ord(character)] = int(value, 16)
    return tuple(table)


def set_repeat(s: Session, words: list[str]) -> None:
    """rep n: run the next block n times."""
    count = signed(evaluate_integer(s, words[1]))
    if s.maths.found_label:
        raise BlockHalt("Erep_label")
    if count < 0:
        s.log.warn(0, "Wfeature_deprecated", "rep below 0", "write an if")
    s.log.warn(0, "Wfeature_deprecated", "rep n : command", "write a for loop")
    s.repeat_next = count
