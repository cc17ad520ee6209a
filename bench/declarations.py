"""Documented functions of C++ headers: found by the `cpp` reader, compared with two parsers.

pip install libclang tree-sitter tree-sitter-cpp
python bench/declarations.py FOLDER... [--missed N]

A function is the same when its name and the line of its name are. Recall is measured against the functions libclang
sees whose comment of three words or more stands right above; precision counts as right what either parser knows.
"""

from __future__ import annotations

from pathlib import Path

import tree_sitter
from clang import cindex
from functions import KINDS, LANGUAGE, Found, Sets, over_folders, row, short, standard, walk

from afs.source_code.cpp_functions import find_functions

ENDINGS = (".h", ".hpp", ".hh", ".hxx")


def compiled(path: Path, text: bytes, options: list[str]) -> tuple[Found, Found]:
    """(name, line) of the documented functions libclang sees, and of all."""
    unit = cindex.Index.create().parse(str(path), args=options, unsaved_files=[(str(path), text.decode("latin-1"))])
    documented: Found = set()
    every: Found = set()
    waiting = [unit.cursor]
    while waiting:
        cursor = waiting.pop()
        for child in cursor.get_children():
            if child.location.file is None or child.location.file.name != str(path):
                continue
            name = short(child.spelling)
            written = text[child.location.offset :].startswith((name.encode()[:8], b"~", b"operator"))
            if child.kind.name not in KINDS:
                waiting.append(child)
            elif written and not child.is_default_method() and not child.is_deleted_method():
                every.add((name, child.location.line))
                if own(child, text):
                    documented.add((name, child.location.line))
    return documented, every


def own(cursor: cindex.Cursor, text: bytes) -> bool:
    """Whether the comment of a function stands right above it."""
    comment = (cursor.raw_comment or "").encode()
    if len(comment.replace(b"/", b" ").replace(b"*", b" ").split()) < 3:
        return False
    at = text.rfind(comment, 0, cursor.location.offset)
    between = text[at + len(comment) : cursor.location.offset]
    return at >= 0 and not any(sign in between for sign in (b";", b"{", b"}", b"#", b"\n\n"))


def parsed(text: bytes) -> Found:
    """(name, line) of what tree-sitter takes for the name of a function."""
    nodes = walk(tree_sitter.Parser(LANGUAGE).parse(text).root_node)
    named = [n.child_by_field_name("declarator") for n in nodes if n.type == "function_declarator"]
    return {(short(n.text.decode("utf-8", "replace")), n.start_point[0] + 1) for n in named if n and n.text}


def measure(folder: Path, missed: int) -> None:
    """A row of the table, and what differs."""
    options = ["-xc++", "-std=c++17", "-fparse-all-comments", f"-I{folder}", f"-I{folder / 'include'}", *standard()]
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix in ENDINGS and p.is_file()]
    wanted, known, found = set(), set(), set()
    for path in paths:
        text = path.read_bytes().replace(b"\r\n", b"\n")
        documented, every = compiled(path, text, options)
        wanted |= {(path, *each) for each in documented}
        known |= {(path, *each) for each in every | parsed(text)}
        told = [f for f in find_functions(text.decode("utf-8", "replace")) if len(f.doc.split()) >= 3]
        found |= {(path, short(f.name), f.line) for f in told}
    row(folder, len(paths), Sets(wanted, found, known), missed)


if __name__ == "__main__":
    over_folders(__doc__, "| headers | files | documented | found | recall | precision |", measure)
