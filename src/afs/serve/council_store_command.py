"""`afs council store`: today's council as an artifact, to be evaluated, promoted and rolled back as one."""

from __future__ import annotations

from typing import ClassVar

from afs.config import Config
from afs.council.stored_council import pin_council, store_council
from afs.runs import Run
from afs.types import Artifact

__all__ = ["CouncilStoreConfig", "council_store"]


class CouncilStoreConfig(Config, frozen=True, kw_only=True):
    """Store today's council: its experts and its router by exact version, and its settings."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str = "oracle-council-moe-v1"
    """Name of the artifact; register and promote it like a model."""


def council_store(config: CouncilStoreConfig, run: Run) -> Artifact:
    """Store it."""
    return store_council(run.workspace, config.name, pin_council(run.workspace), run.id)
