"""Every command of the tutorial, as it is printed, in order, in one shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"```(sh|toml)\n(.*?)```", PAGE.read_text(), re.S)


def test_the_tutorial_runs(tmp_path: Path) -> None:
    lines = ["set -eu"]
    for kind, text in blocks():
        if kind == "toml":
            (tmp_path / "recipe.toml").write_text(text)
        else:
            lines += [f"echo '$ {line}'\n{line}" if "'" not in line else line for line in text.strip().splitlines()]
    assert sum(line.startswith("echo '$ afs") for line in lines) >= 10
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "afs").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m afs "$@"\n')
    (bin_folder / "afs").chmod(0o755)
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert "curate    skipped" in done.stdout or re.search(r"samples\s+generate\s+skipped", done.stdout)
