"""Finds the places of a text at which rules may match: a C kernel, or without a compiler Aho-Corasick and Python.

Every match holds one of its rule's needles, short literals; what stands around a needle decides whether the rule is
worth trying, and from where on.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import operator
import re
import string
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import ahocorasick
import numpy as np

from afs import native_libraries

VERSION = 1
FOLDED, EDGE_BEFORE, EDGE_AFTER, START_BEFORE, END_AFTER = 1, 2, 4, 8, 16
PLAIN, RUN, WORD, DOTTED = 0, 1, 2, 3
_LONGEST = 40
_MOST_BEFORE = 256
_NAME_HEAD = 64
_ROOM = 4096
_FEW = 200
"""Candidates up to which a list of them is sorted faster than columns."""
_DIGITS, _LETTERS = string.digits, string.ascii_letters
_RUNS = {
    "digit": _DIGITS,
    "hex": string.hexdigits,
    "token": _LETTERS + _DIGITS + "_-",
    "email": _LETTERS + _DIGITS + "._%+-",
    "host": _LETTERS + _DIGITS + "-",
    "login": string.ascii_lowercase + _DIGITS + "_-",
    "scheme": _LETTERS + _DIGITS + "+.-",
    "inside": "".join(chr(c) for c in range(256) if chr(c) not in "\"'\n"),
    "name": _LETTERS + _DIGITS + "_.-",
    "alnum": _LETTERS + _DIGITS,
    "type": _LETTERS + _DIGITS + "_<>[]?*.",
}
"""Runs of characters in front of a needle, in the order of the kernel's bits."""
_BITS = {name: 1 << number for number, name in enumerate(_RUNS)}
CLASSES = tuple(sum(_BITS[name] for name, chars in _RUNS.items() if chr(code) in chars) for code in range(256))
_ALNUM, _NAME, _DIGIT, _TYPE, _INSIDE = (_BITS[name] for name in ("alnum", "name", "digit", "type", "inside"))
_SYMBOLS = "_-.:/@\"'=<>[](){}$%&?;|~+\\*"
_GROUPS = np.array([(_LETTERS[:26] + _DIGITS + _SYMBOLS).find(chr(code).lower()) + 1 for code in range(256)], np.uint8)
"""A number below 64 for each byte: letters without their case, digits, symbols, and 0 for everything else."""
_SET = re.compile(r"\[([^\]]+)\]")
_RANGE = re.compile(r"(.)-(.)")

_TARGET = operator.itemgetter(0)
Candidate = tuple[int, int, int]
"""(pass, start, end): where a pass is to be tried, and the end of its needle or name."""


class Needle(NamedTuple):
    """A literal, the pass that is tried where it stands, and what must surround it."""

    text: bytes
    target: int
    flags: int = 0
    shape: int = PLAIN
    left: int = 0
    least: int = 0
    back: int = 0
    option: int = -1
    """The pass for command-line options, tried where the name begins with a hyphen."""


def expand_needle(text: str) -> list[tuple[bytes, int]]:
    """The literals a needle of the rule file stands for, with their flags."""
    flags = 0
    for mark, flag in ((r"\b", EDGE_BEFORE), ("<", START_BEFORE)):
        if text.startswith(mark):
            text, flags = text.removeprefix(mark), flags | flag
    for mark, flag in ((r"\b", EDGE_AFTER), (">", END_AFTER)):
        if text.endswith(mark):
            text, flags = text.removesuffix(mark), flags | flag
    parts = _SET.split(text)
    choices = [_list_members(part) if number % 2 else [part] for number, part in enumerate(parts)]
    return [("".join(choice).encode(), flags) for choice in itertools.product(*choices)]


def _list_members(content: str) -> list[str]:
    """The characters of a set such as `a-f0-9_`."""
    ranges = _RANGE.findall(content)
    return [*(chr(c) for first, last in ranges for c in range(ord(first), ord(last) + 1)), *_RANGE.sub("", content)]


def run_bit(name: str) -> int:
    """The kernel's bit for a run of characters."""
    return _BITS[name]


class CandidateFinder:
    """The needles of all rules, ready to be searched for."""

    def __init__(self, needles: Sequence[Needle], *, use_kernel: bool = True) -> None:
        library = load_kernel() if use_kernel else None
        self._find = _Kernel(library, needles).find if library else _PythonFinder(needles).find

    def find(self, raw: bytes) -> Iterable[Candidate]:
        """Every candidate, pass by pass, each in order of place."""
        return self._find(raw)


class _NeedleEntry(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int32) for name in ("target", "length", "flags", "shape", "left", "least", "back", "option")),
        ("text", ctypes.c_char * _LONGEST),
    ]


@functools.cache
def load_kernel() -> ctypes.CDLL | None:
    """The compiled kernel, or None."""
    source = Path(str(files("afs.redaction") / "candidates.c"))
    path = native_libraries.find_library("afs.redaction._candidates", [source]).path
    if path is None:
        return None
    try:
        library = ctypes.CDLL(str(path))
        version: int = library.afs_candidates_version()
    except (OSError, AttributeError):
        return None
    library.afs_candidates.restype = ctypes.c_int64
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.afs_candidates.argtypes = [pointer, ctypes.c_char_p, number, pointer, number]
    library.afs_heads.restype = ctypes.c_int64
    library.afs_heads.argtypes = [ctypes.c_char_p, number, number, pointer, pointer, number]
    return library if version == VERSION else None


class _Kernel:
    """A search by the C kernel; needle 0 is none."""

    def __init__(self, library: ctypes.CDLL, needles: Sequence[Needle]) -> None:
        self._search = library.afs_candidates
        self._rows = (_NeedleEntry * (len(needles) + 1))()
        beginnings: dict[int, list[int]] = {}
        for number, needle in enumerate(needles, 1):
            text, rest = needle.text, needle[1:]
            self._rows[number] = _NeedleEntry(rest[0], len(text), *rest[1:], text)
            for index in _list_indices(text):
                beginnings.setdefault(index, []).append(number)
        heads, filled, lists = np.zeros(1 << 18, np.uint16), np.zeros(1 << 18, bool), [0]
        for index, numbers in beginnings.items():
            heads[index], filled[index] = len(lists), True
            lists += [*numbers, 0]
        bits = np.packbits(filled, bitorder="little")
        self._tables = (_GROUPS, bits, heads, np.array(lists, np.uint16), np.array(CLASSES, np.uint16))
        pointers = (ctypes.addressof(self._rows), *(table.ctypes.data for table in self._tables))
        self._pointers = (ctypes.c_void_p * len(pointers))(*pointers)
        self._address = ctypes.addressof(self._pointers)
        self._spare: list[_Room] = []
        """Results not in use: a call takes one and puts it back, so that several threads may search."""

    def find(self, raw: bytes) -> Iterable[Candidate]:
        """The candidates, pass by pass."""
        room = self._spare.pop() if self._spare else _make_room(_ROOM)
        count: int = self._search(self._address, raw, len(raw), room.address, len(room.rows))
        if count > len(room.rows):
            room = _make_room(count)
            self._search(self._address, raw, len(raw), room.address, count)
        found = _order_rows(room.rows[:count])
        if len(room.rows) == _ROOM:
            self._spare.append(room)
        return found


def _order_rows(rows: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> Iterable[Candidate]:
    """The rows pass by pass; of many no list is made, since a list of so many tuples sets off the collector."""
    if len(rows) < _FEW:
        return sorted(((target, start, end) for target, start, end in rows.tolist()), key=_TARGET)
    targets, starts, ends = rows[rows[:, 0].argsort(kind="stable")].T.tolist()
    return zip(targets, starts, ends, strict=True)


class _Room(NamedTuple):
    """Where the kernel writes its rows."""

    rows: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    address: int


def _make_room(size: int) -> _Room:
    rows = np.empty((size, 3), np.int64)
    return _Room(rows, rows.ctypes.data)


def _list_indices(text: bytes) -> list[int]:
    """The indices of a needle's first three bytes; what follows a shorter one is open."""
    first, second = _GROUPS[text[0]], _GROUPS[text[1]]
    thirds = [_GROUPS[text[2]]] if len(text) > 2 else range(64)
    return [int(first) << 12 | int(second) << 6 | int(third) for third in thirds]


class _PythonFinder:
    """What the kernel does, for machines without a compiler."""

    def __init__(self, needles: Sequence[Needle]) -> None:
        self._automaton = ahocorasick.Automaton()
        by_text: dict[str, list[int]] = {}
        self._needles = needles
        for number, needle in enumerate(needles):
            by_text.setdefault(needle.text.lower().decode("latin-1"), []).append(number)
        for text, numbers in by_text.items():
            self._automaton.add_word(text, (len(text), numbers))
        self._automaton.make_automaton()

    def find(self, raw: bytes) -> list[Candidate]:
        """The candidates, pass by pass."""
        places = sorted(
            (last - length + 1, number)
            for last, (length, numbers) in self._automaton.iter(raw.lower().decode("latin-1"))
            for number in numbers
        )
        found: list[Candidate] = []
        named = 0
        for at, number in places:
            needle = self._needles[number]
            if (needle.shape == WORD and at < named) or not _is_there(raw, at, needle):
                continue
            if needle.shape == WORD:
                named = _add_name(raw, at, needle, found)
            elif needle.shape == RUN:
                _add_run(raw, at, needle, found)
            elif needle.shape == DOTTED:
                _add_dotted(raw, at, needle, found)
            elif at >= needle.back:
                found.append((needle.target, at - needle.back, at + len(needle.text)))
        return sorted(found, key=_TARGET)


def _is_in(raw: bytes, at: int, kinds: int) -> bool:
    return 0 <= at < len(raw) and bool(CLASSES[raw[at]] & kinds)


def _is_word(raw: bytes, at: int) -> bool:
    return _is_in(raw, at, _ALNUM) or raw[at : at + 1] == b"_"


def _is_there(raw: bytes, at: int, needle: Needle) -> bool:
    end = at + len(needle.text)
    if not needle.flags & FOLDED and raw[at:end] != needle.text:
        return False
    if needle.flags & EDGE_BEFORE and at and _is_word(raw, at - 1):
        return False
    if (needle.flags & EDGE_AFTER and _is_word(raw, end)) or (needle.flags & END_AFTER and _is_in(raw, end, _ALNUM)):
        return False
    is_camel = at > 0 and raw[at - 1 : at].islower() and raw[at : at + 1].isupper()
    return not (needle.flags & START_BEFORE and _is_in(raw, at - 1, _ALNUM) and not is_camel)


def _add_name(raw: bytes, at: int, needle: Needle, found: list[Candidate]) -> int:
    start, end = at, at + len(needle.text)
    while at - start < _NAME_HEAD and _is_in(raw, start - 1, _NAME):
        start -= 1
    while end - at < _NAME_HEAD and _is_in(raw, end, _NAME):
        end += 1
    if raw[start : start + 1] == b"-" and needle.option >= 0:
        found.append((needle.option, start, end))
    if _ASSIGNED.match(raw, end):
        found.append((needle.target, start, end))
    return end


_ASSIGNED = re.compile(
    rb"[\\\])}]{0,3}[\"'`]|[\\\])}]{0,4}[ \t]{0,8}+(?:[=:?>,\"'`]|%3|->|!=|\([\"'`]|\|[|=]|\+[=+]"
    rb"|[\w<>\[\]?*.]{0,30}+[ \t]{0,4}+[=:?])"
)
"""What can be the beginning of an assignment, behind a name."""


def _add_run(raw: bytes, at: int, needle: Needle, found: list[Candidate]) -> None:
    start = at
    while at - start < _MOST_BEFORE and _is_in(raw, start - 1, needle.left):
        start -= 1
    if at - start < needle.least:
        return
    while needle.left != _INSIDE and start < at and not _is_in(raw, start, _ALNUM):
        start += 1
    found.append((needle.target, start, at + len(needle.text)))


_DOTTED_NUMBER = re.compile(rb"(?<!\w)(?:\d{1,3}\.){3}\d{1,3}(?!\w)")


def _add_dotted(raw: bytes, at: int, needle: Needle, found: list[Candidate]) -> None:
    start = at
    while at - start < 3 and _is_in(raw, start - 1, _DIGIT):
        start -= 1
    if match := _DOTTED_NUMBER.match(raw, start):
        found.append((needle.target, start, match.end()))
