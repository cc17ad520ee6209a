"""Freespaces: code that goes wherever the ROM has room, and the cleaning of what an earlier version of the patch left.

A freespace has a number; until its place is known, that number stands above the 24 bits of its addresses.
"""

from __future__ import annotations

from typing import Final

from afs.domains.snes.asm.diagnostics import BlockHalt, FatalHalt
from afs.domains.snes.asm.expressions import evaluate_int32, evaluate_integer
from afs.domains.snes.asm.labels import UNKNOWN, define_label, find_or_halt, label_name
from afs.domains.snes.asm.rats_tags import TAG, Wish, find_space, remove_tag, resize_tag, tag_over
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.source_text import is_balanced, split_arguments

MOST: Final = 125


def close_space(s: Session) -> None:
    """The current freespace ends here, if we are in one."""
    if s.out.pos >= 0 and s.out.pos & 0x7F000000:
        s.free.length[s.free.current] = s.out.pos - s.free.start + s.free.unknown
        s.out.pos = -1
        s.out.room = -1
    s.free.unknown = 0


def _next_number(s: Session) -> int:
    if s.free.next > MOST:
        raise FatalHalt("Efreespace_limit_reached", MOST, report_in=s.pass_)
    s.free.next += 1
    return s.free.next - 1


def _options(s: Session, words: list[str]) -> tuple[dict[str, bool], int]:
    if len(words) > 2:
        raise BlockHalt("Einvalid_freespace_request")
    parts = words[1].split(",") if len(words) > 1 else []
    head = {"freecode": ["ram"], "freedata": ["noram"]}.get(words[0].lower(), [])
    options: dict[str, bool] = {}
    fill = s.out.image.fill
    for part in head + parts:
        name = part.lower()
        if name == "fixed":
            s.log.warn(0, "Wfeature_deprecated", "fixed", "write static")
            name = "static"
        if name in ("ram", "noram"):
            if "ram" in options:
                raise BlockHalt("Einvalid_freespace_request")
            options["ram"] = name == "ram"
        elif name in ("static", "align", "cleaned"):
            if name in options:
                raise BlockHalt("Einvalid_freespace_request")
            options[name] = True
        else:
            s.log.warn(0, "Wfeature_deprecated", "a fill byte in the freespace command", "write freespacebyte")
            fill = evaluate_integer(s, part) & 0xFF
    if "ram" not in options:
        raise BlockHalt("Einvalid_freespace_request")
    return options, fill


def open_space(s: Session, words: list[str]) -> None:
    """freecode, freedata, freespace ram|noram, each with static, align, cleaned."""
    options, fill = _options(s, words)
    if s.out.mapper == "norom":
        raise BlockHalt("Eno_freespace_norom")
    close_space(s)
    free = s.free
    number = free.current = _next_number(s)
    free.fill[number] = fill
    free.is_code = options["ram"]
    static = options.get("static", False)
    if s.pass_ == 0:
        pos = number << 24 | 0x8000
    elif s.pass_ == 1:
        pos = _choose(s, number, static, options.get("align", False))
    else:
        found = _settled(s, number, static, options.get("cleaned", False))
        if found is None:
            return
        pos = found
    free.static[number] = static
    if pos < 0:
        kind = "Eno_freespace_in_mapped_banks" if s.out.mapper == "sa1rom" else "Eno_freespace"
        raise FatalHalt(kind, free.length.get(number, 0), report_in=s.pass_)
    s.out.bytes_counted += TAG
    free.start = pos
    s.out.move(pos)
    s.operands.assumed_bank = -1
    s.out.may_prot = "yes"


def _choose(s: Session, number: int, static: bool, align: bool) -> int:
    free = s.free
    old = free.old_at.get(number, -2)
    if static and old < 0:
        free.at[number] = 0x8000
        free.leaks[number] = False
        raise BlockHalt("Estatic_freespace_autoclean", report_in=1)
    if static and old:
        pos = number << 24 | old
    else:
        pc = find_space(s, free.length.get(number, 0), Wish(free.is_code, align, free.fill[number]))
        address = s.out.to_snes(pc)
        pos = -1 if address < 0 else number << 24 | address
    free.at[number] = pos
    return pos


def _settled(s: Session, number: int, static: bool, cleaned: bool) -> int | None:
    free = s.free
    if static and free.old_at.get(number, -2) == -1:
        return None
    pos = number << 24 | free.at.get(number, 0x8000)
    length = free.length.get(number, 0)
    resize_tag(s, pos & 0xFFFFFF, length)
    if free.leaks.get(number, True) and not cleaned:
        s.log.warn(2, "Wfreespace_leaked")
    if static and free.old_at.get(number, -2) > 0 and length > free.old_length.get(number, -1):
        raise BlockHalt("Estatic_freespace_growing", report_in=2)
    free.used += TAG + length
    return pos


def set_fill(s: Session, words: list[str]) -> None:
    """freespacebyte n."""
    s.out.flush()
    s.out.room = -1
    s.out.image.fill = evaluate_integer(s, words[1]) & 0xFF
    if s.maths.found_label and not s.maths.found_static:
        raise BlockHalt("Eno_labels_here")


def _target(s: Session, text: str) -> int:
    name, end, _ = label_name(s, text, 0)
    at = find_or_halt(s, name)
    if end < len(text):
        raise BlockHalt("Elabel_not_found", text)
    return at


def emit_prot(s: Session, words: list[str]) -> None:
    """prot label,label: these go when this freespace goes."""
    if not is_balanced(words[1]):
        raise BlockHalt("Emismatched_parentheses")
    if s.out.may_prot == "no":
        raise BlockHalt("Eprot_not_at_freespace_start", report_in=2)
    if s.out.may_prot == "used":
        s.out.step(-5)
        s.out.room = -1
    labels = split_arguments(words[1])
    if len(labels) * 3 > 255:
        raise BlockHalt("Eprot_too_many_entries")
    s.out.emit(b"PROT" + bytes((len(labels) * 3,)))
    for label in labels:
        at = _target(s, label)
        s.out.emit((at & 0xFFFFFF).to_bytes(3, "little"))
        if s.pass_ == 1 and at != UNKNOWN:
            s.free.leaks[at >> 24] = False
    s.out.emit(b"STOP\0")
    s.out.may_prot = "used"
    s.out.room = -1


def emit_autoclean(s: Session, words: list[str]) -> None:
    """autoclean jsl label, jml label, dl label, or autoclean $address."""
    if words[0].lower() == "autoclear":
        s.log.warn(0, "Wautoclear_deprecated")
    if len(words) == 2:
        if s.pass_ == 0:
            remove_tag(s, evaluate_int32(s, words[1]), s.out.image.fill)
        return
    if s.out.pos > 0 and s.out.pos & 0xFF000000:
        raise BlockHalt("Eautoclean_in_freespace")
    at = _target(s, words[2])
    number = at >> 24 & 0xFF
    if s.pass_ == 1:
        s.free.leaks[number] = False
    kind = words[1].lower().removesuffix(".l")
    if kind in ("jsl", "jml"):
        _clean_jump(s, 0x22 if kind == "jsl" else 0x5C, number, at & 0xFFFFFF)
    elif kind == "dl":
        _clean_pointer(s, number, at & 0xFFFFFF)
    else:
        raise BlockHalt("Ebroken_autoclean")


def _base(s: Session, address: int, count: int) -> int:
    """A number in the ROM as it was before, -1 outside of it."""
    pc = s.out.to_pc(address)
    if pc < 0 or pc + count > len(s.out.image.base):
        return -1
    return int.from_bytes(s.out.image.base[pc : pc + count], "little")


def _is_reused(s: Session, place: int) -> bool:
    return any(at & 0xFFFFFF == place for at in s.free.at.values())


def _clean_jump(s: Session, opcode: int, number: int, at: int) -> None:
    free = s.free
    old = _base(s, s.out.pos + 1, 3)
    place = free.old_at.get(number, -2)
    if _base(s, s.out.pos, 1) == opcode:
        place = tag_over(s, old) + TAG
        free.old_length[number] = _base(s, place - 4, 2) + 1
        if not free.static.get(number, False) and s.pass_ == 1 and not _is_reused(s, place):
            remove_tag(s, old, free.fill.get(number, 0))
    elif place < 0:
        place = 0
    s.out.emit(bytes((opcode,)) + at.to_bytes(3, "little"))
    if s.pass_ == 2:
        start = tag_over(s, at)
        if start >= at or start < 0:
            raise BlockHalt("Eautoclean_label_at_freespace_end", report_in=2)
    free.old_at[number] = place


def _clean_pointer(s: Session, number: int, at: int) -> None:
    free = s.free
    old = _base(s, s.out.pos, 3)
    place = free.old_at.get(number, -2)
    start = tag_over(s, at)
    if s.pass_ == 1:
        place = tag_over(s, old) + TAG
        if not free.static.get(number, False) and not _is_reused(s, place):
            remove_tag(s, old, free.fill.get(number, 0))
    if s.pass_ == 2 and (start == at or start < 0):
        raise BlockHalt("Eautoclean_label_at_freespace_end", report_in=2)
    s.out.emit(at.to_bytes(3, "little"))
    free.old_at[number] = place
    free.old_length[number] = _base(s, place - 4, 2) + 1


def place_file(s: Session, name: str, content: bytes) -> None:
    """incbin "file" -> label: the bytes go wherever there is room, over bank borders if need be."""
    free, size = s.free, len(content)
    if s.pass_ == 0:
        if size > 0x10000:
            raise BlockHalt("Eincbin_64kb_limit")
        pc = find_space(s, size, Wish(False, False, 0, in_one_bank=False))
        if pc < 0:
            raise BlockHalt("Eno_freespace", size)
        number = _next_number(s)
        free.at[number] = s.out.to_snes(pc) | number << 24
        s.out.image.put(pc, b"\xff" * size)
        define_label(s, name, free.at[number])
        return
    number = _next_number(s)
    if s.pass_ == 2:
        if free.leaks.get(number, True):
            s.log.warn(2, "Wfreespace_leaked")
        s.out.flush()
        s.out.image.put(s.out.to_pc(free.at[number] & 0xFFFFFF), content)
        free.used += TAG + size
