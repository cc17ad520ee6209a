"""Labels: what a name in the source is called in full, where it lies, and how many bytes it takes as an operand.

Full names: `parent_sub` for `.sub`, `:pos_1_3` and `:neg_1_3` for the third `+` and `-`, `:macro_7_name` for `?name` in
the seventh macro call, `struct.field` inside a struct; a namespace goes before all but `+` and `-`.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from afs.domains.snes.asm.diagnostics import BlockHalt
from afs.domains.snes.asm.session import Session

_BODY: Final = re.compile(r"[A-Za-z0-9_.]*")
_SUBSCRIPT: Final = re.compile(r"\[[\x20-\x5c\x5e-\x7e]*\]")
_ANONYMOUS: Final = re.compile(r"(\??)(\++|-+)")

UNKNOWN: Final = -1


class Subscript(NamedTuple):
    """`name[index]` in a label: the struct before the bracket and where the index stands."""

    owner: str
    start: int
    end: int


def anonymous_name(s: Session, text: str, at: int, define: bool = False) -> tuple[str, int]:
    """(full name, end) of a `+`/`-` label at this place, or ("", at)."""
    match = _ANONYMOUS.match(text, at)
    if match is None:
        return "", at
    sign, depth = match[2][0], len(match[2])
    if match[1]:
        if s.macro is None:
            raise BlockHalt("Emacro_label_outside_of_macro")
        counts = s.macro.labels.forward if sign == "+" else s.macro.labels.backward
        prefix = f":macro_{s.macro.labels.number}_"
    else:
        counts = s.names.forward_counts if sign == "+" else s.names.backward_counts
        prefix = ":"
    count = counts.get(depth, 0)
    if sign == "-":
        count += define
        counts[depth] = count
    elif define:
        counts[depth] = count + 1
    return f"{prefix}{'pos' if sign == '+' else 'neg'}_{depth}_{count}", match.end()


def label_name(s: Session, text: str, at: int, define: bool = False) -> tuple[str, int, Subscript | None]:
    """(full name without namespace, end, subscript) of the label that starts here."""
    is_macro = text.startswith("?", at)
    start = at = at + is_macro
    first = text[at : at + 1]
    if "0" <= first <= "9":
        raise BlockHalt("Einvalid_label_name", report_in=1)
    if s.names.struct is not None:
        return _field_name(s, text, at)
    while text.startswith(".", at):
        at += 1
    dots = at - start
    body = _BODY.match(text, at)
    assert body is not None
    if body.end() == at or text[at] == ".":
        raise BlockHalt("Einvalid_label_name", report_in=1)
    parents = s.names.sublabels
    if is_macro:
        parents = s.macro.labels.sublabels if s.macro is not None else []
    name, end, subscript = body.group(), body.end(), None
    if text.startswith("[", end):
        name, end, subscript = _subscripted(text, at, body.end())
    if dots:
        if len(parents) < dots or not parents[dots - 1]:
            raise BlockHalt("Elabel_missing_parent", report_in=1)
        name = f"{parents[dots - 1]}_{name}"
    elif is_macro:
        if s.macro is None:
            raise BlockHalt("Emacro_label_outside_of_macro", report_in=1)
        name = f":macro_{s.macro.labels.number}_{name}"
    if define:
        del parents[dots:]
        parents.append(name)
    return name, end, subscript


def _field_name(s: Session, text: str, at: int) -> tuple[str, int, Subscript | None]:
    assert s.names.struct is not None
    body = _BODY.match(text, at + 1)
    if not text.startswith(".", at) or body is None or not body.group() or body.group()[0] == ".":
        raise BlockHalt("Einvalid_label_name", report_in=1)
    return f"{s.names.struct.full_name}.{body.group()}", body.end(), None


def _subscripted(text: str, start: int, at: int) -> tuple[str, int, Subscript | None]:
    """`name[i].field`: the brackets are no part of the name."""
    name, subscript, count = text[start:at], None, 0
    while (match := _SUBSCRIPT.match(text, at)) is not None:
        count += 1
        owner = text[start:at]
        if count > 1:
            raise BlockHalt("Emultiple_subscript_operators", report_in=2)
        subscript = Subscript(owner, match.start() + 1, match.end() - 1)
        rest = _BODY.match(text, match.end())
        assert rest is not None
        name += rest.group()
        at = rest.end()
    if text.startswith("[", at):
        raise BlockHalt("Einvalid_label_missing_closer", report_in=1)
    return name, at, subscript


def find_label(s: Session, name: str) -> int:
    """Where a label lies, or UNKNOWN. Notes for the caller whether it may move."""
    labels = s.names.labels
    if s.names.namespace:
        full = s.names.namespace + name
        if full in labels:
            s.maths.is_static = full in s.names.static_labels
            return labels[full]
    at = labels.get(name, UNKNOWN)
    s.maths.is_static = at >= 0 and name in s.names.static_labels
    return at


def find_or_halt(s: Session, name: str) -> int:
    """Where a label lies; in the first pass it may be unknown yet."""
    at = find_label(s, name)
    if at == UNKNOWN and s.pass_ and name not in s.names.labels:
        raise BlockHalt("Elabel_not_found", name, report_in=2)
    return at


def define_label(s: Session, name: str, at: int, static: bool = False) -> None:
    """Give a full name its place; later passes check it against the earlier ones."""
    if s.pass_ == 0:
        if name in s.names.labels:
            s.out.labels_may_move = True
            raise BlockHalt("Elabel_redefined", name)
    elif s.pass_ == 2:
        _check_place(s, name, at)
        return
    s.names.labels[name] = at
    if static:
        s.names.static_labels.add(name)
    else:
        s.names.static_labels.discard(name)


def _check_place(s: Session, name: str, at: int) -> None:
    known = s.names.labels.get(name)
    if known is None:
        raise BlockHalt("Elabel_on_third_pass", name, report_in=2)
    if known == at or s.out.labels_may_move:
        return
    if at < known and (at >> 16 != known >> 16 or known == s.operands.dp_base + 0xFF):
        raise BlockHalt("Elabel_ambiguous", name, report_in=2)
    if not s.log.failed:
        raise BlockHalt("Elabel_moving", report_in=2)


def operand_bytes(s: Session, at: int) -> int:
    """Bytes an operand needs to reach this label from the current place."""
    if at == UNKNOWN:
        s.free.unknown += 1
        return 2
    bank, word = at >> 16, at & 0xFFFF
    if s.operands.optimize_dp != "none" or s.operands.optimize_address != "default":
        near = _optimized(s, bank, word)
        if near:
            return near
    if s.operands.assumed_bank >= 0:
        return 2 if not at & 0xFF000000 and bank == s.operands.assumed_bank else 3
    pos = s.out.pos
    if (at | pos) & 0xFF000000:
        return 3 if (at ^ pos) & 0xFF000000 else 2
    return 3 if (at ^ pos) & 0xFF0000 else 2


def _optimized(s: Session, bank: int, word: int) -> int:
    if word - s.operands.dp_base < 0x100 and word >= s.operands.dp_base:
        if s.operands.optimize_dp == "ram" and bank == 0x7E:
            return 1
        if s.operands.optimize_dp == "always" and (bank == 0x7E or not bank & 0x40):
            return 1
    if s.operands.assumed_bank >= 0:
        here = s.operands.assumed_bank
    elif not s.out.pos & 0xFF000000:
        here = s.out.pos >> 16
    else:
        here = 0 if s.free.is_code else 0x40
    if s.operands.optimize_address != "default" and not here & 0x40 and bank == 0x7E and word < 0x2000:
        return 2
    if s.operands.optimize_address == "mirrors" and not here & 0x40 and not bank & 0x40 and word < 0x8000:
        return 2
    return 0
