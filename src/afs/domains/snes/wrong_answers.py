"""Wrong answers by kind, for measuring whether `check` rejects them: prose, echoes, and code with one thing amiss.

Faults in code that happen to change nothing (a constant that does not matter) are not wrong; they are sorted out here
by a search of their own, over more start states and another seed than `check` uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from afs.domains.snes import answer_parsing
from afs.domains.snes.assembled_routine import UnfitCode, machine_code
from afs.domains.snes.equivalence import equal
from afs.domains.snes.knowledge import fact_questions
from afs.domains.snes.task_specs import (
    ORIGIN,
    BytesSpec,
    FactSpec,
    NumberSpec,
    PatchSpec,
    RoutineSpec,
    SourceSpec,
    parse_spec,
)
from afs.types import Task

_STATES: Final = 2048
_SEED: Final = 77
_PROSE: Final = "Load the value into the accumulator, take care of the register widths, store the result and return."
_MNEMONIC_SWAPS: Final = {
    "adc": "sbc",
    "sbc": "adc",
    "asl": "lsr",
    "lsr": "asl",
    "and": "ora",
    "ora": "and",
    "eor": "and",
    "inc": "dec",
    "dec": "inc",
    "beq": "bne",
    "bne": "beq",
    "bcc": "bcs",
    "bcs": "bcc",
    "bpl": "bmi",
    "bmi": "bpl",
    "sta": "ora",
    "stz": "lda",
    "trb": "tsb",
    "tsb": "trb",
    "rol": "asl",
    "ror": "lsr",
}


def plant_wrong_answers(task: Task) -> Iterator[tuple[str, str]]:
    """(kind, answer) pairs that must be rejected."""
    yield "empty", ""
    yield "prose", _PROSE
    yield "echo", task.prompt
    spec = parse_spec(task)
    if isinstance(spec, FactSpec):
        yield from (
            (kind, text)
            for kind, text in fact_questions.plant_wrong_answers(spec.question)
            if kind not in ("empty", "prose")
        )
    elif isinstance(spec, NumberSpec):
        yield "off-by-one", str(spec.value + 1)
        yield "two-numbers", f"{spec.value} or {spec.value + 2}"
    elif isinstance(spec, BytesSpec):
        yield "off-by-one", _change_last_byte(task.reference)
        yield "short", " ".join(task.reference.split()[:-1]) or "00"
    elif isinstance(spec, (SourceSpec, PatchSpec)):
        yield from _plant_broken_code(task, None)
    elif isinstance(spec, RoutineSpec):
        yield from _plant_broken_code(task, spec)
        if spec.faulty:
            yield "unfixed", _replace_code(task.reference, spec.faulty)
        if spec.want:
            yield "not-cheaper", _replace_code(task.reference, f"    nop\n{spec.code}")
        if spec.category:
            yield "undiagnosed", re.sub(r"\*\*[^*]*\*\*", "", task.reference, count=1)


def _change_last_byte(text: str) -> str:
    last = text.split()[-1]
    return text[: text.rindex(last)] + f"{int(last, 16) ^ 1:02X}"


def _find_code(reference: str) -> str:
    """The last block of code of a reference."""
    blocks = [block for block in answer_parsing.find_blocks(reference) if block.kind == "code"]
    return blocks[-1].text if blocks else reference


def _replace_code(reference: str, code: str) -> str:
    old = _find_code(reference)
    at = reference.rindex(old)
    return reference[:at] + code.rstrip("\n") + ("\n" if old.endswith("\n") else "") + reference[at + len(old) :]


def _plant_broken_code(task: Task, spec: RoutineSpec | None) -> Iterator[tuple[str, str]]:
    code = _find_code(task.reference)
    for kind, spoil in _SPOILS.items():
        if spec is None and kind == "wrong-operation":
            continue  # a port that already holds the right value forgives it
        worse = spoil(code)
        if worse is not None and worse != code and (spec is None or _is_wrong(spec, worse)):
            yield kind, _replace_code(task.reference, worse)


def _is_wrong(spec: RoutineSpec, code: str) -> bool:
    """Whether spoiled code breaks the contract on some state; what does not assemble is wrong anyway."""
    try:
        spoiled = machine_code(code)
    except UnfitCode:
        return True
    result = equal(machine_code(spec.code), spoiled, spec.contract, origin=ORIGIN, states=_STATES, seed=_SEED)
    return not result.same and result.at_fault == "candidate"


# --- ways to spoil code ----------------------------------------------------------------------------------------------


def _split_statements(code: str) -> list[str]:
    return re.split(r"( : |\n)", code)


def _spoil_constant(code: str) -> str | None:
    """Add one to the last constant."""
    found = list(re.finditer(r"\$([0-9A-Fa-f]+)", code))
    if not found:
        return None
    last = found[-1] if len(found) < 2 or not re.search(r"(?:rep|sep)\s+#$", code[: found[-1].start()]) else found[-2]
    digits = last[1]
    value = (int(digits, 16) + 1) % 16 ** len(digits)
    return f"{code[: last.start()]}${value:0{len(digits)}X}{code[last.end() :]}"


def _drop_statement(pattern: str) -> Callable[[str], str | None]:
    """Leave out the last statement that matches."""

    def spoil(code: str) -> str | None:
        parts = _split_statements(code)
        hits = [at for at, part in enumerate(parts) if re.match(rf"\s*(?:{pattern})\b", part, re.I)]
        if not hits:
            return None
        at = hits[-1]
        gone = parts[:at] + parts[at + 2 :] if at + 1 < len(parts) else parts[: max(at - 1, 0)]
        return "".join(gone)

    return spoil


def _swap_mnemonic(code: str) -> str | None:
    """Another mnemonic in the first place where that matters."""
    for match in re.finditer(r"\b([a-z]{3})\b", code):
        if match[1] in _MNEMONIC_SWAPS:
            return code[: match.start()] + _MNEMONIC_SWAPS[match[1]] + code[match.end() :]
    return None


def _return_early(code: str) -> str | None:
    """Return before anything is done."""
    leave = re.search(r"\b(rts|rtl)\b", code)
    return f"    {leave[1]}\n{code}" if leave else None


def _delete_all(code: str) -> str | None:
    """Nothing but the return."""
    leave = re.search(r"\b(rts|rtl)\b", code)
    return f"    {leave[1]}\n" if leave else "nop"


def _comment_out(code: str) -> str | None:
    """Every word of the answer, none of its effect."""
    leave = re.search(r"\b(rts|rtl)\b", code)
    return "".join(f"; {line}\n" for line in code.splitlines()) + f"    {leave[1] if leave else 'nop'}\n"


_SPOILS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "off-by-one": _spoil_constant,
    "missing-sep": _drop_statement("sep|rep"),
    "missing-store": _drop_statement("sta|stx|sty|stz|tsb|trb"),
    "wrong-operation": _swap_mnemonic,
    "early-return": _return_early,
    "deleted": _delete_all,
    "commented-out": _comment_out,
    "missing-return": _drop_statement("rts|rtl"),
}
