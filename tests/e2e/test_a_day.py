"""`docs/a-day.md`: every command is run as it is printed, and every block of output is what it said.

Figures differ between machines, so words are compared and numbers are not; because a gate may then decide differently, it
is no part of `make test`. After a change of the page, write its output again: `AFS_WRITE_PAGE=1 pytest -m fault_long tests/e2e/test_a_day.py`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from afs.cli.main import main

pytestmark = [pytest.mark.e2e, pytest.mark.fault_long]
PAGE = Path(__file__).parents[2] / "docs" / "a-day.md"
_WRITES = bool(os.environ.get("AFS_WRITE_PAGE"))
"""Read at import: the tests run without the caller's AFS_ settings."""
_BLOCK = re.compile(
    r"```toml title=\"(?P<file>[^\"]+)\"\n(?P<text>.*?)```|```sh\n(?P<commands>.*?)```\n(?P<rest>\n```text\n(?P<said>.*?)```\n)?",
    re.S,
)


def run_command(line: str, home: Path) -> str:
    """What a command prints: its result, and its error if it fails."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = main(shlex.split(line)[1:])
    said = re.sub(r"[ \t]+$", "", out.getvalue(), flags=re.M).strip("\n")
    failure = err.getvalue()[err.getvalue().rfind("\nafs: ") + 1 :].strip("\n") if code else ""
    shown = "\n".join(part for part in (said, failure, f"(exit code {code})" if code else "") if part)
    return shown.replace(f"{home}/", "")


def run_block(commands: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    said = []
    for line in commands.strip().splitlines():
        if line.startswith("cd "):
            monkeypatch.chdir(line[3:])
        else:
            said.append(run_command(line, home))
    return "\n\n".join(part for part in said if part)


def play(page: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[re.Match[str], str]]:
    """Blocks of commands with what they say now."""
    monkeypatch.chdir(home)
    for block in _BLOCK.finditer(page):
        if block["file"]:
            Path(block["file"]).write_text(block["text"])
        else:
            yield block, run_block(block["commands"], home, monkeypatch)


def blur(text: str) -> str:
    """The words: without figures, code in hexadecimal, ids and the width of columns."""
    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{6,}\b|\$[0-9A-Fa-f]+|\d[\d.,]*", "#", text)
    return re.sub(r"[-─]{2,}", "--", re.sub(r"[ \t]+", " ", text)).strip()


def test_the_page_is_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AFS_WORKSPACE", raising=False)
    page = PAGE.read_text("utf-8")
    written = page
    differing = []
    for block, said in play(page, tmp_path, monkeypatch):
        new = f"```sh\n{block['commands']}```\n" + (f"\n```text\n{said}\n```\n" if said else "")
        written = written.replace(block[0], new, 1)
        if blur(said) != blur(block["said"] or ""):
            differing.append(f"{block['commands']}\nsays now:\n{said}")
    if _WRITES:
        PAGE.write_text(written, "utf-8")
        return
    assert not differing, "\n\n".join(differing)
