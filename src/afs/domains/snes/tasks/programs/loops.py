"""Programs that walk through arrays: fill, copy, sum, search, count, reverse, look up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afs.domains.snes.tasks.program_builder import Draft, TypedProgram


def fill(d: Draft) -> TypedProgram:
    """An array set to a byte."""
    n, value = d.rng.randint(4, 32), d.byte()
    out = d.target(n)
    d.goal(
        f"fill the {n} bytes from {out} with ${value:02X}",
        f"set every one of the {n} bytes starting at {out} to ${value:02X}",
        f"write the value {value} {n} times, from {out} up to {out.at(n - 1)}",
    )
    body = f"lda #${value:02X}\nldx #${n - 1:02X}\nagain:\nsta {out},x\ndex\nbpl again"
    slow = (f"ldx #$00\nagain:\nlda #${value:02X}\nsta {out},x\ninx\ncpx #${n:02X}\nbne again", 8, 8)
    return d.build(body, m=8, x=8, slow=slow)


def copy(d: Draft) -> TypedProgram:
    """An array copied."""
    n = d.rng.randint(4, 32)
    a, out = d.source(n), d.target(n)
    d.goal(
        f"copy {n} bytes from {a} to {out}",
        f"copy the {n}-byte block at {a} to {out}; the blocks do not overlap",
        f"move the bytes {a}-{a.at(n - 1)} to {out}-{out.at(n - 1)}",
    )
    body = f"ldx #${n - 1:02X}\nagain:\nlda {a},x\nsta {out},x\ndex\nbpl again"
    slow = (f"ldx #$00\nagain:\nlda {a},x\nsta {out},x\ninx\ncpx #${n:02X}\nbne again", 8, 8)
    return d.build(body, m=8, x=8, slow=slow)


def total(d: Draft) -> TypedProgram:
    """Sum of bytes as a byte."""
    n = d.rng.randint(3, 16)
    a, out = d.source(n), d.target()
    d.goal(
        f"add up the {n} bytes from {a} and store the low 8 bits of the sum at {out}",
        f"compute the 8-bit checksum (sum modulo 256) of the {n} bytes at {a} and write it to {out}",
        f"sum the byte array {a}-{a.at(n - 1)} into the byte at {out}",
    )
    body = f"ldx #${n - 1:02X}\nlda #$00\nagain:\nclc\nadc {a},x\ndex\nbpl again\nsta {out}"
    return d.build(body, m=8, x=8)


def total16(d: Draft) -> TypedProgram:
    """Sum of words."""
    n = d.rng.randint(3, 12)
    a, out = d.source(2 * n), d.target(2)
    d.goal(
        f"add up the {n} 16-bit words from {a} and store the 16-bit sum at {out}",
        f"sum the array of {n} little-endian words at {a} into the word at {out}",
        f"compute the wrapped 16-bit total of {n} words starting at {a}, result to {out}",
    )
    body = f"ldx #${2 * n - 2:04X}\nlda #$0000\nagain:\nclc\nadc {a},x\ndex\ndex\nbpl again\nsta {out}"
    return d.build(body, m=16, x=16)


def parity(d: Draft) -> TypedProgram:
    """Exclusive-or of bytes."""
    n = d.rng.randint(3, 16)
    a, out = d.source(n), d.target()
    d.goal(
        f"exclusive-or the {n} bytes from {a} together and store the result at {out}",
        f"write the XOR checksum of the {n} bytes starting at {a} to {out}",
        f"fold {a}-{a.at(n - 1)} with EOR into the byte {out}",
    )
    body = f"ldx #${n - 1:02X}\nlda #$00\nagain:\neor {a},x\ndex\nbpl again\nsta {out}"
    return d.build(body, m=8, x=8)


def largest(d: Draft) -> TypedProgram:
    """Maximum of an array."""
    n = d.rng.randint(3, 12)
    a, out = d.source(n), d.target()
    d.goal(
        f"find the largest unsigned byte among the {n} bytes from {a} and store it at {out}",
        f"write the maximum of the unsigned byte array {a}-{a.at(n - 1)} to {out}",
        f"scan {n} unsigned bytes starting at {a}; leave the greatest at {out}",
    )
    body = f"lda {a}\nldx #${n - 1:02X}\nagain:\ncmp {a},x\nbcs keep\nlda {a},x\nkeep:\ndex\nbne again\nsta {out}"
    return d.build(body, m=8, x=8)


def count_equal(d: Draft) -> TypedProgram:
    """How many bytes match."""
    n, value = d.rng.randint(4, 16), d.byte(0, 3)
    a, out = d.array(n, 0, 5), d.target()
    d.goal(
        f"count how many of the {n} bytes from {a} equal ${value:02X} and store the count at {out}",
        f"write to {out} the number of bytes in {a}-{a.at(n - 1)} that are exactly ${value:02X}",
        f"count the occurrences of ${value:02X} in the {n} bytes at {a} and store the number at {out}",
    )
    body = (
        f"ldy #$00\nldx #${n - 1:02X}\nagain:\nlda {a},x\ncmp #${value:02X}\nbne next\niny\nnext:\ndex\nbpl again\n"
        f"tya\nsta {out}"
    )
    return d.build(body, m=8, x=8)


def find(d: Draft) -> TypedProgram:
    """Index of the first match."""
    n, value = d.rng.randint(4, 12), d.byte(0, 3)
    a, out = d.array(n, 0, 5), d.target()
    d.goal(
        f"find the first byte equal to ${value:02X} among the {n} bytes from {a}; store its index (0-based) at {out},"
        " or $FF if there is none",
        f"search {a}-{a.at(n - 1)} upwards for ${value:02X} and write the position of the first hit to {out}"
        " ($FF when it does not occur)",
    )
    body = (
        f"ldx #$00\nagain:\nlda {a},x\ncmp #${value:02X}\nbeq found\ninx\ncpx #${n:02X}\nbne again\nldx #$FF\nfound:\n"
        f"txa\nsta {out}"
    )
    return d.build(body, m=8, x=8)


def reverse(d: Draft) -> TypedProgram:
    """An array copied backwards."""
    n = d.rng.randint(3, 12)
    a, out = d.source(n), d.target(n)
    d.goal(
        f"copy the {n} bytes from {a} to {out} in reverse order",
        f"write the byte array {a}-{a.at(n - 1)} backwards to {out} (last byte first)",
        f"reverse {n} bytes: {out} receives {a.at(n - 1)}, and so on down to {a}",
    )
    body = f"ldx #$00\nldy #${n - 1:02X}\nagain:\nlda {a},x\npha\ninx\ndey\nbpl again\n"
    body += f"ldx #$00\nback:\npla\nsta {out},x\ninx\ncpx #${n:02X}\nbne back"
    return d.build(body, m=8, x=8)


def look_up(d: Draft) -> TypedProgram:
    """A table indexed by a byte."""
    n = d.rng.choice([4, 8, 16])
    index, table, out = d.source(), d.source(n), d.target()
    d.limit(index, 0, n - 1)
    d.goal(
        f"use the byte at {index} (0-{n - 1}) as index into the {n}-byte table at {table} and store the entry at {out}",
        f"write table[{index}] to {out}, where the table of {n} bytes lies at {table} and {index} is below {n}",
        f"table look-up: {out} = byte at {table} + {index}; {index} holds 0 to {n - 1}",
    )
    return d.build(f"lda {index}\ntax\nlda {table},x\nsta {out}", m=8, x=8)


def look_up16(d: Draft) -> TypedProgram:
    """A word table indexed by a byte."""
    n = d.rng.choice([4, 8, 16])
    index, table, out = d.source(), d.source(2 * n), d.target(2)
    d.limit(index, 0, n - 1)
    d.goal(
        f"use the byte at {index} (0-{n - 1}) as index into the table of {n} words at {table}; store the word at {out}",
        f"{table} holds {n} little-endian words; copy entry number {index} (a byte below {n}) to the word {out}",
    )
    body = f"lda {index}\nand #$00FF\nasl a\ntax\nlda {table},x\nsta {out}"
    return d.build(body, m=16, x=16)


def decrement_all(d: Draft) -> TypedProgram:
    """Every timer of an array."""
    n = d.rng.randint(3, 10)
    a = d.both(n)
    d.goal(
        f"decrement each of the {n} timer bytes from {a} that is not already zero",
        f"count down all {n} timers at {a}-{a.at(n - 1)} by one, stopping at zero",
        f"for every one of the {n} bytes starting at {a}: if it is not zero, subtract one",
    )
    body = f"ldx #${n - 1:02X}\nagain:\nlda {a},x\nbeq next\ndec a\nsta {a},x\nnext:\ndex\nbpl again"
    return d.build(body, m=8, x=8)


def block_move(d: Draft) -> TypedProgram:
    """MVN between banks."""
    n = d.rng.randint(5, 60)
    a, out = d.source(n), d.target(n)
    d.goal(
        f"copy {n} bytes from {a} to {out} with a block move and return with the data bank as it was",
        f"use MVN to copy the {n}-byte block at {a} to {out}; preserve the data bank register",
    )
    body = (
        f"phb\nlda #${n - 1:04X}\nldx #${a.address & 0xFFFF:04X}\nldy #${out.address & 0xFFFF:04X}\n"
        f"mvn ${out.address >> 16:02X},${a.address >> 16:02X}\nplb"
    )
    return d.build(body, m=16, x=16)


PROGRAMS: Final[dict[str, Callable[[Draft], TypedProgram]]] = {
    "fill": fill,
    "copy": copy,
    "total": total,
    "total16": total16,
    "parity": parity,
    "largest": largest,
    "count-equal": count_equal,
    "find": find,
    "reverse": reverse,
    "look-up": look_up,
    "look-up16": look_up16,
    "decrement-all": decrement_all,
    "block-move": block_move,
}
FAR: Final = frozenset(PROGRAMS)
"""Programs whose instructions all have a long form."""
