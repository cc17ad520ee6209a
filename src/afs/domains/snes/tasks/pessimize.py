"""Ways to make a working program slower or longer without changing what it does: each is undone by one idea."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Final

from afs.domains.snes.tasks.program_builder import TypedProgram

Waste = Callable[[TypedProgram, random.Random], "str | None"]


def _split_lines(routine: TypedProgram) -> list[str]:
    return routine.code.rstrip("\n").split("\n")


def _insert_after(routine: TypedProgram, rng: random.Random, after: str, new: Callable[[str], str]) -> str | None:
    """Put a line after one that matches."""
    lines = _split_lines(routine)
    hits = [at for at, line in enumerate(lines) if re.match(rf"\s*{after}", line)]
    if not hits:
        return None
    at = rng.choice(hits)
    return "\n".join([*lines[: at + 1], f"    {new(lines[at].strip())}", *lines[at + 1 :]]) + "\n"


def _replace_line(
    routine: TypedProgram, rng: random.Random, old: str, new: Callable[[re.Match[str]], str]
) -> str | None:
    """Spell a line that matches in more lines."""
    lines = _split_lines(routine)
    hits = [(at, match) for at, line in enumerate(lines) if (match := re.fullmatch(rf"\s*{old}", line))]
    if not hits:
        return None
    at, match = rng.choice(hits)
    more = [f"    {line}" for line in new(match).split("\n")]
    return "\n".join([*lines[:at], *more, *lines[at + 1 :]]) + "\n"


def _reload(routine: TypedProgram, rng: random.Random) -> str | None:
    """What was stored is loaded again; never from a register, most of which cannot be read."""
    return _insert_after(
        routine, rng, r"sta \$(?![2-5][0-9A-F]{3}$)[0-9A-F]+$", lambda line: line.replace("sta", "lda")
    )


def _compare_zero(routine: TypedProgram, rng: random.Random) -> str | None:
    lines = _split_lines(routine)
    wide = routine.contract.m == 16 or any("rep #$2" in line or "rep #$3" in line for line in lines[:2])
    return _insert_after(routine, rng, r"(?:lda|and|ora|eor) ", lambda _: f"cmp #${'0000' if wide else '00'}")


def _dead_load(routine: TypedProgram, rng: random.Random) -> str | None:
    lines = _split_lines(routine)
    hits = [at for at, line in enumerate(lines) if re.match(r"\s*lda [$#]", line)]
    if not hits:
        return None
    at = rng.choice(hits)
    return "\n".join([*lines[:at], lines[at], *lines[at:]]) + "\n"


def _long_address(routine: TypedProgram, rng: random.Random) -> str | None:
    return _replace_line(
        routine, rng, r"(lda|sta|adc|sbc|and|ora|eor|cmp) \$([0-9A-F]{2,4})", lambda m: f"{m[1]} $7E{m[2]:0>4}"
    )


def _absolute_address(routine: TypedProgram, rng: random.Random) -> str | None:
    return _replace_line(
        routine,
        rng,
        r"(lda|sta|adc|sbc|and|ora|eor|cmp|stz|inc|dec|asl|lsr|ldx|stx) \$([0-9A-F]{2})",
        lambda m: f"{m[1]} $00{m[2]}",
    )


def _push_pull(routine: TypedProgram, rng: random.Random) -> str | None:
    return _insert_after(routine, rng, r"(?:lda|adc|sbc|and|ora|eor|asl|lsr) ", lambda _: "pha\n    pla")


def _twice_flag(routine: TypedProgram, rng: random.Random) -> str | None:
    return _insert_after(routine, rng, r"(?:clc|sec)$", lambda line: line)


def _spelled_clear(routine: TypedProgram, rng: random.Random) -> str | None:
    wide = routine.contract.m == 16
    return _replace_line(routine, rng, r"stz (\$[0-9A-F]+)", lambda m: f"lda #${'0000' if wide else '00'}\nsta {m[1]}")


def _spelled_step(routine: TypedProgram, rng: random.Random) -> str | None:
    wide = routine.contract.m == 16
    one = "0001" if wide else "01"
    return _replace_line(routine, rng, r"(inc|dec) (\$[0-9A-F]+|a)", lambda m: _spell_step(m[1], m[2], one))


def _spell_step(step: str, what: str, one: str) -> str:
    work = f"clc\nadc #${one}" if step == "inc" else f"sec\nsbc #${one}"
    return work if what == "a" else f"lda {what}\n{work}\nsta {what}"


def _width_flip(routine: TypedProgram, rng: random.Random) -> str | None:
    lines = _split_lines(routine)
    narrow = routine.contract.m == 8
    pair = ["    rep #$20", "    sep #$20"] if narrow else ["    sep #$20", "    rep #$20"]
    return "\n".join([*pair, *lines]) + "\n"


def _branch_next(routine: TypedProgram, rng: random.Random) -> str | None:
    lines = _split_lines(routine)
    at = rng.randrange(1, len(lines))
    return "\n".join([*lines[:at], "    bra onward", "onward:", *lines[at:]]) + "\n"


def _through_index(routine: TypedProgram, rng: random.Random) -> str | None:
    wide_a, wide_x = routine.contract.m == 16, routine.contract.x == 16
    if (
        wide_a != wide_x
        or "x" in re.sub(r"xba|txa", "", routine.code)
        or "rep" in routine.code
        or "sep" in routine.code
    ):
        return None
    return _insert_after(routine, rng, r"(?:lda|adc|sbc|and|ora|eor) ", lambda _: "tax\n    txa")


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
