"""Says at the end of a run what was skipped, why, and how to get what was missing; strict runs fail on it.

`AFS_TEST_STRICT=1` (`make test STRICT=1`) fails where a part that can be installed is missing, and on every skip that no
row of PARTS explains.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

STRICT = os.environ.get("AFS_TEST_STRICT", "") not in ("", "0")
"""Read at import: tests run without the caller's AFS_ settings."""


TEST_PARTS = Path(__file__).parents[1] / ".test-parts"
"""What `scripts/test_parts.py` fetched."""


@dataclass(frozen=True)
class Part:
    """A part that tests need, the reasons of skips that mean it, and the command that gets it ("" = not installable)."""

    name: str
    reasons: str
    remedy: str = ""


PARTS = (
    Part("Chromium", "Chromium|playwright", "apt-get install chromium"),
    Part("CPU vectors", "CPU vectors", "python scripts/test_parts.py vectors"),
    Part("Asar", "asar program", "python scripts/test_parts.py asar"),
    Part("emulator core", "emulator core", "python scripts/test_parts.py emulator"),
    Part("SmolLM2", "SmolLM2", "AFS_TEST_DOWNLOADS=1"),
    Part("axe-core", "axe-core", "python scripts/test_parts.py axe"),
    Part("bubblewrap", "bubblewrap is not installed", "apt-get install bubblewrap"),
    Part("C compiler", "C compiler|compiled core|built extension", "apt-get install gcc"),
    Part("sqlite3", "program sqlite3", "apt-get install sqlite3"),
    Part("rclone", "needs rclone", "apt-get install rclone"),
    Part("Ray, which the lock leaves out", "the extra `ray`"),
    Part("Python packages", r"could not import|not installed here: pip", "pip install -e '.[all,dev]'"),
    Part("walls of a sandbox", "sandbox|[Ll]andlock|bwrap|behind it"),
    Part("root's rights", "only root|can be mounted"),
    Part("/proc", "no /proc"),
)
UNEXPLAINED = Part("unexplained", "")


def part_of(reason: str) -> Part:
    """The part whose absence a reason states; UNEXPLAINED for a reason that no row knows."""
    return next((part for part in PARTS if re.search(part.reasons, reason)), UNEXPLAINED)


def is_failure(part: Part) -> bool:
    """Whether a strict run fails for want of this part."""
    return part is UNEXPLAINED or bool(part.remedy)


def reasons_of(reports: Iterable[Any]) -> Counter[str]:
    """How often each reason was given."""
    texts = (report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr) for report in reports)
    return Counter(text.removeprefix("Skipped: ") for text in texts)


def lines(reasons: Counter[str]) -> list[str]:
    """The report: a line for each part, and each reason that is not explained."""
    counts = Counter[Part]()
    for reason, count in reasons.items():
        counts[part_of(reason)] += count
    rows = [
        f"{count:5}  {part.name:20} {part.remedy or 'this machine or user does not have it'}"
        for part, count in counts.most_common()
        if part is not UNEXPLAINED
    ]
    loose = [f"{count:5}  unexplained: {text}" for text, count in reasons.items() if part_of(text) is UNEXPLAINED]
    return [f"{reasons.total()} tests were skipped for want of:", *rows, *loose] if reasons else ["nothing was skipped"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the report."""
    terminalreporter.section("skipped")
    for line in lines(reasons_of(terminalreporter.stats.get("skipped", []))):
        terminalreporter.line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: Any) -> None:
    """In a strict run, fail where something that can be installed is missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not STRICT or reporter is None or session.exitstatus not in (0, 5):
        return
    if any(is_failure(part_of(text)) for text in reasons_of(reporter.stats.get("skipped", []))):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
