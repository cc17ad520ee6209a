"""Functions of C++ found by the blocks they stand in; it compiles nothing and expands no macro.

Comments and strings are blanked by the caller, directives of the preprocessor here. What stands before a brace or a
semicolon of a namespace or class is the head of a scope, of a function, or of something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Declared(NamedTuple):
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
_SIGN = re.compile(r"[;:{}(\[]")
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.M)
_ALTERNATIVE = re.compile(r"^[ \t]*#[ \t]*(if|el|endif)", re.M)
_ACCESS = re.compile(
    r"\s*(?:[A-Z_][A-Z0-9_]*+\s*+(?:\([^()]*\))?\s*+)*+(?:public|private|protected|signals|default)(?:\s+\w+)?\s*:"
)
_SCOPE = re.compile(
    r"^\s*(?:(?:inline|static|const|constexpr|typedef|friend|export)\s+)*(?P<kind>namespace|class|struct|union)\b"
    r"(?:\s|\[[^\]]*\]|(?:alignas|__\w+|[A-Z_][A-Z0-9_]*)\s*\([^)]*\))*(?P<names>[\w:\s]*)"
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
_NO_NAME = frozenset({
    "if", "for", "while", "switch", "catch", "return", "sizeof", "decltype", "alignas", "noexcept", "requires",
    "defined",
    "static_assert", "throw", "new", "delete", "using", "typedef", "else", "do", "asm", "explicit", "void",
})  # fmt: skip
_CAPITALS = re.compile(r"^[A-Z][A-Z0-9_]+$")
_MACRO_LINE = re.compile(r"\s*[A-Z_][A-Z0-9_]*[ \t]*(?:\([^()\n]*\))?[ \t]*(?=\n)")
_TEMPLATE = re.compile(r"\s*(?:[A-Z_][A-Z0-9_]*(?:\(\s*\))?\s+)*template\s*<")


def without_directives(bare: str) -> str:
    """Without lines of the preprocessor; of branches that open a block each, only the first is kept."""
    return "".join(_pieces(bare))


def _pieces(bare: str) -> Iterator[str]:
    at = 0
    first = True
    depths: list[int] = []
    for match in _DIRECTIVE.finditer(bare):
        piece = bare[at : match.start()]
        yield piece if first else _spaces(piece)
        yield _spaces(match[0])
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


def _spaces(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def declared(bare: str, closing: Mapping[int, int]) -> Iterator[Declared]:
    """The functions in the order they begin, with a body or without; not what is defaulted or deleted."""
    frames: list[_Frame] = []
    at = head = 0
    while match := _SIGN.search(bare, at):
        sign, place = match[0], match.start()
        at = place + 1
        if sign in "([":
            at = closing.get(place, place) + 1
        elif sign == ":":
            if place - head < _NEAR and bare[at : at + 1] != ":" and (label := _ACCESS.fullmatch(bare, head, at)):
                head = at
                if frames and (told := re.search("public|private|protected", label[0])):
                    frames[-1] = frames[-1]._replace(access=told[0])
        elif sign == "{" and place in closing:
            found, frame = _opened(bare, head, place, closing[place], frames)
            if found:
                yield found
            if frame:
                frames.append(frame)
            at, head = (at, at) if frame else (closing[place] + 1, head)
        else:
            if sign == ";" and not (frames and frames[-1].scope is None):
                found = _function(bare, head, place, frames)
                if found and not _GIVEN.search(bare, found.named, place):
                    yield found
            while sign == "}" and frames and frames[-1].close <= place:
                frames.pop()
            head = at


def _opened(
    bare: str, head: int, place: int, close: int, frames: list[_Frame]
) -> tuple[Declared | None, _Frame | None]:
    """The function and the block that a brace opens; no block is walked through that initializes something."""
    within = bool(frames) and frames[-1].scope is None
    scope = _scope(bare[head:place])
    if scope is not None:
        return None, _Frame(close, scope[1], {"namespace": "", "class": "private", "": ""}.get(scope[0], "public"))
    found = None if within else _function(bare, head, place, frames)
    if found and _is_member(bare, head, place, close):
        return None, None
    if found or within or bare[head:place].rstrip().endswith(")"):
        return found and found._replace(end=close, body=True), _Frame(close, None)
    return None, None


def _is_member(bare: str, head: int, place: int, close: int) -> bool:
    """Whether a brace after a constructor's colon initializes a member."""
    after = bare[close + 1 : close + 80].lstrip()
    return after.startswith((",", "{")) and bool(re.search(r"[\w>]\s*$", bare[head:place]))


def _scope(head: str) -> tuple[str, str] | None:
    """The kind and name of the namespace or class that a head opens; None when it opens none."""
    plain = _blanked(head)
    if re.match(r"^\s*(?:[A-Z_]+\s+)?extern\s*$", plain):
        return "", ""
    begins = _behind_template(plain[_behind_macros(plain) :]) + _behind_macros(plain)
    match = _SCOPE.match(plain[begins:])
    if match is None or _PLAIN_RESULT.match(plain[begins:]):
        return None
    named = re.split(r"(?<!:):(?!:)", match["names"])[0]
    words = [word for word in named.split() if word != "final"]
    return match["kind"], words[-1] if words else ""


def _behind_macros(text: str) -> int:
    """Where a head goes on behind lines of one macro each."""
    at = 0
    while match := _MACRO_LINE.match(text, at):
        at = match.end()
    return at


def _behind_template(plain: str) -> int:
    """Where a head goes on behind `template <…>`."""
    at = 0
    while match := _TEMPLATE.match(plain, at):
        depth, at = 1, match.end()
        while at < len(plain) and depth:
            depth += {"<": 1, ">": -1}.get(plain[at], 0)
            at += 1
    return at


def _function(bare: str, head: int, place: int, frames: list[_Frame]) -> Declared | None:
    """The function whose head stands between two places."""
    text = bare[head:place]
    if "(" not in text:
        return None
    start = _behind_macros(text)
    start += len(text[start:]) - len(text[start:].lstrip())
    plain = _blanked(text)
    begins = max(_behind_template(plain), start)
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
        signed = place if bare[place] == ";" else head + begins + match.end() + _signed(body[match.end() :])
        scope = None if None in {frame.scope for frame in frames} else "::".join(f.scope for f in frames if f.scope)
        access = frames[-1].access if frames else ""
        return Declared(name, head + start, head + begins + match.start(), signed, place, False, scope, access)
    return None


def _signed(after: str) -> int:
    """Where a head ends that initializers follow."""
    return len(re.split(r"(?<!:):(?!:)", after)[0].rstrip())


def _blanked(text: str) -> str:
    """Text with the inside of its parentheses and brackets blanked."""
    found, depth = [], 0
    for part in re.split(r"([()\[\]{}])", text):
        if part and part in ")]}":
            depth = max(0, depth - 1)
        found.append(part if depth == 0 else _spaces(part))
        if part and part in "([{":
            depth += 1
    return "".join(found)
