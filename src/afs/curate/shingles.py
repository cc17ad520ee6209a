"""Shingles of texts as numbers: by the C kernel, or the same in numpy. A text is a row of bytes between two offsets."""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from afs.curate.minhash_kernel import kernel

U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
F32: TypeAlias = npt.NDArray[np.float32]

BINS, ROWS = 128, 4
BANDS = BINS // ROWS
EMPTY = 0xFFFFFFFF
_KEPT = 50
"""Upper bits of a gram that numpy compares: the others name the text or the pair."""
_HALF, _LOWER = np.uint64(32), np.uint64(0xFFFFFFFF)
_STEP = np.uint32(0x9E3779B1)
_BASE = 0x9E3779B97F4A7C15
_FOLD = np.uint64(0xD6E8FEB86659FD93)
_ONES = np.uint64(0x0101010101010101)
_ROWS_AT_ONCE = 8192
"""Sketches that are compared at once."""
_PART = 1 << 19
"""Bytes numpy works on at once, so that its arrays stay in the processor's caches."""


class Sketches(NamedTuple):
    """What is kept of texts: a row of sketch bytes each, and a row of keys for each band."""

    bytes: U8
    bands: U32


def pointer(array: npt.NDArray[np.generic]) -> ctypes.c_void_p:
    """An array for C."""
    return ctypes.c_void_p(array.ctypes.data)


def sketch(data: U8, starts: U64, words: int) -> Sketches:
    """Sketches of every text."""
    n = len(starts) - 1
    sketches = Sketches(np.zeros((n, BINS), np.uint8), np.zeros((BANDS, n), np.uint32))
    library = kernel()
    if library is not None:
        failed = library.afs_sketch(
            pointer(data),
            pointer(starts),
            ctypes.c_size_t(n),
            ctypes.c_size_t(words),
            pointer(sketches.bytes),
            pointer(sketches.bands),
        )
        if failed:
            raise MemoryError
        return sketches
    for first, last in _parts(starts):
        _sketch_part(data, starts[first : last + 1], words, sketches, first)
    return sketches


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
def _letters() -> bytes:
    """What a byte becomes inside a token; 0 ends it."""
    return bytes(c if c >= 128 or chr(c).isalnum() or chr(c) in "_$#%" else 0 for c in bytes(range(256)).lower())


def mix(x: U64) -> U64:
    """The finalizer of splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _tokens(data: U8, starts: U64) -> tuple[U64, npt.NDArray[np.int64]]:
    """(hash of every token, index of each text's first one, and the end) of a part."""
    size = int(starts[-1] - starts[0])
    line = b"\0" + data[int(starts[0]) : int(starts[-1])].tobytes().translate(_letters()) + bytes(8)
    low = np.frombuffer(line, np.uint8)
    inside = low[: size + 2] != 0
    turn = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    cut = (starts - starts[0]).astype(np.int64) + 1
    begin, end = _split_tokens(turn[::2], turn[1::2], cut)
    return _token_hashes(low, begin, end - begin), np.searchsorted(begin, cut)


def _token_hashes(low: U8, begin: npt.NDArray[np.int64], left: npt.NDArray[np.int64]) -> U64:
    """Eight bytes at a time, as the kernel does."""
    word = np.ndarray((len(low) - 7,), "<u8", low.data, strides=(1,))
    hashes = _fold(left.astype(np.uint64) * np.uint64(_BASE), word[begin], left)
    rows = np.flatnonzero(left > 8)
    while len(rows):
        begin, left = begin + 8, left - 8
        hashes[rows] = _fold(hashes[rows], word[begin[rows]], left[rows])
        rows = rows[left[rows] > 8]
    return hashes


def _fold(hashes: U64, word: U64, left: npt.NDArray[np.int64]) -> U64:
    """The hashes with up to eight bytes more."""
    now = (hashes ^ (word & _ENDS[np.minimum(left, 8)])) * _FOLD
    return np.asarray(now ^ (now >> np.uint64(29)), np.uint64)


_ENDS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)
"""The first bytes of a word."""


def _split_tokens(
    begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64], cut: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A token that runs over the end of a text is two tokens."""
    if not len(begin):
        return begin, end
    token = np.searchsorted(begin, cut, side="right") - 1
    across = np.unique(cut[(token >= 0) & (begin[token] < cut) & (cut < end[token])])
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


def _sketch_part(data: U8, starts: U64, words: int, sketches: Sketches, first: int) -> None:
    gram, ends = numpy_grams(data, starts, words)
    n = len(starts) - 1
    text = np.repeat(np.arange(n), np.diff(np.concatenate([[0], ends.astype(np.int64)])))
    least = np.full(BINS * n, EMPTY, np.uint32)
    bin_ = (gram & np.uint64(BINS - 1)).astype(np.int64)
    np.minimum.at(least, bin_ * n + text, (gram >> _HALF).astype(np.uint32))
    full = _fill_bins(least.reshape(BINS, n))
    key = np.zeros((BANDS, n), np.uint64)
    for j in range(ROWS):
        key = key * _FOLD + full[j::ROWS]
    sketches.bytes[first : first + n] = full.astype(np.uint8).T
    sketches.bands[:, first : first + n] = mix(key) >> _HALF


def _fill_bins(least: U32) -> U32:
    """An empty bin (a row per bin) takes what the next full one holds, moved on by its distance."""
    full, empty = least.copy(), (least == EMPTY) & (least.min(axis=0) != EMPTY)
    carry = least[0]
    for i in range(2 * BINS - 1, -1, -1):
        carry = full[i % BINS] = np.where(empty[i % BINS], carry + _STEP, least[i % BINS])
    return full


def jaccard(data: U8, starts: U64, words: int, left: U32, right: U32) -> F32:
    """Exact Jaccard similarity of the gram sets of each pair."""
    out = np.zeros(len(left), np.float32)
    library = kernel()
    if library is not None:
        order = np.argsort(left, kind="stable")
        a, b, found = left[order].copy(), right[order].copy(), np.zeros(len(left), np.float32)
        if library.afs_jaccard(
            pointer(data),
            pointer(starts),
            ctypes.c_size_t(words),
            pointer(a),
            pointer(b),
            ctypes.c_size_t(len(a)),
            pointer(found),
        ):
            raise MemoryError
        out[order] = found
        return out
    for at in range(0, len(left), 4096):
        out[at : at + 4096] = _numpy_jaccard(data, starts, words, left[at : at + 4096], right[at : at + 4096])
    return out


def _numpy_jaccard(data: U8, starts: U64, words: int, left: U32, right: U32) -> F32:
    """All sets of a few thousand texts, then all pairs, each with one sort; a gram keeps its upper bits."""
    used, where = np.unique(np.concatenate([left, right]), return_inverse=True)
    pieces = [data[int(starts[i]) : int(starts[i + 1])] for i in used]
    offsets = np.cumsum([0, *(len(piece) for piece in pieces)], dtype=np.uint64)
    gram, ends = grams(np.concatenate(pieces), offsets, words)
    owner = np.repeat(np.arange(len(used)), np.diff(np.concatenate([[0], ends.astype(np.int64)])))
    item = distinct(_own_grams(owner, gram))
    begin = np.searchsorted(item >> np.uint64(_KEPT), np.arange(len(used) + 1))
    size, pair = np.diff(begin)[where], np.tile(np.arange(len(left)), 2)
    at = np.arange(int(size.sum())) + np.repeat(begin[where] - np.cumsum(size) + size, size)
    both = np.sort(_own_grams(np.repeat(pair, size), item[at] << np.uint64(64 - _KEPT)))
    shared = np.bincount((both[1:][both[1:] == both[:-1]] >> np.uint64(_KEPT)).astype(np.int64), minlength=len(left))
    whole = size[: len(left)] + size[len(left) :] - shared
    share = shared.astype(np.float32) / np.maximum(whole, 1).astype(np.float32)
    return np.where(whole > 0, share, np.float32(1))


def distinct(values: U64) -> U64:
    """The values in order, each once: one sort, which numpy's own `unique` is many times slower than."""
    ordered = np.sort(values)
    keep = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=keep[1:])
    return ordered[keep]


def repeated_places(ordered: U64) -> npt.NDArray[np.int64]:
    """The places in a sorted array whose value stands there more than once."""
    same = np.zeros(len(ordered) + 1, np.bool_)
    np.equal(ordered[1:], ordered[:-1], out=same[1:-1])
    return np.flatnonzero(same[1:] | same[:-1])


def _own_grams(owner: npt.NDArray[np.int64], gram: U64) -> U64:
    """Whose gram it is, and its upper bits."""
    return (owner.astype(np.uint64) << np.uint64(_KEPT)) | (gram >> np.uint64(64 - _KEPT))


def band_pairs(sketches: U8, own: U32, following: U32, least: int, reach: int) -> U64:
    """Pairs with one key in a band that agree in `least` sketch bytes, as `smaller << 32 | larger`.

    In a crowd of one key, sorted by the following band's key, each is compared with the `reach` after it.
    """
    library, room = kernel(), 1 << 14
    if library is None:
        return _numpy_band_pairs(sketches, own, following, least, reach)
    while True:
        out = np.empty(room, np.uint64)
        found = int(
            library.afs_band(
                pointer(sketches),
                pointer(own),
                pointer(following),
                ctypes.c_size_t(len(own)),
                ctypes.c_int(least),
                ctypes.c_size_t(reach),
                pointer(out),
                ctypes.c_size_t(room),
            )
        )
        if found < 0:
            raise MemoryError
        if found <= room:
            return out[:found]
        room = found


def _numpy_band_pairs(sketches: U8, own: U32, following: U32, least: int, reach: int) -> U64:
    item = np.sort((own.astype(np.uint64) << _HALF) | np.arange(len(own), dtype=np.uint64))
    item = item[repeated_places(item >> _HALF)]
    key, order = item >> _HALF, (item & _LOWER).astype(np.int64)
    size = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(key)) + 1, [len(key)]]))
    crowd = np.flatnonzero(np.repeat(size > reach + 1, size))
    order[crowd] = order[crowd][np.argsort((key[crowd] << _HALF) | following[order[crowd]], kind="stable")]
    found = [np.empty(0, np.uint64)]
    for at in range(0, len(order), _ROWS_AT_ONCE):
        number, own_key = order[at : at + _ROWS_AT_ONCE + reach], key[at : at + _ROWS_AT_ONCE + reach]
        rows = sketches[number]
        for step in range(1, reach + 1):
            same = np.flatnonzero(own_key[step:] == own_key[:-step])
            same = same[same < _ROWS_AT_ONCE]
            good = same[_agree(rows[same], rows[same + step]) >= least]
            a, b = number[good].astype(np.uint64), number[good + step].astype(np.uint64)
            found.append((np.minimum(a, b) << _HALF) | np.maximum(a, b))
    return np.concatenate(found)


def _agree(a: U8, b: U8) -> U64:
    """How many bytes of each pair of rows are equal: eight at a time, whose sum is the upper byte of a product."""
    return np.asarray(((a == b).view(np.uint64).sum(axis=1, dtype=np.uint64) * _ONES) >> np.uint64(56), np.uint64)


def unrepeated_share(text: str, words: int) -> float:
    """Of the runs of so many words, parted by white space, the share that are not one again; 1 for fewer than 4."""
    raw, library = text.encode("utf-8", "replace"), kernel()
    if library is not None:
        share: float = library.afs_unrepeated(raw, len(raw), words)
        if share < 0:
            raise MemoryError
        return share
    row = raw.replace(b"\0", b" ").split()
    runs = list(zip(*(row[first:] for first in range(words)), strict=False))
    return len(set(runs)) / len(runs) if len(runs) >= 4 else 1.0


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
        found = int(
            library.afs_probe(
                pointer(data),
                pointer(starts),
                ctypes.c_size_t(n),
                ctypes.c_size_t(words),
                pointer(wanted),
                ctypes.c_size_t(len(wanted)),
                pointer(text),
                pointer(index),
                ctypes.c_size_t(room),
            )
        )
        if found < 0:
            raise MemoryError
        if found <= room:
            return text[:found], index[:found]
        room = found


def top_columns(scores: F32, count: int) -> tuple[U32, F32]:
    """(places, values) of the largest of each row, the largest first, of equal ones the earlier first."""
    rows, n = scores.shape
    index, value = np.empty((rows, count), np.uint32), np.empty((rows, count), np.float32)
    library = kernel()
    if library is not None:
        library.afs_top(
            pointer(scores),
            ctypes.c_size_t(rows),
            ctypes.c_size_t(n),
            ctypes.c_size_t(count),
            pointer(index),
            pointer(value),
        )
        return index, value
    least = np.partition(scores, n - count, axis=1)[:, n - count]
    row, place = np.nonzero(scores >= least[:, None])
    order = np.lexsort((place, -scores[row, place], row))
    first = np.searchsorted(row, np.arange(rows))
    index[:] = place[order][first[:, None] + np.arange(count)]
    return index, np.take_along_axis(scores, index.astype(np.int64), axis=1)
