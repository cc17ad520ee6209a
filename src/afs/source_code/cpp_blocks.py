"""Functions of C++ found by the blocks they stand in; it compiles nothing and expands no macro.

Comments and strings are blanked by the caller, directives of the preprocessor here. The text before a brace or a
semicolon of a namespace or class is the head of a scope, of a function, or of something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Declaration(NamedTuple):
    """A function: its name, where head and name begin, where the head ends, and the body: the head's end without one.

    `scope` is None inside of another function; `access` is empty for what is no member.
    """

    name: str
    start: int
    named: int
    signed: int
    end: int
    body: bool
    scope: str | None = None
    access: str = ""


class _Frame(NamedTuple):
    """A block that is walked through: where it closes, and the name of the scope; None inside of a function."""

    close: int
    scope: str | None
    access: str = ""


_NEAR = 200
"""An access label has at most so many characters."""
_DELIMITER = re.compile(r"[;:{}(\[]")
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.M)
_ALTERNATIVE = re.compile(r"^[ \t]*#[ \t]*(if|el|endif)", re.M)
_ACCESS = re.compile(
    r"\s*(?:[A-Z_][A-Z0-9_]*+\s*+(?:\([^()]*\))?\s*+)*+(?:public|private|protected|signals|default)(?:\s+\w+)?\s*:"
)
_SCOPE = re.compile(
    r"^\s*(?:(?:inline|static|const|constexpr|typedef|friend|export)\s+)*(?P<kind>namespace|class|struct|union)\b"
    r"(?:\s|\[[^\]]*\]|(?:alignas|__\w+|[A-Z_][A-Z0-9_]*)\s*\([^)]*\)|[A-Z_][A-Z0-9_]*\s+(?=\[))*(?P<names>[\w:\s]*)"
)
_PLAIN_RESULT = re.compile(
    r"^\s*(?:\w+\s+)*(?:struct|class|union)\s+\w+[\s*&]+(?:\w+::)*\w+\s*\(\s*\)\s*(?:const\s*)?$"
)
_GIVEN = re.compile(r"=\s*(?:default|delete)\s*$")
_PURE = re.compile(r"=\s*0\s*$")
_OPERATOR = (
    r"operator\s*(?:\(\s*\)|\[\s*\]|[^\w\s()\[\]]{1,3}|(?:new|delete)\b(?:\s*\[\s*\])?|[\w:][\w:<>,&*\s]*?)\s*"
    r"(?=\(\s*\))"
)
_NAME = re.compile(rf"(?P<name>\b{_OPERATOR}|(?:~\s*)?\b[A-Za-z_]\w*)\s*(?:<[^<>()]*>\s*)?(?P<parameters>\(\s*\))")
_AFTER = re.compile(
    r"\s*(?:(?:const|volatile|noexcept|override|final|throw|try|mutable|[A-Z_][A-Z0-9_]{2,}|__\w+)\b\s*(?:\(\s*\)\s*)?"
    r"|&&?\s*|\[\s*\]\s*)*+(?:->.*|requires\b.*|:(?!:).*)?$",
    re.S,
)
_NO_NAME = frozenset(
    {
        "if",
        "for",
        "while",
        "switch",
        "catch",
        "return",
        "sizeof",
        "decltype",
        "alignas",
        "noexcept",
        "requires",
        "defined",
        "static_assert",
        "throw",
        "new",
        "delete",
        "using",
        "typedef",
        "else",
        "do",
        "asm",
        "explicit",
        "void",
    }
)
_CAPITALS = re.compile(r"^[A-Z][A-Z0-9_]+$")
_MACRO_LINE = re.compile(r"\s*[A-Z_][A-Z0-9_]*[ \t]*(?:\([^()\n]*\))?[ \t]*(?=\n)")
_TEMPLATE = re.compile(r"\s*(?:[A-Z_][A-Z0-9_]*(?:\(\s*\))?\s+)*template\s*<")


def without_directives(bare: str) -> str:
    """Without lines of the preprocessor; of branches that open a block each, only the first is kept."""
    return "".join(_split_directives(bare))


def _split_directives(bare: str) -> Iterator[str]:
    at = 0
    first = True
    depths: list[int] = []
    for match in _DIRECTIVE.finditer(bare):
        piece = bare[at : match.start()]
        yield piece if first else _blank_text(piece)
        yield _blank_text(match[0])
        at = match.end()
        kind = _ALTERNATIVE.match(match[0])
        if kind is None:
            continue
        net = piece.count("{") - piece.count("}")
        if kind[1] == "if":
            depths.append(0)
            continue
        if depths:
            depths[-1] += net
        if kind[1] == "el":
            first = first and not (depths and depths[-1])
        elif depths:
            depths.pop()
            first = True
    yield bare[at:]


def _blank_text(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def find_declarations(bare: str, closing: Mapping[int, int]) -> Iterator[Declaration]:
    """The functions in the order they begin, with a body or without; not what is defaulted or deleted."""
    frames: list[_Frame] = []
    at = head = 0
    while match := _DELIMITER.search(bare, at):
        mark, place = match[0], match.start()
        at = place + 1
        if mark in "([":
            at = closing.get(place, place) + 1
        elif mark == ":":
            if place - head < _NEAR and bare[at : at + 1] != ":" and (label := _ACCESS.fullmatch(bare, head, at)):
                head = at
                if frames and (access := re.search("public|private|protected", label[0])):
                    frames[-1] = frames[-1]._replace(access=access[0])
        elif mark == "{" and place in closing:
            found, frame = _open_block(bare, head, place, closing[place], frames)
            if found:
                yield found
            if frame:
                frames.append(frame)
            at, head = (at, at) if frame else (closing[place] + 1, head)
        else:
            if mark == ";" and not (frames and frames[-1].scope is None):
                found = _parse_function(bare, head, place, frames)
                if found and not _GIVEN.search(bare, found.named, place):
                    yield found
            while mark == "}" and frames and frames[-1].close <= place:
                frames.pop()
            head = at


def _open_block(
    bare: str, head: int, place: int, close: int, frames: list[_Frame]
) -> tuple[Declaration | None, _Frame | None]:
    """The function and the block that a brace opens; no block is walked through that initializes something."""
    within = bool(frames) and frames[-1].scope is None
    scope = _parse_scope(bare[head:place])
    if scope is not None:
        return None, _Frame(close, scope[1], {"namespace": "", "class": "private", "": ""}.get(scope[0], "public"))
    found = None if within else _parse_function(bare, head, place, frames)
    if found and _is_member(bare, head, place, close):
        return None, None
    if found or within or bare[head:place].rstrip().endswith(")"):
        return found and found._replace(end=close, body=True), _Frame(close, None)
    return None, None


def _is_member(bare: str, head: int, place: int, close: int) -> bool:
    """Whether a brace after a constructor's colon initializes a member."""
    after = bare[close + 1 : close + 80].lstrip()
    return after.startswith((",", "{")) and bool(re.search(r"[\w>]\s*$", bare[head:place]))


def _parse_scope(head: str) -> tuple[str, str] | None:
    """The kind and name of the namespace or class that a head opens; None when it opens none."""
    plain = _blank_brackets(head)
    if re.match(r"^\s*(?:[A-Z_]+\s+)?extern\s*$", plain):
        return "", ""
    begins = _skip_template(plain[_skip_macro_lines(plain) :]) + _skip_macro_lines(plain)
    match = _SCOPE.match(plain[begins:])
    if match is None or _PLAIN_RESULT.match(plain[begins:]):
        return None
    named = re.split(r"(?<!:):(?!:)", match["names"])[0]
    words = [word for word in named.split() if word != "final"]
    return match["kind"], words[-1] if words else ""


def _skip_macro_lines(text: str) -> int:
    """Where a declaration continues after lines that hold one macro each."""
    at = 0
    while match := _MACRO_LINE.match(text, at):
        at = match.end()
    return at


def _skip_template(plain: str) -> int:
    """Where a declaration continues after `template <…>`."""
    at = 0
    while match := _TEMPLATE.match(plain, at):
        depth, at = 1, match.end()
        while at < len(plain) and depth:
            depth += {"<": 1, ">": -1}.get(plain[at], 0)
            at += 1
    return at


def _parse_function(bare: str, head: int, place: int, frames: list[_Frame]) -> Declaration | None:
    """The function whose head is between two positions."""
    text = bare[head:place]
    if "(" not in text:
        return None
    start = _skip_macro_lines(text)
    start += len(text[start:]) - len(text[start:].lstrip())
    plain = _blank_brackets(text)
    begins = max(_skip_template(plain), start)
    body = _PURE.sub("", plain[begins:]).rstrip()
    around = next((frame.scope for frame in reversed(frames) if frame.scope), "").rpartition("::")[2]
    for match in _NAME.finditer(body):
        name = " ".join(match["name"].replace("~ ", "~").split())
        if name in _NO_NAME or not _AFTER.match(body, match.end()):
            continue
        before = body[: match.start()]
        if re.search(r"=(?!=)", before) or re.match(r"\s*(?:using|typedef|return)\b", before):
            return None
        if not before.strip() and "~" not in name and (_CAPITALS.match(name) or name != around):
            return None
        signed = place if bare[place] == ";" else head + begins + match.end() + _signature_end(body[match.end() :])
        scope = None if None in {frame.scope for frame in frames} else "::".join(f.scope for f in frames if f.scope)
        access = frames[-1].access if frames else ""
        return Declaration(name, head + start, head + begins + match.start(), signed, place, False, scope, access)
    return None


def _signature_end(after: str) -> int:
    """The end of a head that is followed by initializers."""
    return len(re.split(r"(?<!:):(?!:)", after)[0].rstrip())


def _blank_brackets(text: str) -> str:
    """Text with the contents of its parentheses and brackets blanked."""
    found, depth = [], 0
    for part in re.split(r"([()\[\]{}])", text):
        if part and part in ")]}":
            depth = max(0, depth - 1)
        found.append(part if depth == 0 else _blank_text(part))
        if part and part in "([{":
            depth += 1
    return "".join(found)
