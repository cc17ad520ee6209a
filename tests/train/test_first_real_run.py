"""The how-to of a first real run names commands and options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from afs.cli.main import find_command, read_config, sort_words
from afs.config import fields

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "first-real-run.md"
COMMANDS = [line for block in re.findall(r"```\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
            for line in block.splitlines() if line.startswith("afs ")]  # fmt: skip


@pytest.mark.parametrize("line", COMMANDS)
def test_the_command_is_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PAGE.parents[2])
    command, rest = find_command(shlex.split(line, comments=True)[1:])
    assert command is not None
    given = sort_words(rest, command.config)
    has_dry_run = command.preview is not None or "dry_run" in {field.name for field in fields(command.config)}
    assert "dry_run" not in given.flags or has_dry_run
    read_config(command, given)
