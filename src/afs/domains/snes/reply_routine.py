"""The code of an answer: which block is the routine, whether it assembles, and whether it can be run by itself."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from afs.domains.base import Block
from afs.domains.snes import answer_parsing
from afs.domains.snes.assembled_routine import UnfitCode, assemble_routine, find_certain_faults
from afs.domains.snes.contract import Contract, Ends
from afs.domains.snes.isa import MNEMONICS
from afs.domains.snes.question_reading import QuestionReading
from afs.domains.snes.task_specs import ORIGIN

_EXPLICIT: Final = frozenset({"asm", "asar", "assembly", "65816", "65c816", "snes"})
_FENCE_LANGUAGE: Final = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*([^\s`]*)[^\n]*$", re.M)
_OTHER_DIALECT: Final = re.compile(
    r"^[^\S\n]*\.(?:proc|endproc|segment|byte|word|addr|a8|a16|i8|i16|res|import|export|include|macro|define|bank|section|ends"
    r"|dsb|index|accu|p816|smart)\b|^[^\S\n]*@\w+:|\b\w+\s*\.set\b|^[^\S\n]*(?:seg|processor|equ)\b",
    re.I | re.M,
)
_NEEDS_MORE: Final = re.compile(
    r"E(?:macro|function|struct|file)_not_found|Elabel_missing_parent|Emacro_not|Elimit|Einclude|Einvalid_namespace"
)
"""The assembler's words for something that may well stand in the user's project."""
_PLACED: Final = re.compile(
    r"^[^\S\n]*(?:org|freecode|freedata|freespace|pushpc|autoclean|base)\b|:\s*org\b", re.I | re.M
)
"""Code that says where in the game it goes: it is a patch, not a routine."""
_SYMBOL: Final = re.compile(r"'([^']*)'")
_RETURN: Final = re.compile(r"\b(rts|rtl|rti)\b", re.I)
_STATEMENT: Final = re.compile(r"(?:^|:)\s*(?:[.\w]+:\s*)?([a-z]{3})(?:\.[bwl])?\b", re.I | re.M)
_LEAVES: Final = re.compile(r"\b(?:jsr|jsl|jml|jmp)\s+(?:\.[bwl]\s+)?[$(\[]", re.I)
_POLL: Final = re.compile(
    r"(?P<label>-+|[.\w]+):?\s*[:\n]?\s*(?:ld[axy]|bit|cmp)\b[^\n:]*[:\n]\s*(?:(?:and|cmp|bit)\b[^\n:]*[:\n]\s*)?"
    r"b\w\w\s+(?P=label)(?!\w)",
    re.I,
)
"""A loop that reads one place until it changes."""
_MOST_SYMBOLS: Final = 24


class ReplyRoutine(NamedTuple):
    """Code that assembles, and what keeps it from being run alone (empty: nothing)."""

    source: str
    data: bytes
    ends: Ends
    not_run: str = ""
    missing: tuple[str, ...] = ()
    """Names that it uses and does not define."""


class CertainFault(NamedTuple):
    """Code that is certainly wrong."""

    reason: str


def find_own_blocks(question: str, answer: str) -> tuple[Block, ...]:
    """The blocks that are judged, by the pack's one rule, as far as they are assembly beyond doubt."""
    judged = answer_parsing.judged_blocks(question, answer)
    return tuple(block for block in judged if _is_assembly(block, answer))


def _is_assembly(block: Block, answer: str) -> bool:
    """A fence that says so, or one without a language whose statements are mostly mnemonics."""
    lines = answer.splitlines()
    opening = lines[block.line - 2] if 2 <= block.line <= len(lines) + 1 else ""
    match = _FENCE_LANGUAGE.match(opening)
    if match and match[1].lower() in _EXPLICIT:
        return True
    code = [line.split(";")[0] for line in block.text.splitlines()]
    code = [line for line in code if line.strip()]
    if match is None and sum(len(answer_parsing.split_statements(line)) for line in code) < 2:
        return False
    known = sum(any(word.lower() in MNEMONICS for word in _STATEMENT.findall(line)) for line in code)
    return bool(code) and known * 2 >= len(code)


def build_routine(
    blocks: tuple[Block, ...], reading: QuestionReading, *, lint: bool = True
) -> ReplyRoutine | CertainFault | str:
    """The routine, the fault that keeps it from being one, or why it cannot be judged."""
    source, missing = answer_parsing.join_blocks(blocks), list[str]()
    code = _without_comments(source)
    if _OTHER_DIALECT.search(code):
        return "the code is in another assembler's dialect"
    ends = _find_ends(code, reading)
    while True:
        try:
            assembly = assemble_routine(_define(source, missing))
        except UnfitCode as problem:
            symbol = _missing_symbol(str(problem))
            if symbol and symbol not in missing and len(missing) < _MOST_SYMBOLS:
                missing.append(symbol)
                continue
            if symbol or missing or _NEEDS_MORE.search(str(problem)) or _PLACED.search(code):
                return _judge_incomplete(blocks, problem, missing)
            return _judge_unfit(blocks, problem)
        break
    contract = Contract(m=reading.m or 8, x=reading.x or 8, ends=ends)
    faults = [] if not lint or missing or reading.m is None else find_certain_faults(assembly, source, contract)
    if faults:
        return CertainFault(f"line {answer_parsing.answer_line(blocks, faults[0].line)}: {faults[0].message}")
    not_run = f"`{missing[0]}` is not defined in the answer" if missing else _why_not_run(code)
    return ReplyRoutine(source, assembly.blocks[0].data, ends, not_run, tuple(missing))


def _judge_incomplete(blocks: tuple[Block, ...], problem: UnfitCode, missing: list[str]) -> CertainFault | str:
    """Code that needs symbols from elsewhere is wrong only where a word is no instruction at all."""
    is_word = "Eunknown_command" in str(problem) and "operand" not in str(problem)
    if is_word and not any(name.startswith("!") for name in missing):
        return CertainFault(
            f"line {answer_parsing.answer_line(blocks, max(problem.line - len(missing), 1))}: {problem}"
        )
    if "one piece" in str(problem):
        return "a patch at its own addresses is not run alone"
    return "the code uses names or places that are not in the answer"


def _judge_unfit(blocks: tuple[Block, ...], problem: UnfitCode) -> CertainFault | str:
    """Why a block gives no routine."""
    if "too long" in str(problem):
        return str(problem)
    if "there is no code" in str(problem):
        return "there is no instruction in the code"
    return CertainFault(f"line {answer_parsing.answer_line(blocks, problem.line)}: {problem}")


def _missing_symbol(problem: str) -> str:
    """The label or define that is not there; empty for any other problem."""
    if not any(name in problem for name in ("Elabel_not_found", "Edefine_not_found")):
        return ""
    match = _SYMBOL.search(problem)
    return match[1] if match else ""


def _define(source: str, missing: list[str]) -> str:
    """The source with a stand-in for each missing symbol, so that the rest of it is still read."""
    lines = [f"{name} = $7E0000" if name.startswith("!") else f"{name} = $808000" for name in missing]
    return "\n".join([*lines, source]) if lines else source


def _find_ends(code: str, reading: QuestionReading) -> Ends:
    if reading.ends:
        return reading.ends
    for text in (code, _without_comments(reading.code)):
        returns = [word.lower() for word in _RETURN.findall(text)]
        if returns and returns[-1] != "rti":
            return "rtl" if returns[-1] == "rtl" else "rts"
    return "end"


def _why_not_run(code: str) -> str:
    """What in the code needs more than itself."""
    if re.search(r"\brti\b", code, re.I):
        return "an interrupt handler is not run alone"
    if _LEAVES.search(code):
        return "it leaves for code that is not in the answer"
    if re.search(r"\b(?:wai|stp)\b", code, re.I) or _POLL.search(code):
        return "it waits for an interrupt"
    return ""


def _without_comments(code: str) -> str:
    return "\n".join(line.split(";")[0] for line in code.splitlines())


__all__ = ["ORIGIN", "CertainFault", "ReplyRoutine", "build_routine", "find_own_blocks"]
