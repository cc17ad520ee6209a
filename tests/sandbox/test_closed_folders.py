"""Started by root, a walled program is nobody: the message names the folder that keeps it out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from afs.sandbox.enclosure import find_closed_folder


def test_the_folder_that_keeps_nobody_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "home" / "python"
    inner.mkdir(parents=True)
    for folder in (inner, *inner.parents[:1]):
        folder.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    inner.parent.chmod(0o700)
    assert "who cannot enter" in find_closed_folder([str(inner)])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert find_closed_folder([str(inner)]) == ""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert find_closed_folder(["/usr/lib"]) == ""
