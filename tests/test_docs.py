"""Every command in README and docs is understood: it exists, and so do its options and their values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from afs.cli.command_runner import find_command, read_config, sort_words
from afs.config import fields

ROOT = Path(__file__).parents[1]
PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")})
GENERATED = ROOT / "docs" / "reference"


def commands() -> Iterator[tuple[str, str]]:
    """(page, command line) of every block of shell; a line that ends in `\\` or an open quote continues."""
    for page in PAGES:
        if page.is_relative_to(GENERATED) or page.name == "log.md":
            continue
        for language, block in re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", page.read_text("utf-8"), re.S | re.M):
            if language in ("", "sh", "bash"):
                yield from ((page.relative_to(ROOT).as_posix(), line) for line in joined(block))


def inline_commands() -> Iterator[tuple[str, str]]:
    """Commands in the tables of the checklists."""
    page = ROOT / "docs" / "checklists.md"
    yield from (
        ("docs/checklists.md", line) for line in re.findall(r"`(afs [^`]+)` \|$", page.read_text("utf-8"), re.M)
    )


def joined(block: str) -> Iterator[str]:
    """The lines of a block that call afs, each whole."""
    waiting = ""
    for line in block.splitlines():
        waiting += f"\n{line}" if waiting else line.strip()
        if waiting.endswith("\\"):
            waiting = waiting[:-1]
        elif is_whole(waiting):
            yield from (part for part in waiting.split(" && ") if part.startswith("afs "))
            waiting = ""


def is_whole(line: str) -> bool:
    """Whether no quote is left open."""
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return False
    return True


COMMANDS = sorted({*commands(), *inline_commands()})


def test_the_docs_are_full_of_commands() -> None:
    assert len(COMMANDS) > 180
    assert len({page for page, _ in COMMANDS}) > 20


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_is_understood(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(line, comments=True)[1:]
    if words in (["--help"], ["--version"]):
        return
    command, rest = find_command(words)
    assert command is not None, page
    given = sort_words(rest, command.config)
    if "help" in given.flags:
        return
    has_dry_run = command.preview is not None or "dry_run" in {field.name for field in fields(command.config)}
    assert "dry_run" not in given.flags or has_dry_run
    if not all(file.is_file() for file in given.files):
        return  # the reader's own file, which holds the rest
    read_config(command, given)


def anchors(page: Path) -> set[str]:
    """What a link to a heading of a page may end with."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S), re.M)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "SECURITY.md"], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" in link:
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []
