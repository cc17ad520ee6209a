"""How two images differ: which pixels, where, and whether one is the other shifted. Numpy only.

No similarity score decides: a frame with one wrong tile has a structural similarity of 0.999. It is only shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afs.types import Value

Pixels = npt.NDArray[np.uint8]
"""height × width × 3."""
SHIFT = 8
"""Largest shift searched."""
BLOCK = 8
"""Block size in which differing pixels are grouped into boxes."""
SOLID = 0.995
"""An image with this share of one color is blank."""


class Box(Value, frozen=True, kw_only=True):
    """A rectangle of pixels or of cells."""

    left: int
    top: int
    width: int
    height: int


class Difference(Value, frozen=True, kw_only=True):
    """Differences from the golden image."""

    equal: bool
    """Nothing outside the masks differs beyond the tolerance."""
    size: tuple[int, int]
    golden_size: tuple[int, int]
    pixels: int = 0
    """Pixels that differ."""
    share: float = 0.0
    boxes: tuple[Box, ...] = ()
    shift: tuple[int, int] | None = None
    """The shift (right, down) that makes the image match far better."""
    share_after_shift: float | None = None
    blank: str = ""
    """image, golden, or both: nearly a single color."""
    ssim: float | None = None
    """Structural similarity; shown only."""
    memory: tuple[str, ...] = ()
    """Memories (VRAM, OAM …) whose hashes differ."""

    def text(self) -> str:
        """In words."""
        if self.size != self.golden_size:
            sizes = [f"{wide}×{high}" for wide, high in (self.size, self.golden_size)]
            return f"the size is {sizes[0]}, the golden one's {sizes[1]}"
        share = f"{self.pixels} pixels differ ({100 * self.share:.3f} %)"
        parts = [share if self.pixels else "the same pixels"]
        parts += [f"in {len(self.boxes)} places"] if self.boxes else []
        parts += [f"blank: {self.blank}"] if self.blank else []
        if self.shift and self.share_after_shift is not None:
            parts.append(f"moved by {self.shift}: then {100 * self.share_after_shift:.3f} % differ")
        parts += [f"other {', '.join(self.memory)}"] if self.memory else []
        parts += [f"(SSIM {self.ssim:.4f})"] if self.ssim is not None else []
        return ", ".join(parts)


class Frame(NamedTuple):
    """An image with the hashes of the memories it was rendered from."""

    pixels: Pixels
    memory: Mapping[str, str] = {}


def compare(frame: Frame, golden: Frame, *, tolerance: int = 0, masks: Sequence[Box] = ()) -> Difference:
    """Compare two images outside the masked boxes."""
    one, two = frame.pixels, golden.pixels
    memory = tuple(sorted(k for k, v in golden.memory.items() if frame.memory.get(k, v) != v))
    size, other = (one.shape[1], one.shape[0]), (two.shape[1], two.shape[0])
    if size != other:
        return Difference(equal=False, size=size, golden_size=other, memory=memory, blank=_blank(one, two))
    wrong = _wrong(one, two, tolerance)
    for mask in masks:
        wrong[mask.top : mask.top + mask.height, mask.left : mask.left + mask.width] = False
    count = int(wrong.sum())
    shift, after = best_shift(one, two, tolerance) if count else (None, None)
    return Difference(
        equal=count == 0 and not memory,
        size=size,
        golden_size=other,
        pixels=count,
        share=count / wrong.size,
        boxes=tuple(boxes(wrong)),
        shift=shift,
        share_after_shift=after,
        blank=_blank(one, two),
        ssim=ssim(one, two) if count else None,
        memory=memory,
    )


def _wrong(one: Pixels, two: Pixels, tolerance: int) -> npt.NDArray[np.bool_]:
    apart = np.abs(one.astype(np.int16) - two.astype(np.int16)).max(axis=2)
    return np.asarray(apart > tolerance, dtype=np.bool_)


def boxes(wrong: npt.NDArray[np.bool_]) -> list[Box]:
    """Connected regions of differing pixels, found on a grid of blocks, as tight boxes."""
    high, wide = wrong.shape
    padded = np.zeros((-(-high // BLOCK) * BLOCK, -(-wide // BLOCK) * BLOCK), dtype=np.bool_)
    padded[:high, :wide] = wrong
    grid = padded.reshape(padded.shape[0] // BLOCK, BLOCK, padded.shape[1] // BLOCK, BLOCK).any(axis=(1, 3))
    left = {(int(y), int(x)) for y, x in np.argwhere(grid)}
    found = []
    while left:
        region, waiting = set(), [left.pop()]
        while waiting:
            y, x = waiting.pop()
            region.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            waiting += near
        found.append(_tight(padded, region))
    return sorted(found, key=lambda box: (box.top, box.left))


def _tight(wrong: npt.NDArray[np.bool_], region: set[tuple[int, int]]) -> Box:
    ys, xs = [y for y, _ in region], [x for _, x in region]
    top, left = min(ys) * BLOCK, min(xs) * BLOCK
    part = wrong[top : (max(ys) + 1) * BLOCK, left : (max(xs) + 1) * BLOCK]
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    return Box(
        left=left + int(columns[0]),
        top=top + int(rows[0]),
        width=int(columns[-1] - columns[0] + 1),
        height=int(rows[-1] - rows[0] + 1),
    )


def best_shift(one: Pixels, two: Pixels, tolerance: int = 0) -> tuple[tuple[int, int] | None, float | None]:
    """The whole-pixel shift after which far fewer pixels differ, and their share; None when no shift helps."""
    high, wide = one.shape[:2]
    if min(high, wide) <= 2 * SHIFT:
        return None, None
    middle = two[SHIFT : high - SHIFT, SHIFT : wide - SHIFT]

    def share(dx: int, dy: int, step: int) -> float:
        moved = one[SHIFT + dy : high - SHIFT + dy, SHIFT + dx : wide - SHIFT + dx]
        return float(_wrong(moved[::step, ::step], middle[::step, ::step], tolerance).mean())

    reach = range(-SHIFT, SHIFT + 1)
    rough = {(dx, dy): share(dx, dy, 4) for dy in reach for dx in reach}
    near = [place for place in sorted(rough, key=lambda place: rough[place])[:24] if rough[place] < rough[0, 0]]
    exact = {place: share(*place, 1) for place in near}
    best = min(exact, key=lambda place: (exact[place], abs(place[0]) + abs(place[1])), default=(0, 0))
    if best == (0, 0) or exact[best] > share(0, 0, 1) / 2:
        return None, None
    return best, exact[best]


def _blank(one: Pixels, two: Pixels) -> str:
    found = [name for name, pixels in (("picture", one), ("golden", two)) if is_blank(pixels)]
    return "both" if len(found) == 2 else "".join(found)


def is_blank(pixels: Pixels) -> bool:
    """Whether nearly everything has one color, as on a dead screen."""
    flat = pixels.reshape(-1, 3).astype(np.uint32)
    _, counts = np.unique(flat[:, 0] << 16 | flat[:, 1] << 8 | flat[:, 2], return_counts=True)
    return bool(counts.max() >= SOLID * len(flat))


def ssim(one: Pixels, two: Pixels, size: int = 8) -> float:
    """Mean structural similarity of the gray images over 8×8 windows."""
    gray = [p.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) for p in (one, two)]
    high, wide = (n // size * size for n in gray[0].shape)
    if not high or not wide:
        return float("nan")
    cut = [g[:high, :wide].reshape(high // size, size, wide // size, size).swapaxes(1, 2) for g in gray]
    a, b = (c.reshape(-1, size * size) for c in cut)
    ma, mb, va, vb = a.mean(axis=1), b.mean(axis=1), a.var(axis=1), b.var(axis=1)
    both = ((a - ma[:, None]) * (b - mb[:, None])).mean(axis=1)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * ma * mb + c1) * (2 * both + c2)
    return float((top / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())
