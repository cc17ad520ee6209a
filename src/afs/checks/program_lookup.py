"""Programs of a check: where they are, and what of the disk they may read inside the sandbox."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from afs import sandbox
from afs.sandbox import SYSTEM


def search_path() -> str:
    """The user's programs, those beside this Python first: `pytest` is the one of this environment."""
    return os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)))


def find_program(name: str) -> str:
    """The program's place; empty when there is none."""
    return shutil.which(name, path=search_path()) or ""


def list_readable(program: str, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Folders a program needs: the system, this Python's environment, and the environment the program belongs to."""
    home = Path(program).parent.parent
    own = [str(home)] if (home / "pyvenv.cfg").is_file() else []
    return (*SYSTEM, sys.prefix, *own, program, os.path.realpath(program), *more)


def find_sandbox_problem() -> str:
    """Why no program can be run here; empty when it can."""
    walls = sandbox.available()
    if walls.rung is not None:
        return ""
    reasons = "; ".join(f"{rung}: {reason}" for rung, reason in walls.missing.items())
    return f"no sandbox stands on this machine ({reasons}); {walls.remedy}"
