"""Tiny tasks with short prompts and short answers, for models of a million parameters: each generalizes over constants.

A group holds the tasks of some constants, so that the held-out side asks for constants never seen together in training.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final, NamedTuple

from afs.domains.snes.assembled_routine import measure
from afs.domains.snes.contract import Contract, Range
from afs.domains.snes.knowledge.fact_grader import FactQuestion
from afs.domains.snes.knowledge.registers import list_registers
from afs.domains.snes.task_specs import FactSpec, NumberSpec, RoutineSpec
from afs.domains.snes.tasks import Make
from afs.domains.snes.tasks.task_builder import make_task
from afs.types import Task, digest

_CASES: Final = 64


class _Idea(NamedTuple):
    """A tiny routine: `{a}`, `{b}`, `{c}` are direct-page bytes, `{n}` a byte, `{w}` a word."""

    asks: tuple[str, ...]
    code: str
    reads: str
    writes: str
    size: int = 1


_IDEAS: Final[Mapping[str, _Idea]] = {
    "store": _Idea(
        ("store ${n} at ${a}", "put ${n} in ${a}", "write ${n} to ${a}", "set ${a} to ${n}"),
        "lda #${n} : sta ${a}",
        "",
        "a",
    ),
    "copy": _Idea(
        ("copy ${a} to ${b}", "move ${a} to ${b}", "set ${b} to the byte at ${a}"),
        "lda ${a} : sta ${b}",
        "a",
        "b",
    ),
    "clear": _Idea(
        ("clear ${a} and ${b}", "zero ${a} and ${b}", "set ${a} and ${b} to zero"),
        "stz ${a} : stz ${b}",
        "",
        "ab",
    ),
    "add": _Idea(
        ("add ${n} to ${a}", "increase ${a} by ${n}", "to ${a} add ${n}"),
        "lda ${a} : clc : adc #${n} : sta ${a}",
        "a",
        "a",
    ),
    "subtract": _Idea(
        ("subtract ${n} from ${a}", "decrease ${a} by ${n}", "take ${n} from ${a}"),
        "lda ${a} : sec : sbc #${n} : sta ${a}",
        "a",
        "a",
    ),
    "sum": _Idea(
        ("add ${a} and ${b} into ${c}", "sum of ${a} and ${b} to ${c}", "set ${c} to ${a} plus ${b}"),
        "lda ${a} : clc : adc ${b} : sta ${c}",
        "ab",
        "c",
    ),
    "keep": _Idea(
        ("keep bits ${n} of ${a}", "mask ${a} with ${n}", "and ${a} with ${n}"),
        "lda ${a} : and #${n} : sta ${a}",
        "a",
        "a",
    ),
    "flip": _Idea(
        ("flip bits ${n} of ${a}", "toggle ${n} in ${a}", "xor ${a} with ${n}"),
        "lda ${a} : eor #${n} : sta ${a}",
        "a",
        "a",
    ),
    "word": _Idea(
        ("store word ${w} at ${a}", "put word ${w} in ${a}", "write word ${w} to ${a}"),
        "rep #$20 : lda #${w} : sta ${a} : sep #$20",
        "",
        "a",
        2,
    ),
    "swap": _Idea(
        ("swap ${a} and ${b}", "exchange ${a} and ${b}"),
        "lda ${a} : ldx ${b} : stx ${a} : sta ${b}",
        "ab",
        "ab",
    ),
}

_FAULTS: Final[Mapping[str, tuple[str, str]]] = {
    "fix-rep": ("word", "rep #$20 : "),
    "fix-sep": ("word", " : sep #$20"),
    "fix-carry": ("add", "clc : "),
    "fix-borrow": ("subtract", "sec : "),
    "fix-sum": ("sum", "clc : "),
}
"""Family -> the idea, and what is missing in its code."""


def _draw(rng: random.Random) -> dict[str, str]:
    """Constants: three bytes of the direct page that are not neighbors, a byte, a word."""
    cells = [f"{2 * cell:02X}" for cell in rng.sample(range(8, 127), 3)]
    word = rng.randint(0x1000, 0xFFFF)
    return {**dict(zip("abc", cells, strict=True)), "n": f"{rng.randint(2, 0xFE):02X}", "w": f"{word:04X}"}


def _build_contract(idea: _Idea, values: Mapping[str, str]) -> Contract:
    ranges = {name: Range(start=int(values[name], 16), size=idea.size) for name in "abc"}
    return Contract(
        m=8,
        x=8,
        exit_m=8,
        exit_x=8,
        reads=tuple(ranges[name] for name in idea.reads),
        writes=tuple(ranges[name] for name in idea.writes),
        clobbers=("a", "x", "y", "flags"),
        ends="end",
        db=0,
    )


def _group_of(family: str, idea: _Idea, values: Mapping[str, str]) -> str:
    used = sorted(value for name, value in values.items() if f"{{{name}}}" in idea.code)
    return f"{family}/{int(digest(used)[:8], 16) % _CASES}"


def _routine_family(name: str) -> Make:
    idea, family = _IDEAS[name], f"tiny/{name}"

    def make(rng: random.Random) -> Task:
        values = _draw(rng)
        code = idea.code.format(**values)
        spec = RoutineSpec(code=code, contract=_build_contract(idea, values))
        prompt = rng.choice(idea.asks).format(**values)
        return make_task(family, prompt, code, spec, group=_group_of(family, idea, values))

    return make


def _repair_family(name: str) -> Make:
    idea_name, missing = _FAULTS[name]
    idea, family = _IDEAS[idea_name], f"tiny/{name}"

    def make(rng: random.Random) -> Task:
        values = _draw(rng)
        code = idea.code.format(**values)
        faulty = code.replace(missing, "", 1)
        prompt = f"{idea.asks[0].format(**values)} fix {faulty}"
        spec = RoutineSpec(code=code, contract=_build_contract(idea, values), faulty=faulty)
        return make_task(family, prompt, code, spec, group=_group_of(family, idea, values))

    return make


_STEPS: Final = (
    "lda ${a}",
    "lda #${n}",
    "sta ${b}",
    "stz ${c}",
    "inc ${a}",
    "clc",
    "adc #${n}",
    "nop",
    "tax",
    "pha : pla",
)
_COUNTS: Final = ("cycles of {}", "count cycles {}")


def _cycles(rng: random.Random) -> Task:
    steps = rng.choices(_STEPS, k=rng.randint(2, 4))
    code = " : ".join(steps).format(**_draw(rng))
    contract = Contract(m=8, x=8, ends="end", db=0)
    value = measure(code, contract, "cycles")
    spec = NumberSpec(value=value, code=code, contract=contract, asks="cycles")
    return make_task("tiny/cycles", rng.choice(_COUNTS).format(code), str(value), spec)


_NAMES: Final = (
    "name of ${}",
    "which register is ${}",
    "what is ${}",
    "${} is called",
    "register at ${}",
    "name ${}",
    "what lies at ${}",
    "which name has ${}",
)
_PLACES: Final = ("address of {}", "where is {}", "find {}", "{} is at", "which address has {}", "place of {}")


def _register(rng: random.Random) -> Task:
    one = rng.choice([r for r in list_registers() if r.space == "cpu" and r.channel < 0])
    forwards = rng.random() < 0.5
    number = rng.randrange(len(_NAMES if forwards else _PLACES))
    prompt = _NAMES[number].format(f"{one.address:04X}") if forwards else _PLACES[number].format(one.name)
    answer = one.name if forwards else one.hexa
    question = FactQuestion(
        kind="name" if forwards else "address",
        phrase=f"tiny/{'name' if forwards else 'address'}/{number}",
        subject=one.hexa,
        prompt=prompt,
        answer=answer,
        accept=((one.name, *one.aliases),) if forwards else ((one.hexa,),),
        exclusive="register" if forwards else "address",
    )
    group = f"tiny/register/{int(digest((one.name, question.phrase))[:8], 16) % _CASES}"
    return make_task("tiny/register", prompt, answer, FactSpec(question=question), group=group)


FAMILIES: Final[Mapping[str, Make]] = {
    **{name: _routine_family(name) for name in _IDEAS},
    **{name: _repair_family(name) for name in _FAULTS},
    "cycles": _cycles,
    "register": _register,
}
"""Families of tiny tasks."""
