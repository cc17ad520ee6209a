"""The emulator's row in `afs doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from afs.domains.base import Part
from afs.domains.snes.emulator import fetch_core


def parts() -> Iterator[Part]:
    """Is there a core, and if not, how to get one?"""
    place = fetch_core.core()
    what = "SNES emulator"
    if not fetch_core.supported():
        yield Part(
            name=what, state="missing", detail="the frontend needs Linux", remedy="use Linux; all else works without"
        )
    elif place is None:
        fix = "afs.domains.snes.emulator.emulator_worker:prepare"
        yield Part(name=what, state="missing", detail="no core found", remedy="afs doctor --fix", fix=fix)
    else:
        yield Part(name=what, state="ok", detail=str(place))
