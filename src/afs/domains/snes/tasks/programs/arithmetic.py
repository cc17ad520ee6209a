"""Programs that add, subtract, negate, compare and scale numbers of 8 and 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afs.domains.snes.tasks.program_builder import Draft, TypedProgram


def _two(d: Draft, size: int, operation: str, words: tuple[str, ...]) -> TypedProgram:
    a, b, out = d.source(size), d.source(size), d.target(size)
    d.goal(*(text.format(a=a, b=b, out=out) for text in words))
    lead = "clc" if operation == "adc" else "sec"
    m = size * 8
    slow = ""
    if size == 2:
        slow = f"{lead}\nlda {a}\n{operation} {b}\nsta {out}\nlda {a.at(1)}\n{operation} {b.at(1)}\nsta {out.at(1)}"
    return d.build(f"{lead}\nlda {a}\n{operation} {b}\nsta {out}", m=m, slow=(slow, 8, 0) if slow else None)


def add8(d: Draft) -> TypedProgram:
    """Byte plus byte."""
    return _two(
        d,
        1,
        "adc",
        (
            "add the byte at {a} to the byte at {b} and store the low 8 bits of the sum at {out}",
            "compute {out} = {a} + {b} on bytes, dropping any carry out",
            "put the 8-bit sum of the bytes at {a} and {b} into {out}",
            "byte addition: {a} plus {b}, result to {out}, wrapping at 256",
        ),
    )


def add16(d: Draft) -> TypedProgram:
    """Word plus word."""
    return _two(
        d,
        2,
        "adc",
        (
            "add the 16-bit word at {a} to the 16-bit word at {b} and store the 16-bit sum at {out}",
            "compute the word sum {a} + {b} (little-endian, 16 bits) and write it to {out}",
            "take the two words stored at {a} and {b}, add them and leave the wrapped 16-bit result at {out}",
            "16-bit addition: word at {a} plus word at {b}, result word to {out}",
        ),
    )


def sub8(d: Draft) -> TypedProgram:
    """Byte minus byte."""
    return _two(
        d,
        1,
        "sbc",
        (
            "subtract the byte at {b} from the byte at {a} and store the difference at {out}",
            "compute {out} = {a} - {b} on bytes, wrapping below zero",
            "put the 8-bit difference {a} minus {b} into {out}",
        ),
    )


def sub16(d: Draft) -> TypedProgram:
    """Word minus word."""
    return _two(
        d,
        2,
        "sbc",
        (
            "subtract the 16-bit word at {b} from the 16-bit word at {a} and store the difference at {out}",
            "compute the word difference {a} - {b} and write all 16 bits to {out}",
            "16-bit subtraction: word at {a} minus word at {b}, result word to {out}",
        ),
    )


def add_constant(d: Draft) -> TypedProgram:
    """Add a constant to a byte in place."""
    cell, n = d.both(), d.byte(2, 0xF0)
    d.goal(
        f"add ${n:02X} to the byte at {cell}, in place",
        f"increase the byte at {cell} by {n}, wrapping at 256",
        f"compute {cell} = {cell} + ${n:02X} (8 bits)",
    )
    return d.build(f"lda {cell}\nclc\nadc #${n:02X}\nsta {cell}", m=8)


def add_constant16(d: Draft) -> TypedProgram:
    """Add a constant to a word in place."""
    cell, n = d.both(2), d.word()
    d.goal(
        f"add ${n:04X} to the 16-bit word at {cell}, in place",
        f"increase the word at {cell} by {n}, wrapping at 65536",
        f"compute the word {cell} = {cell} + ${n:04X}",
    )
    slow = f"lda {cell}\nclc\nadc #${n & 0xFF:02X}\nsta {cell}\nlda {cell.at(1)}\nadc #${n >> 8:02X}\nsta {cell.at(1)}"
    return d.build(f"lda {cell}\nclc\nadc #${n:04X}\nsta {cell}", m=16, slow=(slow, 8, 0))


def negate16(d: Draft) -> TypedProgram:
    """Two's complement of a word."""
    cell = d.both(2)
    d.goal(
        f"negate the 16-bit word at {cell} (two's complement), in place",
        f"replace the signed word at {cell} by its negative",
        f"compute the word {cell} = 0 - {cell}",
    )
    slow = f"lda {cell}\neor #$FFFF\nclc\nadc #$0001\nsta {cell}"
    return d.build(f"lda #$0000\nsec\nsbc {cell}\nsta {cell}", m=16, slow=(slow, 16, 0))


def absolute16(d: Draft) -> TypedProgram:
    """Magnitude of a signed word."""
    cell, out = d.source(2), d.target(2)
    d.goal(
        f"store the absolute value of the signed 16-bit word at {cell} into the word at {out}",
        f"take the signed word at {cell}; write its magnitude to {out} ($8000 stays $8000)",
        f"compute |{cell}| on signed 16-bit numbers and leave it at {out}",
    )
    body = f"lda {cell}\nbpl positive\neor #$FFFF\ninc a\npositive:\nsta {out}"
    slow = f"lda {cell}\nbmi negative\nbra store\nnegative:\nlda #$0000\nsec\nsbc {cell}\nstore:\nsta {out}"
    return d.build(body, m=16, slow=(slow, 16, 0))


def average8(d: Draft) -> TypedProgram:
    """Mean of two bytes, with the carry."""
    a, b, out = d.source(), d.source(), d.target()
    d.goal(
        f"store the rounded-down average of the unsigned bytes at {a} and {b} at {out} (the sum may need nine bits)",
        f"compute ({a} + {b}) / 2 for unsigned bytes without losing the carry, result to {out}",
        f"write the mean of the bytes {a} and {b}, rounded down, to {out}",
    )
    return d.build(f"lda {a}\nclc\nadc {b}\nror a\nsta {out}", m=8)


def _factor(n: int, wide: bool, cell: object, scratch: object) -> str:
    steps = [f"lda {cell}"]
    for bit in bin(n)[3:]:
        steps.append("asl a")
        if bit == "1":
            steps += ["clc", f"adc {cell}"]
    return "\n".join([*steps, f"sta {scratch}"])


def times(d: Draft) -> TypedProgram:
    """A byte times a small constant, 8-bit result."""
    cell, out, n = d.source(), d.target(), d.rng.choice([3, 5, 6, 7, 9, 10, 12])
    d.goal(
        f"multiply the byte at {cell} by {n} and store the low 8 bits at {out}",
        f"compute {out} = {cell} * {n} modulo 256",
        f"scale the byte at {cell} by {n}, keep 8 bits, write them to {out}",
    )
    slow = "\n".join([f"lda {cell}", *[f"clc\nadc {cell}"] * (n - 1), f"sta {out}"])
    return d.build(_factor(n, False, cell, out), m=8, slow=(slow, 8, 0))


def times16(d: Draft) -> TypedProgram:
    """A word times a small constant."""
    cell, out, n = d.source(2), d.target(2), d.rng.choice([3, 5, 6, 10, 12, 20])
    d.goal(
        f"multiply the 16-bit word at {cell} by {n} and store the low 16 bits at {out}",
        f"compute the word {out} = {cell} * {n} modulo 65536",
        f"scale the word at {cell} by {n} and write the 16-bit result to {out}",
    )
    slow = "\n".join([f"lda {cell}", *[f"clc\nadc {cell}"] * (n - 1), f"sta {out}"])
    return d.build(_factor(n, True, cell, out), m=16, slow=(slow, 16, 0))


def add32(d: Draft) -> TypedProgram:
    """Long plus long."""
    a, b = d.both(4), d.source(4)
    d.goal(
        f"add the 32-bit number at {b} to the 32-bit number at {a}, in place (little-endian)",
        f"32-bit addition: {a} = {a} + {b}, four bytes each, low byte first",
        f"add the doubleword at {b} to the doubleword at {a}",
    )
    body = f"clc\nlda {a}\nadc {b}\nsta {a}\nlda {a.at(2)}\nadc {b.at(2)}\nsta {a.at(2)}"
    slow = "clc\n" + "\n".join(f"lda {a.at(i)}\nadc {b.at(i)}\nsta {a.at(i)}" for i in range(4))
    return d.build(body, m=16, slow=(slow, 8, 0))


def decimal_add(d: Draft) -> TypedProgram:
    """BCD byte plus BCD byte."""
    a, b, out = d.source(), d.source(), d.target()
    for cell in (a, b):
        d.limit(cell, 0, 9)
    d.goal(
        f"add the decimal digits (0-9) at {a} and {b} and store the packed BCD sum at {out}",
        f"{a} and {b} each hold one digit 0-9; write their sum to {out} as packed BCD (7+8 gives $15)",
        f"BCD addition of the single digits at {a} and {b} into {out}; leave decimal mode off",
    )
    return d.build(f"sed\nclc\nlda {a}\nadc {b}\nsta {out}\ncld", m=8)


PROGRAMS: Final[dict[str, Callable[[Draft], TypedProgram]]] = {
    "add8": add8,
    "add16": add16,
    "sub8": sub8,
    "sub16": sub16,
    "add-constant": add_constant,
    "add-constant16": add_constant16,
    "negate16": negate16,
    "absolute16": absolute16,
    "average8": average8,
    "times": times,
    "times16": times16,
    "add32": add32,
    "decimal-add": decimal_add,
}
FAR: Final = frozenset(PROGRAMS)
"""Programs whose instructions all have a long form."""
