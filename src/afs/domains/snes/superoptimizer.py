"""A superoptimizer: the cheapest code with the same effect that a bounded search finds, each step checked by running.

Short straight code is replaced by every shorter sequence over an alphabet made of its own operands (enumerative);
longer code is improved window by window, with pairs drawn at random (stochastic). The result is never slower or longer
than the original: what the search cannot improve comes back unchanged. It finds, it does not prove that nothing better
exists.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Final, NamedTuple

from afs.domains.snes import cpu_kernel
from afs.domains.snes.assembled_routine import UnfitCode, compare_effects, machine_code, with_all_registers
from afs.domains.snes.batch_runner import run_many
from afs.domains.snes.contract import Contract
from afs.domains.snes.equivalence import Side, build_masks, equal
from afs.domains.snes.harness import Setup, placed
from afs.domains.snes.start_states import plan_starts
from afs.domains.snes.task_specs import ORIGIN, STATES

_QUICK: Final = 10
"""Start states (the corners) a candidate must survive before it is tried on all."""
_CONFIRM: Final = 2048
_SHORT: Final = 8
"""Lines of straight code for which every pair of instructions is tried."""
_IMPLIED: Final = (
    "clc",
    "sec",
    "inc a",
    "dec a",
    "asl a",
    "lsr a",
    "xba",
    "tax",
    "txa",
    "tay",
    "tya",
    "inx",
    "dex",
    "iny",
    "dey",
)
_TO_MEMORY: Final = ("lda {}", "sta {}", "stz {}", "inc {}", "dec {}", "adc {}", "sbc {}", "ora {}", "and {}", "eor {}")
_SHIFTS: Final = ("asl {}", "lsr {}", "tsb {}", "trb {}", "ldx {}", "stx {}", "ldy {}", "sty {}")
_CONSTANT: Final = ("lda #{}", "adc #{}", "sbc #{}", "and #{}", "ora #{}", "eor #{}", "ldx #{}", "ldy #{}")
_OPERAND: Final = re.compile(r"(#?)(\$[0-9A-Fa-f]+)((?:,[xys])?)")
_JUMPS: Final = re.compile(r"\s*(?:[+-]+|\.\w+|b(?:cc|cs|eq|ne|mi|pl|vc|vs|ra|rl)\b|j(?:mp|ml|sr|sl)\b|per\b)")
_FIXED: Final = re.compile(r"^(?:[\w.+-]+:|[+-]+$|b(?:cc|cs|eq|ne|mi|pl|vc|vs|ra|rl)\b|j(?:mp|ml|sr|sl)\b|rt[sli]\b)")


class Expense(NamedTuple):
    """What a routine costs; less is better."""

    cycles: float
    clocks: float
    worst: int
    bytes: int

    @classmethod
    def of(cls, side: Side) -> Expense:
        """The cost of one side of a comparison."""
        return cls(side.cycles.mean, side.clocks.mean, side.cycles.max, side.bytes)

    def beats(self, other: Expense) -> bool:
        """Better in cycles or bytes, and worse in nothing."""
        return all(a <= b for a, b in zip(self, other, strict=True)) and (self.cycles, self.bytes) != (
            other.cycles,
            other.bytes,
        )


class OptimizedCode(NamedTuple):
    """The best code found, its cost and that of the original, and how many candidates were run."""

    code: str
    cost: Expense
    original: Expense
    tried: int


class _Search:
    """One search: the original's bytes, what has been tried, and how much may still be."""

    def __init__(self, code: str, contract: Contract, budget: int) -> None:
        self.contract, self.budget = contract, budget
        self.reference = machine_code(code)
        self.tried = 0
        self._seen: set[bytes] = set()
        self._setup = Setup(origin=ORIGIN, ends=contract.ends, budget=contract.budget)
        where = placed(self._setup, self.reference).where
        self._drawn = with_all_registers(contract)
        self._starts = plan_starts(self._drawn, where, ORIGIN >> 16, 0, _QUICK)
        self._masks = build_masks(contract)

    def cost(self, code: str, best: Expense | None, states: int = STATES) -> Expense | None:
        """The cost of a candidate if it has the same effect and beats `best`; None otherwise."""
        try:
            candidate = _encode(code)
        except UnfitCode:
            return None
        if best is not None:
            if candidate in self._seen or len(candidate) > best.bytes or self.tried >= self.budget:
                return None
            self._seen.add(candidate)
            self.tried += 1
            if not self._survives(candidate):
                return None
        result = compare_effects(self.reference, candidate, self.contract, states)
        if not result.same or result.candidate.early_reads > result.original.early_reads:
            return None
        if not set(result.candidate.uninitialized) <= set(result.original.uninitialized):
            return None  # it works with what happens to be on the bus or in memory
        found = Expense.of(result.candidate)
        return found if best is None or found.beats(best) else None

    def _survives(self, candidate: bytes) -> bool:
        """Whether a candidate has the same effect on the corner states."""
        if cpu_kernel.core() is None:
            return equal(self.reference, candidate, self._drawn, origin=ORIGIN, states=_QUICK).same
        pair = (self.reference, candidate)
        return int(run_many(pair, self._setup, self._drawn, self._starts, self._masks).fault) == 0


def _encode(code: str) -> bytes:
    """Machine code; straight-line code is joined from lines assembled once."""
    lines = code.split("\n")
    if any(":" in line or _JUMPS.match(line) for line in lines):
        return machine_code(code)
    return b"".join(_encode_line(line) for line in lines if line.strip())


@lru_cache(maxsize=20_000)
def _encode_line(line: str) -> bytes:
    return machine_code(line)


def optimize(code: str, contract: Contract, rng: random.Random, *, budget: int = 400) -> OptimizedCode:
    """The cheapest equal code found with at most `budget` candidates run."""
    search = _Search(code, contract, budget)
    start = search.cost(code, None)
    if start is None:
        raise UnfitCode("the code to optimize breaks its own contract")
    lines, best = [line.strip() for line in code.strip().splitlines()], start
    improved = True
    while improved and search.tried < budget:
        improved = False
        for candidate in _shorter_sequences(lines, rng):
            found = search.cost(_join_lines(candidate), best)
            if found is not None:
                lines, best, improved = candidate, found, True
                break
    confirmed = search.cost(_join_lines(lines), None, _CONFIRM)
    if confirmed is None:
        return OptimizedCode(code, start, start, search.tried)
    return OptimizedCode(_join_lines(lines), best, start, search.tried)


def _join_lines(lines: list[str]) -> str:
    return "".join(f"{line}\n" if line.endswith(":") else f"    {line}\n" for line in lines)


def _shorter_sequences(lines: list[str], rng: random.Random) -> Iterator[list[str]]:
    """Ways to make a sequence shorter or cheaper, the likeliest first."""
    spans = list(_straight_windows(lines))
    for start, end in spans:
        yield lines[:start] + lines[end:]
    alphabet = _build_alphabet(lines)
    for start, end in spans:
        for one in _narrow_operands(lines[start:end]):
            yield lines[:start] + one + lines[end:]
    for start, end in sorted(spans, key=lambda span: span[0] - span[1]):
        if end - start >= 2 or len(lines) <= 6:
            for word in alphabet:
                yield [*lines[:start], word, *lines[end:]]
    pairs = list(product(alphabet, repeat=2))
    body = len(lines) - bool(_FIXED.match(lines[-1]))
    if 3 <= body <= _SHORT and not any(_FIXED.match(line) for line in lines[:body]):
        for pair in pairs:
            yield [*pair, *lines[body:]]
    for start, end in spans:
        if end - start >= 3:
            for pair in rng.sample(pairs, min(len(pairs), 200)):
                yield [*lines[:start], *pair, *lines[end:]]


def _straight_windows(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Stretches of one to four lines without labels, branches and returns."""
    for size in (1, 2, 3, 4):
        for start in range(len(lines) - size + 1):
            if not any(_FIXED.match(line) for line in lines[start : start + size]):
                yield start, start + size


def _narrow_operands(window: list[str]) -> Iterator[list[str]]:
    """The same instruction with a shorter address."""
    if len(window) == 1 and "#" not in window[0]:
        match = re.search(r"\$(?:00|7E)?(00|0[0-9A-F]|1[0-9A-F])([0-9A-F]{2})\b", window[0])
        if match:
            head, tail = window[0][: match.start()], window[0][match.end() :]
            yield [f"{head}${match[1]}{match[2]}{tail}"]
            if match[1] == "00":
                yield [f"{head}${match[2]}{tail}"]


def _build_alphabet(lines: list[str]) -> list[str]:
    """Instructions worth trying: those on the code's own operands, and the ones without any."""
    cells: dict[str, None] = {}
    constants: dict[str, None] = {}
    for line in lines:
        if line[:3] in ("rep", "sep"):
            continue
        for mark, value, index in _OPERAND.findall(line):
            (constants if mark else cells)[value if mark else value + index] = None
    words = [form.format(cell) for cell in cells for form in (*_TO_MEMORY, *_SHIFTS)]
    words += [form.format(value) for value in constants for form in _CONSTANT]
    return [*_IMPLIED, *words]
