"""What a user may say about a repository: the table `options` of a `generate` step."""

from __future__ import annotations

from pathlib import Path

from afs.config import Config, Positive


class RepoOptions(Config, frozen=True, kw_only=True):
    """Where the repository is and which of it becomes tasks."""

    path: Path
    """A folder: a git repository (its newest commit is read) or a plain project."""
    commit: str = ""
    """Another commit than the newest one."""
    tests: tuple[str, ...] = ()
    """Test files or folders to run; empty: what pytest finds."""
    python: Path | None = None
    """The interpreter that runs the tests; none: the project's own `.venv`, else the one afs runs on."""
    modules: tuple[str, ...] = ()
    """Only functions of files that match one of these patterns, e.g. `src/app/*.py`."""
    exclude: tuple[str, ...] = ()
    """No functions of files that match one of these patterns."""
    since: str = ""
    """Only modules last changed, or commits made, on or after this date (`2025-01-31`): a held-out part."""
    before: str = ""
    """Only modules last changed, or commits made, before this date."""
    license: str = ""
    """SPDX identifier, where the repository's files do not state it."""
    mutants: Positive = 5
    """Faults tried per function."""
    commits: Positive = 200
    """Newest commits searched for faults that were fixed."""
    suite_s: Positive = 180
    """Time limit of one run of all tests."""
    test_s: Positive = 10
    """Time limit of one test."""
    memory_mb: Positive = 1024
    """Memory limit of the tests."""
