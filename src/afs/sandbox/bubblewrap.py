"""The outer wall: bubblewrap's command line, which gives a program namespaces of its own and an empty root."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import NamedTuple

from afs.sandbox.policy import outermost

PROGRAM = "bwrap"
_LINKS = ("/bin", "/sbin", "/lib", "/lib64")
"""Links at the top of most systems: without them no program finds its loader."""


class View(NamedTuple):
    """What of the disk a program sees."""

    readable: Sequence[str]
    hidden: Sequence[str]
    devices: Sequence[str]
    writable: str
    tmp_mb: int


def command(view: View, *, die_with_parent: bool) -> list[str]:
    """What stands before the program: no network, no other processes, read-only binds, a /tmp of limited size."""
    line = [shutil.which(PROGRAM) or PROGRAM, "--unshare-all", "--unshare-user", "--disable-userns", "--new-session"]
    line += ["--cap-drop", "ALL", "--hostname", "sandbox", *(["--die-with-parent"] if die_with_parent else [])]
    if view.tmp_mb:  # before the binds: an interpreter may lie below /tmp
        line += ["--size", str(view.tmp_mb << 20), "--tmpfs", "/tmp"]
    bound = outermost(view.readable)
    for path in bound:
        line += ["--ro-bind", path, path]
    for path in view.hidden:
        if any(path.startswith(b.rstrip("/") + "/") for b in bound):
            line += ["--tmpfs", path]
    for path in filter(os.path.islink, _LINKS):
        line += ["--symlink", os.path.realpath(path), path]
    for path in view.devices:
        line += ["--dev-bind", path, path]
    if view.writable:
        line += ["--bind", view.writable, view.writable]
    return [*line, "--remount-ro", "/", "--chdir", "/", "--"]
