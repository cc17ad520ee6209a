"""Programs that use the hardware: multiplier, divider, screen, palette and video memory ports, DMA, joypad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afs.domains.snes.tasks.program_builder import Draft, TypedProgram


def multiply(d: Draft) -> TypedProgram:
    """The CPU's 8x8 multiplier."""
    a, b, out = d.source(), d.source(), d.target(2)
    d.use_port(0x4202, 2)
    d.goal(
        f"multiply the unsigned bytes at {a} and {b} with the hardware multiplier ($4202/$4203) and store the 16-bit"
        f" product from $4216 at {out}",
        f"use WRMPYA and WRMPYB to compute {a} * {b}; wait the eight cycles, then copy RDMPY to the word {out}",
    )
    wait = "nop\nnop\nnop\nnop"
    body = f"lda {a}\nsta $4202\nlda {b}\nsta $4203\n{wait}\nlda $4216\nsta {out}\nlda $4217\nsta {out.at(1)}"
    return d.build(body, m=8)


def divide(d: Draft) -> TypedProgram:
    """The CPU's 16/8 divider."""
    a, b, quotient, rest = d.source(2), d.source(), d.target(2), d.target(2)
    d.limit(b, 1, 0xFF)
    d.use_port(0x4204, 3)
    d.goal(
        f"divide the unsigned word at {a} by the non-zero byte at {b} with the hardware divider ($4204-$4206); store"
        f" the quotient word from $4214 at {quotient} and the remainder word from $4216 at {rest}",
        f"use WRDIVL/WRDIVH and WRDIVB to compute {a} / {b}; after sixteen cycles copy RDDIV to {quotient} and RDMPY to"
        f" {rest} (words)",
    )
    pause = "\n".join(["nop"] * 8)
    body = (
        f"rep #$20\nlda {a}\nsta $4204\nsep #$20\nlda {b}\nsta $4206\n{pause}\nrep #$20\nlda $4214\nsta {quotient}\n"
        f"lda $4216\nsta {rest}\nsep #$20"
    )
    return d.build(body, m=8)


def brightness(d: Draft) -> TypedProgram:
    """INIDISP."""
    cell = d.source()
    d.port(0x2100)
    d.goal(
        f"write the low nibble of the byte at {cell} to the screen brightness register INIDISP ($2100), forced blank"
        " off",
        f"set the screen brightness from bits 0-3 of {cell} via $2100; bit 7 must be written as 0",
    )
    return d.build(f"lda {cell}\nand #$0F\nsta $2100", m=8)


def backdrop(d: Draft) -> TypedProgram:
    """One palette color."""
    cell = d.source(2)
    index = d.rng.randrange(256)
    d.use_port(0x2121, 2)
    d.video("cgram", 2 * index, 2)
    d.limit(cell, 0, 0x7FFF)
    d.goal(
        f"set palette entry ${index:02X} to the 15-bit color stored as a word at {cell}, through CGADD ($2121) and"
        " CGDATA ($2122), low byte first",
        f"write the color word at {cell} to CGRAM entry {index} using $2121 and two writes to $2122",
    )
    return d.build(f"lda #${index:02X}\nsta $2121\nlda {cell}\nsta $2122\nlda {cell.at(1)}\nsta $2122", m=8)


def scroll(d: Draft) -> TypedProgram:
    """A write-twice register."""
    cell = d.source(2)
    name, port = d.rng.choice([("BG1HOFS", 0x210D), ("BG1VOFS", 0x210E), ("BG2HOFS", 0x210F), ("BG2VOFS", 0x2110)])
    d.port(port, logged=True)
    d.goal(
        f"write the scroll word at {cell} to {name} (${port:04X}): low byte first, then high byte",
        f"set {name} from the word at {cell} with two 8-bit writes to ${port:04X}",
    )
    return d.build(f"lda {cell}\nsta ${port:04X}\nlda {cell.at(1)}\nsta ${port:04X}", m=8)


def video_word(d: Draft) -> TypedProgram:
    """One word of VRAM."""
    cell = d.source(2)
    address = d.rng.randrange(0x8000)
    d.use_port(0x2115, 5)
    d.video("vram", 2 * address, 2)
    d.goal(
        f"write the word at {cell} to VRAM word address ${address:04X}: VMAIN ($2115) = $80, address to $2116, data to"
        " $2118 (16-bit writes)",
        f"store the tile word {cell} in video memory at word ${address:04X}, with VMAIN set to $80 (increment after"
        " $2119)",
    )
    body = f"lda #$80\nsta $2115\nrep #$20\nlda #${address:04X}\nsta $2116\nlda {cell}\nsta $2118\nsep #$20"
    return d.build(body, m=8)


def dma_video(d: Draft) -> TypedProgram:
    """A DMA transfer to VRAM."""
    n = d.rng.choice([16, 32, 64, 128])
    cell = d.source(n, place="long")
    address = d.rng.randrange(0x7000)
    d.use_port(0x2115, 5)
    d.use_port(0x4300, 12)
    d.use_port(0x420B)
    d.video("vram", 2 * address, n)
    d.m = 8
    d.goal(
        f"DMA {n} bytes from {cell} to VRAM word address ${address:04X} on channel 0: VMAIN $80, mode 1, destination"
        " $2118; screen is already in forced blank",
        f"transfer {n} bytes at {cell} to video memory word ${address:04X} with DMA channel 0 ($4300-$4306, $420B),"
        " two-register mode to $2118/$2119, VMAIN = $80",
    )
    body = (
        f"lda #$80\nsta $2115\nrep #$20\nlda #${address:04X}\nsta $2116\nlda #$1801\nsta $4300\n"
        f"lda #${cell.address & 0xFFFF:04X}\nsta $4302\nlda #${n:04X}\nsta $4305\nsep #$20\n"
        f"lda #${cell.address >> 16:02X}\nsta $4304\nlda #$01\nsta $420B"
    )
    return d.build(body, m=8)


PROGRAMS: Final[dict[str, Callable[[Draft], TypedProgram]]] = {
    "multiply": multiply,
    "divide": divide,
    "brightness": brightness,
    "palette-entry": backdrop,
    "scroll": scroll,
    "video-word": video_word,
    "dma-video": dma_video,
}
FAR: Final = frozenset(PROGRAMS)
"""Programs whose instructions all have a long form."""
