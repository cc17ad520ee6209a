"""All directives: name -> how many words they take, and the function that carries them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afs.domains.snes.asm import (
    data_directives,
    diagnostics_directives,
    freespace,
    label_directives,
    position_directives,
    spc700_blocks,
)
from afs.domains.snes.asm.session import Session

Run = Callable[["Session", list[str]], None]

_ANY = range(1, 1_000_000)
_TABLE: Final[tuple[tuple[str, range | tuple[int, ...], Run], ...]] = (
    ("db dw dl dd", (2,), data_directives.emit_data),
    ("fill skip", _ANY, data_directives.emit_fill),
    ("fillbyte fillword filllong filldword padbyte padword padlong paddword", (2,), data_directives.set_pattern),
    ("pad", (2,), data_directives.emit_padding),
    ("incbin", (2, 4), data_directives.include_binary),
    ("cleartable", (1,), data_directives.clear_table),
    ("pushtable", (1,), data_directives.push_table),
    ("pulltable", (1,), data_directives.pull_table),
    ("table", (2,), data_directives.load_table),
    ("org", (2,), position_directives.set_origin),
    ("base", (2,), position_directives.set_base),
    ("pushpc", (1,), position_directives.push_pc),
    ("pullpc", (1,), position_directives.pull_pc),
    ("pushbase", (1,), position_directives.push_base),
    ("pullbase", (1,), position_directives.pull_base),
    ("lorom hirom exlorom exhirom sfxrom norom fullsa1rom", (1,), position_directives.choose_mapper),
    ("sa1rom", _ANY, position_directives.choose_sa1),
    ("header", (1,), position_directives.accept_header),
    ("dpbase", (2,), position_directives.set_direct_page),
    ("optimize", (3,), position_directives.set_optimization),
    ("bank", (2,), position_directives.assume_bank),
    ("check", (3,), position_directives.set_check),
    ("namespace", (1, 2, 3), label_directives.set_namespace),
    ("pushns", (1,), label_directives.push_namespace),
    ("pullns", (1,), label_directives.pull_namespace),
    ("struct", _ANY, label_directives.begin_struct),
    ("endstruct", _ANY, label_directives.end_struct),
    ("function", (4,), label_directives.define_function),
    ("print", (2,), diagnostics_directives.print_message),
    ("error", (1, 2), diagnostics_directives.raise_error),
    ("warn", (1, 2, 3), diagnostics_directives.emit_warning),
    ("warnings", (2, 3), diagnostics_directives.configure_warnings),
    ("asar", (1, 2), diagnostics_directives.require_version),
    ("include", (1,), diagnostics_directives.include_marker),
    ("includefrom", (2,), diagnostics_directives.include_marker),
    ("includeonce", (1,), diagnostics_directives.include_once),
    ("warnpc", (2,), diagnostics_directives.warn_pc),
    ("reset", (2,), diagnostics_directives.reset_counter),
    ("math", (3,), diagnostics_directives.set_arithmetic),
    ("arch", (2,), spc700_blocks.set_processor),
    ("spcblock", (2, 3), spc700_blocks.open_spc_block),
    ("endspcblock", (1, 2, 3), spc700_blocks.close_spc_block),
    ("startpos", (2,), spc700_blocks.set_start),
    ("xkas", _ANY, diagnostics_directives.reject_command),
    ("{ }", (1,), diagnostics_directives.ignore_command),
    ("fastrom", (1,), diagnostics_directives.ignore_command),
    ("freespace freecode freedata", _ANY, freespace.open_space),
    ("freespacebyte", (2,), freespace.set_fill),
    ("prot", (2,), freespace.emit_prot),
    ("autoclean autoclear", (2, 3), freespace.emit_autoclean),
)

DIRECTIVES: Final[dict[str, tuple[range | tuple[int, ...], Run]]] = {
    name: (counts, run) for names, counts, run in _TABLE for name in names.split()
}
"""Directives that run the same way in every pass; those that work on the text are in `source_runner`."""
