"""Conditional assembly: if, elseif, else, while, for, assert and their ends.

`depth` counts open ifs, `true_depth` those that hold; code is run while both are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afs.domains.snes.asm.block_nesting import Loop
from afs.domains.snes.asm.diagnostics import BlockHalt, LineHalt
from afs.domains.snes.asm.expressions import evaluate, evaluate_int32, number_text
from afs.domains.snes.asm.print_text import printed_text
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.source_text import WORD, find_outside, is_balanced, split_arguments
from afs.domains.snes.asm.statements import Statement

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def _value(s: Session, text: str, command: str) -> float:
    value = evaluate(s, text)
    if s.maths.found_label and not s.maths.found_static and command != "assert":
        raise BlockHalt("Elabel_in_conditional", command)
    return value


def _condition(s: Session, words: list[str], command: str) -> bool:
    """The truth of `a > b && c < d …`; `&&` and `||` cannot be mixed."""
    joint = ""
    at = 1
    while True:
        if at >= len(words):
            raise BlockHalt("Ebroken_conditional", command)
        follower = words[at + 1] if at + 1 < len(words) else ""
        if follower in ("", "&&", "||"):
            holds = _single(s, words[at], command)
            at += 1
        else:
            if at + 2 >= len(words):
                raise BlockHalt("Ebroken_conditional", command)
            left = _value(s, words[at], command)
            right = _value(s, words[at + 2], command)
            if follower not in _COMPARE:
                raise BlockHalt("Ebroken_conditional", command)
            if follower == "=":
                s.log.warn(0, "Wfeature_deprecated", "if a = b", "write if a == b")
            holds = _COMPARE[follower](left, right)
            at += 3
        following = words[at] if at < len(words) else ""
        if joint and following and joint != following:
            raise BlockHalt("Einvalid_condition", report_in=1)
        joint = joint if joint and following else following
        if not joint:
            return holds
        if joint not in ("&&", "||"):
            raise BlockHalt("Ebroken_conditional", command)
        if holds != (joint == "&&"):
            return holds
        at += 1


def _single(s: Session, text: str, command: str) -> bool:
    if text.startswith("!"):
        s.log.warn(0, "Wfeature_deprecated", "if !condition", "write if not(condition)")
        return not _value(s, text[1:], command) > 0
    return _value(s, text, command) > 0


def open_block(s: Session, st: Statement) -> None:
    """if, while, for."""
    flow, kind = s.flow, st.command
    if kind == "if" and flow.more:
        flow.inline += 1
    known = flow.loops.get(flow.depth)
    goes_on = kind == "for" and known is not None and known.is_for and known.current < known.end
    loop = known if goes_on and known is not None else Loop(s.at.line, kind)
    flow.loops[flow.depth] = loop
    flow.depth += 1
    if flow.true_depth != flow.depth - 1:
        return
    if kind == "for":
        _enter_for(s, st.words, loop, goes_on)
        return
    holds = _condition(s, st.words, kind)
    if holds:
        flow.true_depth += 1
    elif flow.more:
        flow.is_live = False
    flow.taken[flow.depth] = holds
    loop.condition = holds


def _enter_for(s: Session, words: list[str], loop: Loop, goes_on: bool) -> None:
    flow = s.flow
    if flow.single != 1:
        flow.depth -= 1
        raise LineHalt("Ebad_single_line_for")
    if goes_on:
        loop.current += 1
    else:
        _read_range(s, words, loop)
    loop.condition = loop.current < loop.end
    flow.single = 2
    if loop.condition:
        flow.true_depth += 1
        if loop.variable in s.names.defines:
            loop.kept = s.names.defines[loop.variable]
        s.names.defines[loop.variable] = number_text(float(loop.current))


def _read_range(s: Session, words: list[str], loop: Loop) -> None:
    at = find_outside(words[3], "..") if len(words) == 4 and words[2] == "=" else -1
    if at < 0:
        raise BlockHalt("Ebroken_for_loop")
    loop.current = evaluate_int32(s, words[3][:at])
    if s.maths.found_label and not s.maths.found_static:
        raise BlockHalt("Elabel_in_conditional", "for")
    loop.end = evaluate_int32(s, words[3][at + 2 :])
    if s.maths.found_label and not s.maths.found_static:
        raise BlockHalt("Elabel_in_conditional", "for")
    if not WORD.fullmatch(words[1]):
        raise BlockHalt("Ebroken_for_loop")
    loop.variable = words[1]


def open_elseif(s: Session, st: Statement) -> None:
    """elseif."""
    flow = s.flow
    flow.loops[flow.depth] = Loop(s.at.line)
    if flow.true_depth not in (flow.depth, flow.depth - 1):
        return
    holds = _condition(s, st.words, "elseif")
    if not flow.depth:
        raise BlockHalt("Emisplaced_elseif", report_in=1)
    if flow.loop(flow.depth - 1).is_while:
        raise BlockHalt("Eelseif_in_while", report_in=1)
    if flow.depth == flow.true_depth:
        flow.true_depth -= 1
    if holds and not flow.taken.get(flow.depth, False):
        if flow.more:
            flow.is_live = True
        flow.true_depth += 1
        flow.taken[flow.depth] = True


def open_else(s: Session, st: Statement) -> None:
    """else."""
    flow = s.flow
    flow.is_live = True
    if len(st.words) != 1:
        raise BlockHalt("Eunknown_command", report_in=1)
    if not flow.depth:
        raise BlockHalt("Emisplaced_else", report_in=1)
    loop = flow.loop(flow.depth - 1)
    if loop.is_while or loop.is_for:
        raise BlockHalt("Eelse_in_while_loop", report_in=1)
    if flow.depth == flow.true_depth:
        flow.true_depth -= 1
    elif flow.depth == flow.true_depth + 1 and not flow.taken.get(flow.depth, False):
        flow.true_depth += 1
        flow.taken[flow.depth] = True


def close_block(s: Session, st: Statement) -> None:
    """endif, endwhile, endfor."""
    flow = s.flow
    if flow.inline:
        flow.inline -= 1
    if len(st.words) != 1:
        raise BlockHalt("Eunknown_command", report_in=1)
    if not flow.depth:
        raise BlockHalt("Emisplaced_endif", report_in=1)
    if flow.depth == flow.true_depth:
        flow.true_depth -= 1
    flow.depth -= 1
    loop = flow.loop(flow.depth)
    if loop.is_for:
        _close_for(s, loop)
    wanted = "endwhile" if loop.is_while else "endfor" if loop.is_for else "endif"
    if st.command != wanted and not s.log.has_warned_end:
        s.log.has_warned_end = True
        s.log.warn(0, "Wfeature_deprecated", "mismatched terminators", f"write {wanted}")


def _close_for(s: Session, loop: Loop) -> None:
    flow = s.flow
    if flow.single == 2:
        flow.single = 3
    if flow.more:
        loop.current, loop.condition = loop.end, False
        raise BlockHalt("Ebad_single_line_for")
    if loop.condition:
        if loop.kept is not None:
            s.names.defines[loop.variable] = loop.kept
        else:
            s.names.defines.pop(loop.variable, None)


def check_assertion(s: Session, st: Statement) -> None:
    """assert condition[,message]."""
    words = list(st.words)
    if not is_balanced(words[-1]):
        raise BlockHalt("Ebroken_conditional", "assert")
    first, *rest = split_arguments(words[-1])
    text = printed_text(s, ",".join(rest)) if rest else ""
    words[-1] = first
    if s.flow.true_depth != s.flow.depth:
        return
    if not _condition(s, words, "assert") and s.pass_ == 2:
        raise BlockHalt("Eassertion_failed", f": {text}" if text else ".", report_in=2)
