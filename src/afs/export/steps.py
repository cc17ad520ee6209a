"""The steps of shipping, each from stored artifacts to a stored artifact; what was done is found again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from afs import artifacts
from afs.artifacts import PendingArtifact, tensors_digest
from afs.errors import DataError, RefusedError, UsageError
from afs.export import ShipConfig
from afs.export.adapter import open_adapter
from afs.export.convert import convert
from afs.export.families import model_config
from afs.export.lora import convert_lora
from afs.registry import Registry
from afs.runs import Run
from afs.types import Artifact, digest
from afs.workspace import Workspace

_MARGIN = 1.1
"""Disk that must be free, as a multiple of what will be written."""


def subject(config: ShipConfig, workspace: Workspace) -> Artifact:
    """The artifact to ship."""
    return Registry(workspace).resolve(config.artifact)


def place(run: Run, artifact: Artifact) -> Path:
    """The folder of an artifact."""
    return artifacts.folder_of(run.workspace, artifact)


def source_digest(run: Run, artifact: Artifact) -> str:
    """Digest of the weights a model folder holds, remembered with the run."""
    marker = f"digest-{artifact.digest[:32]}"
    if run.done(marker):
        return str(run.facts(marker)["digest"])
    found = tensors_digest(place(run, artifact))
    run.mark(marker, digest=found)
    return found


def base_of(config: ShipConfig, run: Run, adapter: Artifact) -> Artifact:
    """The base of an adapter, proven by its tensors: another of the same shape is refused."""
    if not (config.base or adapter.base):
        raise UsageError(f"{adapter.ref} names no base; name it with --base")
    base = artifacts.load(run.workspace, config.base or adapter.base)
    if base.form not in ("base", "merged"):
        raise UsageError(f"{base.ref} is a {base.form}; the base of an adapter is a Hugging Face folder")
    if not adapter.base_digest:
        raise RefusedError(f"{adapter.ref} does not say which weights it was trained on; train or import it anew")
    found = source_digest(run, base)
    if found != adapter.base_digest:
        raise RefusedError(
            f"{adapter.ref} was trained on weights {adapter.base_digest[:12]}, {base.ref} has {found[:12]}: "
            "another base, even of the same shape; name the right one with --base"
        )
    return base


@contextmanager
def stored(run: Run, name: str, key: str, **fields: object) -> Iterator[PendingArtifact]:
    """Store an artifact that `found` will recognise by its key."""
    with artifacts.storing(run.workspace, name, config_digest=key, run=run.id, **fields) as pending:
        yield pending
    run.event("artifact", ref=pending.artifact.ref, form=pending.artifact.form, **pending.artifact.facts)


def found(workspace: Workspace, name: str, key: str) -> Artifact | None:
    """The artifact made earlier from the same parts in the same way."""
    for version in reversed(workspace.versions("artifact", name)):
        artifact = artifacts.load(workspace, f"{name}@{version}")
        if artifact.config_digest == key:
            return artifact
    return None


def bare(artifact: Artifact) -> str:
    """An artifact's name without its version."""
    return artifact.ref.partition("@")[0]


def to_gguf(config: ShipConfig, run: Run, model: Artifact, name: str = "") -> Artifact:
    """A Hugging Face folder as one GGUF file of the wanted kind."""
    folder = place(run, model)
    key = digest(["gguf", model.digest, config.quant, config.importance, config.converter])
    name = name or f"{bare(model)}-{config.quant.lower()}"
    earlier = found(run.workspace, name, key)
    if earlier is not None:
        return earlier
    weights = source_digest(run, model)
    run.free_space(int(sum(entry.size for entry in model.files) * _MARGIN))
    fields = {"form": "gguf", "base": model.base or model.ref, "base_digest": model.base_digest}
    lineage = {"parents": (model.ref,), "dataset": model.dataset, "dataset_digest": model.dataset_digest}
    with run.phase("convert", kind=config.quant), stored(run, name, key, **fields, **lineage) as pending:
        target = pending.folder / f"{name}.gguf"
        notes = {"source": model.ref, "source_digest": weights}
        pending.facts.update(convert(folder, target, config.quant, name=name, notes=notes))
        pending.facts["source_digest"] = weights
    return pending.artifact


def base_gguf(config: ShipConfig, run: Run, base: Artifact) -> Artifact:
    """The GGUF of a base: one that is there already, of whatever kind was asked for, else a new one."""
    return to_gguf(config, run, base)


def to_lora(config: ShipConfig, run: Run, model: Artifact, name: str = "") -> Artifact:
    """An adapter as a LoRA GGUF beside the GGUF of its base."""
    base = base_of(config, run, model)
    under = base_gguf(config, run, base)
    name = name or f"{bare(model)}-lora"
    key = digest(["lora", model.digest, under.digest])
    earlier = found(run.workspace, name, key)
    if earlier is not None:
        return earlier
    opened = open_adapter(place(run, model))
    lineage = {"parents": (model.ref, under.ref), "dataset": model.dataset, "dataset_digest": model.dataset_digest}
    fields = {"form": "adapter", "base": under.ref, "base_digest": model.base_digest}
    with run.phase("convert", kind="lora"), stored(run, name, key, **fields, **lineage) as pending:
        target = pending.folder / f"{name}.gguf"
        notes = {"source": model.ref, "base_digest": model.base_digest}
        shape = model_config(place(run, base))
        pending.facts.update(convert_lora(opened, shape, target, name=name, notes=notes))
    return pending.artifact


def refuse_form(artifact: Artifact, *forms: str) -> None:
    """Say what can be shipped instead."""
    if artifact.form not in forms:
        raise DataError(f"{artifact.ref} is a {artifact.form}; this ships {', '.join(forms)}")
