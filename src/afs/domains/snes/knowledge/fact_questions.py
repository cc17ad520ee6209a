"""Questions of fact with known answers, in both directions and many wordings; the same for the same seed.

Grading is in `grade`; what a task makes of a question is the affair of the task families.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from afs.domains.snes.knowledge.fact_grader import FactQuestion
from afs.domains.snes.knowledge.memory_and_header_facts import MAPS, list_header_fields, list_map_regions, list_vectors
from afs.domains.snes.knowledge.registers import Register, find_register, list_registers

CLASSIC: Final = ("INIDISP", "VMAIN", "CGADD", "MDMAEN", "NMITIMEN", "HDMAEN", "VMDATAL", "CGDATA", "OAMADDL", "BGMODE")
"""Registers that models take for one another."""

_CLOCKS: Final = ("clocks", "clock", "master", "cycles", "cycle")
_ACCESS: Final = {"r": "read-only", "w": "write-only", "rw": "read/write"}
_WHEN: Final = {
    "any": ("any time", (("any-time",),), ("h-blank", "v-blank", "forced")),
    "blank": ("in any blanking: v-blank, h-blank and forced blank", (("h-blank",), ("v-blank",)), ("any-time",)),
    "vblank": ("only in v-blank and forced blank", (("v-blank",), ("forced",)), ("any-time", "h-blank")),
}


@cache
def list_phrases() -> dict[str, tuple[str, ...]]:
    """Wordings by kind."""
    table = tomllib.loads(Path(__file__).with_name("phrases.toml").read_text("utf-8"))
    return msgspec.convert(table, dict[str, tuple[str, ...]])


def draw_questions(seed: int, n: int, kinds: Sequence[str] = ()) -> Iterator[FactQuestion]:
    """`n` questions, the kinds in turn."""
    rng = random.Random(f"facts/{seed}")
    chosen = tuple(kinds) or KINDS
    for number in range(n):
        yield _KINDS[chosen[number % len(chosen)]](rng)


def plant_wrong_answers(question: FactQuestion) -> Iterator[tuple[str, str]]:
    """Wrong answers that `grade` must reject, by kind of fault."""
    yield "empty", ""
    yield "prose", "That depends on how the program uses it; consult the documentation."
    if question.exclusive == "register":
        wrong = _others(question)[0]
        yield "wrong_name", f"It is {wrong}."
        yield "hedge", f"{question.accept[0][0]} or {wrong}"
    elif question.exclusive == "address":
        yield "wrong_address", f"It is at ${0x2100 if question.accept[0][0] != '$2100' else 0x420B:04X}."
    elif question.says:
        yield "opposite", "Yes, that is right." if question.says == "no" else "No, that is wrong."
    elif question.bits:
        high, low = question.bits
        yield "off_by_one", f"Bits {high + 1}-{low + 1}." if high != low else f"Bit {high + 1}."
    elif question.letter:
        yield "other_letter", f"{'ABCDA'['ABCD'.index(question.letter) + 1]})"
    elif question.forbid:
        yield "wrong", f"It is {question.forbid[0]}."
        if question.unit:
            yield "unrelated_number", f"The page lists {question.accept[0][0]} registers. Its speed depends on the map."


def _others(question: FactQuestion) -> list[str]:
    right = {token.upper() for group in question.accept for token in group}
    return [name for name in CLASSIC if name not in right]


def _ask(
    rng: random.Random, kind: str, subject: str, answer: str, values: Mapping[str, str], **rules: object
) -> FactQuestion:
    wordings = list_phrases()[kind]
    number = rng.randrange(len(wordings))
    prompt = wordings[number].format(**values)
    table = {
        "kind": kind,
        "phrase": f"{kind}/{number}",
        "subject": subject,
        "prompt": prompt,
        "answer": answer,
        **rules,
    }
    return msgspec.convert(table, FactQuestion)


def _pick(rng: random.Random) -> Register:
    """A register the CPU sees; the classics come often, the channels seldom."""
    if rng.random() < 0.25:
        return find_register(rng.choice(CLASSIC))
    single = [one for one in list_registers() if one.space == "cpu" and one.channel < 0]
    channels = [one for one in list_registers() if one.space == "cpu" and one.channel >= 0]
    return rng.choice(channels if rng.random() < 0.15 else single)


def _values(one: Register) -> dict[str, str]:
    return {"name": one.name, "address": one.hexa}


def _name(rng: random.Random) -> FactQuestion:
    one = _pick(rng)
    accept = ((one.name, *one.aliases),)
    return _ask(rng, "name", one.hexa, f"{one.hexa} is {one.name}.", _values(one), accept=accept, exclusive="register",
                forbid=_confusable(one))  # fmt: skip


def _address(rng: random.Random) -> FactQuestion:
    one = _pick(rng)
    values = {"name": rng.choice((one.name, one.name, *one.aliases)), "address": one.hexa}
    answer = f"{values['name']} is at {one.hexa}."
    return _ask(rng, "address", one.hexa, answer, values, accept=((one.hexa,),), exclusive="address")


def _confusable(one: Register) -> tuple[str, ...]:
    """Classic confusions and neighbors, the right name left out."""
    near = [
        other.name for other in list_registers() if other.space == "cpu" and 0 < abs(other.address - one.address) <= 2
    ]
    return tuple(dict.fromkeys(name for name in (*CLASSIC, *near) if name != one.name))


def _bit_text(high: int, low: int) -> str:
    return str(high) if high == low else f"{high}-{low}"


def _bit(rng: random.Random) -> FactQuestion:
    one, number = _pick_bits(rng)
    field = one.bits[number]
    text = _bit_text(field.high, field.low)
    values = {**_values(one), "meaning": field.meaning}
    answer = f"Bit{'s' if field.high != field.low else ''} {text}."
    return _ask(rng, "bit", one.hexa, answer, values, bits=(field.high, field.low))


def _pick_bits(rng: random.Random) -> tuple[Register, int]:
    """A register with more than one field, each meaning of which is unlike the others."""
    while True:
        one = _pick(rng)
        meanings = [field.meaning for field in one.bits]
        if len(meanings) > 1 and len(set(meanings)) == len(meanings):
            return one, rng.randrange(len(meanings))


def _options(rng: random.Random, right: str, wrong: Sequence[str]) -> tuple[str, str]:
    """Lettered choices, and the right letter."""
    lines = [right, *rng.sample(sorted(set(wrong) - {right}), 3)]
    rng.shuffle(lines)
    text = "\n".join(f"{letter}) {line}" for letter, line in zip("ABCD", lines, strict=True))
    return text, "ABCD"[lines.index(right)]


def _choice(rng: random.Random) -> FactQuestion:
    one, number = _pick_bits(rng)
    field = one.bits[number]
    others = [other.meaning for reg in list_registers() if reg.area == one.area for other in reg.bits]
    text, letter = _options(rng, field.meaning, others)
    values = {**_values(one), "bit": _bit_text(field.high, field.low), "options": text}
    return _ask(rng, "choice", one.hexa, f"{letter}) {field.meaning}", values, letter=letter)


def _access(rng: random.Random) -> FactQuestion:
    one = _pick(rng)
    word = _ACCESS[one.access]
    both = {"rw": ("both",)}.get(one.access, ())
    wrong = tuple(other for other in (*_ACCESS.values(), "both") if other not in (word, *both))
    answer = f"{one.name} is {word}."
    return _ask(rng, "access", one.hexa, answer, _values(one), accept=((word, *both),), forbid=wrong)


def _twice(rng: random.Random) -> FactQuestion:
    twice = rng.random() < 0.5
    one = rng.choice([r for r in list_registers() if r.space == "cpu" and r.channel < 0 and r.twice == twice])
    says, verb = ("yes", "takes") if twice else ("no", "does not take")
    answer = f"{says.capitalize()}, {one.name} {verb} two accesses."
    return _ask(rng, "twice", one.hexa, answer, _values(one), says=says)


def _when(rng: random.Random) -> FactQuestion:
    when = rng.choice(tuple(_WHEN))
    one = rng.choice([r for r in list_registers() if r.space == "cpu" and r.channel < 0 and r.when == when])
    text, accept, forbid = _WHEN[when]
    return _ask(rng, "when", one.hexa, f"{one.name}: {text}.", _values(one), accept=accept, forbid=forbid)


def _confusion(rng: random.Random) -> FactQuestion:
    one = find_register(rng.choice(CLASSIC)) if rng.random() < 0.7 else _pick(rng)
    if rng.random() < 0.5:
        values = {**_values(one), "wrong": one.name}
        return _ask(rng, "confusion", one.hexa, f"Yes, {one.hexa} is {one.name}.", values, says="yes")
    wrong = find_register(rng.choice(_confusable(one)))
    values = {**_values(one), "wrong": wrong.name}
    answer = f"No, {one.hexa} is {one.name}; {wrong.name} is {wrong.hexa}."
    forbid = tuple(name for name in _confusable(one) if name != wrong.name)
    accept = ((one.name, *one.aliases),)
    return _ask(rng, "confusion", one.hexa, answer, values, says="no", accept=accept, forbid=forbid)


def _purpose(rng: random.Random) -> FactQuestion:
    one = rng.choice([one for one in list_registers() if one.space == "cpu" and one.channel < 0])
    values = {"purpose": one.purpose[0].lower() + one.purpose[1:]}
    answer = f"{one.name} ({one.hexa})."
    accept = ((one.name, *one.aliases, one.hexa),)
    return _ask(rng, "purpose", one.hexa, answer, values, accept=accept, exclusive="register")


def _place(rng: random.Random) -> tuple[str, str, int, int]:
    """(map, address as text, region number, address) of a random place."""
    mapper = rng.choice(MAPS)
    number = rng.choice([n for n, one in enumerate(list_map_regions()) if mapper in one.maps])
    one = list_map_regions()[number]
    low, high = rng.choice(one.banks)
    bank, offset = rng.randint(low, high), rng.randint(one.first, one.last)
    names = {"lorom": "LoROM", "hirom": "HiROM", "exhirom": "ExHiROM"}
    return names[mapper], f"${bank:02X}:{offset:04X}", number, bank << 16 | offset


def _clocks(rng: random.Random) -> FactQuestion:
    name, text, number, address = _place(rng)
    fast = rng.random() < 0.5
    right = list_map_regions()[number].master_clocks(fast)
    wrong = tuple(str(n) for n in (6, 8, 12) if n != right)
    values = {"address": text, "map": name, "fast": "on" if fast else "off"}
    subject = f"${address:06X}"
    rules: dict[str, object] = {"accept": ((str(right),),), "forbid": wrong, "unit": _CLOCKS}
    return _ask(rng, "clocks", subject, f"{right} master clocks.", values, **rules)


def _region(rng: random.Random) -> FactQuestion:
    name, text, number, address = _place(rng)
    one = list_map_regions()[number]
    others = [other.what for other in list_map_regions() if other.kind != one.kind]
    options, letter = _options(rng, one.what, others)
    values = {"address": text, "map": name, "options": options}
    return _ask(rng, "region", f"${address:06X}", f"{letter}) {one.what}", values, letter=letter)


def _header(rng: random.Random) -> FactQuestion:
    one = rng.choice(list_header_fields())
    text = f"${one.address:04X}"
    wrong = tuple(f"${other.address:04X}" for other in list_header_fields() if other.address != one.address)
    return _ask(
        rng, "header", text, f"The {one.name} is at {text}.", {"field": one.name}, accept=((text,),), forbid=wrong
    )


def _vector(rng: random.Random) -> FactQuestion:
    one = rng.choice(list_vectors())
    text = f"${one.address:04X}"
    wrong = tuple(f"${other.address:04X}" for other in list_vectors() if other.address != one.address)
    answer = f"The {one.name} vector is at {text}."
    return _ask(rng, "vector", text, answer, {"field": one.name}, accept=((text,),), forbid=wrong)


_KINDS: Final[dict[str, Callable[[random.Random], FactQuestion]]] = {
    "name": _name,
    "address": _address,
    "bit": _bit,
    "choice": _choice,
    "access": _access,
    "twice": _twice,
    "when": _when,
    "confusion": _confusion,
    "purpose": _purpose,
    "clocks": _clocks,
    "region": _region,
    "header": _header,
    "vector": _vector,
}
KINDS: Final = tuple(_KINDS)
"""Kinds of question, in the order they take turns."""
