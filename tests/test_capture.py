"""Feeding and reading a child: no wait is unbounded, no output uncapped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from afs import process
from afs.child_pipes import Capture, end_group, end_handle
from afs.errors import ProcessError

HOLDER = "import os, sys, time\nif not os.fork():\n    os.setsid(); time.sleep(600)\nprint('done', os.getpid())"


def capture(program: str, *, data: bytes = b"", most: int = 1 << 20, timeout_s: float = 20) -> tuple[str, bytes, int]:
    with Capture(data, most) as found:
        stdin, stdout, stderr = found.child_ends
        child = subprocess.Popen(
            [sys.executable, "-c", program], stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
        found.hand_over()
        with end_handle(child) as handle:
            word = found.until(handle, timeout_s)
        code = end_group(child)
        fits = found.drain(0.2)
        return word or ("" if fits else "output"), bytes(found.out), code


def test_what_is_written_is_read_back() -> None:
    echo = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    assert capture(echo, data=b"x" * 500_000) == ("", b"x" * 500_000, 0)
    assert capture("raise SystemExit(3)", data=b"x" * 500_000) == ("", b"", 3)


def test_output_is_capped_while_it_runs_and_after_it_ended() -> None:
    word, out, code = capture("while True: print('x' * 1000)", most=10_000)
    assert (word, code) == ("output", -9) and len(out) == 10_000
    word, out, _ = capture("print('x' * 20000)", most=10_000)
    assert word == "output" and len(out) == 10_000


def test_a_grandchild_that_holds_the_pipes_does_not_block(tmp_path: Path) -> None:
    started = time.monotonic()
    word, out, code = capture(HOLDER)
    assert (word, out.split()[0], code) == ("", b"done", 0)
    done = process.run([sys.executable, "-c", HOLDER], timeout_s=60)
    assert done.out.startswith(b"done") and not done.timed_out
    assert time.monotonic() - started < 60
    for line in (out, done.out):
        _end_session_of(int(line.split()[1]))


def _end_session_of(parent: int) -> None:
    """The holders left their parent's group; find them by what they are."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"os.setsid(); time.sleep(600)" in (entry / "cmdline").read_bytes() and int(entry.name) != parent:
                subprocess.run(["kill", "-9", entry.name], check=False)
        except OSError:
            continue


def test_a_program_that_writes_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "OUTPUT_MB", 1)
    with pytest.raises(ProcessError, match="wrote more than 1 MB"):
        process.run([sys.executable, "-c", "while True: print('x' * 1000)"], timeout_s=60)


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        process.run([sys.executable, "-c", "print('x')"], timeout_s=60)
        capture("print('x' * 20000)", most=10_000)
    assert len(os.listdir("/proc/self/fd")) == before
