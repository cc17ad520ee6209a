"""Planted corpora for the benchmarks of the data part: assembly-like records with copies of ten kinds."""

from __future__ import annotations

import random
import re
from typing import NamedTuple

OPS = (
    "lda",
    "sta",
    "ldx",
    "stx",
    "ldy",
    "sty",
    "adc",
    "sbc",
    "and",
    "ora",
    "eor",
    "cmp",
    "cpx",
    "inc",
    "dec",
    "jsr",
    "bne",
    "beq",
)
WORDS = tuple(  # noqa: C409
    [
        "player",
        "screen",
        "sprite",
        "palette",
        "tile",
        "map",
        "room",
        "door",
        "enemy",
        "item",
        "chest",
        "timer",
        "frame",
        "buffer",
        "offset",
        "table",
        "index",
        "value",
        "counter",
        "state",
        "flag",
        "mode",
        "layer",
        "scroll",
        "bank",
        "vector",
        "handler",
        "routine",
        "loop",
        "copy",
        "clear",
        "update",
        "draw",
        "load",
        "store",
        "check",
        "move",
    ]
)
BOILER = (
    "Here is the routine you asked for. It keeps the accumulator in eight bit mode and restores the processor status "
    "before it returns. The comments explain every step of the way so that it can be changed later with ease.\n"
)
KINDS = ("exact", "format", "edit02", "edit05", "edit10", "edit20", "edit30", "rename", "reorder", "newinstr")


class Corpus(NamedTuple):
    """Texts, and which are copies: (copy, original, kind)."""

    texts: list[str]
    pairs: list[tuple[int, int, str]]


def corpus(n: int, seed: int = 1) -> Corpus:
    """`n` texts, a tenth of them planted copies in ten equal kinds, in shuffled order."""
    rng = random.Random(seed)
    made = [_record(rng, i) for i in range(n - n // 10)]
    copies = []
    for c in range(n // 10):
        original = rng.randrange(len(made))
        kind = KINDS[c % len(KINDS)]
        copies.append((original, kind, _copy(made[original], kind, rng)))
    texts = [*made, *(text for _, _, text in copies)]
    order = list(range(len(texts)))
    rng.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    pairs = [(place[len(made) + c], place[original], kind) for c, (original, kind, _) in enumerate(copies)]
    return Corpus([texts[old] for old in order], pairs)


def _record(rng: random.Random, number: int) -> str:
    instruction = f"Write a 65816 routine that handles the {' '.join(rng.choices(WORDS, k=18))} for object {number}."
    code = "\n\n".join(_block(rng, b) for b in range(4))
    return f"{instruction}\n{BOILER if rng.random() < 0.6 else ''}{code}"


def _block(rng: random.Random, number: int) -> str:
    name = f"{rng.choice(WORDS)}_{rng.choice(WORDS)}_{rng.randrange(1000)}"
    lines = [f"{name}:"]
    for _ in range(8):
        operand = rng.choice(
            (f"#${rng.randrange(256):02X}", f"${rng.randrange(65536):04X}", f"${rng.randrange(256):02X},x")
        )
        lines.append(f"    {rng.choice(OPS)} {operand}  ; {' '.join(rng.choices(WORDS, k=2))}")
    return "\n".join([*lines, f"    bra {name}"])


def _copy(text: str, kind: str, rng: random.Random) -> str:
    if kind == "exact":
        return text
    if kind == "format":
        return text.upper().replace("    ", "\t").replace("\n", "\r\n") + "\n"
    if kind.startswith("edit"):
        return _edited(text, int(kind[4:]) / 100, rng)
    head, _, rest = text.partition("\n")
    if kind == "rename":
        names = sorted(set(re.findall(r"^(\w+):", text, re.M)))
        for i, name in enumerate(names):
            text = text.replace(name, f"sub_{i}_{rng.randrange(10**6)}")
        return re.sub(
            r"\$[0-9A-F]{4}",
            lambda m: f"${(int(m[0][1:], 16) + 0x100) & 0xFFFF:04X}" if rng.random() < 0.5 else m[0],
            text,
        )
    if kind == "reorder":
        blocks = rest.split("\n\n")
        rng.shuffle(blocks)
        return head + "\n" + "\n\n".join(blocks)
    words = head.split()
    rng.shuffle(words)
    return " ".join(words) + "\n" + rest


def _edited(text: str, share: float, rng: random.Random) -> str:
    parts = re.split(r"(\s+)", text)
    places = [i for i, p in enumerate(parts) if p.strip()]
    for i in rng.sample(places, max(1, int(len(places) * share))):
        parts[i] = rng.choice(WORDS)
    return "".join(parts)


FORMS = (
    "What does register ${0:04X} do? Register ${0:04X} sets the layer offset through bit {1} when it is written.",
    "Explain the hardware register ${0:04X}. It sets the layer offset through bit {1} on every write to it.",
    "I want to change the offset; which register? Write the low byte to ${0:04X}, bit {1} enables it.",
    "Bit {1} of ${0:04X} is set. What happens next? The layer offset in it is used by the screen from there on.",
    "Name the purpose of ${0:04X} in one line. ${0:04X}: the layer offset register, its bit {1} turns it on.",
)
TAIL = (
    " Writes are only safe while the screen is blanked or between two frames, because the picture unit reads the same"
    " value during each line, and a change in the middle of one shows as a torn line that moves with the camera."
)


def facts() -> list[str]:
    """Two hundred statements of forty register facts: alike in words, different in what they say."""
    return [form.format(register, register % 8) + TAIL for register in range(0x2100, 0x2128) for form in FORMS]
