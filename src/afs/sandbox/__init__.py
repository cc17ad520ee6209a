"""The one home for running foreign native code: behind walls, or not at all.

Outermost first: an unprivileged user, a clean environment, namespaces of its own with an empty root (bubblewrap),
Landlock, seccomp, limits. Where namespaces are denied, Landlock and seccomp hold the same line. Where there is neither,
`NoWallsError` is raised and a check answers unknown. `inside.py` is what runs behind the walls.
"""

from afs.sandbox.enclosure import scratch
from afs.sandbox.isolation_support import Walls, available, problem_of, require
from afs.sandbox.policy import SYSTEM, Rung, SandboxLimits
from afs.sandbox.pool import PythonPool
from afs.sandbox.sandboxed_command import ProgramResult, Sandbox

__all__ = [
    "SYSTEM",
    "ProgramResult",
    "PythonPool",
    "Rung",
    "Sandbox",
    "SandboxLimits",
    "Walls",
    "available",
    "problem_of",
    "require",
    "scratch",
]
