"""Leases: nothing lost, nothing done twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from afs.errors import DataError
from afs.work_queue import WorkQueue


def test_every_piece_is_claimed_once_until_its_lease_ends(tmp_path: Path) -> None:
    now = [100.0]
    claims = WorkQueue(tmp_path / "c.db", clock=lambda: now[0])
    assert claims.add((str(n), b"p") for n in range(5)) == 5
    assert claims.add([("0", b"again"), ("9", b"new")]) == 1
    first = claims.claim(4, lease_s=10)
    assert [item.key for item in first] == ["0", "1", "2", "3"]
    assert [item.key for item in claims.claim(9, 10)] == ["4", "9"]
    assert claims.claim(9, 10) == []
    claims.complete([("0", b"r0")])
    now[0] += 11
    again = claims.claim(9, 10)
    assert [(item.key, item.attempts) for item in again] == [(k, 2) for k in ("1", "2", "3", "4", "9")]
    claims.complete([("0", b"another"), ("1", b"r1")])
    assert list(claims.results()) == [("0", b"r0"), ("1", b"r1")]
    claims.release(["2"])
    assert claims.counts() == {"done": 2, "leased": 3, "open": 1}
    claims.close()


def test_what_was_completed_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    code = (
        "import os, sys; from pathlib import Path; from afs.work_queue import WorkQueue\n"
        "c = WorkQueue(Path(sys.argv[1])); c.add((str(n), b'p') for n in range(10))\n"
        "for item in c.claim(4, 0.0): c.complete([(item.key, b'r')])\n"
        "c.claim(2, 0.0); os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    claims = WorkQueue(path)
    assert [key for key, _ in claims.results()] == ["0", "1", "2", "3"]
    assert [item.key for item in claims.claim(99, 10)] == ["4", "5", "6", "7", "8", "9"]
    claims.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 50)
    with pytest.raises(DataError, match=r"c\.db"):
        WorkQueue(path)
