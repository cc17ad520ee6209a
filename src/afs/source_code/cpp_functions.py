"""The functions of a C++ header: scope, signature, and the comment that is its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from afs.source_code import cpp_blocks, cpp_calls, function_scanner

_BEHIND = re.compile(r"^\s*(?://[/!]|/\*[*!])<")
_ABOVE = re.compile(r"^\s*(?:[A-Z_][A-Z0-9_]*(?:\([^()]*\))?|\[\[.*\]\])\s*$")
_BEGIN, _END = re.compile(r"^\s*(?:/\*+!?<?|//[/!]*<?|\*(?![*/]))\s?"), re.compile(r"\s*\*+/\s*$")
_ASIDE = re.compile(r"^\s*//\s*(?:clang-format (?:on|off)|NOLINT.*)\s*$")
_CLASS = re.compile(r"((?:\b[A-Za-z_]\w*\s*(?:<[^<>]*>)?\s*::\s*)+)$")
_NO_TEXT = re.compile(r"^\W*$|^\s*(?:clang-format (?:on|off)$|NOLINT|[@\\](?:brief|details)\s*$)")


class CppFunction(NamedTuple):
    """A function: the line of its name, its signature, the comment that is its own."""

    name: str
    line: int
    signature: str
    doc: str
    access: str
    wanted: cpp_calls.CallTarget


def find_functions(text: str) -> Iterator[CppFunction]:
    """The functions a header declares or defines, but for those inside of another."""
    bare = function_scanner.blank_noise(text, "cpp")
    plain = cpp_blocks.without_directives(bare)
    closing = function_scanner.match_brackets(plain)
    lines, bare_lines = text.split("\n"), bare.split("\n")
    for found in cpp_blocks.find_declarations(plain, closing):
        if found.scope is None:
            continue
        first, last = (plain.count("\n", 0, at) for at in (found.start, found.signed))
        opening = plain.find("(", found.named + len(found.name))
        parameters = " ".join(plain[opening : closing.get(opening, opening) + 1].split())
        outside = _CLASS.search(plain, found.start, found.named)
        within = re.sub(r"\s+|<[^<>]*>", "", outside[1]).removesuffix("::") if outside else ""
        scope = "::".join(part for part in (found.scope, within) if part)
        name = " ".join(text[found.named : opening].split()) if found.name.startswith("operator") else found.name
        yield CppFunction(
            "::".join(part for part in (scope, name) if part),
            plain.count("\n", 0, found.named) + 1,
            f"{_clean_signature(text[found.start : found.signed])};",
            _find_comment_above(lines, bare_lines, first) or _find_comment_behind(lines, bare_lines, last),
            found.access,
            cpp_calls.CallTarget(name, scope.rpartition("::")[2], bool(found.access or within), parameters),
        )


def _clean_signature(text: str) -> str:
    """A head on one line without comments."""
    return " ".join(re.sub(r"//[^\n]*|/\*.*?\*/|^[ \t]*#[^\n]*", " ", text, flags=re.S | re.M).split())


def _find_comment_above(lines: list[str], bare: list[str], at: int) -> str:
    """The comment right above a line: one block, or lines of slashes; lines of macros between them are passed over."""
    at -= 1
    while at >= 0 and (_ABOVE.match(bare[at]) or _ASIDE.match(lines[at])):
        at -= 1
    end = at + 1
    if at >= 0 and not bare[at].strip() and lines[at].rstrip().endswith("*/"):
        while at >= 0 and not bare[at].strip() and not _is_block_start(lines[at]):
            at -= 1
        return _join_comment(lines[at:end]) if at >= 0 and not bare[at].strip() and not _BEHIND.match(lines[at]) else ""
    while at >= 0 and not bare[at].strip() and lines[at].lstrip().startswith("//") and not _BEHIND.match(lines[at]):
        at -= 1
    return _join_comment(lines[at + 1 : end])


def _is_block_start(line: str) -> bool:
    return line.lstrip().startswith("/*")


def _find_comment_behind(lines: list[str], bare: list[str], at: int) -> str:
    """The comment behind a line that says it belongs there."""
    rest = lines[at][len(bare[at].rstrip()) :]
    if not _BEHIND.match(rest):
        return ""
    end = at + 1
    while end < len(lines) and not bare[end].strip() and _BEHIND.match(lines[end]):
        end += 1
    return _join_comment([rest, *lines[at + 1 : end]])


def _join_comment(comment: list[str]) -> str:
    """The words of a comment on one line."""
    plain = [_BEGIN.sub("", _END.sub("", line)).strip() for line in comment]
    return " ".join(re.sub(r"^[@\\]brief\s+", "", line) for line in plain if not _NO_TEXT.match(line))
