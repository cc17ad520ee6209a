"""A commit is what it changes and says: unsure is `change`."""

from __future__ import annotations

import pytest

from afs.ingest.commit_kinds import classify_change


@pytest.mark.parametrize(
    ("subject", "path", "before", "after", "kind"),
    [
        ("Fix crash when the list is empty", "src/a.c", "return a[0];", "return n ? a[0] : 0;", "debug"),
        ("Fix #1477", "src/a.py", "x = 1", "x = 2", "debug"),
        ("Fixed.", "src/a.py", "x = 1", "x = 2", "change"),
        ("Fix typo in error message", "src/a.py", "x = 'eror'", "x = 'error'", "change"),
        ("Fix crash in parser", "tests/test_a.py", "x = 1", "x = 2", "change"),
        ("Fix wrong comment", "src/a.py", "# one\nx = 1", "# two\nx = 1", "change"),
        ("Fix build with gcc 14", "src/a.c", "int x;", "long x;", "change"),
        ("Speed up the decoder", "src/a.c", "slow();", "fast();", "optimize"),
        ("Remove minor optimization for simplicity", "src/a.c", "fast();", "plain();", "change"),
        ("Add zf_log to performance tests", "src/a.c", "a();", "b();", "change"),
    ],
)
def test_the_kind_of_a_change(subject: str, path: str, before: str, after: str, kind: str) -> None:
    assert classify_change(subject, path, before, after) == kind
