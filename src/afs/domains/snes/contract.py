"""A routine's contract: what it reads, what it leaves, what it may destroy, how it is entered and left.

It is written as JSON, or in the routine's comment:

    ; in: A, X in 0..9, C, $10-$11, $7E0020 in 1..3   out: A, Z, $12-$13
    ; clobbers: Y, $00-$0F   entry: m8 x16   exit: m8 x16   ends: rtl   d: 0   db: $7E

Whatever stands neither under `out` nor under `clobbers` must be left as the original leaves it; flags N V Z C are free
once `out` names anything. Running code against a contract is the matter of `machine` and `equal`.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from afs.domains.snes.memory_map import VIDEO
from afs.errors import DataError
from afs.types import Value

Ends = Literal["rts", "rtl", "end", "stop"]
REGISTERS: Final = ("a", "b", "x", "y", "s", "d", "db")
FLAGS: Final = {"n": 0x80, "v": 0x40, "z": 0x02, "c": 0x01}
_VIDEO_NAMES: Final = {"vram": VIDEO + 0x40000, "cgram": VIDEO + 0x50000, "oam": VIDEO + 0x50200}


class Range(Value, frozen=True, kw_only=True):
    """Bytes of memory, by CPU address (video memory from 0x1000000 on)."""

    start: int
    size: int = 1

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.start + self.size


class Bounds(Value, frozen=True, kw_only=True):
    """The values an input may take, both ends included."""

    low: int
    high: int


class Contract(Value, frozen=True, kw_only=True):
    """What a routine may rely on and what it promises."""

    name: str = ""
    m: Literal[0, 8, 16] = 8
    """Width of A at entry; 0: both must work."""
    x: Literal[0, 8, 16] = 8
    """Width of X and Y at entry; 0: both must work."""
    exit_m: Literal[0, 8, 16] = 0
    """Width of A at exit; 0: as the original leaves it."""
    exit_x: Literal[0, 8, 16] = 0
    inputs: tuple[str, ...] = ()
    """Registers (`a`, `b` = high byte of A, `x`, `y`) and flags (`c`, `n`, `v`, `z`) the routine reads."""
    bounds: dict[str, Bounds] = {}
    """Bounds of inputs, by register or by the text of a memory range of one or two bytes."""
    reads: tuple[Range, ...] = ()
    """Memory the routine reads; all else is undefined to it."""
    out: tuple[str, ...] = ()
    """Registers and flags that hold the result; empty: every register and flag counts."""
    writes: tuple[Range, ...] | None = None
    """Memory the routine changes, compared at the end; None: it may write anywhere and every byte counts."""
    clobbers: tuple[str, ...] = ()
    """Registers and flags it may destroy; `flags` stands for n v z c."""
    scratch: tuple[Range, ...] = ()
    """Memory it may destroy."""
    ends: Ends = "rts"
    """How it ends: rts, rtl, `end` (falls off its last byte), `stop` (STP, WAI, BRK or COP)."""
    d: int | Literal["any"] = 0
    db: int | Literal["any", "origin"] = "origin"
    s: int = 0x1FF
    stack: int = 128
    """Bytes below S that are the routine's own and never compared."""
    decimal: bool = False
    """May the D flag be set at entry?"""
    registers: Literal["log", "end", "ignore"] = "log"
    """Hardware registers: the same writes in the same order, the same last values, or not compared."""
    budget: int = 200_000
    """CPU cycles (DMA included) after which a run counts as hung."""

    def frees(self, register: str) -> bool:
        """Is this register or flag without meaning at the end?"""
        if register in self.out:
            return False
        if register in self.clobbers or (register == "b" and "a" in self.clobbers and "b" not in self.out):
            return True
        return register in FLAGS and ("flags" in self.clobbers or bool(self.out or self.writes))


def format_range(bytes_: Range) -> str:
    """A range as it is written: `$10-$11`, `VRAM $1000`."""
    start = bytes_.start
    for name, base in reversed(_VIDEO_NAMES.items()):
        if start >= base:
            return _format_span(name.upper() + " ", start - base, bytes_.size, 4)
    return _format_span("", start, bytes_.size, 2 if start < 0x100 else 4 if start < 0x10000 else 6)


def _format_span(prefix: str, start: int, size: int, digits: int) -> str:
    first = f"{prefix}${start:0{digits}X}"
    return first if size == 1 else f"{first}-${start + size - 1:0{digits}X}"


_RANGE: Final = re.compile(
    r"^(?:(vram|cgram|oam)\s+)?\$([0-9a-f]{1,6})(?:\s*-\s*\$([0-9a-f]{1,6}))?$|^\$?([0-9a-f]{2}):([0-9a-f]{4})$", re.I
)


def parse_range(text: str) -> Range | None:
    """Read `$10`, `$10-$11`, `7E:0010` or `VRAM $1000-$10FF`; None when it is no range."""
    match = _RANGE.match(text.strip())
    if not match:
        return None
    video, first, last, bank, low = match.groups()
    if bank:
        return Range(start=int(bank, 16) << 16 | int(low, 16))
    start = int(first, 16)
    end = int(last, 16) if last else start
    if end < start:
        raise DataError(f"contract: {text.strip()}: the range ends before it starts")
    return Range(start=start + (_VIDEO_NAMES[video.lower()] if video else 0), size=end - start + 1)


# --- the comment ----------------------------------------------------------------------------------------------

_KEY: Final = re.compile(
    r"\b(in|inputs|out|outputs|clobbers|scratch|entry|exit|ends|d|db|s|stack|registers|decimal)\s*:\s*", re.I
)
_NUMBER: Final = re.compile(r"^(?:\$([0-9a-f]+)|(\d+))$", re.I)
_ALIAS: Final = {"inputs": "in", "outputs": "out"}
_ENDS: Final[dict[str, Ends]] = {"rts": "rts", "rtl": "rtl", "end": "end", "stop": "stop"}
_WIDTHS: Final[dict[str, Literal[0, 8, 16]]] = {"8": 8, "16": 16, "any": 0}


def parse_comment(source: str) -> Contract | None:
    """The contract in the first run of comment lines that states one; None when there is none."""
    for block in _comment_blocks(source):
        if re.search(r"\b(in|inputs|out|outputs|clobbers)\s*:", block, re.I):
            return _parse_block(block)
    return None


def _comment_blocks(source: str) -> list[str]:
    blocks: list[str] = []
    open_ = False
    for line in source.splitlines():
        text = line.strip()
        if text.startswith(";"):
            words = text.lstrip("; \t")
            if open_:
                blocks[-1] += "\n" + words
            else:
                blocks.append(words)
        open_ = text.startswith(";")
    return blocks


def _parse_block(block: str) -> Contract:
    matches = list(_KEY.finditer(block))
    fields: dict[str, object] = {}
    bounds: dict[str, object] = {}
    for match, following in zip(matches, [*matches[1:], None], strict=True):
        body = block[match.end() : following.start() if following else len(block)].strip().strip(".;")
        key = match[1].lower()
        _take_entry(fields, bounds, _ALIAS.get(key, key), body)
    if bounds:
        fields["bounds"] = bounds
    return parse_contract(fields)


def _take_entry(fields: dict[str, object], bounds: dict[str, object], key: str, body: str) -> None:
    if key in ("entry", "exit"):
        prefix = "exit_" if key == "exit" else ""
        for name, width in re.findall(r"\b([mx])\s*=?\s*(8|16|any)\b", body, re.I):
            fields[prefix + name.lower()] = _WIDTHS[width.lower()]
        return
    if key in ("ends", "registers"):
        fields[key] = body.split()[0].lower() if body else ""
    elif key in ("d", "db", "s", "stack"):
        fields[key] = _number(body)
    elif key == "decimal":
        fields[key] = body.lower() in ("yes", "true", "any")
    else:
        _take_items(fields, bounds, key, body)


def _take_items(fields: dict[str, object], bounds: dict[str, object], key: str, body: str) -> None:
    names: list[str] = []
    ranges: list[Range] = []
    for item in (part.strip() for part in re.split(r"[,\n]", body)):
        if not item or item.lower() in ("none", "nothing", "-"):
            continue
        name, _, limits = item.partition(" in ")
        found = parse_range(name)
        if found:
            ranges.append(found)
        else:
            names.append(_register(name))
        if limits:
            bounds[format_range(found) if found else _register(name)] = _bounds(limits)
    registers, memory = {"in": ("inputs", "reads"), "out": ("out", "writes")}.get(key, ("clobbers", "scratch"))
    fields[registers] = tuple(names)
    if ranges or key == "out":
        fields[memory] = tuple(msgspec.to_builtins(bytes_) for bytes_ in ranges)


def _register(text: str) -> str:
    word = text.strip().split("(")[0].strip().lower()
    word = {"p": "flags", "carry": "c", "zero": "z", "dbr": "db", "dp": "d"}.get(word, word)
    if word not in (*REGISTERS, *FLAGS, "flags"):
        raise DataError(
            f"contract: {text.strip()!r} is neither a register (a b x y d db s), a flag (n v z c) nor `$10-$11`"
        )
    return word


def _number(text: str) -> int | str:
    word = text.split()[0].strip(",.;") if text.split() else ""
    match = _NUMBER.match(word)
    if match:
        return int(match[1], 16) if match[1] else int(match[2])
    return word.lower()


def _bounds(text: str) -> dict[str, object]:
    low, dots, high = text.strip().partition("..")
    first, last = _number(low), _number(high)
    if not dots or isinstance(first, str) or isinstance(last, str) or last < first:
        raise DataError(f"contract: bounds {text.strip()!r}: want `low..high`, e.g. `0..9` or `$00..$7F`")
    return {"low": first, "high": last}


# --- JSON -----------------------------------------------------------------------------------------------------


def parse_contract(spec: object) -> Contract:
    """Read a contract from JSON data; ranges may also be text such as `$10-$11`. Refuses what makes no sense."""
    if isinstance(spec, dict):
        spec = {key: _ranges(key, value) for key, value in spec.items()}
    try:
        contract = msgspec.convert(spec, Contract)
    except msgspec.ValidationError as error:
        raise DataError(f"contract: {error}") from error
    _validate(contract)
    return contract


def _ranges(key: str, value: object) -> object:
    if key not in ("reads", "writes", "scratch") or not isinstance(value, (list, tuple)):
        return value
    read: list[object] = []
    for item in value:
        found = parse_range(item) if isinstance(item, str) else None
        if isinstance(item, str) and found is None:
            raise DataError(f"contract: {key}: {item!r} is no range such as `$10-$11`")
        read.append(msgspec.to_builtins(found) if found else item)
    return read


def _validate(contract: Contract) -> None:
    for name in contract.inputs:
        if name not in ("a", "b", "x", "y", *FLAGS):
            raise DataError(f"contract: inputs: {name!r} is none of a b x y n v z c")
    for name in (*contract.out, *contract.clobbers):
        if name not in (*REGISTERS, *FLAGS, "flags"):
            raise DataError(f"contract: {name!r} is neither a register nor a flag")
    for key, bounds in contract.bounds.items():
        if not 0 <= bounds.low <= bounds.high <= 0xFFFF:
            raise DataError(f"contract: bounds of {key}: {bounds.low}..{bounds.high} is empty or beyond 16 bits")
    if not 0 <= contract.s <= 0xFFFF or not 0 <= contract.stack <= 0x1000 or contract.budget <= 0:
        raise DataError("contract: want 0 <= s <= $FFFF, 0 <= stack <= 4096, budget > 0")
    for field, value, top in (("d", contract.d, 0xFFFF), ("db", contract.db, 0xFF)):
        if isinstance(value, int) and not 0 <= value <= top:
            raise DataError(f"contract: {field}: want 0..${top:X}, got {value}")
