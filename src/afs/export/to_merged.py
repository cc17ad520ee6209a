"""`ship --to merged`: an adapter merged into its base, as a Hugging Face folder in the workspace."""

from __future__ import annotations

from afs.export import ShipConfig
from afs.export.ship_steps import refuse_form, shipped_artifact, to_merged
from afs.runs import Run
from afs.types import Artifact


def ship(config: ShipConfig, run: Run) -> Artifact:
    """Merge."""
    model = shipped_artifact(config, run.workspace)
    refuse_form(model, "adapter")
    return to_merged(config, run, model, config.name)
