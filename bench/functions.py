"""Functions of C++ sources: found by the reader's scanner, compared with two parsers.

pip install libclang tree-sitter tree-sitter-cpp
python bench/functions.py FOLDER... [--missed N]

A function is the same when its name and last line are. Recall is measured against libclang, which sees what a compiler
sees; what stands in a branch of `#if` that is off it does not see, so precision counts as right what either knows.
What a macro expands to (`TEST(…) {`) has no name in the source and counts for neither.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import tree_sitter
import tree_sitter_cpp
from clang import cindex

from afs.source_code.function_scanner import find_functions

ENDINGS = (".cc", ".cpp", ".cxx", ".hpp", ".h", ".hh", ".hxx")
KEYWORDS = frozenset({"if", "for", "while", "switch", "catch", "return", "else", "defined", "sizeof"})
LANGUAGE = tree_sitter.Language(tree_sitter_cpp.language())
KINDS = frozenset(
    {"FUNCTION_DECL", "CXX_METHOD", "CONSTRUCTOR", "DESTRUCTOR", "FUNCTION_TEMPLATE", "CONVERSION_FUNCTION"}
)
Found = set[tuple[str, int]]


def compiled(path: Path, text: bytes, options: list[str]) -> Found:
    """(name, last line) of what libclang sees defined in a file."""
    unit = cindex.Index.create().parse(str(path), args=options, unsaved_files=[(str(path), text.decode("latin-1"))])
    found: Found = set()
    waiting = [unit.cursor]
    while waiting:
        cursor = waiting.pop()
        for child in cursor.get_children():
            if child.location.file is None or child.location.file.name != str(path):
                continue
            if child.kind.name in KINDS and child.is_definition() and text[child.extent.end.offset - 1 :][:1] == b"}":
                name = short(child.spelling)
                if not re.fullmatch(r"[A-Z][A-Z0-9_]+", name) and text[child.location.offset :].startswith(
                    (name.partition("(")[0][:8].encode(), b"~", b"operator")
                ):
                    found.add((name, child.extent.end.line))
            waiting.append(child)
    return found


def parsed(text: bytes) -> Found:
    """(name, last line) of what tree-sitter parses as a definition with a body."""
    tree = tree_sitter.Parser(LANGUAGE).parse(text)
    return {found for node in walk(tree.root_node) if (found := definition(node)) is not None}


def walk(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """Every node."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.children)


def definition(node: tree_sitter.Node) -> tuple[str, int] | None:
    """The function a node defines."""
    if node.type != "function_definition" or not any(child.type.endswith("_statement") for child in node.children):
        return None
    inner = node.child_by_field_name("declarator")
    while inner is not None and inner.type != "function_declarator":
        inner = inner.child_by_field_name("declarator") or next(
            (c for c in inner.children if c.type.endswith("declarator")), None
        )
    named = inner.child_by_field_name("declarator") if inner is not None else None
    if named is None or named.text is None:
        return None
    name = short(named.text.decode("utf-8", "replace"))
    capitals = node.child_by_field_name("type") is None and re.fullmatch(r"[A-Z][A-Z0-9_]+", name)
    return None if capitals or name in KEYWORDS else (name, node.end_point[0] + 1)


def short(name: str) -> str:
    """A name without its scope and template arguments."""
    if re.search(r"\boperator\b", name):
        return "operator" + "".join(name.rpartition("operator")[2].split())
    return re.sub(r"<.*>", "", name, flags=re.S).rpartition("::")[2].strip()


def standard() -> list[str]:
    """Where the compiler of this machine keeps its headers."""
    told = subprocess.run(["g++", "-E", "-x", "c++", "-", "-v"], input=b"", capture_output=True, check=False).stderr
    return [f"-isystem{line.strip()}" for line in told.decode().split("\n") if line.startswith(" /usr")]


def measure(folder: Path, missed: int) -> None:
    """A row of the table, and what differs."""
    options = ["-xc++", "-std=c++17", f"-I{folder}", f"-I{folder / 'include'}", *standard()]
    options += [f"-I{p}" for p in sorted({p.parent for p in folder.rglob("*.h")})]
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix in ENDINGS and p.is_file()]
    wanted, known, found, spent, size = set(), set(), set(), 0.0, 0
    for path in paths:
        text = path.read_bytes().replace(b"\r\n", b"\n")
        seen = compiled(path, text, options)
        wanted |= {(path, *each) for each in seen}
        known |= {(path, *each) for each in seen | parsed(text)}
        started = time.process_time()
        found |= {(path, short(f.name), f.last) for f in find_functions(text.decode("utf-8", "replace"), "cpp")}
        spent, size = spent + time.process_time() - started, size + len(text)
    row(folder, len(paths), Sets(wanted, found, known), missed, f" {size / 1e6 / max(spent, 1e-9):.1f} |")


class Sets(NamedTuple):
    """What should be found, what is, and what would be right."""

    wanted: set[tuple[Path, str, int]]
    found: set[tuple[Path, str, int]]
    known: set[tuple[Path, str, int]]


def row(folder: Path, files: int, sets: Sets, missed: int, more: str = "") -> None:
    """Print a row of the table, and some of what differs."""
    recall = len(sets.wanted & sets.found) / max(1, len(sets.wanted))
    precision = len(sets.known & sets.found) / max(1, len(sets.found))
    figures = f"{files} | {len(sets.wanted):,} | {len(sets.found):,} | {recall:.3f} | {precision:.3f}"
    print(f"| {folder.name} | {figures} |{more}", flush=True)
    for title, differing in (("missed", sets.wanted - sets.found), ("beyond", sets.found - sets.known)):
        for path, name, line in sorted(differing, key=lambda each: hash(str(each)))[:missed]:
            print(f"  {title}: {path}:{line} {name}")


def over_folders(doc: str | None, head: str, measure: Callable[[Path, int], None]) -> None:
    """A row per folder of the command line."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--missed", type=int, default=0, help="show so many that differ")
    given = parser.parse_args()
    print(f"{head}\n|{'---|' * (head.count('|') - 1)}")
    for folder in given.folders:
        measure(folder.resolve(), given.missed)


if __name__ == "__main__":
    over_folders(__doc__, "| sources | files | functions | found | recall | precision | MB / CPU s |", measure)
