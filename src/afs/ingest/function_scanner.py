"""Finds the functions of a source file by their heads and braces, and the comment above each; it compiles nothing.

Comments and strings are blanked first, so that a brace in them does not count. A head that a language spells in a way
not known here is not found; what is found is whole. Python is read by its own parser, in `code.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from afs.ingest import cpp_blocks


class Spoken(NamedTuple):
    """How a language writes noise (comments, strings) and the heads of functions."""

    noise: re.Pattern[str]
    head: re.Pattern[str]


class Scanned(NamedTuple):
    """A function: its lines, the comment above, its text."""

    name: str
    first: int
    last: int
    doc: str
    code: str


_SLASHES = r"//[^\n]*|/\*.*?\*/"
_QUOTED = r'"(?:\\.|[^"\\\n])*"'
_CHAR = r"'(?:\\[^\n']*|[^'\\\n])'"
_TICKS = r"`(?:\\.|[^`\\])*`"
_REGEX = r"(?<=[(,=:\[!&|?{};])[ \t]*/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*"
_NOT = r"(?!(?:return|new|else|throw|case|goto|typedef|if|for|while|switch|catch|do|delete|await|yield|using|import)\b)"
_JS_NAME = r"(?!(?:if|for|while|switch|catch|function|return|constructor|with)\b)(?P<{}>[A-Za-z_$][\w$]*)"
_SCRIPT = (
    r"^[ \t]*(?:export[ \t]+)?(?:default[ \t]+)?(?:async[ \t]+)?function\b[ \t]*\*?[ \t]*" + _JS_NAME.format("a") + "|"
    r"^[ \t]*(?:export[ \t]+)?(?:(?:const|let|var)[ \t]+)?(?:[\w$]+\.)*" + _JS_NAME.format("b")
    + r"[ \t]*(?::[^=\n;]{0,80})?[=:][ \t]*(?:async[ \t]*)?(?:function\b[^(\n]*)?(?=\()|"
    r"^[ \t]+(?:(?:static|async|get|set|public|private|protected|override|readonly)[ \t]+)*\*?"
    + _JS_NAME.format("c") + r"(?=[ \t]*(?:<[^()\n]*>)?\()"
)  # fmt: skip


def _spoken(noise: str, head: str) -> Spoken:
    return Spoken(re.compile(noise, re.S), re.compile(head, re.M))


SPOKEN: dict[str, Spoken] = {
    "c": _spoken(
        f"{_SLASHES}|{_QUOTED}|{_CHAR}",
        rf"^{_NOT}(?:[A-Za-z_][\w \t*]*[ \t*]\n?|[A-Za-z_][\w \t*]*\n)(?P<a>[A-Za-z_]\w*)[ \t]*(?=\()",
    ),
    "cpp": _spoken(
        rf'{_SLASHES}|R"(\w{{0,16}})\(.*?\)\1"|{_QUOTED}|{_CHAR}',
        r"(?P<a>(?!))",  # by its blocks
    ),
    "java": _spoken(
        rf'"""(?:.*?)"""|{_SLASHES}|{_QUOTED}|{_CHAR}',
        rf"^[ \t]*{_NOT}(?:[A-Za-z_@][\w.<>\[\],?& \t]*[\]>\w][ \t]+)(?P<a>[A-Za-z_]\w*)[ \t]*(?=\()",
    ),
    "javascript": _spoken(f"{_SLASHES}|{_QUOTED}|'(?:\\\\.|[^'\\\\\n])*'|{_TICKS}|{_REGEX}", _SCRIPT),
    "typescript": _spoken(f"{_SLASHES}|{_QUOTED}|'(?:\\\\.|[^'\\\\\n])*'|{_TICKS}|{_REGEX}", _SCRIPT),
    "go": _spoken(f"{_SLASHES}|{_QUOTED}|`[^`]*`|{_CHAR}", r"^func[ \t]+(?:\([^)\n]*\)[ \t]*)?(?P<a>[A-Za-z_]\w*)"),
    "rust": _spoken(
        rf'{_SLASHES}|r(#*)".*?"\1|"(?:\\.|[^"\\])*"|{_CHAR}',
        r"^[ \t]*(?:pub(?:\([^)\n]*\))?[ \t]+)?(?:(?:default|const|async|unsafe|extern)[ \t]+)*"
        r"fn[ \t]+(?P<a>[A-Za-z_]\w*)",
    ),
    "php": _spoken(
        rf"{_SLASHES}|#(?!\[)[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'",
        r"^[ \t]*(?:(?:abstract|final|public|private|protected|static)[ \t]+)*function[ \t]+&?(?P<a>[A-Za-z_]\w*)",
    ),
    "ruby": _spoken(
        rf"^=begin.*?^=end[^\n]*|(?<![\w?$])#(?!\{{)[^\n]*|{_QUOTED}|'(?:\\.|[^'\\\n])*'",
        r"^[ \t]*def[ \t]+(?:self\.)?(?P<a>[A-Za-z_]\w*[?!=]?)",
    ),
}
ENDINGS: dict[str, str] = {
    ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".jsx": "javascript", ".ts": "typescript",
    ".tsx": "typescript", ".go": "go", ".java": "java", ".rs": "rust", ".c": "c", ".cc": "cpp", ".cpp": "cpp",
    ".cxx": "cpp", ".hpp": "cpp", ".rb": "ruby", ".php": "php",
}  # fmt: skip
_PAIRS = {")": "(", "]": "[", "}": "{"}
_NEAR = 400
"""A body begins within so many characters of its head, parameters not counted."""
_ABOVE = re.compile(r"^\s*(?:@\w[\w.]*(?:\(.*\))?|#!?\[.*\]|template\s*<.*>|export|\[\[.*\]\])\s*$")
_MARKS = re.compile(r"^\s*(?:/\*\*?!?|//[/!]?<?|\*+/|\*+(?!/)|#+|=begin|=end)\s?|\s*\*+/\s*$")
_TAGGED = re.compile(
    r"^\s*(?:</?(?:p|pre|ul|table)\b|[@\\]\w+|#\s|Args?:|Arguments:|Params?:|Parameters:|Returns?:|Examples?:|```)"
)
_INLINE = re.compile(r"\{@\w+\s+([^}]*)\}|</?[a-z]+>")


def functions(text: str, language: str) -> Iterator[Scanned]:
    """The functions of a source in the order they begin; those inside of another are told too."""
    spoken = SPOKEN[language]
    bare = blanked(text, language)
    lines = text.split("\n")
    if language == "cpp":
        yield from _of_blocks(bare, lines)
        return
    closing = {} if language == "ruby" else brackets(bare)
    number, seen = 1, 0
    bare_lines = bare.split("\n") if language == "ruby" else []
    for match in spoken.head.finditer(bare):
        name = next(group for group in match.groupdict().values() if group is not None)
        start = match.start()
        number += bare.count("\n", seen, start)
        seen = start
        if language == "ruby":
            last = _ruby_end(bare_lines, number - 1)
        else:
            arrow = match.lastgroup == "b" and "function" not in match[0]
            end = _body(bare, match.end(), closing, arrow=arrow)
            last = number + bare.count("\n", start, end) if end else 0
        if last:
            yield Scanned(name, number, last, _doc(lines, number - 1), _dedented(lines[number - 1 : last]))


def _of_blocks(bare: str, lines: list[str]) -> Iterator[Scanned]:
    """The functions of C++."""
    plain = cpp_blocks.without_directives(bare)
    number, seen = 1, 0
    for found in cpp_blocks.declared(plain, brackets(plain)):
        if not found.body:
            continue
        number += plain.count("\n", seen, found.start)
        seen = found.start
        last = number + plain.count("\n", seen, found.end)
        yield Scanned(found.name, number, last, _doc(lines, number - 1), _dedented(lines[number - 1 : last]))


def blanked(text: str, language: str) -> str:
    """A source with blanks for its comments and strings."""
    return SPOKEN[language].noise.sub(_blank, text)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def brackets(bare: str) -> dict[int, int]:
    """Place of every opening bracket -> place of its closing one; one that fits nothing is passed over."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for match in re.finditer(r"[()\[\]{}]", bare):
        sign, at = match[0], match.start()
        if sign in "([{":
            opened.append(at)
            continue
        if opened and bare[opened[-1]] == _PAIRS[sign]:
            found[opened.pop()] = at
        elif sign == "}":  # the worst a stray bracket may spoil is the block it stands in
            while opened and bare[opened[-1]] != "{":
                opened.pop()
            if opened:
                found[opened.pop()] = at
    return found


def _body(bare: str, at: int, closing: dict[int, int], *, arrow: bool) -> int:
    """Where the body's closing brace stands, or 0 for a declaration, a call, or an expression.

    A brace after a colon or `interface` is a type.
    """
    begun, walked, seen = at, 0, False
    while at < len(bare) and walked < _NEAR:
        sign = bare[at]
        if sign in "([{" and at not in closing:
            return 0
        if sign == "{":
            before = bare[begun:at].rstrip()
            typed = before.endswith((":", "|", "&", "<", "interface", "struct"))
            if not typed:
                return closing[at] if seen and ("=>" in before or not arrow) else 0
        if sign in "([{":
            seen = seen or sign == "("
            at = closing[at] + 1
            continue
        if sign in ";})":
            return 0
        at += 1
        walked += 1
    return 0


def _ruby_end(lines: list[str], at: int) -> int:
    """The line of the `end` at the margin of the `def`."""
    margin = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    if re.search(r"\bend\s*$", lines[at]) or re.search(r"\)\s*=(?!=)", lines[at]):
        return at + 1
    close = re.compile(rf"{margin}end\b")
    return next((n + 1 for n in range(at + 1, len(lines)) if close.match(lines[n])), 0)


def _doc(lines: list[str], at: int) -> str:
    """The first paragraph of the comment right above a line, annotations between them passed over."""
    at -= 1
    while at >= 0 and _ABOVE.match(lines[at]):
        at -= 1
    found: list[str] = []
    block = at >= 0 and lines[at].rstrip().endswith("*/")
    while at >= 0 and (block or lines[at].lstrip().startswith(("//", "#", "*"))):
        found.append(_MARKS.sub("", _MARKS.sub("", lines[at])).strip())
        if block and lines[at].lstrip().startswith("/*"):
            break
        at -= 1
    told = found[::-1]
    while told and not told[0]:
        told.pop(0)
    end = next((n for n, line in enumerate(told) if not line or _TAGGED.match(line)), len(told))
    return " ".join(_INLINE.sub(lambda m: m[1] or "", " ".join(told[:end])).split())


def _dedented(lines: list[str]) -> str:
    edge = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[edge:].rstrip() if line.strip() else "" for line in lines)
