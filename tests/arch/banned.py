"""Phrases that a native engineer would not write, searched in everything a person or a model reads.

Run it on some folders: `python tests/arch/banned.py src/afs/curate docs`. Names in code are not searched; strings,
docstrings, comments, help texts, data files and docs are.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

PHRASES = (
    r"(?:is|are|was|were|be|been) told\b", r"\btold (?:apart|by|of|as|in|to|at|about|from|beside|before|here|once)\b", r"\bas told\b",
    r"\bmend(?:s|ed|ing)?\b", r"\bturn(?:s|ed)? away\b", r"\bgo(?:es)? on\b", r"\bgoing on with\b", r"\bwent on\b",
    r"\bmade anew\b", r"\boutsiders?\b", r"\bnext to none\b", r"\bthe same again\b", r"\bno story\b", r"\bthe story on\b",
    r"\bthe whole road\b", r"\bdry road\b", r"\bnobody (?:calls|called|reaches|claims)\b", r"\btakes? for granted\b",
    r"\b\d+ signs\b", r"\bsigns (?:long|of text)\b", r"\bkin\b", r"\bits likes\b", r"\bwhat (?:stands|stood) (?:there|in|above|beside|below)\b",
    r"\bwhat came of\b", r"\bof its own making\b", r"\bthe way back\b", r"\basks? nobody\b", r"\bput together from\b",
    r"\bon to the\b", r"\blaid (?:anew|side by side)\b", r"\bsat (?:still|idle)\b", r"\bthe rest is\b.{0,12}\btold\b",
)  # fmt: skip
PATTERN = re.compile("|".join(PHRASES), re.IGNORECASE)
TEXT_FILES = {".md", ".toml", ".txt", ".jinja", ".html", ".json"}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of everything readable in a file: of a program, its strings and comments."""
    content = path.read_text("utf-8")
    if path.suffix != ".py":
        yield from enumerate(content.split("\n"), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def hits(roots: list[Path]) -> Iterator[str]:
    """`file:line: phrase in context` of every banned phrase below the roots."""
    for root in roots:
        paths = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.suffix in TEXT_FILES | {".py"})
        for path in paths:
            if "__pycache__" in path.parts or path.name == "banned.py":
                continue
            for line, text in texts(path):
                for found in PATTERN.finditer(text):
                    context = " ".join(text[max(0, found.start() - 40) : found.end() + 40].split())
                    yield f"{path}:{line}: {found.group(0)!r} in … {context} …"


if __name__ == "__main__":
    found = list(hits([Path(word) for word in sys.argv[1:]] or [Path("src/afs"), Path("docs"), Path("README.md")]))
    print("\n".join(found))
    sys.exit(1 if found else 0)
