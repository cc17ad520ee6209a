"""Pairs of a right and a wrong routine for faults that need a scene of their own: banks, interrupts, video, pads."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from afs.domains.snes.contract import Contract
from afs.domains.snes.tasks.fault_injection import Fault
from afs.domains.snes.tasks.program_builder import Draft, TypedProgram
from afs.domains.snes.tasks.programs import PROGRAMS, draw_program


class Scene(NamedTuple):
    """A working program and the faults it may have."""

    program: TypedProgram
    faults: tuple[Fault, ...]


def _code(text: str) -> str:
    lines = (line.strip() for line in text.strip().splitlines())
    return "".join(f"{line}\n" if line.endswith(":") else f"    {line}\n" for line in lines)


def _register_clobber(rng: random.Random) -> Scene:
    """A loop that must leave X alone."""
    name = rng.choice(["fill", "copy", "total", "parity", "look-up", "look-up16", "total16", "decrement-all"])
    routine = draw_program(name, rng)
    lines = routine.code.splitlines()
    code = "\n".join(["    phx", *lines[:-1], "    plx", lines[-1]]) + "\n"
    contract = msgspec.structs.replace(
        routine.contract, clobbers=tuple(r for r in routine.contract.clobbers if r != "x")
    )
    whole = routine._replace(code=code, contract=contract, goal=f"{routine.goal}; the caller still needs X")
    return Scene(
        whole, (Fault(routine.code, "X is used as index but neither saved nor restored: the caller's X is lost"),)
    )


def _data_bank(rng: random.Random) -> Scene:
    """Absolute addresses in bank $7E."""
    names = ["add8", "add16", "sub8", "toggle", "store8", "copy16", "maximum8", "saturating-add", "average8", "mask16"]
    name = rng.choice(names)
    draft = Draft(name, rng, place="long")
    routine = PROGRAMS[name].make(draft)
    lines = [line.replace("$7E", "$") if "#" not in line else line for line in routine.code.splitlines()]
    body = "\n".join(lines[:-1])
    ends = routine.contract.ends
    right = f"phb\npea $7E7E\nplb\nplb\n{body}\nplb\n{ends}"
    unset = f"{body}\n{ends}"
    unkept = f"pea $7E7E\nplb\nplb\n{body}\n{ends}"
    whole = routine._replace(
        code=_code(right), goal=f"{routine.goal}; absolute addresses are used with the data bank set to $7E"
    )
    faults = (
        Fault(_code(unset), "the data bank is still $00, so the absolute addresses do not reach bank $7E"),
        Fault(_code(unkept), "the data bank is set to $7E and never put back: the caller reads the wrong bank"),
    )
    return Scene(whole, faults)


def _signed_compare(rng: random.Random) -> Scene:
    """Signed numbers compared as if they had no sign."""
    d = Draft("signed-compare", rng, place=rng.choice(["direct", "absolute"]))
    a, b, out = d.source(), d.source(), d.target()
    less = rng.random() < 0.5
    word, first, second = ("smaller", b, a) if less else ("larger", a, b)
    d.goal(
        f"store the {word} of the signed bytes at {a} and {b} at {out}",
        f"compare {a} and {b} as two's complement numbers and write the {word} one to {out}",
    )
    body = f"lda {a}\nsec\nsbc {b}\nbvc plain\neor #$80\nplain:\nbmi second\nlda {first}\nbra store\n"
    body += f"second:\nlda {second}\nstore:\nsta {out}"
    routine = d.build(body, m=8)
    plain = f"lda {a}\ncmp {b}\n{{branch}} second\nlda {first}\nbra store\nsecond:\nlda {second}\nstore:\nsta {out}"
    faults = (
        Fault(
            d.frame_body(plain.format(branch="bcc"), 8, 0),
            "`bcc` after `cmp` compares unsigned numbers; these are signed",
        ),
        Fault(
            d.frame_body(plain.format(branch="bmi"), 8, 0),
            "`bmi` after `cmp` ignores overflow: $7F and $80 compare the wrong way around; check the V flag",
        ),
    )
    return Scene(routine, faults)


def _interrupt(rng: random.Random) -> Scene:
    """Code called from an NMI handler: whatever was running must not notice."""
    d = Draft("interrupt", rng, place=rng.choice(["absolute", "long"]))
    counter = d.both()
    value = d.byte(1, 9)
    d.goal(
        f"add {value} to the byte at {counter} from inside the NMI handler, whatever the widths are, leaving A (all 16"
        " bits), X, Y, the flags and the widths as they were",
        f"count {counter} up by {value} in an interrupt; every register, the high byte of A included, must survive",
    )
    work = f"lda {counter}\nclc\nadc #${value:02X}\nsta {counter}"
    right = f"php\nrep #$20\npha\nsep #$20\n{work}\nrep #$20\npla\nplp\nrtl"
    contract = Contract(
        m=0,
        x=0,
        inputs=("a", "x", "y", "c"),
        reads=(counter.range(),),
        writes=(counter.range(),),
        out=("a", "b", "x", "y", "n", "v", "z", "c"),
        ends="rtl",
        db=0,
        registers="end",
    )
    routine = TypedProgram("interrupt", d.goal_text, _code(right), contract)
    faults = (
        Fault(_code(f"php\nsep #$20\n{work}\nplp\nrtl"), "A is used in the interrupt without being saved"),
        Fault(
            _code(f"rep #$20\npha\nsep #$20\n{work}\nrep #$20\npla\nrtl"),
            "the flags and widths of the interrupted code are not saved with PHP and restored with PLP",
        ),
    )
    return Scene(routine, faults)


def _vram_timing(rng: random.Random) -> Scene:
    """Video memory is written inside forced blank."""
    d = Draft("vram-timing", rng, place=rng.choice(["direct", "absolute"]))
    cell = d.source(2)
    d.m = 8
    address, light = d.rng.randrange(0x7F00), d.byte(1, 15)
    d.port(0x2100, logged=True)
    d.port(0x2115, 5)
    d.video("vram", 2 * address, 2)
    d.goal(
        f"switch forced blank on ($2100 = $80), set VMAIN to $80, write the word at {cell} to VRAM word ${address:04X}"
        f" ($2116, $2118), then switch the screen on again with brightness {light} ($2100 = ${light:02X}), in this"
        " order",
        f"write the word at {cell} to VRAM word ${address:04X}: first $2100 = $80, then $2115 = $80, $2116, $2118, and"
        f" last $2100 = ${light:02X}",
    )
    write = f"lda #$80\nsta $2115\nrep #$20\nlda #${address:04X}\nsta $2116\nlda {cell}\nsta $2118\nsep #$20"
    on, off = f"lda #${light:02X}\nsta $2100", "lda #$80\nsta $2100"
    routine = d.build(f"{off}\n{write}\n{on}", m=8)
    faults = (
        Fault(
            d.frame_body(f"{write}\n{off}\n{on}", 8, 0),
            "VRAM is written during display: forced blank comes too late",
        ),
        Fault(
            d.frame_body(f"{off}\n{on}\n{write}", 8, 0),
            "the screen is on again before VRAM is written; the write is lost",
        ),
        Fault(
            d.frame_body(f"{write}\n{on}", 8, 0),
            "VRAM is written without forced blank, so during display the write is lost",
        ),
    )
    return Scene(routine, faults)


_BUTTONS: Final = (("A", 0x0080), ("X", 0x0040), ("L", 0x0020), ("R", 0x0010), ("B", 0x8000), ("Start", 0x1000))


def _joypad(rng: random.Random) -> Scene:
    """New presses, and a button's bit."""
    d = Draft("joypad", rng)
    now, before, new = d.source(2), d.both(2), d.target(2)
    wrong: tuple[tuple[str, str], ...]
    if rng.random() < 0.5:
        d.goal(
            f"the word at {now} holds the buttons of this frame, {before} those of the last one; store the newly"
            f" pressed buttons at {new} (set now, not set before) and copy {now} to {before}",
        )
        right = f"lda {now}\neor {before}\nand {now}\nsta {new}\nlda {now}\nsta {before}"
        wrong = (
            (
                f"lda {now}\nand {before}\nsta {new}\nlda {now}\nsta {before}",
                "AND gives buttons that are held, not new",
            ),
            (f"lda {now}\neor {before}\nsta {new}\nlda {now}\nsta {before}", "EOR alone also reports released buttons"),
            (
                f"lda {now}\nsta {before}\neor {before}\nand {now}\nsta {new}",
                "the old buttons are overwritten before they are compared, so nothing is ever new",
            ),
        )
    else:
        name, bit = rng.choice(_BUTTONS)
        d.goal(
            f"{now} is a copy of JOY1 ($4218/$4219) and {before} a counter word; store 1 in the word {new} if {name} is"
            f" held, else 0, and add that to {before}",
        )
        body = (
            f"lda {now}\nand #${{bit:04X}}\nbeq store\nlda #$0001\nstore:\nsta {new}\nclc\nadc {before}\nsta {before}"
        )
        other = (bit << 8 | bit >> 8) & 0xFFFF
        right = body.format(bit=bit)
        wrong = ((body.format(bit=other), f"{name} is bit ${bit:04X} of the word; ${other:04X} is in the other byte"),)
    routine = d.build(right, m=16)
    return Scene(routine, tuple(Fault(d.frame_body(code, 16, 0), why) for code, why in wrong))


SCENES: Final[Mapping[str, Callable[[random.Random], Scene]]] = {
    "register-clobber": _register_clobber,
    "data-bank": _data_bank,
    "signed-compare": _signed_compare,
    "interrupt": _interrupt,
    "vram-timing": _vram_timing,
    "joypad": _joypad,
}
"""Category -> a scene with its faults."""
