"""Lines that define a macro, and lines that continue on the next one."""

from __future__ import annotations

from afs.domains.snes.asm.block_nesting import BlockNesting
from afs.domains.snes.asm.diagnostics import BlockHalt, LineHalt
from afs.domains.snes.asm.macro_call import Macro
from afs.domains.snes.asm.macros import declare_macro
from afs.domains.snes.asm.session import Session


def is_macro_line(state: BlockNesting, line: str, inside: bool) -> bool:
    """A line that begins, ends or fills a macro where code is run."""
    head = line[:8].lower()
    return (inside or head[:6] == "macro " or head == "endmacro") and state.depth == state.true_depth


def join_continued(lines: list[str], at: int) -> tuple[str, int]:
    """(the line with those after a trailing backslash, how many lines that are)."""
    text, count = "", 0
    while at + count < len(lines):
        line = lines[at + count]
        count += 1
        if len(line) < 2 or line[-1] != "\\":
            return text + line, count
        text += line[:-1]
    return text, count


def run_macro_line(s: Session, line: str, inside: bool, macro: Macro | None) -> tuple[bool, Macro | None]:
    """A line that begins, ends or fills a macro; (are we inside?, the macro)."""
    s.at.block = ""
    try:
        if line[:6].lower() == "macro ":
            if inside:
                raise LineHalt("Enested_macro_definition")
            return True, declare_macro(s, line[6:]) if s.pass_ == 0 else None
        if line.lower() == "endmacro":
            if not inside:
                raise LineHalt("Emisplaced_endmacro")
            if macro is not None:
                s.names.macros[macro.name] = macro
            return False, None
    except (BlockHalt, LineHalt) as halt:
        s.log.report(halt)
        return True if line[:6].lower() == "macro " else inside, macro if inside else None
    if macro is not None:
        macro.lines.append(line)
    return inside, macro
