"""Ways to make a working program slower or longer without changing what it does: each is undone by one idea."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Final

from afs.domains.snes.tasks.program_builder import TypedProgram

Waste = Callable[[TypedProgram, random.Random], "str | None"]


def _lines(made: TypedProgram) -> list[str]:
    return made.code.rstrip("\n").split("\n")


def _insert(made: TypedProgram, rng: random.Random, after: str, new: Callable[[str], str]) -> str | None:
    """Put a line after one that matches."""
    lines = _lines(made)
    hits = [at for at, line in enumerate(lines) if re.match(rf"\s*{after}", line)]
    if not hits:
        return None
    at = rng.choice(hits)
    return "\n".join([*lines[: at + 1], f"    {new(lines[at].strip())}", *lines[at + 1 :]]) + "\n"


def _replace(made: TypedProgram, rng: random.Random, old: str, new: Callable[[re.Match[str]], str]) -> str | None:
    """Spell a line that matches in more lines."""
    lines = _lines(made)
    hits = [(at, match) for at, line in enumerate(lines) if (match := re.fullmatch(rf"\s*{old}", line))]
    if not hits:
        return None
    at, match = rng.choice(hits)
    more = [f"    {line}" for line in new(match).split("\n")]
    return "\n".join([*lines[:at], *more, *lines[at + 1 :]]) + "\n"


def _reload(made: TypedProgram, rng: random.Random) -> str | None:
    """What was stored is loaded again; never from a register, most of which cannot be read."""
    return _insert(made, rng, r"sta \$(?![2-5][0-9A-F]{3}$)[0-9A-F]+$", lambda line: line.replace("sta", "lda"))


def _compare_zero(made: TypedProgram, rng: random.Random) -> str | None:
    lines = _lines(made)
    wide = made.contract.m == 16 or any("rep #$2" in line or "rep #$3" in line for line in lines[:2])
    return _insert(made, rng, r"(?:lda|and|ora|eor) ", lambda _: f"cmp #${'0000' if wide else '00'}")


def _dead_load(made: TypedProgram, rng: random.Random) -> str | None:
    lines = _lines(made)
    hits = [at for at, line in enumerate(lines) if re.match(r"\s*lda [$#]", line)]
    if not hits:
        return None
    at = rng.choice(hits)
    return "\n".join([*lines[:at], lines[at], *lines[at:]]) + "\n"


def _long_address(made: TypedProgram, rng: random.Random) -> str | None:
    return _replace(
        made, rng, r"(lda|sta|adc|sbc|and|ora|eor|cmp) \$([0-9A-F]{2,4})", lambda m: f"{m[1]} $7E{m[2]:0>4}"
    )


def _absolute_address(made: TypedProgram, rng: random.Random) -> str | None:
    return _replace(made, rng, r"(lda|sta|adc|sbc|and|ora|eor|cmp|stz|inc|dec|asl|lsr|ldx|stx) \$([0-9A-F]{2})",
                    lambda m: f"{m[1]} $00{m[2]}")  # fmt: skip


def _push_pull(made: TypedProgram, rng: random.Random) -> str | None:
    return _insert(made, rng, r"(?:lda|adc|sbc|and|ora|eor|asl|lsr) ", lambda _: "pha\n    pla")


def _twice_flag(made: TypedProgram, rng: random.Random) -> str | None:
    return _insert(made, rng, r"(?:clc|sec)$", lambda line: line)


def _spelled_clear(made: TypedProgram, rng: random.Random) -> str | None:
    wide = made.contract.m == 16
    return _replace(made, rng, r"stz (\$[0-9A-F]+)", lambda m: f"lda #${'0000' if wide else '00'}\nsta {m[1]}")


def _spelled_step(made: TypedProgram, rng: random.Random) -> str | None:
    wide = made.contract.m == 16
    one = "0001" if wide else "01"
    return _replace(made, rng, r"(inc|dec) (\$[0-9A-F]+|a)", lambda m: _stepped(m[1], m[2], one))


def _stepped(step: str, what: str, one: str) -> str:
    work = f"clc\nadc #${one}" if step == "inc" else f"sec\nsbc #${one}"
    return work if what == "a" else f"lda {what}\n{work}\nsta {what}"


def _width_flip(made: TypedProgram, rng: random.Random) -> str | None:
    lines = _lines(made)
    narrow = made.contract.m == 8
    pair = ["    rep #$20", "    sep #$20"] if narrow else ["    sep #$20", "    rep #$20"]
    return "\n".join([*pair, *lines]) + "\n"


def _branch_next(made: TypedProgram, rng: random.Random) -> str | None:
    lines = _lines(made)
    at = rng.randrange(1, len(lines))
    return "\n".join([*lines[:at], "    bra onward", "onward:", *lines[at:]]) + "\n"


def _through_index(made: TypedProgram, rng: random.Random) -> str | None:
    wide_a, wide_x = made.contract.m == 16, made.contract.x == 16
    if wide_a != wide_x or "x" in re.sub(r"xba|txa", "", made.code) or "rep" in made.code or "sep" in made.code:
        return None
    return _insert(made, rng, r"(?:lda|adc|sbc|and|ora|eor) ", lambda _: "tax\n    txa")


WASTES: Final[Mapping[str, Waste]] = {
    "reload": _reload,
    "compare-zero": _compare_zero,
    "dead-load": _dead_load,
    "long-address": _long_address,
    "absolute-address": _absolute_address,
    "push-pull": _push_pull,
    "twice-flag": _twice_flag,
    "spelled-clear": _spelled_clear,
    "spelled-step": _spelled_step,
    "width-flip": _width_flip,
    "branch-next": _branch_next,
    "through-index": _through_index,
}
"""Kinds of waste."""
