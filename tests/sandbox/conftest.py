"""Each rung that stands on this machine, and a host full of things worth attacking.

Nothing here is protected by file modes: whatever an attack does not get, the walls keep from it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from afs.sandbox import PythonPool, Rung, problem_of, scratch
from afs.sandbox.enclosure import identity, user

KEY = "sk-" + "0123456789abcdef" * 2


class Host(NamedTuple):
    """Places of the host, as an attack may name them."""

    folder: Path
    secret: Path
    database: Path
    victim: int
    tcp: int
    udp: int
    unix: str
    abstract: str

    def names(self) -> dict[str, object]:
        return self._asdict() | {"parent": os.getpid(), "key": KEY, "afs": str(Path(__import__("afs").__file__).parent)}

    def listing(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


def machine_has(rung: Rung) -> bool:
    """Whether a rung can stand here, asked without our code: what broke the walls must not skip their tests."""
    has_landlock = ctypes.CDLL(None).syscall(444, None, 0, 1) >= 1
    if rung == "landlock" or not has_landlock:
        return has_landlock
    program = shutil.which("bwrap")
    words = [str(program), "--unshare-all", "--ro-bind", "/", "/", "true"]
    return program is not None and subprocess.run(words, capture_output=True).returncode == 0


@pytest.fixture(params=["bubblewrap", "landlock"], scope="session")
def rung(request: pytest.FixtureRequest) -> Rung:
    if problem := problem_of(request.param):
        if machine_has(request.param):
            pytest.fail(f"this machine has what {request.param} needs, and the walls do not stand: {problem}")
        pytest.skip(problem)
    found: Rung = request.param
    return found


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    with ExitStack() as stack:
        folder = stack.enter_context(scratch("host"))
        folder.chmod(0o777)
        secret, database = folder / "secret.txt", folder / "verdicts.db"
        secret.write_text("GAINED the secret")
        with sqlite3.connect(database) as db:
            db.execute("CREATE TABLE verdicts (key TEXT, ok BOOLEAN)")
            db.execute("INSERT INTO verdicts VALUES ('a', 0)")
        db.close()
        for path in (secret, database):
            path.chmod(0o666)
            os.chown(path, user(), -1)
        victim = stack.enter_context(subprocess.Popen(["sleep", "600"], env={"KEY": KEY}, **identity()))
        stack.callback(victim.kill)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(folder / "host.sock"))
        (folder / "host.sock").chmod(0o777)
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0afs-test-{os.getpid()}")
        for listening in (unix, abstract):
            listening.listen()
        yield Host(
            folder,
            secret,
            database,
            victim.pid,
            tcp.getsockname()[1],
            udp.getsockname()[1],
            str(folder / "host.sock"),
            f"\\0afs-test-{os.getpid()}",
        )


@pytest.fixture(scope="session")
def pool(rung: Rung) -> Iterator[PythonPool]:
    with PythonPool(rung=rung) as found:
        yield found


def is_alive(process: int) -> bool:
    state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return state not in "ZX"
