"""`ship --to gguf`: a GGUF in the workspace; an adapter becomes a LoRA GGUF beside its base, or is merged first."""

from __future__ import annotations

from afs.export import ShipConfig
from afs.export.steps import refuse_form, subject, to_gguf, to_lora
from afs.runs import Run
from afs.types import Artifact


def ship(config: ShipConfig, run: Run) -> Artifact:
    """Make the GGUF."""
    model = subject(config, run.workspace)
    refuse_form(model, "base", "merged", "adapter")
    if model.form != "adapter":
        return to_gguf(config, run, model, config.name)
    return to_lora(config, run, model, config.name)
