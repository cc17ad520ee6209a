"""Directives that say, check or set something about the assembly itself."""

from __future__ import annotations

from afs.domains.snes.asm.diagnostics import BlockHalt, FatalHalt
from afs.domains.snes.asm.expressions import evaluate_integer
from afs.domains.snes.asm.message_catalog import WARNINGS
from afs.domains.snes.asm.print_text import printed_text
from afs.domains.snes.asm.session import Session

_VERSION = (1, 9, 1)


def print_message(s: Session, words: list[str]) -> None:
    """print "text",hex(pc())."""
    text = printed_text(s, words[1])
    if s.pass_ == 2:
        s.log.say(text)


def raise_error(s: Session, words: list[str]) -> None:
    """error, error "text"."""
    if len(words) == 1:
        raise BlockHalt("Eerror_command", ".")
    raise BlockHalt("Eerror_command", f": {printed_text(s, words[1])}", report_in=2)


def emit_warning(s: Session, words: list[str]) -> None:
    """warn, warn "text", warn xkas on|off."""
    if len(words) == 3:
        if words[2].lower() not in ("on", "off") or words[1].lower() != "xkas":
            raise BlockHalt("Einvalid_warn")
        s.log.warn(0, "Wfeature_deprecated", "xkas warnings", "leave them out")
        return
    s.log.warn(2, "Wwarn_command", "." if len(words) == 1 else f": {printed_text(s, words[1])}")


def configure_warnings(s: Session, words: list[str]) -> None:
    """warnings push|pull, warnings enable|disable Wname."""
    how = words[1].lower()
    if len(words) == 2:
        if how == "push":
            s.log.muted_stack.append(set(s.log.muted))
        elif how == "pull":
            if not s.log.muted_stack:
                raise BlockHalt("Epullwarnings_without_pushwarnings")
            s.log.muted = s.log.muted_stack.pop()
        s.set_fast()
        return
    if how not in ("enable", "disable"):
        return
    name = words[2].lower().removeprefix("w")
    if name.isascii() and name.isdigit() and 1000 < int(name[:9]) <= 1000 + len(WARNINGS):
        s.log.warn(0, "Wfeature_deprecated", "numbers of warnings", "write their names")
        name = WARNINGS[int(name) - 1001]
    if name not in WARNINGS:
        s.log.report(BlockHalt("Einvalid_warning_id"))
        return
    (s.log.muted.discard if how == "enable" else s.log.muted.add)(f"W{name}")
    s.set_fast()


def require_version(s: Session, words: list[str]) -> None:
    """asar 1.90: wants at least this version; from 1.90 on maths has priorities and keeps fractions."""
    if not s.version_allowed:
        raise BlockHalt("Estart_of_file")
    if len(words) == 1:
        return
    parts = words[1].split(".")
    if not all(part.isascii() and part.isdigit() for part in parts) or not 2 <= len(parts) <= 3:
        raise BlockHalt("Einvalid_version_number")
    if max(map(len, parts)) > 6 or (len(parts) == 2 and int(parts[0]) == _VERSION[0] and len(parts[1]) != 2):
        raise BlockHalt("Einvalid_version_number")
    numbers = [int(part) for part in parts]
    if numbers[0] < _VERSION[0]:
        return
    wanted = (numbers[0], numbers[1] // 10, numbers[1] % 10) if len(parts) == 2 else tuple(numbers)
    if wanted > _VERSION:
        raise FatalHalt("Easar_too_old", report_in=s.pass_)
    if wanted[1] >= 9:
        s.maths.always_priority = s.maths.never_rounds = True


def include_marker(s: Session, words: list[str]) -> None:
    """include, includefrom "main.asm": this file is no main file."""
    if not s.version_allowed:
        raise BlockHalt("Estart_of_file")
    if s.is_top:
        raise FatalHalt("Ecant_be_main_file", report_in=s.pass_)


def include_once(s: Session, words: list[str]) -> None:
    """includeonce."""
    if s.at.file not in s.sources.included_once:
        s.sources.included_once.append(s.at.file)


def warn_pc(s: Session, words: list[str]) -> None:
    """warnpc address: not beyond it."""
    s.log.warn(0, "Wfeature_deprecated", "warnpc", "write assert pc() <= $xxxxxx")
    limit = evaluate_integer(s, words[1]) & 0xFFFFFFFF
    here = s.out.pos & 0xFFFFFFFF
    if here & 0xFF000000:
        raise BlockHalt("Ewarnpc_in_freespace")
    if limit & 0xFF000000:
        raise BlockHalt("Ewarnpc_broken_param")
    if here > limit:
        raise BlockHalt("Ewarnpc_failed", here, limit)


def reset_counter(s: Session, words: list[str]) -> None:
    """reset bytes, reset freespaceuse."""
    what = words[1].lower()
    if what == "bytes":
        s.out.bytes_counted = 0
    elif what == "freespaceuse":
        s.free.used = 0
    else:
        raise BlockHalt("Eunknown_variable", report_in=2)


def set_arithmetic(s: Session, words: list[str]) -> None:
    """math pri on|off, math round on|off."""
    what, how = words[1].lower(), words[2].lower()
    if how not in ("on", "off") or what not in ("pri", "round"):
        raise BlockHalt("Einvalid_math")
    if what == "pri":
        s.maths.priority = how == "on"
    else:
        s.maths.math_rounds = how == "on"
    s.log.warn(2, "Wfeature_deprecated", f"math {what}", "put `asar 1.90` at the top and write parentheses")


def reject_command(s: Session, words: list[str]) -> None:
    """Commands of other processors and other assemblers."""
    raise BlockHalt("Ecommand_disabled", words[0])


def ignore_command(s: Session, words: list[str]) -> None:
    """Accepted for old sources; does nothing."""
    if words[0].lower() == "fastrom":
        s.log.warn(0, "Wfeature_deprecated", "fastrom", "leave it out")
