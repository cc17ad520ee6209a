"""`ship --to mlx`: an adapter in MLX's names and layout, or a fused model folder. It runs where MLX is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from afs import jsonl
from afs.errors import RefusedError
from afs.export import ShipConfig
from afs.export.adapter_files import Adapter, Delta, open_adapter
from afs.export.expert_deployment import record_deployment
from afs.export.merge import old_rope
from afs.export.merge_kernel import Floats
from afs.export.model_families import model_config, read_json
from afs.export.safetensors_files import Planned, write_safetensors
from afs.export.ship_steps import adapter_base, artifact_folder, make_artifact, shipped_artifact
from afs.runs import Run
from afs.types import Artifact


def ship(config: ShipConfig, run: Run) -> Artifact:
    """Write the folder; an adapter that MLX cannot hold is fused."""
    model = shipped_artifact(config, run.workspace)
    made = make_artifact(config, run, model)
    target = Path(config.folder) if config.folder else run.workspace.root / "deployed" / "mlx" / model.ref
    staged = target.with_name(f".{target.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    if made.form == "adapter":
        base = adapter_base(config, run.workspace, model)
        write_adapter(open_adapter(artifact_folder(run, model)), staged, model_config(base.folder).layers)
        hint = f"mlx_lm.generate --model {base.folder} --adapter-path {target} --prompt 'Say OK.'"
    else:
        link_folder(artifact_folder(run, made), staged)
        table = read_json(staged / "config.json")
        jsonl.replace(
            staged / "config.json", msgspec.json.format(msgspec.json.encode(table | old_rope(table)), indent=2)
        )
        hint = f"mlx_lm.generate --model {target} --prompt 'Say OK.'"
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)
    run.event("notice", text=f"{target}: try it where MLX is: {hint}", folder=str(target), command=hint)
    record_deployment(config, run, model, made, None)
    return made


def write_adapter(adapter: Adapter, folder: Path, layers: int) -> None:
    """`adapters.safetensors` and its config: A and B transposed, every module's scale folded into B."""
    if not adapter.deltas:
        raise RefusedError(f"{adapter.folder}: no LoRA pairs")
    rank = max(delta.rank for delta in adapter.deltas.values())
    rows = [row for module, delta in adapter.deltas.items() for row in mlx_pair(adapter, module, delta, rank)]
    write_safetensors(folder / "adapters.safetensors", rows)
    inside = sorted({module.split(".", 3)[3] for module in adapter.deltas})
    parameters = {"rank": rank, "scale": 1.0, "dropout": 0.0, "keys": inside}
    table = {"fine_tune_type": "lora", "num_layers": layers, "lora_parameters": parameters}
    jsonl.replace(folder / "adapter_config.json", msgspec.json.format(msgspec.json.encode(table), indent=2))


def mlx_pair(adapter: Adapter, module: str, delta: Delta, rank: int) -> Iterator[Planned]:
    inner, outer = adapter.weights.shape(delta.a)[1], adapter.weights.shape(delta.b)[0]

    def first() -> Iterator[Floats]:
        yield pad_rank(adapter.weights.read(delta.a), rank, 0).T

    def second() -> Iterator[Floats]:
        yield pad_rank(adapter.weights.read(delta.b), rank, 1).T * np.float32(delta.scale)

    yield Planned(f"{module}.lora_a", "F32", (inner, rank), first)
    yield Planned(f"{module}.lora_b", "F32", (rank, outer), second)


def pad_rank(values: Floats, rank: int, axis: int) -> Floats:
    """A module of lower rank filled up with zeros, which change nothing."""
    missing = rank - values.shape[axis]
    widths = [(0, 0), (0, 0)]
    widths[axis] = (0, missing)
    return np.pad(values, widths)


def link_folder(source: Path, target: Path) -> None:
    """The files of a model folder, linked where that is possible; our own manifest stays behind."""
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name != "manifest.json":
            try:
                os.link(path, target / path.name)
            except OSError:
                shutil.copyfile(path, target / path.name)
