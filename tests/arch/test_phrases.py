"""No phrase that a native engineer would not write stands in help, errors, prompts, docstrings or docs."""

from __future__ import annotations

from pathlib import Path

from .banned import hits

ROOT = Path(__file__).parents[2]


def test_the_text_people_read_is_plain_english() -> None:
    assert list(hits([ROOT / "src" / "afs", ROOT / "docs", ROOT / "README.md"])) == []
