"""Runs afs commands in forked children, so that a test pays for the imports once. Run as a program, not imported.

In: one JSON object a line, with `words`, `limits` (resource -> number; AS counts from what the server itself has
mapped), `clock_s` (by how much the clock jumps) and `kill_at` (a folder and a number: the child is killed before
that many changes of files in the folder have been made). Out: the child's process id, then its exit code (negative: the
signal).
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from pathlib import Path

from afs.cli.main import main


def set_limits(limits: dict[str, int], clock_s: float) -> None:
    """What the child may use, and what time it is for it."""
    for name, most in limits.items():
        if name == "AS":
            most += int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    if clock_s:
        now = time.time
        time.time = lambda: now() + clock_s


WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}


def kill_at(folder: str, number: int) -> None:
    """Kill this process before its change of that number in a folder, however its threads take turns."""
    own, made = os.getpid(), itertools.count(1)

    def hook(event: str, values: tuple[object, ...]) -> None:
        is_change = event in CHANGES or (event == "open" and isinstance(values[2], int) and values[2] & WRITES)
        if not is_change or not any(folder in os.fsdecode(v) for v in values[:2] if isinstance(v, str | bytes)):
            return
        if os.getpid() == own and next(made) == number:
            os.kill(own, signal.SIGKILL)

    sys.addaudithook(hook)


def pass_on(pipe: int, log: int, wait_s: float) -> None:
    """What a child has written; the log is written here, where no limit on files holds."""
    while select.select([pipe], [], [], wait_s)[0]:
        os.write(log, os.read(pipe, 1 << 16))
        wait_s = 0


log = os.open(os.environ["FAULT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
said, speaks = os.pipe()
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(speaks, 1)
        os.dup2(1, 2)
        code = 70
        try:
            set_limits(asked["limits"], asked["clock_s"])
            if asked["kill_at"]:
                kill_at(*asked["kill_at"])
            code = main(asked["words"])
        except BaseException:  # noqa: BLE001  shown, and ended below
            traceback.print_exc()
        finally:
            os._exit(code)
    print(child, flush=True)
    while True:
        pass_on(said, log, 0.02)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
    pass_on(said, log, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
