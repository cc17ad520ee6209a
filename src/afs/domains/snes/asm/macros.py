"""Macros: how they are declared, and how arguments are put into their lines. `source_runner` runs them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from afs.domains.snes.asm.defines import resolve_defines
from afs.domains.snes.asm.diagnostics import BlockHalt, FatalHalt, LineHalt
from afs.domains.snes.asm.expressions import evaluate_int32
from afs.domains.snes.asm.labels import UNKNOWN, find_label, label_name
from afs.domains.snes.asm.macro_call import Macro, MacroCall
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.source_text import (
    dequote,
    find_char,
    find_last_char,
    is_balanced,
    is_name,
    split_arguments,
    without_spaces,
)

_PARAMETERS: Final = re.compile(r"[A-Za-z0-9_,.]*")


def declare_macro(s: Session, text: str) -> Macro:
    """`name(a,b,...)` -> an empty macro."""
    if not is_balanced(text):
        raise BlockHalt("Ebroken_macro_declaration")
    line = without_spaces(text)
    start, end = find_char(line, "("), find_last_char(line, ")")
    if start < 0:
        raise BlockHalt("Ebroken_macro_declaration")
    name, inner = line[:start], line[start + 1 : end]
    if not is_name(name):
        raise BlockHalt("Einvalid_macro_name")
    broken = end + 1 < len(line) or not _PARAMETERS.fullmatch(inner) or re.search(r"(?:^|,)[0-9]|,,|^,|,$", inner)
    if broken:
        raise BlockHalt("Ebroken_macro_declaration")
    if name in s.names.macros:
        raise BlockHalt("Emacro_redefined", name)
    parameters = tuple(inner.split(",")) if inner else ()
    macro = Macro(name, parameters, parameters[-1:] == ("...",), s.at.file, s.at.line, [])
    _check_parameters(s, parameters)
    return macro


def _check_parameters(s: Session, parameters: tuple[str, ...]) -> None:
    """Report what is wrong with parameters; the macro is kept all the same, as in Asar."""
    for i, parameter in enumerate(parameters):
        if parameter == "..." and i + 1 < len(parameters):
            s.log.report(BlockHalt("Evararg_must_be_last"))
        elif parameter != "..." and not is_name(parameter):
            s.log.report(BlockHalt("Einvalid_macro_param_name"))
        elif parameter in parameters[i + 1 :]:
            s.log.report(BlockHalt("Emacro_param_redefined", parameter))
        else:
            continue
        return


class _WrittenCall(NamedTuple):
    """A call as written; no arguments if something follows them."""

    name: str
    arguments: tuple[str, ...] | None


@lru_cache(maxsize=10_000)
def _split_call(text: str) -> _WrittenCall | None:
    """`name(1,2)` in parts; None if it is not of this shape."""
    if not is_balanced(text):
        return None
    line = without_spaces(text)
    start, end = find_char(line, "("), find_last_char(line, ")")
    if start < 0 or not is_name(line[:start]):
        return None
    if end + 1 < len(line):
        return _WrittenCall(line[:start], None)
    inner = line[start + 1 : end]
    return _WrittenCall(line[:start], tuple(split_arguments(inner)) if inner else ())


def read_call(s: Session, text: str) -> MacroCall:
    """`name(1,2)` -> the call, its arguments counted."""
    written = _split_call(text)
    if written is None:
        raise BlockHalt("Ebroken_macro_usage")
    macro = s.names.macros.get(written.name)
    if macro is None:
        raise BlockHalt("Emacro_not_found", written.name)
    if written.arguments is None:
        raise BlockHalt("Ebroken_macro_usage")
    arguments = list(written.arguments)
    if len(arguments) != len(macro.parameters) and not macro.is_variadic:
        raise BlockHalt("Emacro_wrong_num_params", report_in=1)
    if len(arguments) < len(macro.parameters) - 1:
        raise BlockHalt("Emacro_wrong_min_params", report_in=1)
    call = MacroCall(macro, arguments, s.macro_calls)
    s.macro_calls += 1
    return call


def put_arguments(s: Session, line: str) -> str:
    """The line with `<parameter>` and `<...[n]>` replaced by the arguments of the running macro."""
    if "<" not in line:
        return line
    parts: list[str] = []
    if s.macro is not None and (template := _template(line, s.macro.macro.parameters)):
        arguments = s.macro.arguments
        if len(arguments) >= template.arguments:
            pieces = zip(template.texts, template.indexes, strict=True)
            text = "".join([before + _unquoted(arguments[index]) for before, index in pieces]) + template.last
            if len(text) > s.limits.text:
                raise FatalHalt("Elimit_text", s.limits.text, report_in=s.pass_)
            return text
    at = 0
    while (start := line.find("<", at)) >= 0:
        parts.append(line[at:start])
        piece, at = _replacement(s, line, start)
        parts.append(piece)
    parts.append(line[at:])
    text = "".join(parts)
    if len(text) > s.limits.text:
        raise FatalHalt("Elimit_text", s.limits.text, report_in=s.pass_)
    return text


class _Template(NamedTuple):
    """A line whose `<…>` are all plain parameters: text before each, and which argument follows."""

    texts: tuple[str, ...]
    indexes: tuple[int, ...]
    last: str
    arguments: int
    """Arguments the line needs."""


@lru_cache(maxsize=10_000)
def _template(line: str, parameters: tuple[str, ...]) -> _Template | None:
    """The template of a line, None where it needs a closer look."""
    if "<<" in line or "<:" in line:
        return None
    texts, indexes, at = [], [], 0
    while (start := line.find("<", at)) >= 0:
        end = line.find(">", start)
        name = line[start + 1 : end] if end >= 0 else ""
        if name not in parameters or name == "..." or not is_name(name):
            return None
        texts.append(line[at:start])
        indexes.append(parameters.index(name))
        at = end + 1
    return _Template(tuple(texts), tuple(indexes), line[at:], max(indexes) + 1)


def _replacement(s: Session, line: str, at: int) -> tuple[str, int]:
    """(what stands for the text from `<` on, where to continue)."""
    if line.startswith("<<", at) and not line.startswith(":", at + 2):
        return "<<", at + 2
    if line.startswith(" ", at + 1):
        return "<", at + 1
    end = at + 1
    while end < len(line) and line[end] not in "<>" and line[end + 1 : end + 2] != ":":
        end += 1
    if not line.startswith(">", end):
        return "<", at + 1
    inner = line[at + 1 : end]
    is_indexed = inner.startswith("...[")
    if is_indexed:
        if not inner.endswith("]"):
            raise BlockHalt("Eunclosed_vararg")
        inner = inner[4:-1]
    if s.macro is None:
        raise BlockHalt("Emacro_param_outside_macro")
    return _argument(s, s.macro, resolve_defines(s, inner), is_indexed), end + 1


def _argument(s: Session, call: MacroCall, name: str, is_indexed: bool) -> str:
    macro = call.macro
    named = is_name(name)
    if not named and not macro.is_variadic:
        raise BlockHalt("Einvalid_macro_param_name")
    if not is_indexed and name in macro.parameters:
        at = macro.parameters.index(name)
        if at < len(call.arguments):
            return _unquoted(call.arguments[at])
    if named and not (macro.is_variadic and _is_label(s, name)):
        raise BlockHalt("Einvalid_vararg" if is_indexed else "Emacro_param_not_found", name)
    if not is_indexed:
        s.log.warn(0, "Wfeature_deprecated", "<expression> for a variadic parameter", "write <...[expression]>")
    number = evaluate_int32(s, name)
    if s.maths.found_forward:
        raise BlockHalt("Elabel_forward")
    if s.flow.depth > s.flow.true_depth:
        return ""
    if number < 0 or number > len(call.arguments) - len(macro.parameters):
        raise BlockHalt("Evararg_out_of_bounds", report_in=1)
    return _unquoted(call.arguments[number + len(macro.parameters) - 1])


def _is_label(s: Session, name: str) -> bool:
    s.touch()
    full, _, _ = label_name(s, name, 0)
    return find_label(s, full) != UNKNOWN


def _unquoted(argument: str) -> str:
    if not argument.startswith('"'):
        return argument
    text = dequote(argument)
    if text is None:
        raise LineHalt("Egarbage_near_quoted_string")
    return text
