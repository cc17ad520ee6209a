"""Directives that say where things go: org, base, the stacks, mappers, and what labels may assume."""

from __future__ import annotations

import re

from afs.domains.snes.asm import freespace
from afs.domains.snes.asm.diagnostics import BlockHalt
from afs.domains.snes.asm.expressions import evaluate_integer
from afs.domains.snes.asm.output_position import NOWHERE
from afs.domains.snes.asm.session import Session
from afs.domains.snes.rom import SA1_BANKS


def _address(s: Session, text: str, forward: str) -> int:
    value = evaluate_integer(s, text) & 0xFFFFFFFF
    if s.maths.found_forward:
        raise BlockHalt(forward)
    if value > 0xFFFFFF:
        raise BlockHalt("Esnes_address_out_of_bounds", value, report_in=1)
    return value


def set_origin(s: Session, words: list[str]) -> None:
    """Continue at an address."""
    freespace.close_space(s)
    address = _address(s, words[1], "Eorg_label_forward")
    is_low = address & 0x408000 == 0x400000 and address & 0x700000 != 0x700000
    if s.out.mapper in ("lorom", "exlorom") and is_low:
        s.log.warn(0, "Wset_middle_byte")
    s.out.move(address)


def set_base(s: Session, words: list[str]) -> None:
    """Labels count from another address than the bytes go to."""
    s.out.room = -1
    if words[1].lower() == "off":
        s.out.pos, s.out.start = s.out.real, s.out.real_start
        return
    s.out.pos = s.out.start = _address(s, words[1], "Ebase_label_invalid")
    s.operands.assumed_bank = -1


def push_pc(s: Session, words: list[str]) -> None:
    """Keep the place; a new one must be given."""
    save_place(s)
    s.out.move(NOWHERE)


def save_place(s: Session) -> None:
    """Put the place on the stack."""
    s.pc_stack.append(
        (s.out.pos, s.out.start, s.out.real, s.out.real_start, s.free.current, s.free.unknown, s.free.start, s.arch)
    )


def pull_pc(s: Session, words: list[str]) -> None:
    """Back to the kept place."""
    if not s.pc_stack:
        raise BlockHalt("Epullpc_without_pushpc")
    freespace.close_space(s)
    restore_place(s)


def restore_place(s: Session) -> None:
    """Take the place from the stack."""
    *place, arch = s.pc_stack.pop()
    if arch != s.arch:
        raise BlockHalt("Epullpc_different_arch")
    s.out.pos, s.out.start, s.out.real, s.out.real_start, s.free.current, s.free.unknown, s.free.start = place
    s.out.room = -1


def push_base(s: Session, words: list[str]) -> None:
    """Keep the address labels count from."""
    s.base_stack.append(s.out.pos)


def pull_base(s: Session, words: list[str]) -> None:
    """Back to the kept one."""
    if not s.base_stack:
        raise BlockHalt("Epullbase_without_pushbase")
    s.out.pos = s.out.start = s.base_stack.pop()
    s.out.room = -1
    if s.out.pos != s.out.real_start:
        s.operands.assumed_bank = -1


def choose_mapper(s: Session, words: list[str]) -> None:
    """lorom hirom exlorom exhirom sfxrom norom fullsa1rom."""
    _set_mapper(s, words[0].lower())


def choose_sa1(s: Session, words: list[str]) -> None:
    """sa1rom, sa1rom 0,1,2,3."""
    s.out.banks = SA1_BANKS
    if len(words) > 1:
        match = re.fullmatch(r"([0-9]),([0-9]),([0-9]),([0-9])", words[1])
        if match is None or len(words) > 2:
            raise BlockHalt("Einvalid_mapper")
        s.out.banks = (int(match[1]), int(match[2]), int(match[3]), int(match[4]))
    _set_mapper(s, "sa1rom")


def _set_mapper(s: Session, name: str) -> None:
    before, s.out.mapper = s.out.mapper, name
    s.out.room = -1
    if name == "norom":
        s.fixes_checksum = False
    if s.out.has_mapper and before != name:
        s.log.warn(1, "Wmapper_already_set")
    s.out.has_mapper = True


def accept_header(s: Session, words: list[str]) -> None:
    """Copier headers are detected automatically."""
    s.log.warn(0, "Wfeature_deprecated", "header", "leave it out")


def set_direct_page(s: Session, words: list[str]) -> None:
    """dpbase $xx00."""
    value = evaluate_integer(s, words[1]) & 0xFFFFFFFF
    if s.maths.found_forward:
        raise BlockHalt("Ebase_label_invalid")
    if value & ~0xFF00:
        raise BlockHalt("Ebad_dp_base", report_in=1)
    s.operands.dp_base = value


def set_optimization(s: Session, words: list[str]) -> None:
    """optimize dp none|ram|always, optimize address default|ram|mirrors."""
    what, how = words[1].lower(), words[2].lower()
    if what == "dp":
        if how not in ("none", "ram", "always"):
            raise BlockHalt("Ebad_dp_optimize", words[2], report_in=1)
        s.operands.optimize_dp, s.operands.has_set_dp = how, True
    elif what == "address":
        if how not in ("default", "ram", "mirrors"):
            raise BlockHalt("Ebad_address_optimize", words[2], report_in=1)
        s.operands.optimize_address, s.operands.has_set_address = how, True
    else:
        raise BlockHalt("Ebad_optimize", words[1], report_in=1)


def assume_bank(s: Session, words: list[str]) -> None:
    """bank auto, bank noassume, bank n."""
    how = words[1].lower()
    if how in ("auto", "noassume"):
        s.operands.assumed_bank = -1 if how == "auto" else 0x100
        return
    value = evaluate_integer(s, words[1]) & 0xFFFFFFFF
    if value > 0xFF:
        raise BlockHalt("Esnes_address_out_of_bounds", value, report_in=1)
    s.operands.assumed_bank = value


def set_check(s: Session, words: list[str]) -> None:
    """check bankcross off|half|full, check title "…"."""
    what, how = words[1].lower(), words[2].lower()
    if what == "bankcross":
        if how == "on":
            s.log.warn(0, "Wfeature_deprecated", "check bankcross on", "write full or half")
        elif how in ("off", "half", "full"):
            if not s.out.checks_banks:
                s.out.start, s.out.real_start = s.out.pos, s.out.real
            s.out.checks_banks = how != "off"
            s.out.checks_half_banks = s.out.checks_half_banks if how == "off" else how == "half"
        else:
            raise BlockHalt("Einvalid_check")
        s.out.room = -1
    elif what == "title":
        _check_title(s, words[2])
    else:
        raise BlockHalt("Einvalid_check")


def _check_title(s: Session, text: str) -> None:
    from_source = text.strip('"')
    if s.out.image.length < (0x10000 if s.out.mapper in ("hirom", "exhirom") else 0x8000):
        raise BlockHalt("Erom_too_short", from_source)
    actual = s.out.image.get(s.out.to_pc(0xFFC0), 21)
    wanted = from_source.encode("latin-1")[:21].ljust(21, b"\0")
    if actual.split(b"\0")[0] != wanted.split(b"\0")[0]:
        raise BlockHalt("Erom_title_incorrect", from_source, actual.decode("latin-1"))
