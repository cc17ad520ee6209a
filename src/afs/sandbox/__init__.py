"""The one home for running foreign native code: behind walls, or not at all.

Outermost first: an unprivileged user, a clean environment, namespaces of its own with an empty root (bubblewrap),
Landlock, seccomp, limits. Where namespaces are denied, Landlock and seccomp hold the same line. Where there is neither,
`NoWallsError` is raised and a check answers unknown. `inside.py` is what runs behind the walls.
"""

from afs.sandbox.command import ProgramResult, Sandbox
from afs.sandbox.enclosure import scratch
from afs.sandbox.policy import SYSTEM, Rung, SandboxLimits
from afs.sandbox.pool import PythonPool
from afs.sandbox.walls import Walls, available, problem_of, require

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
