"""Programs that compare and choose: minimum, clamp, flags, thresholds, state changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afs.domains.snes.tasks.program_builder import Draft, TypedProgram


def maximum8(d: Draft) -> TypedProgram:
    """Larger of two unsigned bytes."""
    a, b, out = d.source(), d.source(), d.target()
    d.goal(
        f"store the larger of the unsigned bytes at {a} and {b} at {out}",
        f"compute {out} = max({a}, {b}) on unsigned bytes",
        f"compare the bytes {a} and {b} as unsigned numbers and write the greater one to {out}",
    )
    return d.build(f"lda {a}\ncmp {b}\nbcs store\nlda {b}\nstore:\nsta {out}", m=8)


def minimum16(d: Draft) -> TypedProgram:
    """Smaller of two unsigned words."""
    a, b, out = d.source(2), d.source(2), d.target(2)
    d.goal(
        f"store the smaller of the unsigned 16-bit words at {a} and {b} at {out}",
        f"compute the word {out} = min({a}, {b}), unsigned",
        f"compare the words {a} and {b} as unsigned numbers and write the lesser one to {out}",
    )
    return d.build(f"lda {a}\ncmp {b}\nbcc store\nlda {b}\nstore:\nsta {out}", m=16)


def maximum_signed(d: Draft) -> TypedProgram:
    """Larger of two signed bytes."""
    a, b, out = d.source(), d.source(), d.target()
    d.goal(
        f"store the larger of the signed bytes at {a} and {b} at {out} (mind the overflow flag)",
        f"compute {out} = max({a}, {b}) where both are two's complement bytes",
        f"signed comparison: write whichever of the signed bytes {a} and {b} is greater to {out}",
    )
    body = (
        f"lda {a}\nsec\nsbc {b}\nbvc plain\neor #$80\nplain:\nbmi second\nlda {a}\nbra store\n"
        f"second:\nlda {b}\nstore:\nsta {out}"
    )
    return d.build(body, m=8)


def clamp(d: Draft) -> TypedProgram:
    """Limit a byte to a range."""
    cell = d.both()
    low = d.byte(0x02, 0x40)
    high = d.byte(low + 0x20, 0xF8)
    d.goal(
        f"clamp the unsigned byte at {cell} to the range ${low:02X}-${high:02X}, in place",
        f"if {cell} is below ${low:02X} set it to ${low:02X}; if it is above ${high:02X} set it to ${high:02X}",
        f"limit the byte at {cell} to at least {low} and at most {high} (unsigned)",
    )
    body = (
        f"lda {cell}\ncmp #${low:02X}\nbcs over\nlda #${low:02X}\nover:\ncmp #${high + 1:02X}\nbcc store\n"
        f"lda #${high:02X}\nstore:\nsta {cell}"
    )
    return d.build(body, m=8)


def saturating_add(d: Draft) -> TypedProgram:
    """Add with a ceiling."""
    cell, n = d.both(), d.byte(2, 0x60)
    d.goal(
        f"add ${n:02X} to the byte at {cell}, stopping at $FF instead of wrapping",
        f"saturating add: {cell} = min({cell} + {n}, 255)",
        f"increase the byte at {cell} by {n}; if that would exceed 255, make it 255",
    )
    return d.build(f"lda {cell}\nclc\nadc #${n:02X}\nbcc store\nlda #$FF\nstore:\nsta {cell}", m=8)


def saturating_sub(d: Draft) -> TypedProgram:
    """Subtract with a floor."""
    cell, n = d.both(), d.byte(2, 0x60)
    d.goal(
        f"subtract ${n:02X} from the byte at {cell}, stopping at zero instead of wrapping",
        f"take {n} damage: {cell} = max({cell} - {n}, 0), unsigned",
        f"decrease the byte at {cell} by {n}; if that would go below zero, make it zero",
    )
    return d.build(f"lda {cell}\nsec\nsbc #${n:02X}\nbcs store\nlda #$00\nstore:\nsta {cell}", m=8)


def countdown(d: Draft) -> TypedProgram:
    """A timer that stops at zero."""
    cell = d.both()
    d.goal(
        f"decrement the timer byte at {cell} unless it is already zero",
        f"count {cell} down by one; but never below zero",
        f"if the byte at {cell} is not zero, subtract one from it",
    )
    slow = (f"lda {cell}\ncmp #$00\nbeq done\nlda {cell}\nsec\nsbc #$01\nsta {cell}\ndone:", 8, 0)
    return d.build(f"lda {cell}\nbeq done\ndec {cell}\ndone:", m=8, slow=slow)


def wrap_counter(d: Draft) -> TypedProgram:
    """A counter that starts again."""
    cell, n = d.both(), d.byte(3, 0x7F)
    d.limit(cell, 0, n - 1)
    d.goal(
        f"increment the byte at {cell}; when it reaches ${n:02X} set it back to zero (it is below ${n:02X} on entry)",
        f"advance the animation counter at {cell} (0 to {n - 1}) by one, wrapping to zero",
        f"count {cell} up modulo {n}; on entry it is less than {n}",
    )
    body = f"lda {cell}\ninc a\ncmp #${n:02X}\nbne store\nlda #$00\nstore:\nsta {cell}"
    return d.build(body, m=8)


def equal_flag(d: Draft) -> TypedProgram:
    """1 if equal, else 0."""
    a, b, out = d.source(2), d.source(2), d.target()
    d.goal(
        f"store 1 at {out} if the 16-bit words at {a} and {b} are equal, otherwise store 0 (one byte)",
        f"compare the words {a} and {b}; the byte {out} becomes $01 when they match and $00 when not",
        f"write to the byte {out} whether the words at {a} and {b} are the same (1) or not (0)",
    )
    body = (
        f"rep #$20\nlda {a}\ncmp {b}\nsep #$20\nbne differ\nlda #$01\nbra store\ndiffer:\nlda #$00\nstore:\nsta {out}"
    )
    return d.build(body, m=8)


def in_range(d: Draft) -> TypedProgram:
    """Carry says whether a byte lies in a range."""
    cell = d.source()
    low = d.byte(0x10, 0x80)
    span = d.byte(4, 0x60)
    d.outputs = ("c",)
    high = low + span - 1
    d.goal(
        f"return with carry clear if the unsigned byte at {cell} lies in ${low:02X}-${high:02X}, carry set otherwise",
        f"range check: carry is clear on return exactly when ${low:02X} <= {cell} <= ${high:02X} (unsigned)",
        f"test whether {cell} is between {low} and {high} inclusive; answer in the carry flag: clear yes, set no",
    )
    return d.build(f"lda {cell}\nsec\nsbc #${low:02X}\ncmp #${span:02X}", m=8)


def choose(d: Draft) -> TypedProgram:
    """One of two constants by a flag byte."""
    flag, out = d.source(), d.target()
    yes, no = d.byte(), d.byte()
    d.goal(
        f"if the byte at {flag} is zero store ${no:02X} at {out}, otherwise store ${yes:02X} there",
        f"write ${yes:02X} to {out} when {flag} is not zero and ${no:02X} when it is zero",
        f"select by the flag {flag}: non-zero gives {out} = ${yes:02X}, zero gives {out} = ${no:02X}",
    )
    return d.build(f"lda {flag}\nbeq zero\nlda #${yes:02X}\nbra store\nzero:\nlda #${no:02X}\nstore:\nsta {out}", m=8)


def sign_of(d: Draft) -> TypedProgram:
    """-1, 0 or 1."""
    cell, out = d.source(), d.target()
    d.goal(
        f"store the sign of the signed byte at {cell} at {out}: $FF if negative, $00 if zero, $01 if positive",
        f"write -1, 0 or 1 to the byte {out} as the signed byte {cell} is negative, zero or positive",
        f"compute sgn({cell}) for a two's complement byte and leave it at {out}",
    )
    body = f"lda {cell}\nbeq store\nbmi minus\nlda #$01\nbra store\nminus:\nlda #$FF\nstore:\nsta {out}"
    return d.build(body, m=8)


def distance(d: Draft) -> TypedProgram:
    """Absolute difference of unsigned bytes."""
    a, b, out = d.source(), d.source(), d.target()
    d.goal(
        f"store the distance between the unsigned bytes at {a} and {b} (larger minus smaller) at {out}",
        f"compute {out} = |{a} - {b}| for unsigned bytes",
        f"how far apart are the unsigned coordinates {a} and {b}? write the difference to {out}",
    )
    return d.build(f"lda {a}\nsec\nsbc {b}\nbcs store\neor #$FF\ninc a\nstore:\nsta {out}", m=8)


PROGRAMS: Final[dict[str, Callable[[Draft], TypedProgram]]] = {
    "maximum8": maximum8,
    "minimum16": minimum16,
    "maximum-signed": maximum_signed,
    "clamp": clamp,
    "saturating-add": saturating_add,
    "saturating-sub": saturating_sub,
    "countdown": countdown,
    "wrap-counter": wrap_counter,
    "equal-flag": equal_flag,
    "in-range": in_range,
    "choose": choose,
    "sign-of": sign_of,
    "distance": distance,
}
FAR: Final = frozenset(PROGRAMS) - {"countdown"}
"""Programs whose instructions all have a long form."""
