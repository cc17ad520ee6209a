"""Explain hardware and code: questions of fact with known answers, and traces answered by running the code."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final, Literal

from afs.domains.snes.assembled_routine import measure
from afs.domains.snes.contract import Contract
from afs.domains.snes.knowledge.fact_grader import FactQuestion
from afs.domains.snes.knowledge.fact_questions import KINDS, draw_questions
from afs.domains.snes.task_specs import FactSpec, NumberSpec
from afs.domains.snes.tasks import Make
from afs.domains.snes.tasks.programs import PROGRAMS, draw_program
from afs.domains.snes.tasks.task_builder import fence_code, make_task
from afs.errors import DataError
from afs.types import Task

_ASKS: Final = (
    "What does {register} hold after this code? It starts in native mode with {start}.",
    "Trace this 65816 code by hand: what is in {register} at the end? At the start: {start}.",
    "Starting from {start}, which value is in {register} after the code has run?",
    "Step through the code below ({start} at the start) and give the final value of {register}.",
    "Given {start}, work out {register} after the last instruction.",
)
_CLOSE: Final = (" Answer in hexadecimal with a $.", " Give the value as $hex.", " One hex value ($..), please.")
_LINES: Final[Mapping[str, tuple[str, ...]]] = {
    "arithmetic": ("clc\nadc #{n}", "sec\nsbc #{n}", "adc #{n}", "inc a", "dec a", "asl a", "lsr a", "eor #{f}\ninc a"),
    "logic": ("and #{n}", "ora #{n}", "eor #{n}", "asl a", "lsr a", "rol a", "ror a", "eor #{f}"),
    "stack": (
        "pha\nlda #{n}\npla",
        "pha\nlda #{n}\nclc\nadc $01,s\nplx",
        "tax\nlda #{n}\ntxa",
        "tay\ninc a\ntya\nlsr a",
    ),
    "exchange": ("xba", "sep #$20\ninc a\nrep #$20", "xba\nasl a", "and #$FF00\nxba", "eor #{n}\nxba", "lsr a"),
    "branches": (
        "cmp #{n}\nbcc +\nlda #{n}\n+",
        "bit #{n}\nbeq +\nasl a\n+",
        "cmp #{n}\nbne +\ninc a\n+",
        "lsr a\nbcc +\ninc a\n+",
    ),
    "index": ("tax\ninx\ntxa", "tay\ndey\ntya", "tax\ndex\ndex\ntxa\nasl a", "ldx #{n}\ntxa\nlsr a"),
}


def _fact_family(kind: str) -> Make:
    def make(rng: random.Random) -> Task:
        question = next(iter(draw_questions(rng.getrandbits(48), 1, (kind,))))
        group = f"explain/{kind}/{question.subject}"
        spec = FactSpec(question=question)
        return make_task(f"explain/{kind}", question.prompt, question.answer, spec, group=group)

    return make


def _trace_family(name: str) -> Make:
    def make(rng: random.Random) -> Task | None:
        wide = name == "exchange" or rng.random() < 0.5
        digits, top = (4, 0xFFFF) if wide else (2, 0xFF)
        steps = [f"lda #${rng.randint(1, top):0{digits}X}", "clc"]
        for line in rng.choices(_LINES[name], k=rng.randint(2, 4)):
            value = f"${rng.randint(1, top):0{digits}X}"
            steps += line.format(n=value, f=f"${top:0{digits}X}").split("\n")
        code = "".join(line + "\n" if line == "+" else f"    {line}\n" for line in steps)
        width: Literal[8, 16] = 16 if wide else 8
        contract = Contract(m=width, x=width, ends="end", db=0)
        try:
            value_at_end = measure(code, contract, "register", "a")
        except DataError:
            return None
        start = f"A and X/Y {width}-bit, D = $0000"
        asks = rng.choice(_ASKS).format(register="A", start=start) + rng.choice(_CLOSE)
        spec = NumberSpec(value=value_at_end, base=16, code=code, contract=contract, asks="register", register="a")
        prompt = f"{asks}\n\n{fence_code(code)}"
        return make_task(f"explain/trace-{name}", prompt, f"${value_at_end:0{digits}X}", spec, about=code)

    return make


_EFFECTS: Final = (
    "What does this 65816 routine do?",
    "Which sentence describes this routine?",
    "Read the code and say what it is for.",
    "A comment is missing above this routine. Which one fits?",
)


def _effect_family(name: str) -> Make:
    """Choose the right description of a routine among those of others."""

    def make(rng: random.Random) -> Task:
        seed = rng.getrandbits(32)  # one for all, so that the wrong descriptions speak of the same cells
        routine = draw_program(name, random.Random(seed))
        others = [
            draw_program(other, random.Random(seed)).goal for other in rng.sample([n for n in PROGRAMS if n != name], 3)
        ]
        goals = [routine.goal, *others]
        rng.shuffle(goals)
        letter = "ABCD"[goals.index(routine.goal)]
        options = "\n".join(f"{mark}) {goal}" for mark, goal in zip("ABCD", goals, strict=True))
        number = rng.randrange(len(_EFFECTS))
        width = f"A {routine.contract.m}-bit, X/Y {routine.contract.x}-bit on entry"
        prompt = f"{_EFFECTS[number]} ({width})\n\n{fence_code(routine.code)}\n\n{options}\n\nAnswer with the letter."
        question = FactQuestion(
            kind="effect",
            phrase=f"effect/{number}",
            subject=name,
            prompt=prompt,
            answer=f"{letter}) {routine.goal}",
            letter=letter,
        )
        return make_task(
            f"explain/effect-{name}", prompt, question.answer, FactSpec(question=question), about=routine.code
        )

    return make


FAMILIES: Final[Mapping[str, Make]] = {
    **{kind: _fact_family(kind) for kind in KINDS},
    **{f"trace-{name}": _trace_family(name) for name in _LINES},
    **{f"effect-{name}": _effect_family(name) for name in PROGRAMS},
}
"""One family per kind of fact, per kind of trace, and per program to be recognized."""
