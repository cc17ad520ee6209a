"""The steps of shipping, each from stored artifacts to a stored artifact; what was done is found again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from afs import artifacts, models
from afs.artifacts import PendingArtifact
from afs.errors import RefusedError, UsageError
from afs.export import ShipConfig
from afs.export.adapter_files import Adapter, open_adapter
from afs.export.gguf_convert import convert
from afs.export.importance_matrix import measure_importance
from afs.export.llamacpp_script import convert_by_script
from afs.export.lora_gguf import convert_lora, unsupported_parts
from afs.export.merge import FORMATS, Merge, merge, old_rope
from afs.export.model_families import model_config, read_json
from afs.export.nf4_rounding import FourBit
from afs.export.numpy_forward import Adapted
from afs.export.parity import Parity, compare_foreign, compare_gguf, compare_merged, probe_texts, refuse_divergence
from afs.export.safetensors_files import Weights
from afs.providers.llama import Llama, gguf_file
from afs.registry import Registry
from afs.runs import Run
from afs.types import Artifact, digest
from afs.workspace import Workspace

MARGIN = 1.1
"""Disk that must be free, as a multiple of what will be written."""
_SMALL = 256 << 20
_CONTEXT = 512
"""Tokens of context that parity needs."""


Route = Literal["stored", "lora", "merge", "one_file"]
"""How a model becomes what a target takes: as it is, as a LoRA GGUF beside its base, merged, or as one GGUF."""
_FORMS: dict[str, tuple[str, ...]] = {
    "merged": ("adapter",),
    "gguf": ("base", "merged", "adapter"),
    "mlx": ("adapter", "merged", "base"),
    "hf": ("adapter", "merged", "base", "gguf"),
}
"""The forms a target takes; the others take whatever becomes one GGUF."""


class BaseModel(NamedTuple):
    """The model under an adapter."""

    ref: str
    """The stored artifact, or empty for a folder outside the workspace."""
    name: str
    folder: Path
    digest: str
    """Digest of its tensors."""


def shipped_artifact(config: ShipConfig, workspace: Workspace) -> Artifact:
    """The artifact to ship; what lies outside the workspace is imported first."""
    if models.is_model_folder(config.artifact) or models.is_hub_id(config.artifact):
        raise UsageError(
            f"{config.artifact} is not stored here; import it first: afs models import {config.artifact} --name NAME"
        )
    return Registry(workspace).resolve(config.artifact)


def choose_route(config: ShipConfig, workspace: Workspace, model: Artifact) -> Route:
    """The route to the target: the dry run prints its steps, the exporters execute it."""
    if config.to in _FORMS:
        refuse_form(model, *_FORMS[config.to])
    if config.to == "merged":
        return "merge"
    if config.to in ("hf", "mlx"):
        return "merge" if model.form == "adapter" and not _stays_adapter(config, workspace, model) else "stored"
    if model.form != "adapter" or not _stays_adapter(config, workspace, model):
        return "one_file"
    return "stored" if config.to == "llama" and model.facts.get("format") == "gguf" else "lora"


def _stays_adapter(config: ShipConfig, workspace: Workspace, model: Artifact) -> bool:
    """Whether the adapter is shipped beside its base; `auto` is what the target can use."""
    if config.adapter == "merged" or config.to == "lmstudio":
        return False
    if config.to in ("hf", "llama"):
        return True
    if config.to == "mlx":
        base = adapter_base(config, workspace, model)
        return mlx_can_hold(open_adapter(artifacts.folder_of(workspace, model)), base.folder)
    if config.to == "gguf" and config.adapter == "auto":
        return not unsupported_parts(open_adapter(artifacts.folder_of(workspace, model)))
    return config.adapter == "lora"


def mlx_can_hold(adapter: Adapter, base: Path) -> bool:
    """Whether MLX can put the adapter on to this base: it must read the base's rotary settings too."""
    return not unsupported_parts(adapter) and not old_rope(read_json(base / "config.json"))


def make_artifact(config: ShipConfig, run: Run, model: Artifact) -> Artifact:
    """Take the route; `--name` names what is made where that is the target, else what is deployed."""
    name = config.name if config.to in ("merged", "gguf") else ""
    route = choose_route(config, run.workspace, model)
    if route == "stored":
        return model
    return {"lora": to_lora, "merge": to_merged, "one_file": as_one_file}[route](config, run, model, name)


def artifact_folder(run: Run, artifact: Artifact) -> Path:
    """The folder of an artifact, its files checked."""
    return artifacts.checked_folder(run.workspace, artifact)


def adapter_base(config: ShipConfig, workspace: Workspace, adapter: Artifact) -> BaseModel:
    """The base of an adapter, proven by its tensors: another of the same shape is refused."""
    if not (config.base or adapter.base):
        raise UsageError(f"{adapter.ref} names no base; name it with --base")
    if not adapter.base_digest:
        raise RefusedError(
            f"{adapter.ref} does not record the weights it was trained on; import it again: `afs models import`"
        )
    base = models.find_base(workspace, config.base) if config.base else models.base_of(workspace, adapter)
    if base.folder is None or base.adapter is not None:
        raise UsageError(f"{config.base or adapter.base} is not a base; want a base model's folder or artifact")
    if base.digest != adapter.base_digest:
        raise RefusedError(
            f"{adapter.ref} was trained on weights {adapter.base_digest[:12]}, {base.text} has {base.digest[:12]}: "
            "another base, even of the same shape; name the right one with --base"
        )
    return BaseModel(base.ref, artifact_name(base.text), base.folder, base.digest)


def artifact_name(text: str) -> str:
    """A name for artifacts made of a base: without version and owner, in characters that names may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text.partition("@")[0].rpartition("/")[2]).strip("-.") or "base"


@contextmanager
def store_step(run: Run, name: str, key: str, **fields: object) -> Iterator[PendingArtifact]:
    """Store an artifact that `found` will recognize by its key."""
    with artifacts.store_artifact(run.workspace, name, config_digest=key, run=run.id, **fields) as pending:
        yield pending
    run.event("artifact", ref=pending.artifact.ref, form=pending.artifact.form, **pending.artifact.facts)


def find_earlier(workspace: Workspace, name: str, key: str) -> Artifact | None:
    """The artifact made earlier from the same parts in the same way."""
    for version in reversed(workspace.versions("artifact", name)):
        artifact = artifacts.load(workspace, f"{name}@{version}")
        if artifact.config_digest == key:
            return artifact
    return None


def find_in_workspace(workspace: Workspace, key: str) -> Artifact | None:
    """The artifact made earlier in the same way, whatever it was called."""
    hits = (find_earlier(workspace, name, key) for name in workspace.names("artifact"))
    return next((hit for hit in hits if hit is not None), None)


def bare_name(artifact: Artifact) -> str:
    """An artifact's name without its version."""
    return artifact.ref.partition("@")[0]


def inherited_fields(model: Artifact, *others: str) -> dict[str, object]:
    """What a made artifact inherits of the one it was made from."""
    parents = tuple(dict.fromkeys(ref for ref in (model.ref, *others) if ref))
    return {"parents": parents, "dataset": model.dataset, "dataset_digest": model.dataset_digest}


def to_gguf(config: ShipConfig, run: Run, model: Artifact, name: str = "") -> Artifact:
    """A stored model folder as one GGUF file of the wanted kind."""
    folder = artifact_folder(run, model)
    name = name or f"{bare_name(model)}-{config.quant.lower()}"
    Weights(folder)  # a folder with pickles in place of weights is refused by name
    weights = models.tensors_digest(run.workspace, folder, model.ref)
    fields = {"base": model.base or model.ref, "base_digest": model.base_digest, **inherited_fields(model)}
    return convert_folder(config, run, BaseModel(model.ref, name, folder, weights), fields)


def convert_folder(config: ShipConfig, run: Run, source: BaseModel, fields: dict[str, object]) -> Artifact:
    """A model folder as a GGUF artifact called `source.name`."""
    key = gguf_key(config, source)
    earlier = find_earlier(run.workspace, source.name, key)
    if earlier is not None:
        return earlier
    run.check_stop()
    run.free_space(int(Weights(source.folder).size * MARGIN))
    with run.phase("convert", kind=config.quant), store_step(run, source.name, key, form="gguf", **fields) as pending:
        target = pending.folder / f"{source.name}.gguf"
        notes = {"source": source.ref or source.name, "source_digest": source.digest}
        pending.facts.update(write_gguf(config, run, source, target, notes))
        pending.facts["source_digest"] = source.digest
        if config.parity:
            with Llama(str(target), parity_options(target)) as loaded:
                measured = (compare_foreign if config.converter else compare_gguf)(source.folder, loaded.server)
            record_parity(run, pending, refuse_divergence(measured, config.quant, source.name, config.max_kl))
    return pending.artifact


def gguf_key(config: ShipConfig, source: BaseModel) -> str:
    """What a conversion is found again by."""
    return digest(["gguf", source.digest, config.quant, config.importance, config.converter, config.parity])


def parity_options(file: Path) -> dict[str, object]:
    """How a file is loaded for its parity report: a small model is slower on several threads than on one."""
    one = {"threads": 1} if file.stat().st_size < _SMALL else {}
    return {"context": _CONTEXT, **one}


def write_gguf(
    config: ShipConfig, run: Run, source: BaseModel, target: Path, notes: dict[str, str]
) -> dict[str, object]:
    """Write the file; what is in it."""
    if config.converter:
        return convert_by_script(Path(config.converter), source.folder, target, config.quant)
    weights = measure_importance(run.workspace, source.folder, config.importance) if config.importance else {}
    facts = convert(source.folder, target, config.quant, name=source.name, notes=notes, importance=weights)
    return {**facts, "importance": config.importance} if weights else facts


def record_parity(run: Run, pending: PendingArtifact, parity: Parity) -> None:
    """Keep what was measured with the artifact."""
    facts = msgspec.to_builtins(parity)
    pending.facts["parity"] = {key: round(v, 8) if isinstance(v, float) else v for key, v in facts.items()}
    run.event("parity", ref=str(pending.ref), **facts)


def to_lora(config: ShipConfig, run: Run, model: Artifact, name: str = "") -> Artifact:
    """An adapter as a LoRA GGUF beside the GGUF of its base."""
    base = adapter_base(config, run.workspace, model)
    opened = open_adapter(artifact_folder(run, model))
    shape = model_config(base.folder)
    under_name = f"{base.name}-{config.quant.lower()}"
    under = find_in_workspace(run.workspace, gguf_key(config, base))
    if under is None:
        under = convert_folder(
            config, run, base._replace(name=under_name), {"base": base.ref, "parents": base_parents(base)}
        )
    name = name or f"{bare_name(model)}-gguf"
    key = lora_key(config, model, under)
    earlier = find_earlier(run.workspace, name, key)
    if earlier is not None:
        return earlier
    run.check_stop()
    fields = {"base": under.ref, "base_digest": model.base_digest, **inherited_fields(model, under.ref)}
    with run.phase("convert", kind="lora"), store_step(run, name, key, form="adapter", **fields) as pending:
        target = pending.folder / f"{name}.gguf"
        notes = {"source": model.ref, "base_digest": model.base_digest}
        pending.facts.update(convert_lora(opened, shape, target, name=name, notes=notes))
        if config.parity:
            base_file = str(artifact_folder(run, under))
            options = {
                **parity_options(gguf_file(artifact_folder(run, under))),
                "adapters": {name: str(target)},
                "adapter": name,
            }
            with Llama(base_file, options) as loaded:
                adapted = Adapted(Weights(base.folder), opened)
                measured = compare_gguf(base.folder, loaded.server, name, adapted)
            record_parity(run, pending, refuse_divergence(measured, config.quant, name, config.max_kl))
    return pending.artifact


def lora_key(config: ShipConfig, model: Artifact, under: Artifact) -> str:
    """What an adapter beside its base's GGUF is found again by."""
    return digest(["lora", model.digest, under.digest, config.parity])


def base_parents(base: BaseModel) -> tuple[str, ...]:
    return (base.ref,) if base.ref else ()


def to_merged(config: ShipConfig, run: Run, model: Artifact, name: str = "") -> Artifact:
    """An adapter merged into its base: a model folder of its own, checked against base + adapter."""
    base = adapter_base(config, run.workspace, model)
    opened = open_adapter(artifact_folder(run, model))
    name = name or f"{bare_name(model)}-merged"
    key = merged_key(config, model, base)
    earlier = find_earlier(run.workspace, name, key)
    if earlier is not None:
        return earlier
    weights = Weights(base.folder)
    planned = planned_merge(config, model, weights, opened)
    run.free_space(int(weights.size * MARGIN))
    work = run.folder / "merged"
    with run.phase("merge"):
        facts = merge(run, planned, work)
    fields = {"base": base.ref or base.name, "base_digest": base.digest, **inherited_fields(model, base.ref)}
    with store_step(run, name, key, form="merged", **fields) as pending:
        pending.facts.update(facts)
        if config.parity:
            with run.phase("parity"):
                adapted = Adapted(weights, opened, four_bit=planned.four_bit)
                check_merged(config, run, pending, adapted, work)
        for path in sorted(work.iterdir()):
            path.rename(pending.folder / path.name)
    return pending.artifact


def merged_key(config: ShipConfig, model: Artifact, base: BaseModel) -> str:
    """What a merge is found again by."""
    return digest(["merged", model.digest, base.digest, four_bit_base(config, model), config.dtype, config.parity])


def planned_merge(config: ShipConfig, model: Artifact, base: Weights, adapter: Adapter) -> Merge:
    """The merge as the config and the adapter's training ask for it."""
    four_bit = four_bit_base(config, model)
    return Merge(base, adapter, four_bit=four_bit, dtype=FORMATS.get(config.dtype, "F16" if four_bit else ""))


def four_bit_base(config: ShipConfig, model: Artifact) -> FourBit | None:
    """How the base is to be rounded to four bits before the adapter is added; None: not at all."""
    packed = model.facts.get("method") == "qlora" and model.facts.get("trainer") != "mlx"  # its 4 bits are others
    was = packed or bool(model.facts.get("quantized"))
    if config.base_weights == "clean" or (config.base_weights == "auto" and not was):
        return None
    recorded = model.facts.get("four_bit")
    return msgspec.convert(recorded, FourBit) if recorded else FourBit()


def check_merged(config: ShipConfig, run: Run, pending: PendingArtifact, adapted: Adapted, work: Path) -> None:
    shape = model_config(adapted.weights.folder)
    measured = compare_merged(shape, adapted, work, probe_texts(adapted.weights.folder))
    record_parity(run, pending, refuse_divergence(measured, "merged", str(pending.ref), config.max_kl))


def as_one_file(config: ShipConfig, run: Run, model: Artifact, name: str = "") -> Artifact:
    """Any model as one GGUF that needs nothing beside it: adapters are merged first."""
    if model.form == "gguf":
        return model
    if model.form == "fewshot":
        return as_one_file(config, run, artifacts.load(run.workspace, model.base), name)
    if model.form == "adapter":
        if model.facts.get("format") == "gguf":
            raise UsageError(f"{model.ref} is a LoRA GGUF; ship the adapter it was made from: {model.parents[0]}")
        model = to_merged(config, run, model)
    refuse_form(model, "base", "merged")
    return to_gguf(config, run, model, name)


def refuse_form(artifact: Artifact, *forms: str) -> None:
    """Say what can be shipped instead."""
    if artifact.form not in forms:
        raise UsageError(f"{artifact.ref} is a {artifact.form}; this ships {', '.join(forms)}")
