"""Every example of docs/how-to/checks.md, as it is printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from afs import datasets
from afs.evaluate import report_store
from afs.sandbox import available
from afs.workspace import Workspace

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "checks.md"
pytestmark = [
    pytest.mark.skipif(available().rung is None, reason="no sandbox stands on this machine"),
    pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the program sqlite3 is not installed"),
]


def test_the_examples_run(tmp_path: Path) -> None:
    page = PAGE.read_text()
    for name, text in re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', page, re.S | re.M):
        (tmp_path / name).write_text(text)
    commands = "".join(re.findall(r"^```sh\n(.*?)^```", page, re.S | re.M))
    script = f'set -eu\nafs() {{ "{sys.executable}" -m afs "$@"; }}\n{commands}'
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    workspace = Workspace(tmp_path / "work")
    assert workspace.settings.checks == {"default": r"regex:\b4\b"}
    for name in ("functions", "queries", "invoices"):
        rows = report_store.table(workspace, report_store.load(workspace, name)).rows
        assert {row.outcome for row in rows} == {"answered"}
        assert [row.ok for row in rows] == [False] * len(rows), "the parrot knows nothing, and every item is judged"
    kept = list(datasets.read(workspace, datasets.load(workspace, "extraction")))
    assert [record.verdicts[-1].ok for record in kept] == [True]
