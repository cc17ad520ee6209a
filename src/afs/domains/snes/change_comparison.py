"""What a change of a project's source does to the routine it lies in: both versions run from the same start states.

Names that the two pieces use and do not define get the same made-up places in memory; code they call is not there, so
a routine that calls or jumps elsewhere is not run.
"""

from __future__ import annotations

import re
from typing import Final

from afs.domains.base import CHEAPER, DIFFERENT, SAME_EFFECT
from afs.domains.snes import answer_parsing, trial_runs
from afs.domains.snes.isa import MNEMONICS
from afs.domains.snes.question_reading import QuestionReading, read_question
from afs.domains.snes.reply_routine import ReplyRoutine, build_routine
from afs.errors import AfsError

_LABEL: Final = re.compile(r"([A-Za-z_]\w*)(?::(?!:)|[ \t]*(?:;|$))")
_RETURN: Final = re.compile(r"\b(?:rts|rtl)\b", re.I)
_FIRST_PLACE: Final = 0x0400
_STEP: Final = 0x40
_MOST_NAMES: Final = 24


def compare_change(before: str, after: str) -> str:
    """`CHEAPER`, `SAME_EFFECT` or `DIFFERENT`; empty where the routine cannot be run by itself."""
    try:
        return _compare(before, after)
    except AfsError:
        return ""


def _compare(before: str, after: str) -> str:
    routines = cut_routine(before, after)
    if routines is None:
        return ""
    old, new = (_build(source, ()) for source in routines)
    if old is None or new is None:
        return ""
    names = tuple(sorted({*old.missing, *new.missing}))
    if len(names) > _MOST_NAMES or any(_is_jumped_to(name, code) for name in names for code in routines):
        return ""
    if names:
        old, new = (_build(source, names) for source in routines)
    if old is None or new is None or old.not_run or new.not_run:
        return ""
    return _run_both(old, new, _read(routines[0], names))


def _run_both(old: ReplyRoutine, new: ReplyRoutine, reading: QuestionReading) -> str:
    first = trial_runs.run_routine(old.data, trial_runs.possible_contracts(reading, old.ends))
    if not first.cost.holds:
        return ""
    second = trial_runs.run_routine(new.data, iter([first.contract]))
    if not second.cost.holds:
        return DIFFERENT
    found = trial_runs.compare_with_user(first, second, reading)
    if not found.same:
        return DIFFERENT
    was, now = found.equality.original, found.equality.candidate
    if now.cycles.mean == was.cycles.mean:
        return ""  # the changed instructions may never have been reached
    return CHEAPER if now.cycles.mean < was.cycles.mean else SAME_EFFECT


def cut_routine(before: str, after: str) -> tuple[str, str] | None:
    """Both versions of the one routine around all changed lines; None when it is not all there."""
    old, new = before.split("\n"), after.split("\n")
    shorter = min(len(old), len(new))
    head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    tail = next((i for i in range(shorter - head) if old[-1 - i] != new[-1 - i]), shorter - head)
    first = next((i for i in range(head, -1, -1) if i < shorter and _is_label(old[i]) and old[i] == new[i]), None)
    last = next((i for i in range(tail, -1, -1) if i < shorter and _RETURN.search(_code(old[-1 - i]))), None)
    if first is None or last is None or old[-1 - last] != new[-1 - last]:
        return None
    pieces = old[first : len(old) - last], new[first : len(new) - last]
    if any(_is_label(line) for piece in pieces for line in piece[1:]):
        return None
    return "\n".join(pieces[0]), "\n".join(pieces[1])


def _is_label(line: str) -> bool:
    """Whether a line opens a routine; an instruction may stand in the first column too."""
    match = _LABEL.match(line)
    return match is not None and match[1].lower() not in MNEMONICS


def _code(line: str) -> str:
    return line.partition(";")[0]


def _read(source: str, names: tuple[str, ...]) -> QuestionReading:
    return read_question(f"Make this code faster or smaller.\n\n```asm\n{_define(source, names)}\n```")


def _build(source: str, names: tuple[str, ...]) -> ReplyRoutine | None:
    blocks = answer_parsing.find_blocks(f"```asm\n{_define(source, names)}\n```")
    built = build_routine(blocks[:1], _read(source, names), lint=False) if blocks else ""
    return built if isinstance(built, ReplyRoutine) else None


def _define(source: str, names: tuple[str, ...]) -> str:
    places = (f"{name} = ${_FIRST_PLACE + _STEP * number:04X}" for number, name in enumerate(names))
    return "\n".join([*places, source])


def _is_jumped_to(name: str, code: str) -> bool:
    jump = rf"\b(?:j\w\w|b[a-z]{{2}}|per)\b[ \t.\w]*[(\[]?[ \t]*{re.escape(name)}(?!\w)"
    return re.search(jump, code, re.I) is not None
