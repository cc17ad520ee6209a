"""The lock holds for the oldest supported Python: Debian 12's own, where pip would otherwise find no solution."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OLDEST = "3.11.2"
LINUX = {"python_full_version": OLDEST, "python_version": "3.11", "sys_platform": "linux", "platform_system": "Linux"}


def pins() -> list[Requirement]:
    """The pins that apply to the oldest Python on Linux."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [pin for pin in found if pin.marker is None or pin.marker.evaluate(LINUX)]


def test_every_pin_runs_on_the_oldest_supported_python() -> None:
    versions = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins()}
    refused = []
    for distribution in metadata.distributions():
        name = canonicalize_name(distribution.metadata["Name"] or "")
        if versions.get(name) != distribution.version:
            continue
        wanted = distribution.metadata.get("Requires-Python") or ""
        if wanted and not Requirement(f"python{wanted.replace(' ', '')}").specifier.contains(OLDEST):
            refused.append(f"{name} {distribution.version} wants Python {wanted}")
    assert not refused


def test_one_pin_per_package() -> None:
    names = [canonicalize_name(pin.name) for pin in pins()]
    assert len(names) == len(set(names)) > 100
