"""Locates the emulator core, and fetches it from Debian without root.

The core (GPL-3+) stays a separate library in the user's cache folder; nothing of it is shipped with this package.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from afs import process
from afs.errors import MissingError, ProcessError, boundary

PACKAGE: Final = "libretro-bsnes-mercury-balanced"
LIBRARY: Final = "bsnes_mercury_balanced_libretro.so"
REMEDY: Final = f"`afs doctor --fix` gets it (Debian's {PACKAGE}, no root needed)"
_TIMEOUT_S: Final = 120.0


def folder() -> Path:
    """The user's cache folder for the emulator."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "afs" / "emulator"


def core() -> Path | None:
    """The emulator core on this machine: ours first, then the system's; None when there is none."""
    ours = folder() / LIBRARY
    if ours.is_file():
        return ours
    return next(iter(sorted(Path("/usr/lib").glob(f"*/libretro/{LIBRARY}"))), None)


def fetch_core(into: Path | None = None) -> Path:
    """Download and unpack the Debian package; the core's path. Raises MissingError where that cannot work."""
    into = into or folder()
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise MissingError(f"the emulator comes from Debian's {PACKAGE}, and this machine has no {tool}")
    with boundary(MissingError, f"{into} cannot be written"):
        into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as work:
        place = Path(work)
        _step(["apt-get", "download", PACKAGE], place)
        packages = sorted(place.glob("*.deb"))
        if not packages:
            raise MissingError(f"apt-get has no package {PACKAGE} here; is `apt-get update` needed?")
        _step(["dpkg", "-x", str(packages[0]), "unpacked"], place)
        found = next(place.glob(f"unpacked/usr/lib/*/libretro/{LIBRARY}"), None)
        if found is None:
            raise MissingError(f"{packages[0].name} holds no {LIBRARY}")
        target = into / LIBRARY
        os.replace(found, target)
    return target


def _step(argv: list[str], place: Path) -> None:
    environment = process.safe_environment({"LC_ALL": "C"})
    done = process.run(argv, timeout_s=_TIMEOUT_S, folder=place, environment=environment)
    if done.timed_out or done.code:
        detail = done.err.decode("utf-8", "replace").strip().splitlines()
        why = "took too long" if done.timed_out else detail[-1] if detail else f"exit {done.code}"
        raise ProcessError(f"{' '.join(argv[:2])}: {why}")


def digest(library: Path) -> str:
    """SHA-256 of a core, short: layouts measured for one build are not used for another."""
    return hashlib.sha256(library.read_bytes()).hexdigest()[:16]


def supported() -> bool:
    """Whether the ctypes frontend can work here at all."""
    return sys.platform.startswith("linux")
