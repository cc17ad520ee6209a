"""A draft of a typed program: memory cells, widths, entry state and prose, drawn from a seeded random source.

A program says what it reads, what it writes and what it gives back; from that follow its contract, its prompt and the
check. The reference code is written for the drawn entry state.
"""

from __future__ import annotations

import random
from typing import Final, Literal, NamedTuple

from afs.domains.snes.contract import Bounds, Contract, Ends, Range, format_range, parse_range

Place = Literal["direct", "absolute", "long"]

Width = Literal[8, 16]
_NO_ORDER: Final = frozenset(
    ["a", "the", "if", "how", "for", "byte", "bcd", "range", "signed", "saturating", "table", "16-bit", "32-bit"]
)
_STATES: Final[tuple[tuple[tuple[Width, Width], int], ...]] = (((8, 8), 11), ((16, 16), 4), ((8, 16), 3), ((16, 8), 2))


class Cell(NamedTuple):
    """A stretch of memory: `text` is how code and prose name it."""

    address: int
    size: int
    place: Place

    def at(self, offset: int = 0) -> str:
        """The operand for the byte at `offset`."""
        address = self.address + offset
        if self.place == "direct":
            return f"${address & 0xFF:02X}"
        return f"${address & 0xFFFF:04X}" if self.place == "absolute" else f"${address:06X}"

    def range(self) -> Range:
        """The same stretch, for a contract."""
        return Range(start=self.address if self.place == "long" else self.address & 0xFFFF, size=self.size)

    def __str__(self) -> str:
        return self.at()


class TypedProgram(NamedTuple):
    """A routine with a known effect; `slow` is another, worse body with the same effect, or empty."""

    family: str
    goal: str
    code: str
    contract: Contract
    slow: str = ""

    @property
    def is_order(self) -> bool:
        """Whether the goal begins with a verb, so that it can follow `the routine must`."""
        first = self.goal.split()[0].lower()
        return not first.startswith("$") and first not in _NO_ORDER

    def choose_wording(self, rng: random.Random, any_goal: tuple[str, ...], orders: tuple[str, ...]) -> str:
        """A wording that fits the goal: `orders` are for goals that begin with a verb."""
        return rng.choice((*any_goal, *orders) if self.is_order else any_goal)


class Draft:
    """Collects one program."""

    def __init__(self, family: str, rng: random.Random, *, place: Place | None = None) -> None:
        self.family, self.rng = family, rng
        self.m, self.x = rng.choices([s for s, _ in _STATES], [w for _, w in _STATES])[0]
        self.leave: Ends = "rts" if rng.random() < 0.75 else "rtl"
        self.place: Place = place or "direct"
        self._used: list[tuple[int, int]] = []
        self._reads: list[Range] = []
        self._writes: list[Range] = []
        self._bounds: dict[str, Bounds] = {}
        self._goal = ""
        self.inputs: tuple[str, ...] = ()
        self.outputs: tuple[str, ...] = ()
        self.preserved: tuple[str, ...] = ()
        self._scratch: list[Range] = []
        self.logged = False

    def cell(self, size: int = 1, *, place: Place | None = None) -> Cell:
        """A fresh stretch of memory."""
        place = place or self.place
        low, high = {"direct": (0, 0x100), "absolute": (0x200, 0x1E00), "long": (0x2000, 0x10000)}[place]
        while True:
            start = 0x7E0000 + self.rng.randrange(low, high - size)
            crosses = (start & 0xFF) + size > 0x100 and place == "direct"
            bank = start >> 16 != (start + size - 1) >> 16
            if not crosses and not bank and all(start + size <= s or e <= start for s, e in self._used):
                self._used.append((start, start + size))
                return Cell(start, size, place)

    def source(self, size: int = 1, *, place: Place | None = None) -> Cell:
        """A cell the program reads."""
        cell = self.cell(size, place=place)
        self._reads.append(cell.range())
        return cell

    def array(self, size: int, low: int, high: int) -> Cell:
        """Bytes the program reads, tried with values from `low` to `high` so that the rare ones occur."""
        cell = self.cell(size)
        for at in range(size):
            one = Cell(cell.address + at, 1, cell.place)
            self._reads.append(one.range())
            self.limit(one, low, high)
        return cell

    def target(self, size: int = 1, *, place: Place | None = None) -> Cell:
        """A cell the program writes."""
        cell = self.cell(size, place=place)
        self._writes.append(cell.range())
        return cell

    def both(self, size: int = 1, *, place: Place | None = None) -> Cell:
        """A cell the program reads and writes."""
        cell = self.source(size, place=place)
        self._writes.append(cell.range())
        return cell

    def writes_to(self, cell: Cell) -> bool:
        """Whether a cell is one the program writes."""
        return cell.range() in self._writes

    def port(self, first: int, size: int = 1, *, logged: bool = False) -> None:
        """Hardware registers the program sets; `logged` where the order of the writes is the effect."""
        self._writes.append(Range(start=first, size=size))
        self.logged |= logged

    def use_port(self, first: int, size: int = 1) -> None:
        """Hardware registers that are only the way to the effect."""
        self._scratch.append(Range(start=first, size=size))

    def video(self, memory: str, address: int, size: int) -> None:
        """Bytes of `vram`, `cgram` or `oam` the program writes."""
        found = parse_range(f"{memory} ${address:X}-${address + size - 1:X}")
        assert found is not None
        self._writes.append(found)

    def limit(self, what: Cell | str, low: int, high: int) -> None:
        """An input only takes values from `low` to `high`."""
        self._bounds[format_range(what.range()) if isinstance(what, Cell) else what] = Bounds(low=low, high=high)

    def goal(self, *variants: str) -> None:
        """What the program does, in one of several wordings."""
        self._goal = self.rng.choice(variants)

    @property
    def goal_text(self) -> str:
        """The wording chosen by `goal`."""
        return self._goal

    def byte(self, low: int = 1, high: int = 0xFF) -> int:
        """A random constant."""
        return self.rng.randint(low, high)

    def word(self, low: int = 0x100, high: int = 0xFFFF) -> int:
        """A random constant that needs 16 bits."""
        return self.rng.randint(low, high)

    def frame_body(self, body: str, m: int, x: int) -> str:
        """A body that needs the widths `m` and `x` (0: any), between the REP and SEP that get there and back."""
        here = (self.m, self.x)
        there = (m or self.m, x or self.x)
        lines = [*_change_widths(here, there), *body.strip().splitlines(), *_change_widths(there, here), self.leave]
        return "\n".join(line if line.rstrip().endswith(":") else "    " + line.strip() for line in lines) + "\n"

    def build(self, body: str, *, m: int = 0, x: int = 0, slow: tuple[str, int, int] | None = None) -> TypedProgram:
        """The finished program."""
        code = self.frame_body(body, m, x)
        worse = self.frame_body(*slow) if slow else ""
        return TypedProgram(self.family, self._goal, code, self.contract(), worse)

    def contract(self) -> Contract:
        """What was drawn, as a contract."""
        free = tuple(r for r in ("a", "x", "y") if r not in self.preserved and r not in self.outputs)
        return Contract(
            m=self.m,
            x=self.x,
            exit_m=self.m,
            exit_x=self.x,
            inputs=self.inputs,
            bounds=self._bounds,
            reads=tuple(self._reads),
            out=self.outputs,
            writes=tuple(self._writes),
            clobbers=(*free, "flags"),
            ends=self.leave,
            db=0,
            scratch=tuple(self._scratch),
            registers="log" if self.logged else "end",
        )


def _change_widths(here: tuple[int, int], there: tuple[int, int]) -> list[str]:
    """The REP and SEP between two pairs of widths."""
    pairs = list(zip((0x20, 0x10), here, there, strict=True))
    wider = sum(bit for bit, old, new in pairs if old < new)
    narrower = sum(bit for bit, old, new in pairs if old > new)
    return [f"rep #${wider:02X}"] * bool(wider) + [f"sep #${narrower:02X}"] * bool(narrower)


def describe_contract(contract: Contract) -> str:
    """The entry state, the return and what must be preserved, in words."""
    widths = f"A is {contract.m}-bit and X/Y are {contract.x}-bit" if contract.m else "A, X and Y may have any width"
    text = (
        f"On entry {widths}, the direct page register is $0000 and the data bank is $00; leave the widths as they were."
        f" Return with {contract.ends.upper()}. Change no memory other than what is named."
    )
    kept = [name for name in ("a", "x", "y") if name not in contract.clobbers and name not in contract.out]
    free = [name.upper() for name in ("a", "x", "y") if name in contract.clobbers]
    text += f" Preserve {' and '.join(name.upper() for name in kept)}." if kept else ""
    return text + (f" {_join_words(free)} may be changed." if free else "")


def _join_words(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
