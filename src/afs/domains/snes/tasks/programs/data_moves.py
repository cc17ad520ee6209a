"""Programs that move data without changing it: copies, swaps, clears, stores, saves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afs.domains.snes.tasks.program_builder import Draft, TypedProgram


def store8(d: Draft) -> TypedProgram:
    """A constant byte."""
    out, n = d.target(), d.byte()
    d.goal(
        f"store the value ${n:02X} in the byte at {out}",
        f"write {n} to the byte {out}",
        f"set {out} to ${n:02X} (one byte)",
        f"initialize the byte at {out} with ${n:02X}",
    )
    return d.build(f"lda #${n:02X}\nsta {out}", m=8)


def store16(d: Draft) -> TypedProgram:
    """A constant word."""
    out, n = d.target(2), d.word()
    d.goal(
        f"store the 16-bit value ${n:04X} in the word at {out}",
        f"write {n} as a little-endian word to {out}",
        f"set the word {out} to ${n:04X}",
    )
    slow = (f"lda #${n & 0xFF:02X}\nsta {out}\nlda #${n >> 8:02X}\nsta {out.at(1)}", 8, 0)
    return d.build(f"lda #${n:04X}\nsta {out}", m=16, slow=slow)


def copy16(d: Draft) -> TypedProgram:
    """A word."""
    a, out = d.source(2), d.target(2)
    d.goal(
        f"copy the 16-bit word at {a} to {out}",
        f"move the word stored at {a} to {out}, leaving {a} as it is",
        f"make the word {out} equal to the word {a}",
    )
    slow = (f"lda {a}\nsta {out}\nlda {a.at(1)}\nsta {out.at(1)}", 8, 0)
    return d.build(f"lda {a}\nsta {out}", m=16, slow=slow)


def copy24(d: Draft) -> TypedProgram:
    """A long pointer."""
    a, out = d.source(3), d.target(3)
    d.goal(
        f"copy the 24-bit pointer at {a} to {out}",
        f"copy three bytes from {a} to {out}",
        f"duplicate the long address stored at {a} (3 bytes) at {out}",
    )
    slow = ("\n".join(f"lda {a.at(i)}\nsta {out.at(i)}" for i in range(3)), 8, 0)
    return d.build(f"lda {a}\nsta {out}\nlda {a.at(1)}\nsta {out.at(1)}", m=16, slow=slow)


def swap8(d: Draft) -> TypedProgram:
    """Two bytes change places."""
    a, b = d.both(), d.both()
    d.goal(
        f"swap the bytes at {a} and {b}",
        f"exchange the contents of the bytes {a} and {b}",
        f"make {a} hold what {b} held and vice versa (bytes)",
    )
    slow = (f"lda {a}\npha\nlda {b}\nsta {a}\npla\nsta {b}", 8, 0)
    return d.build(f"ldx {a}\nlda {b}\nsta {a}\nstx {b}", m=8, x=8, slow=slow)


def swap16(d: Draft) -> TypedProgram:
    """Two words change places."""
    a, b = d.both(2), d.both(2)
    d.goal(
        f"swap the 16-bit words at {a} and {b}",
        f"exchange the words {a} and {b}",
        f"make the word {a} hold what the word {b} held and vice versa",
    )
    return d.build(f"ldx {a}\nlda {b}\nsta {a}\nstx {b}", m=16, x=16)


def swap_ends(d: Draft) -> TypedProgram:
    """Byte order of a word."""
    cell = d.both(2)
    d.goal(
        f"swap the two bytes of the 16-bit word at {cell}, in place",
        f"change the byte order of the word at {cell} (big-endian to little-endian)",
        f"exchange the low and the high byte of the word {cell}",
    )
    slow = (f"lda {cell}\npha\nlda {cell.at(1)}\nsta {cell}\npla\nsta {cell.at(1)}", 8, 0)
    return d.build(f"lda {cell}\nxba\nsta {cell}", m=16, slow=slow)


def clear_cells(d: Draft) -> TypedProgram:
    """Some scattered bytes to zero."""
    cells = [d.target() for _ in range(d.rng.randint(2, 4))]
    names = ", ".join(map(str, cells[:-1])) + f" and {cells[-1]}"
    d.goal(
        f"set the bytes at {names} to zero",
        f"clear the bytes {names}",
        f"write $00 to each of {names}",
    )
    slow = ("\n".join(f"lda #$00\nsta {cell}" for cell in cells), 8, 0)
    return d.build("\n".join(f"stz {cell}" for cell in cells), m=8, slow=slow)


def keep_register(d: Draft) -> TypedProgram:
    """Work between a save and a restore."""
    a, out, n = d.source(), d.target(), d.byte()
    register = d.rng.choice(["x", "y"])
    d.preserved = (register,)
    name = register.upper()
    d.goal(
        f"store the byte at {a} plus ${n:02X} at {out} without disturbing {name}",
        f"compute {out} = {a} + ${n:02X} (bytes) and return with {name} unchanged",
        f"add ${n:02X} to the byte at {a}, write the sum to {out}, and preserve {name} for the caller",
    )
    body = f"lda {a}\nclc\nadc #${n:02X}\nsta {out}"
    return d.build(body, m=8, slow=(f"ph{register}\n{body}\npl{register}", 8, 0))


def push_through(d: Draft) -> TypedProgram:
    """Three bytes rotate."""
    cells = [d.both() for _ in range(3)]
    a, b, c = cells
    d.goal(
        f"rotate three bytes: {a} goes to {b}, {b} goes to {c}, {c} goes to {a}",
        f"shift the queue of bytes {a} -> {b} -> {c}, the old value of {c} entering at {a}",
    )
    return d.build(f"lda {c}\npha\nlda {b}\nsta {c}\nlda {a}\nsta {b}\npla\nsta {a}", m=8)


def give_sum(d: Draft) -> TypedProgram:
    """A register argument and a register result."""
    cell = d.source()
    d.inputs, d.outputs = ("a",), ("a",)
    d.m = 8
    d.goal(
        f"add the byte at {cell} to A and return the 8-bit sum in A",
        f"A holds a byte on entry; return A + {cell} (low 8 bits) in A",
        f"take the 8-bit argument in A, add the byte stored at {cell}, give the result back in A",
    )
    return d.build(f"clc\nadc {cell}", m=8)


PROGRAMS: Final[dict[str, Callable[[Draft], TypedProgram]]] = {
    "store8": store8,
    "store16": store16,
    "copy16": copy16,
    "copy24": copy24,
    "swap8": swap8,
    "swap16": swap16,
    "swap-ends": swap_ends,
    "clear-cells": clear_cells,
    "keep-register": keep_register,
    "push-through": push_through,
    "give-sum": give_sum,
}
FAR: Final = frozenset(PROGRAMS) - {"swap8", "swap16", "clear-cells"}
"""Programs whose instructions all have a long form."""
