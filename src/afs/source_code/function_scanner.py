"""Finds the functions of a source file by their heads and braces, and the comment above each, without a compiler.

Comments and strings are blanked first, so that braces in them do not count. Unusual function heads may be missed, but
every function found is complete. Python is read by its own parser, in `code.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from afs.source_code import cpp_blocks


class Syntax(NamedTuple):
    """Patterns of a language: noise (comments, strings) and function heads."""

    noise: re.Pattern[str]
    head: re.Pattern[str]


class ScannedFunction(NamedTuple):
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
    r"^[ \t]*(?:export[ \t]+)?(?:(?:const|let|var)[ \t]+)?(?:[\w$]+\.)*"
    + _JS_NAME.format("b")
    + r"[ \t]*(?::[^=\n;]{0,80})?[=:][ \t]*(?:async[ \t]*)?(?:function\b[^(\n]*)?(?=\()|"
    r"^[ \t]+(?:(?:static|async|get|set|public|private|protected|override|readonly)[ \t]+)*\*?"
    + _JS_NAME.format("c")
    + r"(?=[ \t]*(?:<[^()\n]*>)?\()"
)


def _make_syntax(noise: str, head: str) -> Syntax:
    return Syntax(re.compile(noise, re.S), re.compile(head, re.M))


SYNTAXES: dict[str, Syntax] = {
    "c": _make_syntax(
        f"{_SLASHES}|{_QUOTED}|{_CHAR}",
        rf"^{_NOT}(?:[A-Za-z_][\w \t*]*[ \t*]\n?|[A-Za-z_][\w \t*]*\n)(?P<a>[A-Za-z_]\w*)[ \t]*(?=\()",
    ),
    "cpp": _make_syntax(
        rf'{_SLASHES}|R"(\w{{0,16}})\(.*?\)\1"|{_QUOTED}|{_CHAR}',
        r"(?P<a>(?!))",  # by its blocks
    ),
    "java": _make_syntax(
        rf'"""(?:.*?)"""|{_SLASHES}|{_QUOTED}|{_CHAR}',
        rf"^[ \t]*{_NOT}(?:[A-Za-z_@][\w.<>\[\],?& \t]*[\]>\w][ \t]+)(?P<a>[A-Za-z_]\w*)[ \t]*(?=\()",
    ),
    "csharp": _make_syntax(
        rf'"""(?:.*?)"""|[$@]{{1,2}}"(?:[^"]|"")*"|{_SLASHES}|{_QUOTED}|{_CHAR}',
        rf"^[ \t]*{_NOT}(?:[A-Za-z_][\w.<>\[\],?() \t]*[\]>\w?)][ \t]+)"
        r"(?P<a>[A-Za-z_]\w*)[ \t]*(?:<[^()\n]*>[ \t]*)?(?=\()",
    ),
    "javascript": _make_syntax(f"{_SLASHES}|{_QUOTED}|'(?:\\\\.|[^'\\\\\n])*'|{_TICKS}|{_REGEX}", _SCRIPT),
    "typescript": _make_syntax(f"{_SLASHES}|{_QUOTED}|'(?:\\\\.|[^'\\\\\n])*'|{_TICKS}|{_REGEX}", _SCRIPT),
    "go": _make_syntax(
        f"{_SLASHES}|{_QUOTED}|`[^`]*`|{_CHAR}", r"^func[ \t]+(?:\([^)\n]*\)[ \t]*)?(?P<a>[A-Za-z_]\w*)"
    ),
    "rust": _make_syntax(
        rf'{_SLASHES}|r(#*)".*?"\1|"(?:\\.|[^"\\])*"|{_CHAR}',
        r"^[ \t]*(?:pub(?:\([^)\n]*\))?[ \t]+)?(?:(?:default|const|async|unsafe|extern)[ \t]+)*"
        r"fn[ \t]+(?P<a>[A-Za-z_]\w*)",
    ),
    "php": _make_syntax(
        rf"{_SLASHES}|#(?!\[)[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'",
        r"^[ \t]*(?:(?:abstract|final|public|private|protected|static)[ \t]+)*function[ \t]+&?(?P<a>[A-Za-z_]\w*)",
    ),
    "ruby": _make_syntax(
        rf"^=begin.*?^=end[^\n]*|(?<![\w?$])#(?!\{{)[^\n]*|{_QUOTED}|'(?:\\.|[^'\\\n])*'",
        r"^[ \t]*def[ \t]+(?:self\.)?(?P<a>[A-Za-z_]\w*[?!=]?)",
    ),
}
ENDINGS: dict[str, str] = {
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".go": "go",
    ".java": "java",
    ".rs": "rust",
    ".c": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".cxx": "cpp",
    ".hpp": "cpp",
    ".rb": "ruby",
    ".php": "php",
    ".cs": "csharp",
}
_PAIRS = {")": "(", "]": "[", "}": "{"}
_NEAR = 400
"""Longest distance from a head to its body in characters, without the parameters."""
_ABOVE = re.compile(r"^\s*(?:@\w[\w.]*(?:\(.*\))?|#!?\[.*\]|template\s*<.*>|export|\[\[.*\]\]|\[[A-Z]\w*.*\])\s*$")
_MARKS = re.compile(r"^\s*(?:/\*\*?!?|//[/!]?<?|\*+/|\*+(?!/)|#+|=begin|=end)\s?|\s*\*+/\s*$")
_TAGGED = re.compile(
    r"^\s*(?:</?(?:p|pre|ul|table|param|returns|remarks|exception|example|value|typeparam)\b|[@\\]\w+|#\s|Args?:|Arguments:|Params?:|Parameters:|Returns?:|Examples?:|```)"
)
_INLINE = re.compile(r"\{@\w+\s+([^}]*)\}|<see\w*\s+\w+=\"([^\"]*)\"\s*/?>|</?[a-z]+\s*/?>")


def find_functions(text: str, language: str) -> Iterator[ScannedFunction]:
    """The functions of a source in order, nested ones included."""
    syntax = SYNTAXES[language]
    bare = blank_noise(text, language)
    lines = text.split("\n")
    if language == "cpp":
        yield from _find_cpp_functions(bare, lines)
        return
    closing = {} if language == "ruby" else match_brackets(bare)
    number, seen = 1, 0
    bare_lines = bare.split("\n") if language == "ruby" else []
    for match in syntax.head.finditer(bare):
        name = next(group for group in match.groupdict().values() if group is not None)
        start = match.start()
        number += bare.count("\n", seen, start)
        seen = start
        if language == "ruby":
            last = _find_ruby_end(bare_lines, number - 1)
        else:
            arrow = match.lastgroup == "b" and "function" not in match[0]
            end = _find_body_end(bare, match.end(), closing, arrow=arrow)
            last = number + bare.count("\n", start, end) if end else 0
        if last:
            yield ScannedFunction(
                name, number, last, _find_doc(lines, number - 1), _dedent_lines(lines[number - 1 : last])
            )


def _find_cpp_functions(bare: str, lines: list[str]) -> Iterator[ScannedFunction]:
    """The functions of a C++ source."""
    plain = cpp_blocks.without_directives(bare)
    number, seen = 1, 0
    for found in cpp_blocks.find_declarations(plain, match_brackets(plain)):
        if not found.body:
            continue
        number += plain.count("\n", seen, found.start)
        seen = found.start
        last = number + plain.count("\n", seen, found.end)
        yield ScannedFunction(
            found.name, number, last, _find_doc(lines, number - 1), _dedent_lines(lines[number - 1 : last])
        )


def blank_noise(text: str, language: str) -> str:
    """A source whose comments and strings are blanked."""
    return SYNTAXES[language].noise.sub(_blank_match, text)


def _blank_match(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def match_brackets(bare: str) -> dict[int, int]:
    """Position of every opening bracket -> position of its closing one; unmatched brackets are skipped."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for match in re.finditer(r"[()\[\]{}]", bare):
        mark, at = match[0], match.start()
        if mark in "([{":
            opened.append(at)
            continue
        if opened and bare[opened[-1]] == _PAIRS[mark]:
            found[opened.pop()] = at
        elif mark == "}":  # a stray bracket must not affect more than its own block
            while opened and bare[opened[-1]] != "{":
                opened.pop()
            if opened:
                found[opened.pop()] = at
    return found


def _find_body_end(bare: str, at: int, closing: dict[int, int], *, arrow: bool) -> int:
    """The position of the body's closing brace, or 0 for a declaration, a call, or an expression.

    A brace after a colon or `interface` is a type.
    """
    begun, walked, seen = at, 0, False
    while at < len(bare) and walked < _NEAR:
        mark = bare[at]
        if mark in "([{" and at not in closing:
            return 0
        if mark == "{":
            before = bare[begun:at].rstrip()
            typed = before.endswith((":", "|", "&", "<", "interface", "struct"))
            if not typed:
                return closing[at] if seen and ("=>" in before or not arrow) else 0
        if mark in "([{":
            seen = seen or mark == "("
            at = closing[at] + 1
            continue
        if mark in ";})":
            return 0
        at += 1
        walked += 1
    return 0


def _find_ruby_end(lines: list[str], at: int) -> int:
    """The line of the `end` at the indentation of the `def`."""
    margin = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    if re.search(r"\bend\s*$", lines[at]) or re.search(r"\)\s*=(?!=)", lines[at]):
        return at + 1
    close = re.compile(rf"{margin}end\b")
    return next((n + 1 for n in range(at + 1, len(lines)) if close.match(lines[n])), 0)


def _find_doc(lines: list[str], at: int) -> str:
    """The first paragraph of the comment right above a line; annotations in between are skipped."""
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
    paragraph = found[::-1]
    while paragraph and not paragraph[0]:
        paragraph.pop(0)
    end = next((n for n, line in enumerate(paragraph) if not line or _TAGGED.match(line)), len(paragraph))
    return " ".join(_INLINE.sub(lambda m: m[1] or m[2] or "", " ".join(paragraph[:end])).split())


def _dedent_lines(lines: list[str]) -> str:
    edge = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[edge:].rstrip() if line.strip() else "" for line in lines)
