"""The skeleton of a text: a number that stays when comments, layout, quotes or the names it binds change.

By the C kernel, or the same in Python. It only gives candidates: `renaming`
checks whether two texts of one skeleton are one program.
"""

from __future__ import annotations

import ctypes
import re
from itertools import pairwise

import numpy as np

from afs.curate.minhash_kernel import kernel
from afs.curate.shingles import U8, U64, pointer

LEAST_TOKENS = 12
"""A text of fewer tokens has no skeleton: too many are alike."""
_MASK = (1 << 64) - 1
_BASE = 0x9E3779B97F4A7C15
_FOLD = 0xD6E8FEB86659FD93
_PIECE = re.compile(
    rb"(?P<comment>(?:(?<=\s)|\A)[;#](?=[\s#!;:]|\Z)[^\n]*|(?<!:)//[^\n]*|/\*.*?(?:\*/|\Z)"
    rb"|(?:(?<=\n)|\A)(?P<blank>[ \t]*)(?:\"\"\".*?(?:\"\"\"|\Z)|'''.*?(?:'''|\Z)))"
    rb"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<other>[0-9][A-Za-z0-9_]*|[^\sA-Za-z0-9_'\"`,\\])",
    re.S,
)
_BINDERS = frozenset((b"let", b"var", b"const", b"mut", b"for", b"as", b"auto", b"lambda"))
_FUNCTIONS = frozenset((b"def", b"fn", b"function"))
_BEFORE_NAME = frozenset(b"*&>(|")
_AFTER_NAME = frozenset(b"=;,):|")
_NEXT = re.compile(rb"[ \t]*(.?.?)", re.S)


def find_skeletons(data: U8, starts: U64) -> U64:
    """The skeleton of every text; 0 for one that has none."""
    library, n = kernel(), len(starts) - 1
    out = np.zeros(n, np.uint64)
    if library is None:
        raw = data.tobytes()
        for number in range(n):
            out[number] = _find_skeleton(raw[int(starts[number]) : int(starts[number + 1])])
    elif library.afs_skeletons(pointer(data), pointer(starts), ctypes.c_size_t(n), pointer(out)):
        raise MemoryError
    return out


def _find_skeleton(raw: bytes) -> int:
    tokens = [match for match in _PIECE.finditer(raw) if match["comment"] is None]
    if len(tokens) < LEAST_TOKENS:
        return 0
    bound: set[bytes] = set()
    barred: set[bytes] = set()
    functions = {match[0] for last, match in pairwise(tokens) if match["name"] is not None and last[0] in _FUNCTIONS}
    before = b""
    for match in tokens:
        if match["name"] is not None:
            _classify(raw, match, before, bound, barred)
        before = match[0]
    numbers: dict[bytes, int] = {}
    value = 0
    for match in tokens:
        token = match[0]
        is_free = token in functions or (token in bound and token not in barred)
        part = numbers.setdefault(token, len(numbers) + 1) if is_free else _hash_word(token)
        value = (value * _FOLD + part) & _MASK
    return value or 1


def _classify(raw: bytes, match: re.Match[bytes], before: bytes, bound: set[bytes], barred: set[bytes]) -> None:
    """Whether an occurrence binds a name, or shows that it belongs to something else."""
    name, start = match[0], match.start()
    found = _NEXT.match(raw, match.end())
    after = found[1] if found is not None else b""
    last = raw[max(0, start - 2) : start]
    if last.endswith(b".") or last in (b"->", b"::") or after[:1] == b"(":
        barred.add(name)
    is_label = last[-1:] in (b"", b"\n") and after[:1] == b":"
    is_assigned = is_label or (after[:1] == b"=" and after[1:2] != b"=")
    is_declared = bool(before) and (
        before[:1].isalpha() or before[:1] == b"_" or (len(before) == 1 and before[0] in _BEFORE_NAME)
    )
    if is_assigned or before in _BINDERS or (is_declared and after[:1] and after[0] in _AFTER_NAME):
        bound.add(name)


def _hash_word(token: bytes) -> int:
    value = _BASE
    for byte in token.lower():
        value = ((value ^ byte) * _FOLD) & _MASK
        value ^= value >> 29
    return value
