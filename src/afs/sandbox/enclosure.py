"""Starts a program behind the walls of one rung, and ends all of it. Fails closed: no walls, no start."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple, TypedDict

from afs.child_pipes import end_group
from afs.errors import ProcessError
from afs.sandbox import bubblewrap, seccomp_filters, syscalls
from afs.sandbox.interpreter import interpreter
from afs.sandbox.policy import (
    DEVICES,
    NOBODY,
    Policy,
    Rung,
    SandboxLimits,
    carve,
    groups,
    outermost,
    resource_limits,
    tasks_of,
)

_START_S = 20.0
"""Longest time the walls may take to stand: a loaded machine needs seconds."""
_PATH = "/usr/local/bin:/usr/bin:/bin"


class Order(NamedTuple):
    """What to start; without `argv` a server of Python programs."""

    limits: SandboxLimits
    timeout_s: float = 0.0
    """A server is given it with each program."""
    argv: Sequence[str] = ()
    readable: Sequence[str] = ()
    writable: str = ""
    tmp: str = ""
    environment: Mapping[str, str] = {}
    preload: Sequence[str] = ()


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def identity() -> _Identity:
    """Root becomes nobody before anything else; everybody else stays who they are."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def user() -> int:
    """Who a walled program is."""
    return identity().get("user", os.geteuid())


@functools.cache
def landlock_abi() -> int:
    """The kernel's Landlock version; 0 without it."""
    if syscalls.machine() not in syscalls.MACHINES:
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)))


@functools.cache
def _script() -> str:
    return (resources.files("afs.sandbox") / "inside.py").read_text("utf-8")


@contextmanager
def scratch(name: str = "sandbox") -> Iterator[Path]:
    """A fresh folder that a walled program can reach and may be given to write in; removed afterwards."""
    folder = Path(mkdtemp(prefix=f"afs-{name}-"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start(rung: Rung, order: Order, pipes: tuple[int, int, int]) -> subprocess.Popen[bytes]:
    """Start it, and return when it runs; raises ProcessError with the reason when a wall does not stand."""
    heard, said = os.pipe()
    try:
        try:
            child = _spawn(rung, order, pipes, said)
        finally:
            os.close(said)
        _await_start(child, heard, order)
    finally:
        os.close(heard)
    return child


def _spawn(rung: Rung, order: Order, pipes: tuple[int, int, int], said: int) -> subprocess.Popen[bytes]:
    python = interpreter()
    policy = _policy(rung, order, said)
    line = [python.path, "-I", "-S", "-X", "utf8", "-c", _script(), json.dumps(policy._asdict())]
    if rung == "bubblewrap":
        tmp_mb = order.limits.files_mb if order.argv else 0
        roots = (*order.readable, *python.readable)
        view = bubblewrap.View(roots, python.hidden, policy.devices, order.writable, tmp_mb)
        line = [*bubblewrap.command(view, die_with_parent=policy.die_with_parent), *line]
    try:
        return subprocess.Popen(
            line,
            stdin=pipes[0],
            stdout=pipes[1],
            stderr=pipes[2],
            pass_fds=(said,),
            cwd="/",
            env={},
            start_new_session=True,
            **identity(),
        )
    except OSError as error:
        raise ProcessError(f"the sandbox cannot be started: {error}") from error


def _policy(rung: Rung, order: Order, status: int) -> Policy:
    python, abi, limits = interpreter(), landlock_abi(), order.limits
    architecture, serves = syscalls.machine(), not order.argv
    tmp = "/tmp" if rung == "bubblewrap" else order.tmp
    folder = order.writable or (tmp if order.argv else "/")
    roots = outermost((*order.readable, *python.readable))
    listable, readable = carve(roots, python.hidden) if rung == "landlock" else ((), roots)
    allowed = {"processes", "signals", "handles"} if serves else groups(rung, limits, abi)
    program_limits = limits if order.argv else SandboxLimits(memory_mb=limits.memory_mb, open_files=limits.open_files)
    others = tasks_of(user()) if rung == "landlock" else 0
    numbers = resource_limits(program_limits, order.timeout_s, others) | ({"FSIZE": 0} if serves else {})
    home = {"HOME": folder, "TMPDIR": tmp, "PATH": _PATH, "LANG": "C.UTF-8"}
    return Policy(
        status=status,
        argv=order.argv,
        environment=home | dict(order.environment),
        folder=folder,
        abi=abi,
        listable=listable,
        readable=readable,
        writable=[path for path in (order.writable, tmp) if path] if order.argv else [],
        devices=[path for path in DEVICES if os.path.exists(path)],
        limits=numbers,
        filter=seccomp_filters.program(frozenset(allowed), architecture).hex(),
        die_with_parent=not serves,
        serves=serves,
        preload=order.preload,
        program_filter=seccomp_filters.program(frozenset(), architecture).hex() if serves else "",
    )


def _await_start(child: subprocess.Popen[bytes], heard: int, order: Order) -> None:
    """Read the status pipe to its end, which comes when the program replaces the script inside."""
    said = b""
    poll = select.poll()
    poll.register(heard, select.POLLIN)
    while poll.poll(_START_S * 1000):
        part = os.read(heard, 4096)
        said += part
        if not part:
            break
    if said == b"ready":
        return
    end_group(child)
    problem = said.removeprefix(b"ready").decode("utf-8", "replace").strip()
    if said.startswith(b"ready") and problem:
        raise ProcessError(f"{order.argv[0]} cannot be run in the sandbox: {problem}")
    problem = problem or find_closed_folder(order.readable) or "no answer from inside"
    raise ProcessError(f"the sandbox's walls do not stand: {problem}")


def find_closed_folder(readable: Sequence[str]) -> str:
    """Why a walled program that root starts cannot read its files: it runs as nobody, whom some folder keeps out."""
    if os.geteuid():
        return ""
    for path in map(Path, readable):
        for folder in (*reversed(path.parents), path):
            if folder.is_dir() and not folder.stat().st_mode & 0o001:
                return f"started by root, programs run as nobody, who cannot enter {folder} (on the way to {path})"
    return ""
