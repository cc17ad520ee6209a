"""Code for the sound processor inside a ROM: `arch`, `spcblock`, and the older `arch spc700-inline`.

A block is written as the N-SPC loader wants it: length, address, bytes. Its labels count from that address.
"""

from __future__ import annotations

from typing import Final

from afs.domains.snes.asm.diagnostics import BlockHalt, FatalHalt
from afs.domains.snes.asm.expressions import evaluate_integer
from afs.domains.snes.asm.session import MAIN_CPU, SPC700, SPC700_INLINE, Session, SpcBlock

_NAMESPACE = ":SPCBLOCK:_"
_FORBIDDEN = {
    *("org", "freespace", "freecode", "freedata", "arch", "namespace", "pushns", "pullns", "spcblock", "lorom"),
    *("hirom", "exlorom", "exhirom", "sfxrom", "norom", "fullsa1rom", "sa1rom"),
}


_PROCESSORS: Final = ("65816", "spc700", "spc700-inline", "spc700-raw")


def set_processor(s: Session, words: list[str]) -> None:
    """arch 65816, arch spc700, arch spc700-inline, arch spc700-raw."""
    name = words[1].lower()
    if name == "superfx":
        raise FatalHalt("Earch_superfx", report_in=s.pass_)
    if name not in _PROCESSORS:
        if s.is_strict:
            raise BlockHalt("Eunknown_arch", words[1], report_in=1)
        s.log.warn(0, "Wunknown_arch", words[1])
        return
    if s.arch == SPC700_INLINE:
        _leave_inline(s)
    if name == "65816":
        s.arch = MAIN_CPU
    elif name == "spc700":
        s.arch = SPC700
    elif name == "spc700-inline":
        s.log.warn(1, "Wfeature_deprecated", "spc700-inline", "use spcblock and endspcblock")
        s.arch = SPC700_INLINE
    else:
        s.log.warn(1, "Wfeature_deprecated", "spc700-raw", "use arch spc700 with norom")
        s.arch, s.out.mapper, s.out.has_mapper, s.fixes_checksum = SPC700, "norom", False, False
        s.out.room = -1
    s.set_fast()


def check_allowed(s: Session, command: str) -> None:
    """Directives that would break an open block are errors."""
    if s.spc_block is not None and command in _FORBIDDEN:
        raise BlockHalt("Efeature_unavaliable_in_spcblock")


def _jump(s: Session, address: int) -> None:
    """Labels count from here; the bytes continue where they were."""
    s.out.pos = s.out.start = address
    s.out.room = -1


def _write_size(s: Session, at: int) -> None:
    """Fill in the length of the block whose header lies at `at`."""
    if s.pass_ != 2:
        return
    pc = s.out.to_pc(at & 0xFFFFFF)
    if pc < 0:
        raise BlockHalt("Esnes_address_doesnt_map_to_rom", at & 0xFFFFFF, report_in=2)
    s.out.flush()
    s.out.image.put(pc, ((s.out.pos - s.out.start) & 0xFFFF).to_bytes(2, "little"))
    s.out.room = -1


def _begin_block(s: Session, address: int) -> int:
    """Write a header for a block at an address of the sound processor; returns where the header lies."""
    if address & ~0xFFFF:
        raise BlockHalt("Esnes_address_out_of_bounds", address)
    s.out.verify()
    header = s.out.real
    s.out.emit(b"\0\0" + address.to_bytes(2, "little"))
    _jump(s, address)
    return header


def open_spc_block(s: Session, words: list[str]) -> None:
    """spcblock address [nspc]."""
    if s.names.struct is not None:
        raise BlockHalt("Espcblock_inside_struct")
    if len(words) != 2 and words[2].lower() != "nspc":
        raise BlockHalt("Espcblock_format")
    address = evaluate_integer(s, words[1]) & 0xFFFFFFFF
    header = _begin_block(s, address)
    s.spc_block = SpcBlock(header, s.names.namespace)
    s.names.namespace = _NAMESPACE + s.names.namespace
    s.set_fast()


def close_spc_block(s: Session, words: list[str]) -> None:
    """endspcblock, endspcblock execute address."""
    block = s.spc_block
    if block is None:
        raise BlockHalt("Eendspcblock_without_spcblock")
    _write_size(s, block.header)
    start = block.execute_at
    if len(words) == 3 and words[1] == "execute":
        start = evaluate_integer(s, words[2]) & 0xFFFF if s.pass_ == 2 else 0
    elif len(words) != 1:
        s.log.report(BlockHalt("Eunknown_endspcblock_format"))
    if start is not None:
        s.out.emit(b"\0\0" + (start & 0xFFFF).to_bytes(2, "little"))
    s.names.namespace = block.namespace
    s.spc_block = None
    s.set_fast()


def set_start(s: Session, words: list[str]) -> None:
    """startpos address."""
    if s.arch == SPC700_INLINE:
        s.inline_start = evaluate_integer(s, words[1]) & 0xFFFF if s.pass_ == 2 else 0
        return
    s.log.warn(0, "Wfeature_deprecated", "startpos", "write endspcblock execute address")
    if s.spc_block is None:
        raise BlockHalt("Estartpos_without_spcblock")
    s.spc_block = s.spc_block._replace(execute_at=evaluate_integer(s, words[1]) & 0xFFFF if s.pass_ == 2 else 0)


def run_inline(s: Session, words: list[str]) -> bool:
    """Directives that mean something else in `arch spc700-inline`; False for all others."""
    if len(words) != 2 or words[0].lower() not in ("org", "skip", "base"):
        return False
    if words[0].lower() == "base":
        raise BlockHalt("Espc700_inline_no_base")
    address = evaluate_integer(s, words[1]) & 0xFFFFFFFF
    if s.maths.found_label:
        raise BlockHalt("Eno_labels_here")
    if words[0].lower() == "skip":
        address = s.out.pos + address & 0xFFFFFFFF
    _close_inline(s)
    s.inline_header = _begin_block(s, address)
    return True


def _close_inline(s: Session) -> None:
    if s.inline_header >= 0:
        _write_size(s, s.inline_header)
    s.inline_header = -1


def _leave_inline(s: Session) -> None:
    _close_inline(s)
    s.out.emit(b"\0\0" + s.inline_start.to_bytes(2, "little"))


def finish_spc700(s: Session) -> None:
    """End of a pass."""
    if s.spc_block is not None:
        s.log.report(BlockHalt("Emissing_endspcblock", report_in=s.pass_))
    if s.arch == SPC700_INLINE:
        _leave_inline(s)
