"""C++ APIs: documented functions with their signature, and calls of them found in the same tree."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from afs import licenses
from afs.config import Config
from afs.ingest import cpp_blocks, cpp_calls, file_walk, function_scanner
from afs.ingest.base import Reading, Unit, assistant, user
from afs.types import Dropped, Record

_HEADERS = (".h", ".hpp", ".hh", ".hxx")
_SOURCES = (*_HEADERS, ".cc", ".cpp", ".cxx", ".c")
_BEHIND = re.compile(r"^\s*(?://[/!]|/\*[*!])<")
_ABOVE = re.compile(r"^\s*(?:[A-Z_][A-Z0-9_]*(?:\([^()]*\))?|\[\[.*\]\])\s*$")
_BEGIN, _END = re.compile(r"^\s*(?:/\*+!?<?|//[/!]*<?|\*(?![*/]))\s?"), re.compile(r"\s*\*+/\s*$")
_ASIDE = re.compile(r"^\s*//\s*(?:clang-format (?:on|off)|NOLINT.*)\s*$")
_CLASS = re.compile(r"((?:\b[A-Za-z_]\w*\s*(?:<[^<>]*>)?\s*::\s*)+)$")
_NO_TEXT = re.compile(r"^\W*$|^\s*(?:clang-format (?:on|off)$|NOLINT|[@\\](?:brief|details)\s*$)")


class Function(NamedTuple):
    """A function: the line of its name, its signature, the comment that is its own."""

    name: str
    line: int
    signature: str
    doc: str
    access: str
    wanted: cpp_calls.CallTarget


class Cpp(Config, frozen=True, kw_only=True):
    """The headers of a tree."""

    version = "2"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every header, with the tree's sources and tests of its name to look for calls."""
        sources = tuple(path for path in file_walk.walk_files(place, _SOURCES) if not path.is_symlink())
        for path in sources:
            if path.suffix.lower() in _HEADERS:
                named = {path.stem, f"{path.stem}_test", f"{path.stem}-test"}
                yield Unit(
                    path, file_walk.label_path(place, path), tuple(p for p in sources if p.stem in named and p != path)
                )

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per function."""
        text = file_walk.read_text(unit, reading)
        sources = [cpp_calls.CallSource(p.read_text("utf-8", "replace")) for p in unit.beside]
        license = licenses.find_tag(text) or reading.license
        found = list(find_functions(text))
        overloads = Counter(function.name for function in found if function.doc)
        for function in found:
            reading.count_found()
            others = [f.wanted for f in found if f.name == function.name and f.signature != function.signature]
            examples = cpp_calls.find_examples(function.wanted, others, sources)
            yield _build_record(function, examples, license, reading, overloaded=overloads[function.name] > 1)


def _build_record(
    function: Function, examples: list[str], license: str, reading: Reading, *, overloaded: bool
) -> Record | Dropped:
    answer = f"```cpp\n{function.signature}\n```\n\n{function.doc}"
    if examples:
        answer += "\n\nFor example:\n\n```cpp\n" + "\n\n".join(examples) + "\n```"
    asked = f"{function.name}{function.wanted.parameters}" if overloaded else function.name
    access = (f"access:{function.access}",) if function.access else ()
    record = reading.build_record(
        "api",
        [user(f"What does the C++ function `{asked}` do, and how is it called?"), assistant(answer)],
        place=f"L{function.line}",
        origin={"license": license, "group": reading.uri()},
        extra={"tags": ("language:cpp", f"symbol:{function.name}", *access)},
    )
    return record if len(function.doc.split()) >= 3 else Dropped(record=record, reason="no documentation")


def find_functions(text: str) -> Iterator[Function]:
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
        yield Function(
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
