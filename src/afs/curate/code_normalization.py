"""Code in its normal form: without comments, layout and quote style. Knows families of syntax, no subject.

The same normal form of two texts means: the same statements in the same order. Renamed locals are the business of
`renaming`, words outside of code that of `entity_guard`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

Syntax = Literal["", "asm", "c", "python"]
"""How comments are written: `;` or `//`, `//` and `/* */`, `#` and docstrings; "" for text without code."""

_STRING = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
_TRIPLE = r"\"\"\".*?\"\"\"|'''.*?'''"
_COMMENT = {
    "c": re.compile(rf"(?P<keep>{_STRING}|`[^`]*`)|(?<!:)//[^\n]*|/\*.*?\*/", re.S),
    "python": re.compile(
        rf"(?P<doc>(?<=:)\s*(?:{_TRIPLE}))|(?P<keep>{_TRIPLE}|{_STRING})|(?:^|(?<=\s))#(?![\w$%<(])[^\n]*", re.S | re.M
    ),
    "asm": re.compile(rf"(?P<keep>{_STRING})|(?:^|(?<=\s));[^\n]*|(?<!:)//[^\n]*", re.M),
}
_LABEL = re.compile(r"[.\w@+-]+:\s*$")
_PYTHON_HEAD = re.compile(
    r"^[ \t]*(?:(?:async )?(?:def|for|with) .*|(?:class|if|elif|while|except) .*|else|try|finally):[ \t]*(?:#.*)?$",
    re.M,
)
_C_END = re.compile(r"[;{}][ \t]*(?://.*)?$", re.M)
_CODE_SIGN = re.compile(r"\w\(|->|::|^[)\]]")
_WORD = re.compile(r"[A-Za-z][a-z'\u2019]*[.,;:!?)]*")
_SHORT_CODE = 4
"""A line of at most so many words with an address in it is code, even unindented."""
_STOPS = ".,;:!?"
_TITLE_LENGTH, _TITLE_GAP = 60, 15
"""A headline is at most so long, and the line below it longer by so much: the first line of wrapped text is not."""
_PROSE_WORDS, _PROSE_SHARE = 5, 0.7
"""An indented line of at least so many words, that many of them plain, is running text."""


class Form(NamedTuple):
    """A text taken apart: its code in normal form, and the words of everything else in order."""

    syntax: Syntax
    code: str
    prose: tuple[str, ...]
    statements: str
    """The code before normalization, without its comments: what a search for renamed locals reads."""
    title: tuple[str, ...] = ()
    """The words of the headlines of running text, which name what the text is about."""


def find_syntax(text: str) -> Syntax:
    """The family of syntax of the code in a text."""
    heads = len(_PYTHON_HEAD.findall(text))
    ends = len(_C_END.findall(text))
    if heads and heads >= ends / 3:
        return "python"
    if ends >= 2:
        return "c"
    return "asm" if any(map(_is_code, text.splitlines())) else ""


def strip_comments(text: str, syntax: Syntax) -> str:
    """The text without the comments of its code."""
    pattern = _COMMENT.get(syntax)
    if pattern is None:
        return text
    return pattern.sub(lambda match: match.groupdict().get("keep") or "", text)


def parse(text: str) -> Form:
    """Take a text apart."""
    syntax = find_syntax(text)
    if not syntax:
        return Form("", "", tuple(text.split()), "", tuple(_list_title_words(text)))
    code: list[str] = []
    prose: list[str] = []
    for line in strip_comments(text, syntax).splitlines():
        if _is_code(line):
            code.append(line)
        else:
            prose += line.split()
    marked = list(_mark_indents(code)) if syntax == "python" else code
    return Form(syntax, _normalize(marked, syntax), tuple(prose), "\n".join(marked))


def _list_title_words(text: str) -> Iterator[str]:
    """The words of short lines without a full stop that begin a block of longer ones."""
    lines = [line.strip() for line in text.splitlines()]
    before = ""
    for line, below in itertools.pairwise(lines):
        begins = not before or before[-1] in _STOPS
        if begins and line and line[-1] not in _STOPS and len(line) <= min(_TITLE_LENGTH, len(below) - _TITLE_GAP):
            yield from line.split()
        before = line


def _normalize(lines: Iterable[str], syntax: Syntax) -> str:
    """One string without spaces; where indentation is syntax its changes stay."""
    text = "".join("".join(lines).split())
    text = text.lower() if syntax == "asm" else text
    return text.replace("'", '"').replace(",)", ")").replace(",]", "]").replace(",}", "}")


def _mark_indents(lines: Iterable[str]) -> Iterator[str]:
    """Every line, with a character for each level of indentation begun or ended before it."""
    levels = [0]
    open_brackets = 0
    for line in lines:
        indent = len(line.expandtabs()) - len(line.expandtabs().lstrip())
        if not open_brackets and line.strip():
            mark = ""
            if indent > levels[-1]:
                levels.append(indent)
                mark = "\x01"
            while indent < levels[-1]:
                levels.pop()
                mark += "\x02"
            line = mark + line
        open_brackets = max(0, open_brackets + sum(map(line.count, "([{")) - sum(map(line.count, ")]}")))
        yield line


def _is_code(line: str) -> bool:
    """Indented and no sentence, a label, a call, with braces or an equals sign, or short with an address."""
    text = line.strip()
    if not text:
        return False
    if text[-1] in ";{}" or "=" in text or "{" in text or "}" in text:
        return True
    if line[0].isspace():
        return not _is_sentence(text)
    if text[-1] == ":" and (_LABEL.match(text) is not None or _PYTHON_HEAD.match(text) is not None):
        return True
    if "$" in text and len(text.partition(";")[0].split()) <= _SHORT_CODE:
        return True
    return _CODE_SIGN.search(text) is not None and _share_of_words(text) < _PROSE_SHARE


def _is_sentence(text: str) -> bool:
    return len(text.split()) >= _PROSE_WORDS and _share_of_words(text) >= _PROSE_SHARE


def _share_of_words(text: str) -> float:
    """How many of the words are plain ones."""
    words = text.split()
    return sum(_WORD.fullmatch(word) is not None for word in words) / len(words)
