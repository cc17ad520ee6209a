"""Explain hardware and code: questions of fact with known answers, and traces answered by running the code."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final, Literal

from afs.domains.snes.contract import Contract
from afs.domains.snes.knowledge import KINDS, questions
from afs.domains.snes.routine import measure
from afs.domains.snes.specs import FactSpec, NumberSpec
from afs.domains.snes.tasks import Make
from afs.domains.snes.tasks.making import fenced, make_task
from afs.errors import DataError
from afs.types import Task

_ASKS: Final = (
    "What does {register} hold after this code? It starts in native mode with {start}.",
    "Trace this 65816 code by hand: what is in {register} at the end? At the start: {start}.",
    "Starting from {start}, which value is in {register} when the code has run?",
    "Step through the code below ({start} at the start) and give the final value of {register}.",
    "Given {start}, work out {register} after the last instruction.",
)
_CLOSE: Final = (" Answer in hexadecimal with a $.", " Give the value as $hex.", " One hex value ($..), please.")
_LINES: Final[Mapping[str, tuple[str, ...]]] = {
    "arithmetic": ("clc\nadc #{n}", "sec\nsbc #{n}", "adc #{n}", "inc a", "dec a", "asl a", "lsr a", "eor #{f}\ninc a"),
    "logic": ("and #{n}", "ora #{n}", "eor #{n}", "asl a", "lsr a", "rol a", "ror a", "eor #{f}"),
    "stack": ("pha\nlda #{n}\npla", "pha\nlda #{n}\nclc\nadc $01,s\nplx",
        "tax\nlda #{n}\ntxa", "tay\ninc a\ntya\nlsr a"),
    "exchange": ("xba", "sep #$20\ninc a\nrep #$20", "xba\nasl a", "and #$FF00\nxba", "eor #{n}\nxba", "lsr a"),
    "branches": ("cmp #{n}\nbcc +\nlda #{n}\n+", "bit #{n}\nbeq +\nasl a\n+", "cmp #{n}\nbne +\ninc a\n+",
        "lsr a\nbcc +\ninc a\n+"),
    "index": ("tax\ninx\ntxa", "tay\ndey\ntya", "tax\ndex\ndex\ntxa\nasl a", "ldx #{n}\ntxa\nlsr a"),
}  # fmt: skip


def _facts(kind: str) -> Make:
    def make(rng: random.Random) -> Task:
        question = next(iter(questions(rng.getrandbits(48), 1, (kind,))))
        group = f"explain/{kind}/{question.subject}"
        spec = FactSpec(question=question)
        return make_task(f"explain/{kind}", question.prompt, question.answer, spec, group=group)

    return make


def _trace(name: str) -> Make:
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
        prompt = f"{asks}\n\n{fenced(code)}"
        return make_task(f"explain/trace-{name}", prompt, f"${value_at_end:0{digits}X}", spec, about=code)

    return make


FAMILIES: Final[Mapping[str, Make]] = {
    **{kind: _facts(kind) for kind in KINDS},
    **{f"trace-{name}": _trace(name) for name in _LINES},
}
"""One family per kind of fact and per kind of trace."""
