"""`ship --to gguf` and `ship --to merged`: a GGUF or a merged Hugging Face folder in the workspace."""

from __future__ import annotations

from afs.export import ShipConfig
from afs.export.ship_steps import make_artifact, shipped_artifact
from afs.runs import Run
from afs.types import Artifact


def ship(config: ShipConfig, run: Run) -> Artifact:
    """Make the artifact; by default an adapter becomes a LoRA GGUF beside its base if that can hold it."""
    return make_artifact(config, run, shipped_artifact(config, run.workspace))
