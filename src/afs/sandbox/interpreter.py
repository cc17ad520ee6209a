"""The Python that runs inside the walls: its real path, and what of the disk it needs to start.

Never its installed packages: among them may be afs, whose suites hold reference answers.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from afs.sandbox.policy import outermost

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/nix/store", "/usr/share/zoneinfo")
_PACKAGES = ("site-packages", "dist-packages")


class Interpreter(NamedTuple):
    """An executable with what it reads and what must not be seen of that."""

    path: str
    readable: tuple[str, ...]
    hidden: tuple[str, ...]


@functools.cache
def interpreter() -> Interpreter:
    """This Python, by its real path: a shim in front of it costs more than the walls."""
    path = os.path.realpath(sys.executable)
    library = sysconfig.get_path("stdlib")
    shared = Path(sys.base_prefix, "lib").glob("libpython*.so*")
    readable = outermost([path, library, sysconfig.get_path("platstdlib"), *_LIBRARIES, *map(str, shared)])
    afs = str(Path(__file__).resolve().parent.parent)
    return Interpreter(path, readable, tuple(p for p in {afs, *_packages(library)} if os.path.isdir(p)))


def _packages(library: str) -> set[str]:
    folders = [Path(library)]
    for root in ("/usr/lib", "/usr/lib64"):
        folders += Path(root).glob("python3*")
    return {os.path.realpath(folder / name) for folder in folders for name in _PACKAGES}
