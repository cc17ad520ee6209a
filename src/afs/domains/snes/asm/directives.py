"""All directives: name -> how many words they take, and the function that carries them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from afs.domains.snes.asm import data, freespace, naming, placing, talking

if TYPE_CHECKING:
    from afs.domains.snes.asm.session import Session

Run = Callable[["Session", list[str]], None]

_ANY = range(1, 1_000_000)
_TABLE: Final[tuple[tuple[str, range | tuple[int, ...], Run], ...]] = (
    ("db dw dl dd", (2,), data.data),
    ("fill skip", _ANY, data.fill),
    ("fillbyte fillword filllong filldword padbyte padword padlong paddword", (2,), data.set_pattern),
    ("pad", (2,), data.pad),
    ("incbin", (2, 4), data.include_binary),
    ("cleartable", (1,), data.clear_table),
    ("pushtable", (1,), data.push_table),
    ("pulltable", (1,), data.pull_table),
    ("table", (2,), data.load_table),
    ("org", (2,), placing.org),
    ("base", (2,), placing.base),
    ("pushpc", (1,), placing.push_pc),
    ("pullpc", (1,), placing.pull_pc),
    ("pushbase", (1,), placing.push_base),
    ("pullbase", (1,), placing.pull_base),
    ("lorom hirom exlorom exhirom sfxrom norom fullsa1rom", (1,), placing.choose_mapper),
    ("sa1rom", _ANY, placing.choose_sa1),
    ("header", (1,), placing.header),
    ("dpbase", (2,), placing.direct_page),
    ("optimize", (3,), placing.optimize),
    ("bank", (2,), placing.assume_bank),
    ("check", (3,), placing.check),
    ("namespace", (1, 2, 3), naming.namespace),
    ("pushns", (1,), naming.push_namespace),
    ("pullns", (1,), naming.pull_namespace),
    ("struct", _ANY, naming.begin_struct),
    ("endstruct", _ANY, naming.end_struct),
    ("function", (4,), naming.function),
    ("print", (2,), talking.print_),
    ("error", (1, 2), talking.error),
    ("warn", (1, 2, 3), talking.warn),
    ("warnings", (2, 3), talking.warnings),
    ("asar", (1, 2), talking.version),
    ("include", (1,), talking.include_marker),
    ("includefrom", (2,), talking.include_marker),
    ("includeonce", (1,), talking.include_once),
    ("warnpc", (2,), talking.warn_pc),
    ("reset", (2,), talking.reset),
    ("math", (3,), talking.maths),
    ("arch", (2,), talking.processor),
    ("xkas spcblock endspcblock startpos", _ANY, talking.refused),
    ("{ }", (1,), talking.nothing),
    ("fastrom", (1,), talking.nothing),
    ("freespace freecode freedata", _ANY, freespace.open_space),
    ("freespacebyte", (2,), freespace.set_fill),
    ("prot", (2,), freespace.protect),
    ("autoclean autoclear", (2, 3), freespace.clean),
)

DIRECTIVES: Final[dict[str, tuple[range | tuple[int, ...], Run]]] = {
    name: (counts, run) for names, counts, run in _TABLE for name in names.split()
}
"""Directives that run the same way in every pass; those that work on the text stand in `runner`."""
