"""`ship --to gguf`: a GGUF in the workspace; an adapter becomes a LoRA GGUF beside its base, or is merged first."""

from __future__ import annotations

from afs.export import ShipConfig
from afs.export.adapter_files import open_adapter
from afs.export.lora_gguf import unsupported_parts
from afs.export.ship_steps import artifact_folder, as_one_file, refuse_form, shipped_artifact, to_lora
from afs.runs import Run
from afs.types import Artifact


def ship(config: ShipConfig, run: Run) -> Artifact:
    """Make the GGUF."""
    model = shipped_artifact(config, run.workspace)
    refuse_form(model, "base", "merged", "adapter")
    if model.form == "adapter" and _beside(config, run, model):
        return to_lora(config, run, model, config.name)
    return as_one_file(config, run, model, config.name)


def _beside(config: ShipConfig, run: Run, model: Artifact) -> bool:
    """Whether the adapter stays an adapter; what a LoRA GGUF cannot hold is merged by default."""
    if config.adapter != "auto":
        return config.adapter == "lora"
    return not unsupported_parts(open_adapter(artifact_folder(run, model)))
