from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from afs.errors import ProcessError
from afs.scratch_folder import open_scratch_folder


def test_a_scratch_folder_is_deleted_even_if_the_block_fails_or_renames_it(tmp_path: Path) -> None:
    with pytest.raises(KeyError), open_scratch_folder("work-", tmp_path) as folder:
        (folder / "a").write_text("a")
        raise KeyError
    with open_scratch_folder("work-", tmp_path) as folder:
        folder.rename(tmp_path / "kept")
    assert os.listdir(tmp_path) == ["kept"]


def test_what_a_killed_process_left_is_deleted_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    (tmp_path / "work-left").mkdir()
    (tmp_path / "work-left/part").write_text("a")
    (tmp_path / "mine").mkdir()
    (tmp_path / "work-link").symlink_to(tmp_path / "mine")
    (tmp_path / "work-file").write_text("not a folder")
    with open_scratch_folder("work-", tmp_path) as first, open_scratch_folder("work-", tmp_path) as second:
        assert first.is_dir() and second.is_dir() and first != second
        assert not (tmp_path / "work-left").exists()
    assert sorted(os.listdir(tmp_path)) == ["mine", "work-file", "work-link"]


def test_where_nothing_can_be_locked_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ProcessError, match="folders cannot be locked here"), open_scratch_folder("work-", tmp_path):
        raise AssertionError("no folder without a lock")
    assert os.listdir(tmp_path) == []
