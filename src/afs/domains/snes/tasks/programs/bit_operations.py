"""Programs on single bits, masks, nibbles and shifts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afs.domains.snes.tasks.program_builder import Draft, TypedProgram


def set_bit(d: Draft) -> TypedProgram:
    """Set one bit."""
    cell, bit = d.both(), d.rng.randrange(8)
    d.goal(
        f"set bit {bit} of the byte at {cell} and leave the other bits unchanged",
        f"turn on bit {bit} (mask ${1 << bit:02X}) at {cell}",
        f"OR the byte at {cell} with ${1 << bit:02X}, in place",
    )
    slow = (f"lda {cell}\nora #${1 << bit:02X}\nsta {cell}", 8, 0)
    return d.build(f"lda #${1 << bit:02X}\ntsb {cell}", m=8, slow=slow)


def clear_bit(d: Draft) -> TypedProgram:
    """Clear one bit."""
    cell, bit = d.both(), d.rng.randrange(8)
    d.goal(
        f"clear bit {bit} of the byte at {cell} and leave the other bits unchanged",
        f"turn off bit {bit} (mask ${1 << bit:02X}) at {cell}",
        f"reset bit {bit} of the flag byte at {cell}",
    )
    slow = (f"lda {cell}\nand #${0xFF ^ 1 << bit:02X}\nsta {cell}", 8, 0)
    return d.build(f"lda #${1 << bit:02X}\ntrb {cell}", m=8, slow=slow)


def toggle(d: Draft) -> TypedProgram:
    """Invert some bits."""
    cell, mask = d.both(), d.byte(1, 0xFE)
    d.goal(
        f"toggle the bits ${mask:02X} of the byte at {cell}",
        f"exclusive-or the byte at {cell} with ${mask:02X}, in place",
        f"flip every bit of {cell} that is set in the mask ${mask:02X}",
    )
    return d.build(f"lda {cell}\neor #${mask:02X}\nsta {cell}", m=8)


def mask16(d: Draft) -> TypedProgram:
    """Keep some bits of a word."""
    cell, out, mask = d.source(2), d.target(2), d.word(0x0101, 0xFFFE)
    d.goal(
        f"keep only the bits ${mask:04X} of the 16-bit word at {cell} and store the result at {out}",
        f"AND the word at {cell} with ${mask:04X} and write the result word to {out}",
        f"copy the word {cell} to {out} with every bit outside ${mask:04X} cleared",
    )
    return d.build(f"lda {cell}\nand #${mask:04X}\nsta {out}", m=16)


def swap_nibbles(d: Draft) -> TypedProgram:
    """Exchange the halves of a byte."""
    cell = d.both()
    d.goal(
        f"swap the high and low nibble of the byte at {cell}, in place",
        f"exchange the two 4-bit halves of {cell} ($A5 becomes $5A)",
        f"rotate the byte at {cell} by four bits",
    )
    step = "asl a\nadc #$00\n"
    return d.build(f"lda {cell}\n{step * 4}sta {cell}", m=8)


def split_nibbles(d: Draft) -> TypedProgram:
    """Byte to two nibbles."""
    cell, low, high = d.source(), d.target(), d.target()
    d.goal(
        f"split the byte at {cell}: its low nibble to {low}, its high nibble (as 0-15) to {high}",
        f"write {cell} modulo 16 to {low} and {cell} divided by 16 to {high}",
        f"unpack the two nibbles of {cell}, low one to {low}, high one shifted down to {high}",
    )
    return d.build(f"lda {cell}\nand #$0F\nsta {low}\nlda {cell}\nlsr a\nlsr a\nlsr a\nlsr a\nsta {high}", m=8)


def join_nibbles(d: Draft) -> TypedProgram:
    """Two nibbles to a byte."""
    low, high, out = d.source(), d.source(), d.target()
    d.goal(
        f"pack the low nibble of {low} and the low nibble of {high} into one byte at {out}, {high} in the upper half",
        f"build {out} = ({high} and $0F) * 16 + ({low} and $0F)",
        f"join two nibbles: bits 0-3 of {high} go to bits 4-7 of {out}, bits 0-3 of {low} to bits 0-3",
    )
    body = f"lda {low}\nand #$0F\nsta {out}\nlda {high}\nasl a\nasl a\nasl a\nasl a\nora {out}\nsta {out}"
    return d.build(body, m=8)


def shift_left16(d: Draft) -> TypedProgram:
    """A word times a power of two."""
    cell, n = d.both(2), d.rng.randint(1, 3)
    d.goal(
        f"shift the 16-bit word at {cell} left by {n}, in place",
        f"multiply the word at {cell} by {1 << n}, keeping 16 bits",
        f"move every bit of the word {cell} up by {n} places, filling with zeros",
    )
    slow = ("\n".join([f"asl {cell}\nrol {cell.at(1)}"] * n), 8, 0)
    return d.build("\n".join([f"asl {cell}"] * n), m=16, slow=slow)


def shift_right16(d: Draft) -> TypedProgram:
    """A word divided by a power of two."""
    cell, n = d.both(2), d.rng.randint(1, 3)
    d.goal(
        f"shift the 16-bit word at {cell} right by {n} (logical), in place",
        f"divide the unsigned word at {cell} by {1 << n}, rounding down",
        f"move every bit of the word {cell} down by {n} places, filling with zeros",
    )
    slow = ("\n".join([f"lsr {cell.at(1)}\nror {cell}"] * n), 8, 0)
    return d.build("\n".join([f"lsr {cell}"] * n), m=16, slow=slow)


def halve_signed(d: Draft) -> TypedProgram:
    """Arithmetic shift right of a signed byte."""
    cell = d.both()
    d.goal(
        f"halve the signed byte at {cell} in place (arithmetic shift right, the sign bit stays)",
        f"shift the signed byte at {cell} right by one, copying the sign bit",
        f"divide the two's complement byte at {cell} by two, rounding towards minus infinity",
    )
    return d.build(f"lda {cell}\ncmp #$80\nror a\nsta {cell}", m=8)


def sign_extend(d: Draft) -> TypedProgram:
    """Signed byte to signed word."""
    cell, out = d.source(), d.target(2)
    d.goal(
        f"sign-extend the signed byte at {cell} to a 16-bit word at {out}",
        f"write the signed byte {cell} as a signed little-endian word to {out}: high byte $00 or $FF",
        f"widen the two's complement byte at {cell} to 16 bits at {out}",
    )
    body = f"lda {cell}\nsta {out}\nbmi minus\nlda #$00\nbra high\nminus:\nlda #$FF\nhigh:\nsta {out.at(1)}"
    return d.build(body, m=8)


def count_bits(d: Draft) -> TypedProgram:
    """Population count."""
    cell, out = d.source(), d.target()
    d.goal(
        f"count the set bits of the byte at {cell} and store the count (0-8) at {out}",
        f"write the population count of {cell} to {out}",
        f"count how many bits of {cell} are 1 and store the number at {out}",
    )
    body = f"lda {cell}\nldx #$00\nagain:\nlsr a\nbcc zero\ninx\nzero:\ncmp #$00\nbne again\ntxa\nsta {out}"
    return d.build(body, m=8, x=8)


def reverse_bits(d: Draft) -> TypedProgram:
    """Mirror a byte."""
    cell, out = d.source(), d.target()
    d.goal(
        f"mirror the bits of the byte at {cell} (bit 0 becomes bit 7) and store the result at {out}",
        f"reverse the bit order of {cell} into {out}",
        f"write the bits of {cell} to {out} in reverse order, as for a horizontally flipped tile row",
    )
    body = f"lda {cell}\nsta {out}\nldx #$08\nagain:\nlsr {out}\nrol a\ndex\nbne again\nsta {out}"
    return d.build(body, m=8, x=8)


def test_bit(d: Draft) -> TypedProgram:
    """A bit as carry."""
    cell, bit = d.source(), d.rng.choice([0, 7])
    d.outputs = ("c",)
    d.goal(
        f"return with carry equal to bit {bit} of the byte at {cell}",
        f"copy bit {bit} of {cell} into the carry flag for the caller",
        f"set carry if bit {bit} of the byte at {cell} is 1, clear it otherwise",
    )
    return d.build(f"lda {cell}\n{'asl' if bit == 7 else 'lsr'} a", m=8)


PROGRAMS: Final[dict[str, Callable[[Draft], TypedProgram]]] = {
    "set-bit": set_bit,
    "clear-bit": clear_bit,
    "toggle": toggle,
    "mask16": mask16,
    "swap-nibbles": swap_nibbles,
    "split-nibbles": split_nibbles,
    "join-nibbles": join_nibbles,
    "shift-left16": shift_left16,
    "shift-right16": shift_right16,
    "halve-signed": halve_signed,
    "sign-extend": sign_extend,
    "count-bits": count_bits,
    "reverse-bits": reverse_bits,
    "test-bit": test_bit,
}
FAR: Final = frozenset({"toggle", "mask16", "split-nibbles", "join-nibbles", "sign-extend", "count-bits", "test-bit"})
"""Programs whose instructions all have a long form."""
