"""Directives that make names: labels, assignments, namespaces, structs, functions."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from afs.domains.snes.asm import data_directives, position_directives
from afs.domains.snes.asm.diagnostics import BlockHalt, FatalHalt
from afs.domains.snes.asm.expressions import evaluate_int32, evaluate_integer
from afs.domains.snes.asm.labels import anonymous_name, define_label, label_name
from afs.domains.snes.asm.print_text import unquote
from afs.domains.snes.asm.session import Session
from afs.domains.snes.asm.source_text import find_char, is_balanced, is_name, normalize_spaces
from afs.domains.snes.asm.symbol_tables import OpenStruct, Struct, UserFunction

_PLAIN: Final = re.compile(r"(#?)(\.*)([A-Za-z_][A-Za-z0-9_]*):?")


@lru_cache(maxsize=50_000)
def _plain(word: str) -> tuple[bool, int, str] | None:
    """(does it open a scope?, dots, name) of an ordinary label; None if it is anything else."""
    match = _PLAIN.fullmatch(word)
    if match is None or (not match[2] and not word.endswith(":")):
        return None
    return not match[1], len(match[2]), match[3]


def place_label(s: Session, word: str, is_global: bool = False) -> bool:
    """Define the label of a statement here; False if a global one cannot be."""
    if s.out.room < 0:
        s.out.verify()
    plain = _plain(word)
    if plain is not None and s.names.struct is None and not is_global:
        opens, dots, name = plain
        parents = s.names.sublabels
        if dots:
            if len(parents) < dots or not parents[dots - 1]:
                raise BlockHalt("Elabel_missing_parent", report_in=1)
            name = f"{parents[dots - 1]}_{name}"
        if opens:
            del parents[dots:]
            parents.append(name)
        define_label(s, s.names.namespace + name, s.out.pos)
        return True
    name, end = anonymous_name(s, word, 0, define=True)
    if name:
        if is_global:
            return False
        if word[end : end + 1] not in ("", ":"):
            raise BlockHalt("Ebroken_label_definition")
        define_label(s, name, s.out.pos)
        return True
    if is_global and (s.names.struct is not None or word[0] == "?"):
        return False
    start = 1 if word[0] == "#" else 0
    needs_colon = s.names.struct is not None and word[start : start + 1] != "." and word[start + 1 : start + 2] != "."
    name, end, _ = label_name(s, word, start, define=not start)
    if word.startswith(":", end):
        end += 1
    elif needs_colon:
        raise BlockHalt("Ebroken_label_definition")
    elif is_global:
        return False
    if end < len(word):
        raise BlockHalt("Ebroken_label_definition")
    if s.names.namespace and not is_global:
        name = s.names.namespace + name
    define_label(s, name, s.out.pos, s.names.struct is not None and s.names.struct.is_static)
    return True


def assign(s: Session, words: list[str]) -> None:
    """name = value, or 'c' = value."""
    if data_directives.set_character(s, words):
        return
    value = evaluate_int32(s, words[2])
    if s.maths.found_label and not s.maths.found_static:
        raise BlockHalt("Elabel_cross_assignment")
    name, prefix = words[0], ""
    if name.startswith("?"):
        name = name[1:]
        if s.macro is None:
            raise BlockHalt("Emacro_label_outside_of_macro")
        prefix = f":macro_{s.macro.labels.number}_"
    if not is_name(name):
        raise BlockHalt("Einvalid_label_name")
    define_label(s, f"{s.names.namespace}{prefix}{name}", value, static=True)


def set_namespace(s: Session, words: list[str]) -> None:
    """namespace name, namespace off, namespace nested on|off."""
    how = words[1].lower() if len(words) > 1 else ""
    third = words[2].lower() if len(words) > 2 else ""
    if how == "nested":
        if not third:
            raise BlockHalt("Einvalid_namespace_use")
        if third in ("on", "off"):
            s.names.is_nesting = third == "on"
    elif third:
        raise BlockHalt("Einvalid_namespace_use")
    elif how in ("", "off"):
        if s.names.is_nesting:
            del s.names.namespaces[-1:]
        else:
            s.names.namespaces = []
    else:
        name = unquote(words[1])
        if not is_name(name):
            raise BlockHalt("Einvalid_namespace_name")
        s.names.namespaces = [*s.names.namespaces, name] if s.names.is_nesting else [name]
        if len(s.names.namespaces) > s.limits.depth:
            raise FatalHalt("Erecursion_limit", report_in=s.pass_)
    s.names.namespace = "".join(f"{name}_" for name in s.names.namespaces)


def push_namespace(s: Session, words: list[str]) -> None:
    """Keep the namespace and leave it."""
    s.names.namespace_stack.append((s.names.namespace, list(s.names.namespaces), s.names.is_nesting))
    s.names.namespace, s.names.namespaces, s.names.is_nesting = "", [], False


def pull_namespace(s: Session, words: list[str]) -> None:
    """Back to the kept namespace."""
    if not s.names.namespace_stack:
        raise BlockHalt("Epullns_without_pushns")
    s.names.namespace, s.names.namespaces, s.names.is_nesting = s.names.namespace_stack.pop()


def begin_struct(s: Session, words: list[str]) -> None:
    """struct name [address], struct child extends parent."""
    if s.names.struct is not None:
        raise BlockHalt("Enested_struct")
    if not 2 <= len(words) <= 4:
        raise BlockHalt("Emissing_struct_params" if len(words) < 2 else "Etoo_many_struct_params")
    name = words[1]
    if not is_name(name):
        raise BlockHalt("Einvalid_struct_name")
    if name in s.names.structs and s.pass_ == 0:
        raise BlockHalt("Estruct_redefined", name)
    saved = (s.out.pos, s.out.start, s.operands.assumed_bank)
    parent, is_static = "", False
    if len(words) == 3:
        address = evaluate_integer(s, words[2]) & 0xFFFFFFFF
        is_static = not (s.maths.found_label and not s.maths.found_static)
        if address > 0xFFFFFF:
            raise BlockHalt("Esnes_address_out_of_bounds", address)
        s.out.pos = s.out.start = address
    elif len(words) == 4:
        parent = _parent(s, words)
        is_static = s.names.structs[parent].is_static
        s.out.pos = s.out.start = s.names.structs[parent].end
    position_directives.save_place(s)
    s.operands.assumed_bank = -1
    s.out.room = -1
    s.names.struct = OpenStruct(name, parent, s.out.pos, is_static, saved)
    s.out.real = s.out.real_start = 0
    if s.out.pos < 0:
        s.out.verify()
        s.names.struct = s.names.struct._replace(base=s.out.pos)
    define_label(s, s.names.struct.full_name, s.out.pos, is_static)


def _parent(s: Session, words: list[str]) -> str:
    if words[2].lower() != "extends":
        raise BlockHalt("Emissing_extends")
    if not is_name(words[3]):
        raise BlockHalt("Estruct_invalid_parent_name")
    if words[3] not in s.names.structs:
        raise BlockHalt("Estruct_not_found", words[3])
    return words[3]


def end_struct(s: Session, words: list[str]) -> None:
    """endstruct, endstruct align n."""
    if len(words) not in (1, 3):
        raise BlockHalt("Einvalid_endstruct_count")
    if len(words) == 3 and words[1].lower() != "align":
        raise BlockHalt("Eexpected_align")
    if s.names.struct is None:
        raise BlockHalt("Eendstruct_without_struct")
    alignment = evaluate_int32(s, words[2]) if len(words) == 3 else 1
    if alignment < 1:
        raise BlockHalt("Ealignment_too_small")
    open_ = s.names.struct
    size = alignment * ((s.out.pos - open_.base + alignment - 1) // alignment)
    s.names.structs[open_.full_name] = Struct(s.out.pos, size, size, open_.is_static)
    if open_.parent:
        parent = s.names.structs[open_.parent]
        whole = max(parent.object_size, parent.size + size)
        s.names.structs[open_.parent] = parent._replace(object_size=whole)
    position_directives.restore_place(s)
    s.out.pos, s.out.start, s.operands.assumed_bank = open_.saved
    s.names.struct = None


def define_function(s: Session, words: list[str]) -> None:
    """function name(a,b) = expression."""
    if words[2] != "=" or not is_balanced(words[1]):
        raise BlockHalt("Ebroken_function_declaration")
    line = normalize_spaces(words[1])
    start, end = find_char(line, "("), find_char(line, ")")
    if start < 0 or end + 1 < len(line):
        raise BlockHalt("Ebroken_function_declaration")
    name, parameters = line[:start], line[start + 1 : end].split(",")
    if not is_name(name):
        raise BlockHalt("Einvalid_function_name")
    if not is_balanced(words[3]):
        raise BlockHalt("Emismatched_parentheses")
    if name in s.names.functions:
        s.log.warn(1, "Wfeature_deprecated", "defining a function again", "choose another name")
    for i, parameter in enumerate(parameters):
        if parameter.lower() in (other.lower() for other in parameters[:i]):
            raise BlockHalt("Eduplicate_param_name", parameter, name)
        if not is_name(parameter):
            raise BlockHalt("Einvalid_param_name")
    s.names.functions[name] = UserFunction(tuple(parameters), words[3])


def undefine(s: Session, words: list[str]) -> None:
    """undef "name"."""
    name = unquote(words[1])
    if name not in s.names.defines:
        raise BlockHalt("Edefine_not_found", name)
    del s.names.defines[name]
