"""The report of skips: parts are known by their reasons, counted, and fail a strict run where they can be installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.skip_report import PARTS, UNEXPLAINED, is_failure, lines, part_of

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("reason", "name", "strict"),
    [
        ("no Chromium on this machine", "Chromium", True),
        ("playwright is not installed", "Chromium", True),
        ("no CPU vectors here", "CPU vectors", True),
        ("no emulator core here: `afs doctor --fix` gets it", "emulator core", True),
        ("bubblewrap is not installed", "bubblewrap", True),
        ("could not import 'torch': No module named 'torch'", "Python packages", True),
        ("the kernel has no Landlock", "walls of a sandbox", False),
        ("bwrap: setting up uid map: Permission denied", "walls of a sandbox", False),
        ("only root hands folders over", "root's rights", False),
        ("it is Tuesday", "unexplained", True),
    ],
)
def test_a_reason_names_its_part(reason: str, name: str, strict: bool) -> None:
    part = part_of(reason)
    assert (part.name, is_failure(part)) == (name, strict)


def test_the_report_counts_and_says_how_to_get_a_part() -> None:
    report = "\n".join(lines(Counter({"no Chromium on this machine": 3, "playwright is not installed": 1, "odd": 2})))
    assert "6 tests were skipped" in report
    assert "4  Chromium" in report and "apt-get install chromium" in report
    assert "2  unexplained: odd" in report
    assert lines(Counter()) == ["nothing was skipped"]
    assert len({part.name for part in (*PARTS, UNEXPLAINED)}) == len(PARTS) + 1


SKIPS = """
import pytest
from tests.skip_report import pytest_sessionfinish, pytest_terminal_summary

__all__ = ["pytest_sessionfinish", "pytest_terminal_summary"]
"""


@pytest.mark.parametrize(
    ("strict", "reason", "code"),
    [("1", "no asar program here", 1), ("1", "no /proc here", 0), ("", "no asar program here", 0)],
)
def test_a_strict_run_fails_for_want_of_a_part(tmp_path: Path, strict: str, reason: str, code: int) -> None:
    (tmp_path / "conftest.py").write_text(SKIPS)
    (tmp_path / "test_one.py").write_text(f"import pytest\n\ndef test_one():\n    pytest.skip({reason!r})\n")
    environment = {**os.environ, "AFS_TEST_STRICT": strict, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout
    assert "1 tests were skipped" in done.stdout
