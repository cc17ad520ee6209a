"""Plays the tape of the first pass: the later passes without the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afs.domains.snes.asm.diagnostics import BlockHalt
from afs.domains.snes.asm.label_directives import place_label
from afs.domains.snes.asm.labels import MacroLabels
from afs.domains.snes.asm.source_runner import execute, run_guarded
from afs.domains.snes.asm.statement_log import MacroStart, Stretch, Tape
from afs.domains.snes.asm.statements import Statement

if TYPE_CHECKING:
    from afs.domains.snes.asm.session import Session


def play(s: Session, tape: Tape) -> None:
    """Run everything on the tape in the current pass."""
    s.is_top, s.version_allowed = False, True
    last = s.pass_ == 2
    for what, s.file, s.line, s.caller, only_labels in tape.items:
        kind = type(what)
        if kind is Stretch:
            count = len(what.data)  # type: ignore[union-attr]
            room = s.room - count
            if room < 0:
                _play_parts(s, what)  # type: ignore[arg-type]
                continue
            s.room = room
            if last:
                begin = len(s.stream)
                s.stream += what.data  # type: ignore[union-attr]
                s.listing.append((s.pos, what, s.file, s.line, begin, begin + count))  # type: ignore[arg-type]
            s.pos += count
            s.real += count
            s.bytes_counted += count
        elif kind is Statement:
            s.block = what.text  # type: ignore[union-attr]
            if only_labels:
                _place_labels(s, what)  # type: ignore[arg-type]
            else:
                try:
                    execute(s, what)  # type: ignore[arg-type]
                    if s.room < 0:
                        s.check_banks()
                except BlockHalt as halt:
                    s.depth = 0
                    s.report(halt)
        elif kind is MacroStart:
            s.macro = what.call  # type: ignore[union-attr]
            s.macro.labels = MacroLabels(s.macro.labels.number)
        else:
            s.macro = what.outer  # type: ignore[union-attr]
    s.caller, s.block = "", ""


def _play_parts(s: Session, run: Stretch) -> None:
    """Instructions near a border, one by one."""
    for st, s.file, s.line, s.caller in run.parts:
        s.block = st.text
        run_guarded(s, st)


def _place_labels(s: Session, st: Statement) -> None:
    try:
        for word in st.labels:
            place_label(s, word)
    except BlockHalt as halt:
        s.report(halt)
