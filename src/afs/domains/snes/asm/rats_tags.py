"""RATS tags: the `STAR` marks by which patches claim space in a ROM, and the search for unclaimed space.

A tag is `STAR`, the length minus one, its complement, then the claimed bytes. A `PROT` block inside names further
tags that go when this one goes.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from afs.domains.snes.asm.session import Session

TAG: Final = 8
_SA1_SIZES: Final = (0, 0x0A, 0x0B, 0x0C, 0x0C, 0x0D, 0x0D, 0x0D, 0x0D)


class Wish(NamedTuple):
    """Requirements on a space."""

    is_code: bool
    """Where the low half of the bank mirrors RAM."""
    align: bool
    """At the start of a bank."""
    fill: int
    """The byte that marks unused space."""
    in_one_bank: bool = True


def _word(data: bytes | bytearray, at: int) -> int:
    return data[at] | data[at + 1] << 8


def _is_tag(data: bytes | bytearray, at: int) -> bool:
    return (
        data[at : at + 4] == b"STAR" and len(data) >= at + TAG and _word(data, at + 4) ^ _word(data, at + 6) == 0xFFFF
    )


def tag_over(s: Session, address: int) -> int:
    """The SNES address of the tag whose bytes hold this address, or -1."""
    pc = s.out.to_pc(address)
    if pc < 0x7FFF8:
        return -1
    data = s.out.image.data
    at = pc
    while at >= pc - 0x10000 and (at := data.rfind(b"STAR", pc - 0x10000, at + 4)) >= 0:
        if _is_tag(data, at):
            return s.out.to_snes(at) if _word(data, at + 4) > pc - at - TAG - 1 else -1
        at -= 1
    return -1


def resize_tag(s: Session, address: int, length: int) -> None:
    """Set the length in the tag over an address."""
    at = s.out.to_pc(tag_over(s, address))
    if at < 0:
        return
    size = max(length - 1, 0) & 0xFFFF
    s.out.flush()
    s.out.image.put(at + 4, size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little"))


def remove_tag(s: Session, address: int, fill: int, level: int = 0) -> None:
    """Free what is claimed at an address, and all that its PROT block names."""
    at = s.out.to_pc(tag_over(s, address))
    if at < 0 or level > 100:
        return
    s.out.flush()
    for other in _protected(s, at + TAG):
        remove_tag(s, other, 0, level + 1)
    s.out.image.put(at, bytes((fill,)) * (_word(s.out.image.data, at + 4) + TAG + 1))


def _protected(s: Session, at: int) -> list[int]:
    """Addresses in the PROT blocks at the start of a claimed space; the blocks are renamed: none is met twice."""
    data, found = s.out.image.data, []
    blocks = []
    while data[at : at + 4].isalpha() and data[at : at + 4].isupper() and at + 5 <= len(data):
        if data[at : at + 4] == b"STOP":
            break
        blocks.append(at)
        at += 5 + data[at + 4]
    else:
        return []
    for block in blocks:
        size = data[block + 4]
        if data[block : block + 4] == b"PROT":
            s.out.image.put(block, b"NULL")
            if size % 3 == 0:
                inner = bytes(data[block + 5 : block + 5 + size])
                found += [int.from_bytes(inner[i : i + 3], "little") for i in range(0, size, 3)]
    return found


def _search(s: Session, span: tuple[int, int], size: int, bank: int, align: int, fill: int) -> int:
    """Claim `size` bytes (tag included) of fill bytes in a span of the ROM; the offset behind the tag, or -1."""
    at, end = span
    data = s.out.image.data
    candidates = re.compile(re.escape(bytes((fill,))) + b"|STAR")
    while at + size <= end:
        crosses = (at + 8) & ~bank & 0xFFFFFF != (at + size - 1) & ~bank & 0xFFFFFF
        if crosses and at & bank & 0xFFFFF8 != bank & 0xFFFFF8:
            at = at & ~bank & 0xFFFFFF | bank & 0xFFFFF8
            continue
        if align:
            at = at & ~align & 0xFFFFFF | align & 0xFFFFF8
        if _is_tag(data, at):
            at += _word(data, at + 4) + 1 + TAG
            continue
        used = _blank_bytes(data, at, size, fill)
        if used == size:
            _claim(s, at, size - TAG)
            return at + TAG
        if at & align == 0x7FF8 and used < 8:
            used = 8
        if used or align:
            at += used or 1
        else:
            match = candidates.search(data, at + 1)
            at = match.start() if match is not None else end
    return -1


def _blank_bytes(data: bytearray, at: int, size: int, fill: int) -> int:
    """How many of the next bytes are fill bytes; beyond the end of the ROM there are zeros."""
    if at < len(data) and data[at] != fill:
        return 0
    piece = data[at : at + size]
    piece += bytes(size - len(piece))
    return size - len(piece.lstrip(bytes((fill,))))


def _claim(s: Session, at: int, length: int) -> None:
    size = max(length - 1, 0)
    s.out.image.put(at, b"STAR" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little"))


def find_space(s: Session, length: int, wish: Wish) -> int:
    """Claim space for some bytes; the offset in the ROM, or -1."""
    if not length:
        return 0x1234  # nothing is ever written there
    if length > 0x10000:
        return -1
    s.out.flush()
    size = length + TAG
    search = _SEARCHES.get(s.out.mapper)
    return -1 if search is None else search(s, size, wish)


def _lorom(s: Session, size: int, wish: Wish) -> int:
    if size > 0x8008 and wish.in_one_bank:
        return -1
    bank = 0x7FFF if wish.in_one_bank else 0xFFFFFF
    margin = 0x7FFF if wish.align or (not wish.in_one_bank and size >= 0x8000) else 0
    for attempt in range(2):
        length = s.out.image.length
        if length > 0x200000 and not wish.is_code:
            found = _search(s, (0x200000 - 8, min(length, 0x400000)), size, bank, margin, wish.fill)
            if found >= 0:
                return found
        found = _search(s, (0x80000, min(length, 0x200000)), size, bank, margin, wish.fill)
        if found >= 0 or attempt or not _grow_lorom(s, wish.is_code):
            return found
    return -1


def _grow_lorom(s: Session, is_code: bool) -> bool:
    steps = {0x80000: (0x100000, 0x0A), 0x100000: (0x200000, 0x0B)}
    if not is_code:
        steps |= {0x200000: (0x400000, 0x0C), 0x300000: (0x400000, 0x0C)}
    if s.out.image.length not in steps:
        return False
    length, size = steps[s.out.image.length]
    s.out.image.grow(length)
    s.out.image.put(s.out.to_pc(0xFFD7), bytes((size,)))
    return True


def _hirom(s: Session, size: int, wish: Wish) -> int:
    length, margin = s.out.image.length, 0xFFFF if wish.align else 0
    if not wish.is_code:
        return _search(s, (0, length), size, 0xFFFF, margin, wish.fill)
    for start in range(0x8000, min(length, 0x400000), 0xFFFF):
        found = _search(s, (start, min(start + 0x7FFF, length)), size, 0x7FFF, margin, wish.fill)
        if found >= 0:
            return found
    return -1


def _exlorom(s: Session, size: int, wish: Wish) -> int:
    margin = 0x7FFF if wish.align else 0
    if wish.is_code:
        _search(s, (0, min(s.out.image.length, 0x200000)), size, 0x7FFF, margin, wish.fill)
    return _search(s, (0, s.out.image.length), size, 0x7FFF, margin, wish.fill)


def _sfx(s: Session, size: int, wish: Wish) -> int:
    if not wish.is_code:
        return -1
    return _search(s, (0x80000, s.out.image.length), size, 0x7FFF, 0x7FFF if wish.align else 0, wish.fill)


def _sa1(s: Session, size: int, wish: Wish) -> int:
    margin = 0x7FFF if wish.align else 0
    for attempt in range(2):
        length, following = s.out.image.length, -1
        for megabyte in s.out.banks:
            start = megabyte << 20
            if start + 0x100000 > length:
                following = start if start <= length else following
                continue
            found = _search(s, (start or 0x80000, start + 0x100000), size, 0x7FFF, margin, wish.fill)
            if found >= 0:
                return found
        if attempt or following < 0:
            return -1
        s.out.image.grow(following + 0x100000)
        s.out.image.put(0x7FD7, bytes((_SA1_SIZES[min(s.out.image.length >> 20, 8)],)))
    return -1


def _full_sa1(s: Session, size: int, wish: Wish) -> int:
    length = s.out.image.length
    if not wish.is_code and length > 0x400000:
        found = _search(s, (0x400000, length), size, 0xFFFF, 0xFFFF if wish.align else 0, wish.fill)
        if found >= 0:
            return found
    return _search(s, (0x80000, length), size, 0x7FFF, 0x7FFF if wish.align else 0, wish.fill)


_SEARCHES = {
    "lorom": _lorom,
    "hirom": _hirom,
    "exhirom": _hirom,
    "exlorom": _exlorom,
    "sfxrom": _sfx,
    "sa1rom": _sa1,
    "fullsa1rom": _full_sa1,
}
