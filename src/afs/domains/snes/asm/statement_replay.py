"""Plays the tape of the first pass: the later passes without the text."""

from __future__ import annotations

from afs.domains.snes.asm.diagnostics import BlockHalt
from afs.domains.snes.asm.label_directives import place_label
from afs.domains.snes.asm.macro_call import MacroLabels
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.source_runner import execute, run_guarded
from afs.domains.snes.asm.source_text import normalize_spaces
from afs.domains.snes.asm.statement_log import MacroStart, StatementLog, Stretch
from afs.domains.snes.asm.statements import Statement


def replay_log(s: Session, tape: StatementLog) -> None:
    """Run everything on the tape in the current pass."""
    s.is_top, s.version_allowed = False, True
    last = s.pass_ == 2
    for what, s.at.file, s.at.line, s.at.caller, only_labels in tape.items:
        kind = type(what)
        if kind is Stretch:
            count = len(what.data)  # type: ignore[union-attr]
            room = s.out.room - count
            if room < 0:
                _play_parts(s, what)  # type: ignore[arg-type]
                continue
            s.out.room = room
            if last:
                begin = len(s.out.stream)
                s.out.stream += what.data  # type: ignore[union-attr]
                s.listing.append((s.out.pos, what, s.at.file, s.at.line, begin, begin + count))  # type: ignore[arg-type]
            s.out.pos += count
            s.out.real += count
            s.out.bytes_counted += count
        elif kind is Statement:
            s.at.block = what.text  # type: ignore[union-attr]
            if only_labels:
                _place_labels(s, what)  # type: ignore[arg-type]
            else:
                try:
                    execute(s, what)  # type: ignore[arg-type]
                    if s.out.room < 0:
                        s.out.check_banks()
                except BlockHalt as halt:
                    s.depth = 0
                    s.log.report(halt)
        elif kind is MacroStart:
            s.macro = what.call  # type: ignore[union-attr]
            s.macro.labels = MacroLabels(s.macro.labels.number)
        else:
            s.macro = what.outer  # type: ignore[union-attr]
    s.at.caller, s.at.block = "", ""


def _play_parts(s: Session, run: Stretch) -> None:
    """Instructions near a border, one by one."""
    for st, s.at.file, s.at.line, s.at.caller in run.parts:
        s.at.block = st.text
        run_guarded(s, st if isinstance(st, Statement) else Statement(normalize_spaces(st.text)))


def _place_labels(s: Session, st: Statement) -> None:
    try:
        for word in st.labels:
            place_label(s, word)
    except BlockHalt as halt:
        s.log.report(halt)
