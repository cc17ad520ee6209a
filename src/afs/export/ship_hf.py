"""`ship --to hf`: a Hugging Face folder (model or adapter) with its model card, ready to be uploaded by its owner."""

from __future__ import annotations

import shutil
from pathlib import Path

from afs import jsonl
from afs.errors import UsageError
from afs.export import ShipConfig
from afs.export.expert_deployment import record_deployment, registered_expert
from afs.export.ship_mlx import link_folder
from afs.export.ship_steps import artifact_folder, make_artifact, shipped_artifact
from afs.registry import Registry
from afs.registry.lineage import trace_origins
from afs.registry.model_card import model_card
from afs.runs import Run
from afs.types import Artifact


def ship(config: ShipConfig, run: Run) -> Artifact:
    """Write the folder."""
    model = shipped_artifact(config, run.workspace)
    made = make_artifact(config, run, model)
    refuse_unlicensed(run, made)
    target = Path(config.folder) if config.folder else run.workspace.root / "deployed" / "hf" / model.ref
    staged = target.with_name(f".{target.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    link_folder(artifact_folder(run, made), staged)
    name, _ = registered_expert(config, run)
    entry = Registry(run.workspace).entry(name) if name else None
    jsonl.replace(staged / "README.md", model_card(run.workspace, made, entry).encode())
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)
    hint = f"hf upload OWNER/{target.name} {target}"
    run.event("notice", text=f"{target}: publish it with: {hint}", folder=str(target), command=hint)
    record_deployment(config, run, model, made, None)
    return made


def refuse_unlicensed(run: Run, model: Artifact) -> None:
    """Data of unknown license is not published unless the workspace allows its source by name."""
    allowed = run.workspace.settings.allow_unlicensed
    found = trace_origins(run.workspace, model).sources
    open_sources = sorted({row.source for row in found if row.license == "unknown" and row.source not in allowed})
    if open_sources:
        raise UsageError(
            f"{model.ref} was trained on records without a known license ({', '.join(open_sources)}); "
            "name these sources under allow_unlicensed in afs.toml if they may be published"
        )
