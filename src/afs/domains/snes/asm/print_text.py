"""Text a source prints: the arguments of print, error, warn and assert become text."""

from __future__ import annotations

import re
from typing import Final

from afs.domains.snes.asm.diagnostics import BlockHalt
from afs.domains.snes.asm.expressions import evaluate, evaluate_integer, number_text, signed
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.source_text import dequote, is_balanced, split_arguments

_CALL: Final = re.compile(r"(bin|dec|hex|double)\((.*)\) *", re.I)


def unquote(text: str) -> str:
    """The text without its quotes; text beside them is an error."""
    plain = dequote(text)
    if plain is None:
        raise BlockHalt("Egarbage_near_quoted_string")
    return plain


def printed_text(s: Session, text: str) -> str:
    """The text of a list of strings, `pc`, `bytes` and number functions; only known in the last pass."""
    if s.pass_ != 2:
        return ""
    if not is_balanced(text):
        raise BlockHalt("Emismatched_parentheses", report_in=2)
    return "".join(_part(s, part) for part in split_arguments(text))


def _part(s: Session, part: str) -> str:
    if part.startswith('"'):
        return unquote(part)
    name = part.lower()
    if name == "bytes":
        return str(s.out.bytes_counted)
    if name == "freespaceuse":
        return str(s.free.used)
    if name == "pc":
        return f"{s.out.pos & 0xFFFFFF:06X}"
    call = _CALL.fullmatch(part)
    if call is None:
        if re.match(r"(bin|dec|hex|double)\(", part, re.I):
            raise BlockHalt("Einvalid_print_function_syntax", report_in=2)
        raise BlockHalt("Eunknown_variable", report_in=2)
    arguments = split_arguments(call[2])
    if len(arguments) > 2:
        raise BlockHalt("Ewrong_num_parameters", report_in=2)
    places = min(max(signed(evaluate_integer(s, arguments[1])), 0), 64) if len(arguments) == 2 else None
    return _number(s, call[1].lower(), arguments[0], places)


def _number(s: Session, kind: str, text: str, places: int | None) -> str:
    if kind == "double":
        return number_text(evaluate(s, text), 5 if places is None else places)
    value = evaluate_integer(s, text)
    digits = places or 0
    if kind == "dec":
        return f"{value:0{digits}d}" if digits else str(value)
    if kind == "hex":
        return f"{value & 0xFFFFFFFFFFFFFFFF:0{digits}X}" if digits else f"{value & 0xFFFFFFFFFFFFFFFF:X}"
    sign = "-" if value < 0 else ""
    return sign + f"{abs(value):b}".rjust(max(digits - len(sign), 1), "0")
