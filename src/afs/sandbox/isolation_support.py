"""Which walls stand on this machine: tried, not guessed."""

from __future__ import annotations

import functools
import shutil
import sys
from typing import get_args

from afs.child_pipes import Capture, end_group, end_handle
from afs.errors import NoWallsError, ProcessError
from afs.sandbox import bubblewrap, enclosure, syscalls
from afs.sandbox.interpreter import interpreter
from afs.sandbox.policy import Rung, SandboxLimits
from afs.types import Value

_LAYERS: dict[Rung, str] = {
    "bubblewrap": "bubblewrap, Landlock, seccomp, limits",
    "landlock": "Landlock, seccomp, limits",
}
REMEDY = "sudo apt-get install bubblewrap"
_TRIAL_S = 20.0


class Walls(Value, frozen=True, kw_only=True):
    """What protects this machine from foreign code; no rung: nothing does, and no foreign code is run."""

    rung: Rung | None = None
    layers: str = ""
    missing: dict[str, str] = {}
    """Rungs that do not stand here, with the reason."""
    remedy: str = ""
    """What gets the missing one."""


def available() -> Walls:
    """The best rung that stands here."""
    missing: dict[str, str] = {}
    for rung in get_args(Rung):
        problem = problem_of(rung)
        if not problem:
            return Walls(rung=rung, layers=_LAYERS[rung], missing=missing, remedy=REMEDY if missing else "")
        missing[rung] = problem
    return Walls(missing=missing, remedy=f"{REMEDY}; in a container, allow Landlock or user namespaces")


def require() -> Rung:
    """The best rung; raises NoWallsError where there is none."""
    walls = available()
    if walls.rung is None:
        reasons = "; ".join(f"{rung}: {reason}" for rung, reason in walls.missing.items())
        raise NoWallsError(f"foreign code is not run without walls ({reasons}); {walls.remedy}")
    return walls.rung


@functools.cache
def problem_of(rung: Rung) -> str:
    """Why a rung does not stand here, from a program that does nothing behind it; nothing when it does."""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if syscalls.machine() not in syscalls.MACHINES:
        return f"not known on {syscalls.machine()}"
    if not enclosure.landlock_abi():
        return "the kernel has no Landlock"
    if rung == "bubblewrap" and not shutil.which(bubblewrap.PROGRAM):
        return "bubblewrap is not installed"
    try:
        return _try(rung)
    except OSError as error:  # for one, a container that has no user 65534
        return str(error)


def _try(rung: Rung) -> str:
    """Run an empty program behind a rung."""
    with enclosure.scratch() as tmp, Capture(b"", 1 << 16) as capture:
        order = enclosure.Order(SandboxLimits(), 5.0, [interpreter().path, "-I", "-S", "-c", ""], tmp=str(tmp))
        try:
            child = enclosure.start(rung, order, capture.child_ends)
        except ProcessError as error:
            capture.hand_over()
            capture.drain(1.0)
            return f"{error} {capture.err.decode('utf-8', 'replace').strip()}".strip()[:300]
        capture.hand_over()
        with end_handle(child) as handle:
            capture.until(handle, _TRIAL_S)
        code = end_group(child)
    return "" if code == 0 else f"an empty program ends with code {code} behind it"
