"""The three passes over a source, and the public function `assemble`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from afs.domains.snes.asm import freespace, spc700_blocks
from afs.domains.snes.asm.assembly_result import Assembly
from afs.domains.snes.asm.diagnostics import AsmError, BlockHalt, FatalHalt, Halt, LineHalt
from afs.domains.snes.asm.limits import DEFAULT, AsmLimits
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.source_files import Files
from afs.domains.snes.asm.source_runner import run_file
from afs.domains.snes.asm.source_text import WORD, to_bytes_text
from afs.domains.snes.asm.statement_log import NeedsText, StatementLog
from afs.domains.snes.asm.statement_replay import replay_log
from afs.gc_pause import pause_collector


def assemble(  # noqa: PLR0913 (all but the first are options with names)
    source: str | bytes,
    *,
    origin: int | None = None,
    rom: bytes | None = None,
    include_dirs: Sequence[Path] = (),
    allowed_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    strict: bool = False,
    limits: AsmLimits = DEFAULT,
    file: str = "<source>",
) -> Assembly:
    """Assemble a source; raises AsmError with everything that is wrong in it.

    `origin` is where code goes before the first `org`; files are looked for in `include_dirs`, and read
    below them and `allowed_dirs` only. `rom` is
    patched; it has no copier header. `strict` refuses what Asar lets pass in silence.
    """
    given = {name.strip().removeprefix("!"): to_bytes_text(value) for name, value in (defines or {}).items()}
    files = Files(include_dirs, allowed_dirs)
    text = source.decode("latin-1") if isinstance(source, bytes) else to_bytes_text(source)
    for use_tape in (True, False):
        s = Session(files, limits, rom or b"", given, strict)
        s.sources.texts[file] = text
        try:
            with pause_collector():
                _run_passes(s, file, origin, use_tape)
            break
        except NeedsText:
            continue
    if s.log.failed:
        if not s.log.errors and s.log.unreported is not None:
            _report_last(s, s.log.unreported)
        raise AsmError(s.log.diagnostics)
    return Assembly(s)


def _run_passes(s: Session, file: str, origin: int | None, use_tape: bool) -> None:
    try:
        for name in s.names.given_defines:
            if not WORD.fullmatch(name):
                raise FatalHalt("Ecmdl_define_invalid", name)
        tape = s.tape = StatementLog() if use_tape else None
        for number in range(3):
            s.begin(number)
            if origin is not None:
                s.out.move(origin)
            if number and tape is not None and not (s.is_volatile or s.log.failed):
                s.is_replaying = True
                replay_log(s, tape)
                s.is_volatile = False
            else:
                s.is_replaying = False
                run_file(s, file, True)
            s.tape = None
            _finish_pass(s)
    except Halt as halt:
        _report_last(s, halt)
    except RecursionError:
        _report_last(s, FatalHalt("Erecursion_limit", report_in=s.pass_))


def _finish_pass(s: Session) -> None:
    s.at.block = ""
    if s.names.struct is not None:
        s.log.report(BlockHalt("Estruct_without_endstruct", report_in=s.pass_))
    elif s.pc_stack and s.pass_ == 0:
        s.log.report(BlockHalt("Epushpc_without_pullpc"))
    elif s.names.namespace_stack and s.pass_ == 0:
        s.log.report(BlockHalt("Epushns_without_pullns"))
    if s.log.muted_stack and s.pass_ == 0:
        s.log.report(BlockHalt("Epushwarnings_without_pullwarnings"))
    spc700_blocks.finish_spc700(s)
    freespace.close_space(s)
    s.out.flush()


def _report_last(s: Session, halt: Halt) -> None:
    s.depth = 0
    halt.report_in = s.pass_
    try:
        s.log.report(halt)
    except (FatalHalt, LineHalt) as last:
        s.log.errors = -1_000_000
        s.log.report(last)
