"""Measured throughput of devices in training, kept in the workspace for the next plan."""

from __future__ import annotations

import msgspec

from afs import sealed_files
from afs.errors import DataError
from afs.workspace import Workspace

_FILE = "training-speed.json"
BY = ", by "
"""Separates device and method in the file."""


def known_speed(workspace: Workspace) -> dict[str, float]:
    """Device -> floating-point operations per second reached in training."""
    path = workspace.root / "cache" / _FILE
    try:
        return msgspec.json.decode(sealed_files.read_sealed(path), type=dict[str, float])
    except (DataError, msgspec.DecodeError, UnicodeDecodeError):  # missing or damaged: it is measured again
        return {}


def remember_speed(workspace: Workspace, device: str, method: str, flops_per_s: float) -> None:
    """Keep a measurement, for the method and for the device at large; the newest counts."""
    found = known_speed(workspace) | {device: flops_per_s, f"{device}{BY}{method}": flops_per_s}
    sealed_files.replace_sealed(workspace.root / "cache" / _FILE, msgspec.json.encode(found))
