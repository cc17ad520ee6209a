"""What a corpus holds: functions with a question, paragraphs of documentation, and paragraphs its commits changed."""

from __future__ import annotations

import ast
import difflib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LANGUAGES = {".py": "python", ".h": "cpp", ".cc": "cpp", ".cpp": "cpp", ".rs": "rust", ".js": "js"}
_HEAD = re.compile(r"^[ \t]*[\w<].*\)[^;{}]*\{\s*$|^[ \t]*(?:pub )?(?:async )?fn .*\{\s*$")
_NAME = re.compile(r"([A-Za-z_]\w*)\s*(?:<[^>]*>)?\(")
_LEAST, _MOST = 6, 60
"""Lines of a function: shorter ones hold nothing to edit."""


class Corpus(NamedTuple):
    """A tree of files, and where its history is."""

    name: str
    root: Path
    commit: str
    git: Path | None


def open_corpus(text: str) -> Corpus:
    """`NAME=PATH`; a git directory without files is unpacked."""
    name, _, place = text.partition("=")
    path = Path(place)
    git = path if (path / "HEAD").is_file() else path / ".git" if (path / ".git").exists() else None
    if git is None:
        return Corpus(name, path, "no commit", None)
    commit = _git(git, "rev-parse", "--short", "HEAD").strip()
    root = Path(tempfile.mkdtemp(prefix=f"world-{name}-"))
    packed = subprocess.run(["git", "-C", str(git), "archive", "HEAD"], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(root)], input=packed, check=True)
    return Corpus(name, root, commit, git)


def _git(git: Path, *words: str) -> str:
    run = subprocess.run(["git", "-C", str(git), *words], capture_output=True, check=True)
    return run.stdout.decode("utf-8", "replace")


def functions(corpus: Corpus) -> Iterator[tuple[str, str, str]]:
    """(language, question, code)."""
    for path in sorted(corpus.root.rglob("*")):
        language = LANGUAGES.get(path.suffix)
        if language is None or not path.is_file() or path.stat().st_size > 400_000:
            continue
        text = path.read_text("utf-8", "replace")
        blocks = _python(text) if language == "python" else _braces(text)
        for name, code in blocks:
            if _LEAST <= code.count("\n") + 1 <= _MOST:
                yield language, f"Write `{name}` of {path.relative_to(corpus.root)}.", code


def _python(text: str) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    lines = text.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = lines[node.lineno - 1 : node.end_lineno]
            indent = len(body[0]) - len(body[0].lstrip())
            yield node.name, "\n".join(line[indent:] for line in body)


def _braces(text: str) -> Iterator[tuple[str, str]]:
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        head = _HEAD.match(lines[at])
        name = _NAME.search(lines[at]) if head else None
        if name is None or name[1] in ("if", "for", "while", "switch", "match", "catch"):
            at += 1
            continue
        depth, end = 0, at
        while end < len(lines):
            depth += lines[end].count("{") - lines[end].count("}")
            end += 1
            if depth <= 0:
                break
        body = lines[at:end]
        indent = len(body[0]) - len(body[0].lstrip())
        yield name[1], "\n".join(line[indent:] if not line[:indent].strip() else line for line in body)
        at = end


def paragraphs(corpus: Corpus) -> Iterator[tuple[str, str]]:
    """(heading, text) of documentation: running text of 40 to 250 words."""
    for path in sorted(corpus.root.rglob("*")):
        if path.suffix in (".rst", ".md") and path.is_file():
            yield from _sections(path.read_text("utf-8", "replace"), path.stem)


def _sections(text: str, title: str) -> Iterator[tuple[str, str]]:
    heading, held = title, ""
    for block in re.split(r"\n\s*\n", text):
        lines = block.strip("\n").splitlines()
        if not lines or lines[0][:1].isspace():
            continue
        if lines[0].startswith("#") or (len(lines) == 2 and set(lines[1]) <= set("=-~^")):
            heading, held = lines[0].strip("# "), ""
            continue
        held = f"{held}\n{block}".strip() if len(held.split()) < 40 else block.strip()
        if 40 <= len(held.split()) <= 250 and _is_running_text(held):
            yield f"What does the documentation of {title} say on {heading}?", held
            held = ""


def _is_running_text(text: str) -> bool:
    letters = sum(sign.isalpha() or sign.isspace() for sign in text)
    return letters / len(text) > 0.85


def changed_paragraphs(corpus: Corpus) -> Iterator[tuple[str, str]]:
    """Paragraphs of the documentation before and after a commit that changed some of their words."""
    if corpus.git is None:
        return
    log = _git(corpus.git, "log", "-p", "-U30", "--no-merges", "-n", "1500", "--format=", "--", "*.rst", "*.md")
    seen: set[str] = set()
    for hunk in re.split(r"^@@.*$", log, flags=re.M)[1:]:
        lines = hunk.splitlines()
        old = "\n".join(line[1:] for line in lines if line[:1] in " -" and not line.startswith("---"))
        new = "\n".join(line[1:] for line in lines if line[:1] in " +" and not line.startswith("+++"))
        befores, afters = _running(old), _running(new)
        for after in afters:
            if after in befores or after in seen or not befores:
                continue
            best = max(befores, key=lambda before: _ratio(before, after))
            if best not in afters and best not in seen and _ratio(best, after) >= 0.8:
                seen |= {best, after}
                yield best, after


def _running(text: str) -> list[str]:
    blocks = (block.strip() for block in re.split(r"\n\s*\n", text))
    return [block for block in blocks if 20 <= len(block.split()) <= 250 and _is_running_text(block)]


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a.split(), b.split(), autojunk=False).ratio()
