"""Shingles of texts as numbers: by the C kernel, or the same in numpy. A text is a row of bytes between two offsets."""

from __future__ import annotations

import ctypes
import functools
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from afs.curate.native import kernel

U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
F32: TypeAlias = npt.NDArray[np.float32]

BINS, ROWS = 128, 4
BANDS = BINS // ROWS
EMPTY = 0xFFFFFFFF
_STEP = np.uint32(0x9E3779B1)
_BASE = 0x9E3779B97F4A7C15
_FOLD = np.uint64(0xD6E8FEB86659FD93)
_PART = 1 << 20
"""Bytes numpy works on at once, so that its arrays stay in the processor's caches."""
_MASK = (1 << 64) - 1


class Sketches(NamedTuple):
    """What is kept of texts: sketch bytes, band keys, and a digest of the plain form."""

    bytes: U8
    bands: U32
    digest: U64


def pointer(array: npt.NDArray[np.generic]) -> ctypes.c_void_p:
    """An array for C."""
    return ctypes.c_void_p(array.ctypes.data)


def sketch(data: U8, starts: U64, words: int) -> Sketches:
    """Sketches of every text."""
    n = len(starts) - 1
    made = Sketches(np.zeros((n, BINS), np.uint8), np.zeros((n, BANDS), np.uint32), np.zeros((n, 2), np.uint64))
    library = kernel()
    if library is not None:
        failed = library.afs_sketch(
            pointer(data), pointer(starts), ctypes.c_size_t(n), ctypes.c_size_t(words),
            pointer(made.bytes), pointer(made.bands), pointer(made.digest),
        )  # fmt: skip
        if failed:
            raise MemoryError
        return made
    for first, last in _parts(starts):
        _sketch_part(data, starts[first : last + 1], words, made, first)
    return made


def grams(data: U8, starts: U64, words: int) -> tuple[U64, U64]:
    """(gram hashes of all texts, where each text's end)."""
    n = len(starts) - 1
    library = kernel()
    if library is not None:
        out = np.empty(int(starts[-1] - starts[0]) // 2 + n + 1, np.uint64)
        ends = np.empty(n, np.uint64)
        library.afs_grams(
            pointer(data), pointer(starts), ctypes.c_size_t(n), ctypes.c_size_t(words), pointer(out), pointer(ends)
        )
        return out[: int(ends[-1])] if n else out[:0], ends
    found, ends_parts, total = [], [], 0
    for first, last in _parts(starts):
        part, ends = numpy_grams(data, starts[first : last + 1], words)
        found.append(part)
        ends_parts.append(ends + np.uint64(total))
        total += len(part)
    none = np.empty(0, np.uint64)
    return (np.concatenate(found), np.concatenate(ends_parts)) if found else (none, none)


def _parts(starts: U64) -> list[tuple[int, int]]:
    """Ranges of texts of about a part's size."""
    out, first, n = [], 0, len(starts) - 1
    while first < n:
        last = int(np.searchsorted(starts, starts[first] + np.uint64(_PART), side="right")) - 1
        last = min(n, max(first + 1, last))
        out.append((first, last))
        first = last
    return out


@functools.cache
def _letters() -> U8:
    table = np.zeros(256, np.uint8)
    for code in range(256):
        char = chr(code)
        if code >= 128 or (char.isascii() and (char.isalnum() or char in "_$#%")):
            table[code] = ord(char.lower()) if code < 128 else code
    return table


@functools.lru_cache(maxsize=2)
def _powers(size: int) -> tuple[U64, U64]:
    """BASE to each power, and its inverse, modulo 2^64."""
    up, down = np.full(size, _BASE, np.uint64), np.full(size, pow(_BASE, -1, 1 << 64), np.uint64)
    up[0] = down[0] = 1
    return np.cumprod(up), np.cumprod(down)


def mix(x: U64) -> U64:
    """The finaliser of splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _tokens(data: U8, starts: U64) -> tuple[U64, npt.NDArray[np.int64]]:
    """(token hashes, index of each text's first token, and the end) of a part."""
    low = _letters()[data[int(starts[0]) : int(starts[-1])]]
    inside = np.zeros(len(low) + 2, np.int8)
    inside[1:-1] = low != 0
    cut = (starts - starts[0]).astype(np.int64)
    edges = np.diff(inside)
    begin, end = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    begin, end = _cut_at(begin, end, cut)
    size = 1 << max(20, len(low).bit_length())
    up, down = _powers(size)
    total = np.zeros(len(low) + 1, np.uint64)
    np.cumsum(low * up[: len(low)], out=total[1:])
    hashes = mix((total[end] - total[begin]) * down[begin] + (end - begin).astype(np.uint64))
    return hashes, np.searchsorted(begin, cut)


def _cut_at(
    begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64], cut: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A token that runs over the end of a text is two tokens."""
    if not len(begin):
        return begin, end
    token = np.searchsorted(begin, cut, side="right") - 1
    across = cut[(token >= 0) & (begin[token] < cut) & (cut < end[token])]
    if not len(across):
        return begin, end
    return np.sort(np.concatenate([begin, across])), np.sort(np.concatenate([end, across]))


def numpy_grams(data: U8, starts: U64, words: int) -> tuple[U64, U64]:
    """The grams of a part, in numpy."""
    token, first = _tokens(data, starts)
    count = np.diff(first)
    padded = np.concatenate([token, np.zeros(words, np.uint64)])
    hashes = np.zeros(len(token), np.uint64)
    for j in range(words):
        hashes = hashes * _FOLD + padded[j : j + len(token)]
    for size in range(1, words):
        short = first[:-1][count == size]
        value = np.zeros(len(short), np.uint64)
        for j in range(size):
            value = value * _FOLD + token[short + j]
        hashes[short] = value
    number = np.where(count >= words, count - words + 1, np.minimum(count, 1))
    place = np.arange(len(token)) - np.repeat(first[:-1], count)
    keep = place < np.repeat(number, count)
    return mix(hashes[keep]), np.cumsum(number).astype(np.uint64)


def _sketch_part(data: U8, starts: U64, words: int, made: Sketches, first: int) -> None:
    gram, ends = numpy_grams(data, starts, words)
    n = len(starts) - 1
    text = np.repeat(np.arange(n), np.diff(np.concatenate([[0], ends.astype(np.int64)])))
    least = np.full(n * BINS, EMPTY, np.uint32)
    np.minimum.at(
        least, text * BINS + (gram & np.uint64(BINS - 1)).astype(np.int64), (gram >> np.uint64(32)).astype(np.uint32)
    )
    full = _filled(least.reshape(n, BINS))
    key = np.zeros((n, BANDS), np.uint64)
    for j in range(ROWS):
        key = key * _FOLD + full[:, j::ROWS].astype(np.uint64)
    made.bytes[first : first + n] = full.astype(np.uint8)
    made.bands[first : first + n] = (mix(key) >> np.uint64(32)).astype(np.uint32)
    for i in range(n):
        text_bytes = data[int(starts[i]) : int(starts[i + 1])].tobytes()
        plain = b" ".join(text_bytes.lower().split())
        made.digest[first + i] = np.frombuffer(blake2b(plain, digest_size=16).digest(), np.uint64)


def _filled(least: U32) -> U32:
    """An empty bin takes what the next full one holds, moved on by its distance."""
    full = least.copy()
    some = (least.min(axis=1) != EMPTY)[:, None]
    empty = (least == EMPTY) & some
    for i in range(2 * BINS - 1, -1, -1):
        here = i % BINS
        rows = empty[:, here]
        full[rows, here] = full[rows, (i + 1) % BINS] + _STEP
    return full


def jaccard(data: U8, starts: U64, words: int, left: U32, right: U32) -> F32:
    """Exact Jaccard similarity of the gram sets of each pair."""
    out = np.zeros(len(left), np.float32)
    library = kernel()
    if library is not None:
        order = np.argsort(left, kind="stable")
        a, b, found = left[order].copy(), right[order].copy(), np.zeros(len(left), np.float32)
        if library.afs_jaccard(
            pointer(data), pointer(starts), ctypes.c_size_t(words), pointer(a), pointer(b),
            ctypes.c_size_t(len(a)), pointer(found),
        ):  # fmt: skip
            raise MemoryError
        out[order] = found
        return out
    for at in range(0, len(left), 4096):
        out[at : at + 4096] = _numpy_jaccard(data, starts, words, left[at : at + 4096], right[at : at + 4096])
    return out


def _numpy_jaccard(data: U8, starts: U64, words: int, left: U32, right: U32) -> F32:
    used, where = np.unique(np.concatenate([left, right]), return_inverse=True)
    pieces = [data[int(starts[i]) : int(starts[i + 1])] for i in used]
    sizes = np.array([0, *(len(p) for p in pieces)], np.uint64)
    gram, ends = numpy_grams(np.concatenate(pieces), np.cumsum(sizes), words)
    begin = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    sets = [np.unique(gram[b:e]) for b, e in zip(begin, ends.astype(np.int64), strict=True)]
    half = len(left)
    out = np.empty(half, np.float32)
    for p in range(half):
        a, b = sets[where[p]], sets[where[half + p]]
        both = np.sort(np.concatenate([a, b]))
        shared = int(np.count_nonzero(both[1:] == both[:-1]))
        whole = len(both) - shared
        out[p] = shared / whole if whole else 1.0
    return out


def agree(sketches: U8, left: U32, right: U32) -> U8:
    """How many sketch bytes of each pair are equal."""
    library = kernel()
    out = np.zeros(len(left), np.uint8)
    if library is not None:
        library.afs_agree(pointer(sketches), pointer(left), pointer(right), ctypes.c_size_t(len(left)), pointer(out))
        return out
    for at in range(0, len(left), 1 << 16):
        part = slice(at, at + (1 << 16))
        out[part] = np.count_nonzero(sketches[left[part]] == sketches[right[part]], axis=1)
    return out


def probe(data: U8, starts: U64, words: int, wanted: U64) -> tuple[U32, U32]:
    """(text, index into the sorted `wanted`) of every gram that is wanted."""
    library = kernel()
    if library is None:
        gram, ends = grams(data, starts, words)
        at = np.minimum(np.searchsorted(wanted, gram), max(0, len(wanted) - 1))
        hit = np.flatnonzero(wanted[at] == gram) if len(wanted) else np.empty(0, np.int64)
        return np.searchsorted(ends, hit, side="right").astype(np.uint32), at[hit].astype(np.uint32)
    room, n = 1 << 16, len(starts) - 1
    while True:
        text, index = np.empty(room, np.uint32), np.empty(room, np.uint32)
        found = int(library.afs_probe(
            pointer(data), pointer(starts), ctypes.c_size_t(n), ctypes.c_size_t(words), pointer(wanted),
            ctypes.c_size_t(len(wanted)), pointer(text), pointer(index), ctypes.c_size_t(room),
        ))  # fmt: skip
        if found < 0:
            raise MemoryError
        if found <= room:
            return text[:found], index[:found]
        room = found
