"""Children under limits; workers that die or hang are replaced."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time

import pytest

from afs.errors import ProcessError
from afs.process import Worker, Workers, run


def scripted(payload: bytes) -> bytes:
    """What a worker is told to do."""
    match payload:
        case b"die":
            os._exit(3)
        case b"hang":
            time.sleep(30)
        case b"eat":
            return bytes(3 << 30)
        case b"raise":
            raise ValueError("no good")
        case b"print":
            print("noise")
    return payload.upper()


TARGET = f"{__name__}:scripted"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.path.dirname(__file__)
    monkeypatch.setattr(sys, "path", [here, *sys.path])


TARGET = "test_process:scripted"


def test_a_worker_survives_everything() -> None:
    worker = Worker(TARGET, memory_mb=1024)
    assert worker.call(b"a", 20).value == b"A"
    assert "exit 3" in worker.call(b"die", 20).problem
    assert worker.call(b"b", 20).value == b"B"
    assert worker.call(b"hang", 0.3).problem == "took longer than 0.3 s"
    assert worker.call(b"raise", 20).problem == "ValueError: no good"
    assert worker.call(b"eat", 20).problem == "out of memory"
    assert worker.call(b"print", 20).value == b"PRINT"
    worker.close()


def test_order_is_kept_over_several_workers() -> None:
    with Workers(TARGET, jobs=2, timeout_s=20) as workers:
        payloads = [b"%d" % n for n in range(50)]
        assert [outcome.value for outcome in workers.map(payloads)] == payloads


def test_a_program_is_ended_at_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    hung = run([sys.executable, "-c", "import time; time.sleep(30)"], timeout_s=0.3)
    assert hung.timed_out and hung.seconds < 10
    told = run(
        [sys.executable, "-c", "import os; print(os.environ.get('SECRET_TOKEN'), input())"], timeout_s=20, stdin=b"hi"
    )
    assert (told.code, told.out) == (0, b"None hi\n")
    big = run([sys.executable, "-c", "bytes(2 << 30)"], timeout_s=20, memory_mb=512)
    assert big.code != 0 and b"MemoryError" in big.err
    with pytest.raises(ProcessError, match="cannot be started"):
        run(["no-such-program"], timeout_s=1)


def test_a_worker_whose_parent_is_gone_ends_without_a_word() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "from afs.process import serve_calls; serve_calls()", "os.path:normpath"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin and child.stdout and child.stderr
    with child, child.stderr as errors:
        child.stdout.close()
        child.stdin.write(struct.pack("<I", 4) + b"a//b")
        child.stdin.close()
        assert errors.read() == b""
    assert child.returncode == 0
