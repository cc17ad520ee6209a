"""Which assembler a source is written for: asar, ca65, wla-dx or bass; without evidence for any it is `unknown`."""

from __future__ import annotations

import re

UNKNOWN = "unknown"
_WAYS = re.I | re.M
_DOTTED = re.compile(r"^[ \t]*(?:\w+:[ \t]*)?\.([A-Za-z]\w*)", re.M)
_CA65 = frozenset(
    {
        "segment",
        "proc",
        "endproc",
        "import",
        "importzp",
        "export",
        "exportzp",
        "global",
        "globalzp",
        "autoimport",
        "smart",
        "a8",
        "a16",
        "i8",
        "i16",
        "byt",
        "res",
        "addr",
        "faraddr",
        "dbyt",
        "scope",
        "endscope",
        "endmacro",
        "endmac",
        "setcpu",
        "p02",
        "p816",
        "feature",
        "endrep",
        "endrepeat",
        "endenum",
        "endstruct",
        "endunion",
        "code",
        "rodata",
        "bss",
        "zeropage",
        "pushseg",
        "popseg",
        "pushcpu",
        "popcpu",
        "linecont",
        "charmap",
        "ident",
        "assert",
        "if",
        "ifblank",
        "ifnblank",
        "tag",
        "lobytes",
        "hibytes",
        "debuginfo",
        "condes",
        "constructor",
        "interruptor",
        "local",
        "macpack",
        "referto",
        "refto",
        "delmacro",
    }
)
_WLA = frozenset(
    {
        "bank",
        "slot",
        "section",
        "ends",
        "memorymap",
        "endme",
        "rombankmap",
        "rombanks",
        "rombanksize",
        "banksize",
        "slotsize",
        "defaultslot",
        "ramsection",
        "accu",
        "index",
        "orga",
        "background",
        "unbackground",
        "emptyfill",
        "lorom",
        "hirom",
        "exhirom",
        "snesheader",
        "endsnes",
        "snesnativevector",
        "endnativevector",
        "snesemuvector",
        "endemuvector",
        "computesneschecksum",
        "computegbchecksum",
        "base",
        "db",
        "dw",
        "dl",
        "dd",
        "dsb",
        "dsw",
        "dsl",
        "dst",
        "endm",
        "def",
        "redef",
        "redefine",
        "undef",
        "equ",
        "ende",
        "endr",
        "rept",
        "incdir",
        "ifeq",
        "ifneq",
        "ifgr",
        "ifgreq",
        "ifle",
        "ifleeq",
        "ifdefm",
        "16bit",
        "8bit",
        "24bit",
        "wdc",
        "asciitable",
        "enda",
        "endst",
        "instanceof",
        "gbheader",
        "smsheader",
        "romheader",
        "name",
        "cartridgetype",
        "printt",
        "printv",
        "seed",
        "dbm",
        "dwm",
    }
)
_BOTH = frozenset(
    {
        "include",
        "incbin",
        "byte",
        "word",
        "dword",
        "asciiz",
        "asc",
        "org",
        "define",
        "macro",
        "enum",
        "struct",
        "union",
        "ifdef",
        "ifndef",
        "else",
        "elseif",
        "endif",
        "end",
        "repeat",
        "align",
        "text",
        "fail",
        "out",
        "error",
        "warning",
    }
)
"""Directives that ca65 and wla-dx share; they are no evidence."""
_BARE = (
    (
        "bass",
        re.compile(
            r"^[ \t]*(?:arch(?:itecture)?[ \t]+(?:\w+\.\w+|wdc\w+)|output[ \t]+\"|endian[ \t]+[lm]sb|origin[ \t(]|"
            r"(?:constant|variable|evaluate|insert|define|inline)[ \t]+[\w.]+[ \t]*[(,]|include[ \t]+\"|"
            r"(?:scope|namespace|function)[ \t]+[\w.]+:?[ \t]*\{|macro[ \t]+[\w.]+\([^)\n]*\)[ \t]*\{|"
            r"\}[ \t]*else|(?:if|while)[ \t].*\{[ \t]*$|//)|\{[a-z#]\w*\}|\{#\}",
            _WAYS,
        ),
    ),
    (
        "asar",
        re.compile(
            r"^[ \t]*(?:incsrc\b|pushpc\b|pullpc\b|free(?:code|data|space)\b|(?:ex)?(?:lo|hi)rom\b|sa1rom\b|"
            r"norom\b|autoclean\b|prot\b|warnpc\b|arch[ \t]+(?:65816|spc700|superfx)|org[ \t]+[$!]|"
            r"namespace[ \t]+(?:off|\w+[ \t]*$)|"
            r"![\w{]+[ \t]*[?:#^+]?=|macro[ \t]+\w+\([^)\n]*\)[ \t]*(?:;.*)?$|endmacro\b|%\w+\(|"
            r"function[ \t]+\w+\([^)\n]*\)[ \t]*=|struct[ \t]+\w+[ \t]+\S|\w+:[ \t]*:|"
            r"check[ \t]+(?:title|bankcross)|(?:push|pull|clear)?table\b)|[#($, \t]![A-Za-z_]\w*",
            _WAYS,
        ),
    ),
)
_NAMELESS = re.compile(r"[ \t]:[-+]+[ \t]*$", re.M)
"""ca65's syntax for an unnamed label."""
_COMMENT = re.compile(r"^[ \t]*;", re.M)
_SLASHED = re.compile(r"^[ \t]*//", re.M)


def detect_dialect(text: str) -> str:
    """The assembler with the most words in the source that only it uses."""
    directives = [word.lower() for word in _DOTTED.findall(text)]
    found = {"ca65": sum(word in _CA65 for word in directives), "wla-dx": sum(word in _WLA for word in directives)}
    bare = re.sub(r";.*|(?<=\S)[ \t]+//.*", "", text)
    found["ca65"] += len(_NAMELESS.findall(bare))
    found |= {name: len(pattern.findall(bare)) for name, pattern in _BARE}
    if not found["ca65"] and not found["wla-dx"]:  # a dotted word no assembler knows is a local label
        found["asar"] += sum(word not in _BOTH for word in directives)
    if _COMMENT.search(text) and not _SLASHED.search(text):
        found["bass"] = 0  # its comments are `//`; a semicolon divides statements
    best = max(found, key=lambda name: found[name])
    return best if found[best] else UNKNOWN
