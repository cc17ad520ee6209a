"""Functions in expressions: Asar's built-in ones and those a source defines."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, Protocol

from afs.domains.snes.asm.diagnostics import BlockHalt
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.source_text import dequote
from afs.domains.snes.asm.statement_log import NeedsText
from afs.domains.snes.asm.symbol_tables import UserFunction

_SYMBOL: Final = re.compile(r"[A-Za-z_]?[A-Za-z0-9_.]*")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_]*")


class ExpressionReader(Protocol):
    """A place in the text of an expression; `expressions.Reader` is the one there is."""

    s: Session
    text: str
    at: int

    def peek(self) -> str: ...
    def skip_spaces(self) -> None: ...
    def evaluate(self, level: int) -> float: ...
    def evaluate_text(self, text: str) -> float: ...


Builtin = Callable[[ExpressionReader], float]


def call(r: ExpressionReader, name: str) -> float:
    """The value of `name(…)`; the reader stands behind the opening parenthesis."""
    r.skip_spaces()
    user = r.s.names.functions.get(name)
    if user is not None:
        value = _call_user(r, name, user)
    else:
        builtin = BUILTIN.get(name.removeprefix("_") if name not in BUILTIN else name)
        if builtin is None:
            raise BlockHalt("Efunction_not_found", name, report_in=2)
        value = builtin(r)
    if r.peek() != ")":
        raise BlockHalt("Emalformed_function_call", report_in=2)
    r.at += 1
    return value


def _call_user(r: ExpressionReader, name: str, user: UserFunction) -> float:
    arguments = {}
    has_next = r.peek() != ")"
    for parameter in user.parameters:
        if not has_next:
            raise BlockHalt("Eexpected_parameter", name, report_in=2)
        arguments[parameter.lower()] = _argument_text(r)
        has_next = _takes_comma(r)
    if has_next:
        raise BlockHalt("Eunexpected_parameter", name, report_in=2)
    body = _NAME.sub(lambda match: arguments.get(match.group().lower(), match.group()), user.body)
    if len(body) > r.s.limits.text:
        raise BlockHalt("Elimit_text", r.s.limits.text, report_in=r.s.pass_)
    return r.evaluate_text(body)


def _argument_text(r: ExpressionReader) -> str:
    """An argument as it is put into the body: names and digits as they stand, anything else as its value."""
    if r.peek() == '"':
        return f'"{_string(r)}"'
    depth, at = 0, r.at
    while at < len(r.text) and (depth > 0 or r.text[at] not in ",)"):
        depth += {"(": 1, ")": -1}.get(r.text[at], 0)
        at += 1
    text, r.at = r.text[r.at : at], at
    if _PLAIN.fullmatch(text):
        return text
    value = r.evaluate_text(text)
    shown = f"{value:.100f}".rstrip("0").rstrip(".")
    return shown


def _string(r: ExpressionReader) -> str:
    r.skip_spaces()
    end = r.text.find('"', r.at + 1)
    if r.peek() != '"' or end < 0:
        raise BlockHalt("Estring_literal_not_terminated", report_in=2)
    text = dequote(r.text[r.at : end + 1])
    r.at = end + 1
    r.skip_spaces()
    return text or ""


def _symbol(r: ExpressionReader) -> str:
    r.skip_spaces()
    if r.peek() == '"':
        r.s.log.warn(2, "Wfeature_deprecated", "a name in quotes", "leave the quotes out")
        return _string(r)
    match = _SYMBOL.match(r.text, r.at)
    if match is None or not match.group():
        raise BlockHalt("Estring_literal_not_terminated", report_in=2)
    r.at = match.end()
    r.skip_spaces()
    return match.group()


def _number(r: ExpressionReader) -> float:
    r.skip_spaces()
    value = r.evaluate(0)
    r.skip_spaces()
    return value


def _takes_comma(r: ExpressionReader) -> bool:
    if r.peek() != ",":
        return False
    r.at += 1
    return True


def _comma(r: ExpressionReader) -> None:
    if not _takes_comma(r):
        raise BlockHalt("Erequire_parameter", report_in=2)


def _unary(f: Callable[[float], float]) -> Builtin:
    def run(r: ExpressionReader) -> float:
        value = _number(r)
        try:
            return float(f(value))
        except ValueError:
            return -math.inf if f in (math.log, math.log2, math.log10) and value == 0.0 else math.nan
        except OverflowError:
            return value

    return run


def _numbers(count: int, f: Callable[..., float]) -> Builtin:
    def run(r: ExpressionReader) -> float:
        values = [_number(r)]
        while len(values) < count:
            _comma(r)
            values.append(_number(r))
        return float(f(*values))

    return run


def _truth(f: Callable[..., bool]) -> Callable[..., float]:
    return lambda *values: float(f(*values))


def _word(value: float) -> bool:
    """Truth as Asar's not/and/or see it: of the 32-bit integer."""
    return math.isfinite(value) and int(value) & 0xFFFFFFFF != 0


def _int(value: float) -> int:
    return int(value) if math.isfinite(value) and abs(value) < 2147483648.0 else -2147483648


def _read(count: int) -> Builtin:
    def run(r: ExpressionReader) -> float:
        s = r.s
        target = _int(_number(r))
        at = s.out.to_pc(target)
        bad = at < 0 or at + count > len(s.out.image.base)
        if _takes_comma(r):
            default = _number(r)
            if bad:
                return default
        elif at < 0:
            raise BlockHalt("Esnes_address_doesnt_map_to_rom", target & 0xFFFFFFFF, report_in=2)
        elif bad:
            raise BlockHalt("Esnes_address_out_of_bounds", target & 0xFFFFFFFF, report_in=2)
        return float(int.from_bytes(s.out.image.base[at : at + count], "little"))

    return run


def _can_read(count: int) -> Builtin:
    def run(r: ExpressionReader) -> float:
        length = count or _int(_number(r))
        if not count:
            _takes_comma(r)
        at = r.s.out.to_pc(_int(_number(r)))
        return float(at >= 0 and at + length - 1 < len(r.s.out.image.base))

    return run


def _read_file(count: int) -> Builtin:
    def run(r: ExpressionReader) -> float:
        name = _string(r)
        _comma(r)
        offset = _int(_number(r))
        has_default = _takes_comma(r)
        default = _number(r) if has_default else 0.0
        if has_default and r.s.sources.files.find(name, r.s.at.file) is None:
            return default
        data = r.s.sources.files.read(name, r.s.at.file, 2)
        if offset < 0 or offset + count > len(data):
            if has_default:
                return default
            raise BlockHalt("Efile_offset_out_of_bounds", offset, name, report_in=2)
        return float(int.from_bytes(data[offset : offset + count], "little"))

    return run


def _can_read_file(count: int) -> Builtin:
    def run(r: ExpressionReader) -> float:
        name = _string(r)
        _comma(r)
        offset = _int(_number(r))
        length = count
        if not count:
            _comma(r)
            length = _int(_number(r))
        size = _size(r, name)
        return float(size is not None and offset >= 0 and offset + length <= size)

    return run


def _size(r: ExpressionReader, name: str) -> int | None:
    """Bytes of a file, None if it cannot be read."""
    try:
        return len(r.s.sources.files.read(name, r.s.at.file, 2))
    except BlockHalt:
        return None


def _file_size(r: ExpressionReader) -> float:
    return float(len(r.s.sources.files.read(_string(r), r.s.at.file, 2)))


def _file_status(r: ExpressionReader) -> float:
    name = _string(r)
    if r.s.sources.files.find(name, r.s.at.file) is None:
        return 1.0
    return 2.0 if _size(r, name) is None else 0.0


def _defined(r: ExpressionReader) -> float:
    if r.s.is_replaying:
        raise NeedsText
    return float(_string(r) in r.s.names.defines)


def _round(r: ExpressionReader) -> float:
    value = _number(r)
    _comma(r)
    places = _int(_number(r))
    return float(f"{value:.{min(max(places, 0), 100)}f}")


def _sizeof(r: ExpressionReader) -> float:
    name = _symbol(r)
    if name == "...":
        if r.s.macro is None:
            raise BlockHalt("Evararg_sizeof_nomacro", report_in=2)
        if not r.s.macro.is_variadic:
            raise BlockHalt("Emacro_not_varadic", report_in=2)
        return float(r.s.macro.extra)
    return float(r.s.struct_size(name))


def _object_size(r: ExpressionReader) -> float:
    return float(r.s.object_size(_symbol(r)))


def _data_size(r: ExpressionReader) -> float:
    name, s = _symbol(r), r.s
    if name not in s.names.labels:
        raise BlockHalt("Elabel_not_found", name, report_in=2)
    s.touch()
    s.maths.found_label = True
    s.maths.found_static = s.maths.found_static and name in s.names.static_labels
    at = s.names.labels[name] & 0xFFFFFF
    following = min((p & 0xFFFFFF for p in s.names.labels.values() if p & 0xFFFFFF > at), default=0xFFFFFF)
    if following == 0xFFFFFF:
        s.log.warn(2, "Wdatasize_last_label", name)
    if following - at > 0xFFFF:
        s.log.warn(2, "Wdatasize_exceeds_size", name)
    return float(following - at)


def _strings_equal(fold: bool) -> Builtin:
    def run(r: ExpressionReader) -> float:
        first = _string(r)
        _comma(r)
        second = _string(r)
        return float(first.lower() == second.lower() if fold else first == second)

    return run


def _mapped(r: ExpressionReader) -> float:
    return float(r.s.out.to_pc(_int(_number(r))))


def _unmapped(r: ExpressionReader) -> float:
    return float(r.s.out.to_snes(_int(_number(r))))


def _position(real: bool) -> Builtin:
    def run(r: ExpressionReader) -> float:
        r.s.touch()
        return float(r.s.out.real if real else r.s.out.pos)

    return run


BUILTIN: Final[dict[str, Builtin]] = {
    "sqrt": _unary(math.sqrt), "sin": _unary(math.sin), "cos": _unary(math.cos), "tan": _unary(math.tan),
    "asin": _unary(math.asin), "acos": _unary(math.acos), "atan": _unary(math.atan),
    "arcsin": _unary(math.asin), "arccos": _unary(math.acos), "arctan": _unary(math.atan),
    "log": _unary(math.log), "log10": _unary(math.log10), "log2": _unary(math.log2),
    "ceil": _unary(math.ceil), "floor": _unary(math.floor), "bank": _unary(lambda a: _int(a) >> 16),
    "not": _unary(lambda a: not _word(a)),
    "read1": _read(1), "read2": _read(2), "read3": _read(3), "read4": _read(4),
    "canread": _can_read(0), "canread1": _can_read(1), "canread2": _can_read(2), "canread3": _can_read(3),
    "canread4": _can_read(4),
    "readfile1": _read_file(1), "readfile2": _read_file(2), "readfile3": _read_file(3), "readfile4": _read_file(4),
    "canreadfile": _can_read_file(0), "canreadfile1": _can_read_file(1), "canreadfile2": _can_read_file(2),
    "canreadfile3": _can_read_file(3), "canreadfile4": _can_read_file(4),
    "filesize": _file_size, "getfilestatus": _file_status, "defined": _defined,
    "snestopc": _mapped, "pctosnes": _unmapped, "realbase": _position(True), "pc": _position(False),
    "max": _numbers(2, lambda a, b: a if a > b else b), "min": _numbers(2, lambda a, b: a if a < b else b),
    "clamp": _numbers(3, lambda v, low, high: max(low, min(high, v))),
    "safediv": _numbers(3, lambda a, b, default: default if b == 0.0 else a / b),
    "select": _numbers(3, lambda which, a, b: b if which == 0.0 else a),
    "equal": _numbers(2, _truth(lambda a, b: a == b)), "notequal": _numbers(2, _truth(lambda a, b: a != b)),
    "less": _numbers(2, _truth(lambda a, b: a < b)), "lessequal": _numbers(2, _truth(lambda a, b: a <= b)),
    "greater": _numbers(2, _truth(lambda a, b: a > b)), "greaterequal": _numbers(2, _truth(lambda a, b: a >= b)),
    "and": _numbers(2, _truth(lambda a, b: _word(a) and _word(b))),
    "or": _numbers(2, _truth(lambda a, b: _word(a) or _word(b))),
    "nand": _numbers(2, _truth(lambda a, b: not (a and b))), "nor": _numbers(2, _truth(lambda a, b: not (a or b))),
    "xor": _numbers(2, _truth(lambda a, b: bool(a) != bool(b))),
    "round": _round, "sizeof": _sizeof, "objectsize": _object_size, "datasize": _data_size,
    "stringsequal": _strings_equal(False), "stringsequalnocase": _strings_equal(True),
}  # fmt: skip
"""Built-in functions; each may be written with a leading underscore, too."""
