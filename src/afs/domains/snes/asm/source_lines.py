"""A file as lines ready to run: comments cut, tabs and ends cleaned, lines that end in a comma joined."""

from __future__ import annotations

import re

from afs.domains.snes.asm.diagnostics import BlockHalt
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.source_text import find_last_char, is_well_quoted, map_unquoted, strip_comment

_SPECIAL = re.compile(r"[;\"'\t]")
_MARK = "\xef\xbb\xbf"


def prepare_lines(s: Session, path: str) -> list[str]:
    """The lines of a file; read once per assembly."""
    if path not in s.sources.prepared:
        if path not in s.sources.texts:
            s.sources.texts[path] = s.sources.files.load(path).decode("latin-1")
        s.sources.prepared[path] = _prepare(s, path, s.sources.texts[path])
    return s.sources.prepared[path]


def _prepare(s: Session, path: str, text: str) -> list[str]:
    text = text.split("\0", 1)[0].replace("\r", "")
    if text.startswith(_MARK):
        s.log.warn(0, "Wbyte_order_mark_utf8")
        text = text[len(_MARK) :]
    raw = text.split("\n")
    s.sources.raw_lines[path] = raw
    s.budget.statements += s.limits.statements_per_line * len(raw)
    is_special = _SPECIAL.search
    lines = [_clean_line(s, path, i, line) if is_special(line) else line.strip(" ") for i, line in enumerate(raw)]
    joins = any(line.endswith(",") for line in lines)
    return _joined(lines) if joins else lines


def _clean_line(s: Session, path: str, number: int, line: str) -> str:
    quoted = '"' in line or "'" in line
    if ";" in line:
        at = line.index(";")
        if quoted or line.startswith("@", at + 1):
            line = strip_comment(line)
        else:
            line = line[:at]
    if "\t" in line:
        line = map_unquoted(line, lambda part: part.replace("\t", " "))
    if quoted and not is_well_quoted(line):
        kept = s.at.file, s.at.line
        s.at.file, s.at.line, s.at.block = path, number, line.strip()
        s.log.report(BlockHalt("Emismatched_quotes"))
        s.at.file, s.at.line = kept
        return ""
    return line.strip(" ")


def _joined(lines: list[str]) -> list[str]:
    for i in range(len(lines)):
        j = i + 1
        while lines[i].endswith(",") and j < len(lines) and find_last_char(lines[i], ",") == len(lines[i]) - 1:
            lines[i] += lines[j]
            lines[j] = ""
            j += 1
    return lines
