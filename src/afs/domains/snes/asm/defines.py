"""Defines: `!name` in a line becomes its text; `!name = value` and the like set it."""

from __future__ import annotations

import re
from typing import Final

from afs.domains.snes.asm.diagnostics import FatalHalt, LineHalt
from afs.domains.snes.asm.expressions import evaluate, number_text
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.source_text import WORD, normalize_spaces

_SPECIAL: Final = re.compile(r"[!\\]")
_ASSIGN: Final = re.compile(r" ([+:#?]?)= ")


def resolve_defines(s: Session, text: str) -> str:
    """The line with every define put in; assignments in it are carried out."""
    if "!" not in text and "\\" not in text:
        return text
    s.depth += 1
    if s.depth > s.limits.depth:
        raise FatalHalt("Erecursion_limit", report_in=s.pass_)
    parts: list[str] = []
    at = length = 0
    while (match := _SPECIAL.search(text, at)) is not None:
        parts.append(text[at : match.start()])
        at = match.start()
        if match.group() == "\\":
            follower = text[at + 1 : at + 2]
            parts.append(follower if follower in ("\\", "!") and follower else "\\")
            at += 2 if follower in ("\\", "!") and follower else 1
            continue
        piece, at = _define(s, text, at)
        length += len(piece)
        if length > s.limits.text:
            raise FatalHalt("Elimit_text", s.limits.text, report_in=s.pass_)
        parts.append(piece)
    parts.append(text[at:])
    s.depth -= 1
    return "".join(parts)


def _define(s: Session, text: str, at: int) -> tuple[str, int]:
    """(what stands for the define at `at`, where to continue)."""
    is_first = at == 0 or (at >= 4 and text[at - 3 : at] == " : ")
    name, end = _name(s, text, at + 1)
    assign = _ASSIGN.match(text, end) if is_first else None
    if assign is not None:
        return "", _assign(s, name, assign[1], text, assign.end())
    if not name:
        return "!", end
    if name not in s.names.defines:
        raise LineHalt("Edefine_not_found", name)
    return resolve_defines(s, s.names.defines[name]), end


def _name(s: Session, text: str, at: int) -> tuple[str, int]:
    if not text.startswith("{", at):
        match = WORD.match(text, at)
        return (match.group(), match.end()) if match else ("", at)
    braces, start = 1, at + 1
    at = start
    while braces:
        if at >= len(text):
            raise LineHalt("Emismatched_braces")
        braces += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    name = resolve_defines(s, text[start : at - 1])
    if not WORD.fullmatch(name):
        raise LineHalt("Einvalid_define_name")
    return name, at


def _assign(s: Session, name: str, mode: str, text: str, at: int) -> int:
    value, at = _value(text, at)
    if at < len(text) and not text.startswith(" : ", at):
        raise LineHalt("Ebroken_define_declaration")
    value = normalize_spaces(value)
    if name in s.names.builtin_defines:
        raise LineHalt("Eoverriding_builtin_define", name)
    if mode == "+":
        if name not in s.names.defines:
            raise LineHalt("Edefine_not_found", name)
        value = s.names.defines[name] + value
        if len(value) > s.limits.text:
            raise FatalHalt("Elimit_text", s.limits.text, report_in=s.pass_)
    elif mode == ":":
        value = resolve_defines(s, value)
    elif mode == "#":
        number = evaluate(s, resolve_defines(s, value))
        if s.maths.found_label and not s.maths.found_static:
            raise LineHalt("Edefine_label_math")
        value = number_text(number)
    elif mode == "?" and name in s.names.defines:
        return at
    s.names.defines[name] = value
    return at


def _value(text: str, at: int) -> tuple[str, int]:
    if not text.startswith('"', at):
        end = text.find(" ", at)
        end = len(text) if end < 0 else end
        return text[at:end], end
    value: list[str] = []
    at += 1
    while True:
        if at >= len(text):
            raise LineHalt("Ebroken_define_declaration")
        if text[at] == '"':
            follower = text[at + 1 : at + 2]
            if follower in ("", " "):
                return "".join(value), at + 1
            if follower != '"':
                raise LineHalt("Ebroken_define_declaration")
            at += 1
        value.append(text[at])
        at += 1
