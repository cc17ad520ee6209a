"""Text of a source: quotes, comments, splitting. Knows no command and no number.

Text is one character per byte (latin-1), because Asar works on bytes. Quotes are `"…"` and `'…'`; `'''` is the
character `'`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_QUOTED: Final = r"\"[^\"]*+\"|'''|'[^']++'"
_WELL_QUOTED: Final = re.compile(rf"(?:[^\"']++|{_QUOTED})*+")
_SEGMENT: Final = re.compile(rf"({_QUOTED})")
_COMMENT: Final = re.compile(r"(?:[^\"';]++|\"[^\"]*+\"|'''|'[^']*+')*+;")
_PAREN: Final = re.compile(rf"{_QUOTED}|[()\"']")
_COMMA_SPACE: Final = re.compile(", +")
_SPACES: Final = re.compile("  +")
NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
WORD: Final = re.compile("[A-Za-z0-9_]+")


def has_quote(text: str) -> bool:
    """Is there any quote character?"""
    return '"' in text or "'" in text


def is_well_quoted(text: str) -> bool:
    """Does every quote end?"""
    if not has_quote(text):
        return True
    match = _WELL_QUOTED.match(text)
    return match is not None and match.end() == len(text)


def is_balanced(text: str) -> bool:
    """Do parentheses outside of quotes match, and quotes too?"""
    if "(" not in text and ")" not in text:
        return is_well_quoted(text)
    depth = 0
    for token in _PAREN.findall(text):
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
            if depth < 0:
                return False
        elif len(token) == 1:
            return False
    return depth == 0


def map_unquoted(text: str, change: Callable[[str], str]) -> str:
    """Change the parts of a text that are not quoted; ill-quoted text stays as it is."""
    if not has_quote(text):
        return change(text)
    if not is_well_quoted(text):
        return text
    return "".join(part if i % 2 else change(part) for i, part in enumerate(_SEGMENT.split(text)))


def normalize_spaces(text: str) -> str:
    """One space between words, none after a comma, none at the ends."""
    if not has_quote(text):
        while ", " in text:
            text = text.replace(", ", ",")
        while "  " in text:
            text = text.replace("  ", " ")
        return text.strip(" \t").replace("\t", " ")
    if ", " in text:
        text = map_unquoted(text, lambda part: _COMMA_SPACE.sub(",", part))
    if "  " in text:
        text = map_unquoted(text, lambda part: _SPACES.sub(" ", part))
    text = text.strip(" \t")
    if "\t" in text:
        text = map_unquoted(text, lambda part: part.replace("\t", " "))
    return text


def without_spaces(text: str) -> str:
    """Cleaned, and no space outside of quotes."""
    return map_unquoted(normalize_spaces(text), lambda part: part.replace(" ", ""))


def strip_comment(line: str) -> str:
    """Cut the comment off; `;@` is Asar's old way to hide a command from other assemblers."""
    if ";" not in line:
        return line
    while (match := _COMMENT.match(line)) is not None:
        at = match.end() - 1
        if line[at + 1 : at + 2] != "@":
            return line[:at]
        line = line[:at] + " " + line[at + 1 :]
    return line


def split_outside(text: str, key: str) -> list[str]:
    """Split at a key outside of quotes."""
    if '"' not in text and "'" not in text:
        return text.split(key)
    parts, current = [], ""
    for i, part in enumerate(_SEGMENT.split(text)):
        if i % 2:
            current += part
            continue
        first, *rest = part.split(key)
        current += first
        for piece in rest:
            parts.append(current)
            current = piece
    parts.append(current)
    return parts


def split_arguments(text: str) -> list[str]:
    """Split at commas outside of quotes and parentheses (which must be balanced)."""
    if "(" not in text:
        return split_outside(text, ",")
    parts, start, depth = [], 0, 0
    for match in re.finditer(rf"{_QUOTED}|[(),]", text):
        token = match.group()
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
        elif token == "," and depth == 0:
            parts.append(text[start : match.start()])
            start = match.end()
    parts.append(text[start:])
    return parts


def find_outside(text: str, key: str) -> int:
    """Where a key first stands outside of quotes and parentheses, or -1."""
    depth = 0
    for match in re.finditer(rf"{_QUOTED}|[()]|{re.escape(key)}", text):
        token = match.group()
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
        elif token == key and depth == 0:
            return match.start()
    return -1


def find_char(text: str, key: str) -> int:
    """Where a character first stands outside of quotes, or -1."""
    if not has_quote(text):
        return text.find(key)
    for match in re.finditer(rf"\"[^\"]*+\"|'''|'[^']*+'|{re.escape(key)}", text):
        if match.group() == key:
            return match.start()
    return -1


def find_last_char(text: str, key: str) -> int:
    """Where a character last stands outside of quotes, or -1."""
    if not has_quote(text):
        return text.rfind(key)
    last = -1
    for match in re.finditer(rf"\"[^\"]*+\"|'''|'[^']*+'|{re.escape(key)}", text):
        if match.group() == key:
            last = match.start()
    return last


def dequote(text: str) -> str | None:
    """The text without the quotes around it (`""` is a quote); None if something stands beside them."""
    if not text.startswith('"'):
        return text
    if len(text) < 2 or not text.endswith('"'):
        return None
    inner = text[1:-1]
    if '"' not in inner:
        return inner
    plain = inner.replace('""', "")
    return None if '"' in plain else inner.replace('""', '"')


def is_name(text: str) -> bool:
    """A name: letters, digits and _, not starting with a digit."""
    return NAME.fullmatch(text) is not None


def to_bytes_text(source: str) -> str:
    """A source as Asar sees it: one character per UTF-8 byte."""
    return source if source.isascii() else source.encode("utf-8", "surrogatepass").decode("latin-1")


def display_text(text: str) -> str:
    """Byte text as a person reads it."""
    return text if text.isascii() else text.encode("latin-1", "replace").decode("utf-8", "replace")
