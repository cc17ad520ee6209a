"""Start states for a contract: corners first, then random, border and related values, or all inputs when there are few.

Borders are powers of two and the constants of the compared programs (`pool`), each with its neighbors; related values
are equal or one apart, as compared operands must be. What a contract leaves open varies as well: undeclared registers
and flags, undefined memory and latches (`fill`), the moment in the frame (`phase`). Every value is a hash of
(seed, state, item), so any state can be rebuilt alone, and `cpu_starts.h` draws the same ones.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from afs.domains.snes.contract import FLAGS, Bounds, Contract, Range, format_range
from afs.domains.snes.memory_map import address_of, locate, mix
from afs.errors import DataError, UsageError
from afs.types import Value

A_LOW, A_HIGH, A_WIDE, INDEX_X, INDEX_Y, FLAG, DIRECT, BANK, BYTES, FILL, PHASE = range(11)
CORNERS: Final = (0x0000, 0xFFFF, 0x7F7F, 0x8080, 0x7FFF, 0x8000, 0x0001, 0x00FF, 0x0100, 0xFFFE)
DIRECT_PAGES: Final = (0x0000, 0x0001, 0x0100, 0x00FF, 0x1000, 0x0002, 0x1E80, 0x0010)
DATA_BANKS: Final = (0x00, 0x7E, 0x80, 0x7F)
EXHAUSTIVE_LIMIT: Final = 1 << 16
SAMPLED: Final = 4096
"""States drawn where the inputs are too many to try them all: about two milliseconds."""
ROUNDS: Final = 2048
"""Few inputs are tried in several rounds, up to this many states, because the undeclared state differs each time."""
FRAME: Final = 262 * 1364
"""Master clocks of a frame."""
_SHARED: Final = 0x10000
MOST_STATES: Final = 100_000_000


class CpuState(Value, frozen=True, kw_only=True):
    """Registers at the start or the end of a run, and memory that is set before it."""

    a: int = 0
    x: int = 0
    y: int = 0
    s: int = 0x1FF
    d: int = 0
    db: int = 0
    p: int = 0x34
    """All eight flags; M and X are bits 5 and 4."""
    e: bool = False
    memory: dict[int, bytes] = {}
    """Bytes by CPU address."""
    fill: int = 0
    """What undefined memory and latches hold: half of it the low word, half noise; 0: the same noise everywhere."""
    phase: int = 0
    """Master clocks since the frame began."""


class Item(NamedTuple):
    """One thing a start state chooses."""

    kind: int
    target: int
    """Flag mask, or arena offset of memory."""
    size: int
    """Bytes."""
    low: int
    span: int
    """Number of values; 0: every value of `size` bytes."""
    declared: bool
    """Is it an input of the contract?"""


def hash_item(seed: int, state: int, item: int) -> int:
    """64 random bits for one item of one state."""
    return mix(mix(seed * 0x9E3779B97F4A7C15 + state + 1) + (item + 1) * 0xD1B54A32D192ED03)


def build_items(contract: Contract, mapper: str, rom_size: int, sram_size: int) -> tuple[Item, ...]:
    """What the start states of a contract vary, declared inputs and the rest of the registers alike."""
    has, bounds = contract.inputs, contract.bounds
    items = _accumulator_items(contract)
    narrow = contract.x == 8
    for kind, name in ((INDEX_X, "x"), (INDEX_Y, "y")):
        items.append(_build_item(kind, 0, 1 if narrow else 2, bounds.get(name), name in has))
    items += [Item(FLAG, mask, 1, 0, 2, name in has) for name, mask in FLAGS.items()]
    items += [Item(FLAG, 0x08, 1, 0, 2, True)] if contract.decimal else []
    for mask, width in ((0x20, contract.m), (0x10, contract.x)):
        items += [Item(FLAG, mask, 1, 0, 2, True)] if not width else []
    items += [Item(FLAG, 0x04, 1, 0, 2, False), Item(FILL, 0, 1, 0, 0, False), Item(PHASE, 0, 1, 0, 0, False)]
    items += [Item(DIRECT, 0, 2, 0, len(DIRECT_PAGES), False)] if contract.d == "any" else []
    items += [Item(BANK, 0, 1, 0, len(DATA_BANKS), False)] if contract.db == "any" else []
    for bytes_ in contract.reads:
        offset = place_range(bytes_, mapper, rom_size, sram_size)
        items.append(_build_item(BYTES, offset, bytes_.size, bounds.get(format_range(bytes_)), True))
    return tuple(items)


def _accumulator_items(contract: Contract) -> list[Item]:
    has, limit = contract.inputs, contract.bounds.get("a")
    if contract.m != 8 and ("b" not in has or "a" in has):
        return [_build_item(A_WIDE, 0, 2, limit, "a" in has)]
    high = _build_item(A_HIGH, 0, 1, contract.bounds.get("b"), "b" in has)
    return [_build_item(A_LOW, 0, 1, limit, "a" in has), high]


def _build_item(kind: int, target: int, size: int, bounds: Bounds | None, declared: bool) -> Item:
    if bounds is None:
        return Item(kind, target, size, 0, 0, declared)
    if size > 2 or bounds.high >= 1 << 8 * size:
        raise DataError(f"contract: bounds {bounds.low}..{bounds.high} do not fit an input of {size} byte(s)")
    return Item(kind, target, size, bounds.low, bounds.high - bounds.low + 1, declared)


def place_range(bytes_: Range, mapper: str, rom_size: int, sram_size: int) -> int:
    """Arena offset of a range; refuses one that is not writable memory in one piece."""
    first = locate(bytes_.start, mapper, rom_size, sram_size)
    last = locate(bytes_.end - 1, mapper, rom_size, sram_size)
    if first is None or last is None or last - first != bytes_.size - 1:
        raise DataError(f"contract: {format_range(bytes_)} is not RAM, video memory or a register in one piece")
    return first


def count_combinations(items: tuple[Item, ...]) -> int:
    """How many different declared inputs there are (a big number when there are too many)."""
    total = 1
    for item in items:
        if item.declared:
            total *= _count_values(item)
        elif item.kind in (DIRECT, BANK):
            total *= 1 << 64
        if total > EXHAUSTIVE_LIMIT:
            return 1 << 64
    return total


def _count_values(item: Item) -> int:
    return item.span or 1 << 8 * min(item.size, 8)


def plan_states(items: tuple[Item, ...], states: int) -> tuple[int, bool]:
    """How many states to run, and whether every declared input is among them; 0: all of up to 65,536, else a sample.

    Few inputs are gone through several times, since the rest of the registers differs from state to state. Without any
    declared input nothing can be exhausted.
    """
    total = count_combinations(items)
    if total > (states or EXHAUSTIVE_LIMIT) or not any(item.declared for item in items):
        return states or SAMPLED, False
    return total * -(-min(ROUNDS, states or ROUNDS) // total), True


class Drawing(NamedTuple):
    """The random source of one state."""

    seed: int
    state: int
    pool: tuple[int, ...]

    def shared(self) -> int:
        """A word that all items of the state may take up."""
        bits = hash_item(self.seed, self.state, _SHARED)
        if bits & 1 and self.pool:
            return self.pool[(bits >> 8 & 0xFFFF) % len(self.pool)]
        return bits >> 32 & 0xFFFF

    def word(self, bits: int, state: int | None = None) -> int:
        """A word worth trying."""
        state = self.state if state is None else state
        low, high = bits >> 8 & 0xFFFF, bits >> 32 & 0xFFFF
        if state < len(CORNERS):
            return CORNERS[state]
        mode = bits & 7
        if mode == 0:
            return CORNERS[low % len(CORNERS)]
        if mode == 1:
            return (1 << (low & 15)) + (low >> 4) % 3 - 1 & 0xFFFF
        if mode in (2, 3):
            return self.pool[low % len(self.pool)] if self.pool else high
        return self.shared() + low % 3 - 1 & 0xFFFF if mode == 4 else high

    def value(self, item: Item, index: int) -> int:
        """A number for an item of one or two bytes."""
        bits = hash_item(self.seed, self.state, index)
        if item.kind == FLAG:
            return (self.state if self.state < len(CORNERS) else bits >> 32) & 1
        value = self.word(bits) & (0xFF if item.size == 1 else 0xFFFF)
        if not item.span:
            return value
        drawn = item.low + (bits >> 32 & 0xFFFFFFFF) % item.span
        if DIRECT <= item.kind < BYTES:
            return drawn
        if self.state < len(CORNERS) or not bits & 7:
            last = self.state & 1 if self.state < len(CORNERS) else bits >> 8 & 1
            return item.low + (item.span - 1 if last else 0)
        return value if 0 <= value - item.low < item.span else drawn

    def bytes_of(self, item: Item, index: int) -> bytes:
        """The bytes of a stretch of memory, drawn word by word."""
        bits = hash_item(self.seed, self.state, index)
        odd = bits >> 63 if item.size > 2 and self.state >= len(CORNERS) else 0
        out = bytearray(item.size)
        for at in range(item.size):
            place = at + odd
            own = bits if item.size == 2 else mix(bits + (place >> 1) + 1)
            out[at] = self.word(own) >> 8 * (place & 1) & 0xFF
        return bytes(out)

    def fill(self, index: int) -> int:
        """What undefined memory holds; never 0."""
        bits = hash_item(self.seed, self.state, index)
        return bits & ~0xFFFF | self.word(mix(bits), len(CORNERS)) | 1 << 31


class Starts(NamedTuple):
    """The start states of one comparison; `state(i)` makes one of them."""

    contract: Contract
    items: tuple[Item, ...]
    seed: int
    total: int
    exhaustive: bool
    mapper: str
    bank: int
    """Program bank: what `db: origin` means."""
    pool: tuple[int, ...] = ()
    """Words worth trying: constants of the compared programs and their neighbors."""

    def base(self) -> dict[str, int]:
        """The registers before anything is chosen."""
        contract = self.contract
        return {
            "a": 0,
            "x": 0,
            "y": 0,
            "d": contract.d if isinstance(contract.d, int) else 0,
            "db": contract.db if isinstance(contract.db, int) else self.bank,
            "p": (0x20 if contract.m == 8 else 0) | (0x10 if contract.x == 8 else 0),
        }

    def state(self, number: int) -> CpuState:
        """The start state with this number."""
        digits, registers = number, self.base()
        drawing, memory, open_ = Drawing(self.seed, number, self.pool), dict[int, bytes](), dict[str, int]()
        for index, item in enumerate(self.items):
            if self.exhaustive and item.declared:
                digits, digit = divmod(digits, _count_values(item))
                value = item.low + digit
            elif item.kind == BYTES and not item.span:
                memory[address_of(item.target, self.mapper)] = drawing.bytes_of(item, index)
                continue
            elif item.kind in (FILL, PHASE):
                hash_ = hash_item(self.seed, number, index)
                open_ |= {"fill": drawing.fill(index)} if item.kind == FILL else {"phase": hash_ % FRAME}
                continue
            else:
                value = drawing.value(item, index)
            if item.kind == BYTES:
                memory[address_of(item.target, self.mapper)] = value.to_bytes(item.size, "little")
            else:
                _set_register(registers, item, value)
        if registers["p"] & 0x10:
            registers["x"] &= 0xFF
            registers["y"] &= 0xFF
        return msgspec.convert({"s": self.contract.s, **registers, **open_, "memory": memory}, CpuState)


def _set_register(registers: dict[str, int], item: Item, value: int) -> None:
    if item.kind == A_LOW:
        registers["a"] = registers["a"] & 0xFF00 | value
    elif item.kind == A_HIGH:
        registers["a"] = registers["a"] & 0xFF | value << 8
    elif item.kind == FLAG:
        registers["p"] |= item.target if value else 0
    elif item.kind == DIRECT:
        registers["d"] = DIRECT_PAGES[value]
    elif item.kind == BANK:
        registers["db"] = DATA_BANKS[value]
    else:
        registers[{A_WIDE: "a", INDEX_X: "x", INDEX_Y: "y"}[item.kind]] = value


def plan_starts(
    contract: Contract, where: tuple[str, int, int], bank: int, seed: int, states: int, pool: tuple[int, ...] = ()
) -> Starts:
    """Plan the start states of a contract on a machine (`where`: mapper, ROM size, SRAM size)."""
    if not 0 <= states <= MOST_STATES:
        raise UsageError(f"states: want 0 (all, or a sample) up to {MOST_STATES:,}, got {states}")
    items = build_items(contract, *where)
    count, exhaustive = plan_states(items, states)
    return Starts(contract, items, seed, count, exhaustive, where[0], bank, pool)
