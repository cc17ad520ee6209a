"""Classifies lines of assembly by their first word: code, data, labels, blocks; nothing is assembled.

The meaning of a word depends on the dialect: a leading dot is a directive in ca65 and wla-dx, a local label in asar and
bass.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Clause(NamedTuple):
    """A statement: what it is, the global label before it, its first word and the rest; the family of a block."""

    kind: str
    """blank, comment, label, code, stop (code that continues elsewhere), data, call (of a macro), place (what
    follows is located elsewhere), state (a setting), assign, open or close (of a block)."""
    label: str = ""
    word: str = ""
    rest: str = ""
    block: str = ""


_PLACES = frozenset(
    {
        "org",
        "orga",
        "orgarm",
        "section",
        "ramsection",
        "segment",
        "bank",
        "slot",
        "code",
        "rodata",
        "data",
        "bss",
        "zeropage",
        "freecode",
        "freedata",
        "freespace",
        "pushpc",
        "pullpc",
        "incsrc",
        "include",
        "insert",
        "origin",
        "arch",
        "architecture",
        "output",
        "seek",
        "autoclean",
        "pushseg",
        "popseg",
        "namespace",
        "base",
    }
)
_SKIPPED = frozenset(
    {
        "macro",
        "inline",
        "mac",
        "struct",
        "union",
        "enum",
        "memorymap",
        "rombankmap",
        "snesheader",
        "snesnativevector",
        "snesemuvector",
        "asciitable",
        "gbheader",
    }
)
_DATA = frozenset(
    {
        "db",
        "dw",
        "dl",
        "dd",
        "byte",
        "byt",
        "word",
        "addr",
        "faraddr",
        "dword",
        "dbyt",
        "res",
        "dsb",
        "dsw",
        "dsl",
        "dst",
        "ds",
        "asciiz",
        "asc",
        "ascii",
        "incbin",
        "fill",
        "fillbyte",
        "pad",
        "skip",
        "text",
        "tag",
        "lobytes",
        "hibytes",
        "dbm",
        "dwm",
        "dc",
    }
)
_STATE = frozenset(
    {
        "pushns",
        "pullns",
        "print",
        "warn",
        "warnpc",
        "error",
        "assert",
        "optimize",
        "dpbase",
        "table",
        "cleartable",
        "pushtable",
        "pulltable",
        "prot",
        "check",
        "math",
        "warnings",
        "lorom",
        "hirom",
        "sa1rom",
        "norom",
        "exlorom",
        "exhirom",
        "fastrom",
        "header",
        "set",
        "undef",
        "elseif",
        "else",
        "elif",
        "until",
        "end",
        "endian",
        "evaluate",
        "equ",
        "global",
        "public",
        "extern",
        "export",
        "import",
        "module",
        "endmodule",
    }
)
_DEFINED = frozenset(
    {
        "define",
        "def",
        "redef",
        "redefine",
        "constant",
        "variable",
        "evaluate",
        "function",
        "equ",
        "undefine",
    }
)
_FAMILIES = {
    "endif": "if",
    "fi": "if",
    "endproc": "proc",
    "endscope": "scope",
    "ends": "section struct",
    "endm": "macro mac rept",
    "endmacro": "macro",
    "endmac": "macro mac",
    "endstruct": "struct",
    "endst": "struct",
    "endunion": "union",
    "endu": "union",
    "endenum": "enum",
    "ende": "enum",
    "endme": "memorymap",
    "endro": "rombankmap",
    "endsnes": "snesheader",
    "endnativevector": "snesnativevector",
    "endemuvector": "snesemuvector",
    "enda": "asciitable",
    "endgb": "gbheader",
    "endrep": "repeat",
    "endrepeat": "repeat",
    "endr": "repeat rept",
    "endwhile": "while",
    "endfor": "for",
    "endspcblock": "spcblock",
    "}": "{",
}
_STOPS = frozenset(
    {
        "rts",
        "rtl",
        "rti",
        "ret",
        "reti",
        "ret1",
        "jmp",
        "jml",
        "bra",
        "brl",
        "stp",
        "stop",
        "jr",
        "jp",
    }
)
_CODE = re.compile(r"^(?P<word>[A-Za-z]{2,4}[0-7]?|tset1|tclr1|pcall|tcall)(?:\.[bwlBWL])?(?:\s+(?P<rest>\S.*))?$")
_GLOBAL = {
    dialect: re.compile(rf"^((?:[A-Za-z]|{more})[\w.]*)::?(?![=:])\s*")
    for dialect, more in (("wla-dx", "__"), ("", "_"))
}
"""In wla-dx one underscore makes a label local."""
_LOCAL = re.compile(r"^(?:[-+]+|:|[@?#_][\w.@]+:?|\{#\}\w*:)(?=\s|$)\s*")
_SUBLABEL = re.compile(r"^\.+\w+:?(?=\s|$)\s*")
_WORD = re.compile(r"^([.%!#]?)([A-Za-z_]\w*)(.*)$", re.S)
_ASSIGNED = re.compile(r"^[!\w.@]+\s*(?:[:?+#^]?=(?!=)|\b(?:equ|EQU|set)\b)")
_QUOTED = r"\"[^\"\n]*\"|'[^'\n]{1,4}'"
_CUT = {dialect: re.compile(rf"({_QUOTED})|{sign}.*") for dialect, sign in (("bass", "//"), ("", "(?:;|//)"))}
_DIVIDED = {"bass": re.compile(r";"), "asar": re.compile(r"(?:^|\s):(?=\s)")}


def parse_lines(text: str, dialect: str) -> list[list[Clause]]:
    """The statements of every line."""
    cut = _CUT.get(dialect, _CUT[""])
    divided = _DIVIDED.get(dialect)
    found: list[list[Clause]] = []
    within = False
    for line in text.split("\n"):
        bare = cut.sub(lambda match: match[1] or "", line).strip()
        if within or bare.startswith("/*"):
            within = "*/" not in line
            found.append([Clause("comment")])
            continue
        head, opened, tail = bare.partition("/*")
        within = bool(opened) and "*/" not in tail
        bare = head.rstrip()
        if not bare:
            found.append([Clause("comment" if line.strip() else "blank")])
        else:
            statement = divided.split(bare) if divided else [bare]
            found.append(
                [_parse_clause(each.strip(), dialect) for each in statement if each.strip()] or [Clause("blank")]
            )
    return found


def _parse_clause(statement: str, dialect: str) -> Clause:
    dotted = dialect not in ("asar", "bass")
    if _ASSIGNED.match(statement):
        return Clause("assign", word=statement)
    label, named = "", _GLOBAL.get(dialect, _GLOBAL[""]).match(statement)
    if named and named[1].lower() not in ("else", "default"):
        label, statement = named[1], statement[named.end() :]
    else:
        while local := _LOCAL.match(statement) or (None if dotted else _SUBLABEL.match(statement)):
            if not local.end():
                break
            statement = statement[local.end() :]
    if not statement:
        return Clause("label", label)
    return _classify_statement(statement, label, dotted)


def _classify_statement(statement: str, label: str, dotted: bool) -> Clause:
    """Classify a statement whose label was removed."""
    if statement[0] in "{}":
        return Clause(
            "close" if statement[0] == "}" and not statement.endswith("{") else "open", label, statement[0], block="{"
        )
    match = _WORD.match(statement)
    if match is None:
        return Clause("data" if statement.startswith(("dc.", "ds.")) else "state", label, statement)
    prefix, word, rest = match[1], match[2].lower(), match[3].strip()
    directive = prefix == "." if dotted else prefix == ""
    if (statement.endswith("{") and not dotted) or (directive and _is_opening(word)):
        return Clause("open", label, word, rest, "{" if statement.endswith("{") else _block_family(word))
    if directive and word in _FAMILIES:
        return Clause("close", label, word, rest, _FAMILIES[word])
    if word in _DATA:
        return Clause("data", label, word, rest)
    if directive and word in _PLACES and (word in ("seek", "origin", "base") or not rest.startswith("(")):
        return Clause("place", label, word, rest)
    if word in _DEFINED and directive:
        return Clause("assign", label, word, rest)
    if prefix in (".", "!") or word in _STATE:
        return Clause("state", label, word, rest)
    if not prefix and (code := _CODE.match(statement)):
        operand = code["rest"] or ""
        chosen = (word == "ret" and operand) or (word in ("jr", "jp") and "," in operand)
        ends = word in _STOPS and not chosen
        return Clause("stop" if ends else "code", label, code["word"].lower(), operand)
    if word in ("routine", "proc", "function") and rest:
        return Clause("label", rest.split()[0])
    return Clause("call", label, match[2], rest)


def _is_opening(word: str) -> bool:
    return word in _SKIPPED or bool(
        re.match(r"if|scope$|section$|ramsection$|repeat$|rept$|while$|for$|spcblock$|proc$", word)
    )


def _block_family(word: str) -> str:
    return "if" if word.startswith("if") else "section" if word.endswith("section") else word


def is_skipped(part: Clause) -> bool:
    """Whether the contents of a block are not code: a macro body, a structure, a header."""
    return part.kind == "open" and (part.word in _SKIPPED or part.word == "ramsection")
