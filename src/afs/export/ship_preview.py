"""`afs ship --dry-run`: every step with its size, the disk it takes, the host it would touch; nothing is changed.

The base is really hashed, the adapter really opened, so a refusal comes now and not after the download of a host.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from afs import artifacts, models, plugins
from afs.errors import RefusedError, UsageError
from afs.export import ShipConfig, ship_lmstudio, ship_ollama
from afs.export.adapter_files import open_adapter
from afs.export.gguf_convert import planned_size
from afs.export.lora_gguf import unsupported_parts
from afs.export.safetensors_files import Weights
from afs.export.ship_steps import (
    MARGIN,
    BaseModel,
    Route,
    adapter_base,
    bare_name,
    choose_route,
    find_earlier,
    find_in_workspace,
    gguf_key,
    lora_key,
    merged_key,
    planned_merge,
    refuse_form,
    shipped_artifact,
)
from afs.types import Artifact, Value
from afs.workspace import Workspace

_HALF = 2
"""Bytes of a number in float16."""
_TARGETS = ("merged", "gguf", "ollama", "lmstudio", "llama", "mlx", "hf")


class ShipStep(Value, frozen=True, kw_only=True):
    """One thing that would be done."""

    step: str
    what: str
    bytes: int = 0
    """What it would write; 0 when it is done already or writes nothing worth naming."""
    done: str = ""
    """The artifact of an earlier run that serves."""


class ShipPreview(Value, frozen=True, kw_only=True):
    """What `afs ship` would do."""

    model: str
    form: str
    to: str
    steps: tuple[ShipStep, ...]
    disk_needed: int
    disk_free: int
    touches: str = ""
    """The host or folder outside the workspace's own store that would change."""

    @property
    def exit_code(self) -> int:
        """3 when the disk does not hold it."""
        return 0 if self.disk_needed <= self.disk_free else 3

    def text(self) -> str:
        """The steps as lines."""
        rows = [f"{self.model} ({self.form}) --to {self.to}"]
        for number, step in enumerate(self.steps, 1):
            size = f", {_size(step.bytes)}" if step.bytes else ""
            rows.append(f"  {number}. {step.step}: {step.what}{size}" + (f" (done: {step.done})" if step.done else ""))
        rows.append(f"disk: {_size(self.disk_needed)} needed, {_size(self.disk_free)} free" + _verdict(self))
        if self.touches:
            rows.append(f"touches: {self.touches}")
        return "\n".join([*rows, "dry run only: nothing was changed"])


def _verdict(plan: ShipPreview) -> str:
    return "" if not plan.exit_code else ": too little; make room or move the workspace"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


class _Planner:
    """Collects the steps of one command in the order of `ship_steps.py`."""

    def __init__(self, config: ShipConfig, workspace: Workspace) -> None:
        self.config, self.workspace = config, workspace
        self.steps: list[ShipStep] = []

    def add(self, step: str, what: str, size: int = 0, done: Artifact | None = None) -> None:
        """One step more."""
        self.steps.append(ShipStep(step=step, what=what, bytes=0 if done else size, done=done.ref if done else ""))

    def follow(self, route: Route, model: Artifact) -> None:
        """The steps of a route."""
        if route == "lora":
            self.lora(model)
        elif route == "merge":
            self.merge(model)
        elif route == "one_file":
            self.one_file(model)
        elif self.config.to == "llama":
            self.add("adapter", "it is a LoRA GGUF already", done=model)
        elif self.config.to == "mlx" and model.form == "adapter":
            self.base(model)

    def base(self, model: Artifact) -> BaseModel:
        """The adapter's base, hashed."""
        base = adapter_base(self.config, self.workspace, model)
        size = Weights(base.folder).size
        self.add("base", f"{base.ref or base.folder} has the tensors {model.ref} was trained on ({_size(size)})")
        return base

    def merge(self, model: Artifact) -> tuple[Path, Artifact | None]:
        """A merge; a folder of the same shapes, and the merge itself when it is done."""
        base = self.base(model)
        merged = planned_merge(
            self.config, model, Weights(base.folder), open_adapter(artifacts.folder_of(self.workspace, model))
        )
        size = sum(row.size for row in merged.all_planned(list(merged.base.table)))
        done = find_earlier(
            self.workspace, self._name(f"{bare_name(model)}-merged", "merged"), merged_key(self.config, model, base)
        )
        kind = "the 4-bit base as it was trained on" if merged.four_bit else "the clean base"
        changed = sum(merged.changes(name) for name in merged.base.table)
        self.add("merge", f"{changed} of {len(merged.base.table)} tensors, on to {kind}", size, done)
        self._parity("base + adapter")
        return base.folder, done

    def one_file(self, model: Artifact) -> None:
        """Any model as one GGUF."""
        if model.form == "gguf":
            self.add("gguf", "it is one already", done=model)
            return
        if model.form == "fewshot":
            self.one_file(artifacts.load(self.workspace, model.base))
            return
        folder, source = artifacts.folder_of(self.workspace, model), model
        merged: Artifact | None = model
        if model.form == "adapter":
            if model.facts.get("format") == "gguf":
                raise UsageError(f"{model.ref} is a LoRA GGUF; ship the adapter it was made from: {model.parents[0]}")
            folder, merged = self.merge(model)
        refuse_form(source, "base", "merged", "adapter")
        if merged is not None:
            name = self._name(f"{bare_name(merged)}-{self.config.quant.lower()}", "gguf")
            weights = models.tensors_digest(self.workspace, artifacts.folder_of(self.workspace, merged), merged.ref)
            self.convert(folder, BaseModel(merged.ref, name, folder, weights))
        else:
            self.convert(folder, None)

    def convert(self, folder: Path, source: BaseModel | None) -> Artifact | None:
        """A conversion; the GGUF when it is done."""
        done = find_earlier(self.workspace, source.name, gguf_key(self.config, source)) if source else None
        if self.config.importance and not done:
            self.add("importance", f"what the prompts of {self.config.importance} send through each column")
        if self.config.converter:
            self.add("convert", f"by {self.config.converter} to {self.config.quant}", Weights(folder).size, done)
            if self.config.parity and not done:
                self.add("parity", "tokens and chat rendering")
        else:
            self.add("convert", f"to {self.config.quant}", planned_size(folder, self.config.quant), done)
            self._parity("the folder it is made from", done)
        return done

    def lora(self, model: Artifact) -> None:
        """An adapter as a LoRA GGUF beside its base's."""
        base = self.base(model)
        opened = open_adapter(artifacts.folder_of(self.workspace, model))
        if unsupported_parts(opened):
            raise RefusedError(
                f"{model.ref}: a LoRA GGUF cannot hold {' and '.join(unsupported_parts(opened))}; ship it merged"
            )
        under = find_in_workspace(self.workspace, gguf_key(self.config, base))
        if under is None:
            self.convert(base.folder, None)
        else:
            self.add("convert", f"the base to {self.config.quant}", done=under)
        name = self._name(f"{bare_name(model)}-gguf", "gguf")
        done = find_earlier(self.workspace, name, lora_key(self.config, model, under)) if under else None
        size = _HALF * sum(math.prod(opened.weights.shape(tensor)) for tensor in opened.weights.table)
        self.add("adapter", f"{len(opened.deltas)} modules as a LoRA GGUF, scales folded in", size, done)
        self._parity("base + adapter", done)

    def _parity(self, against: str, done: Artifact | None = None) -> None:
        if self.config.parity and not done:
            self.add("parity", f"tokens, chat rendering, likeliest token and KL divergence against {against}")

    def _name(self, usual: str, target: str) -> str:
        """The name of an artifact: `--name` where the target is that very artifact."""
        return self.config.name if self.config.name and self.config.to == target else usual


def preview(config: ShipConfig, workspace: Workspace) -> ShipPreview:
    """Say what would be done."""
    if config.to not in plugins.list_names("exporter"):
        raise UsageError(
            f"--to: no target is called {config.to!r}{plugins.suggest_name(config.to, plugins.list_names('exporter'))}"
        )
    model = shipped_artifact(config, workspace)
    planner = _Planner(config, workspace)
    if config.to in _TARGETS:
        planner.follow(choose_route(config, workspace, model), model)
    else:
        planner.add(config.to, "an exporter of another package; its steps are unknown here")
    touches = _deploy(planner, model)
    needed = int(sum(step.bytes for step in planner.steps) * MARGIN)
    return ShipPreview(
        model=model.ref,
        form=model.form,
        to=config.to,
        steps=tuple(planner.steps),
        disk_needed=needed,
        disk_free=shutil.disk_usage(workspace.root).free,
        touches=touches,
    )


def _deploy(planner: _Planner, model: Artifact) -> str:
    """The last steps: what is sent where, and the smoke test; what would be touched."""
    config = planner.config
    name = config.name or config.artifact.partition(":")[0].partition("@")[0]
    if config.to == "ollama":
        where = config.host or ship_ollama.URL
        planner.add("deploy", f"blobs that {where} does not have yet, then one create call for {name!r}")
        planner.add("smoke test", "template, identity, three probes; the previous version is restored when it fails")
        return f"Ollama at {where}: model {name}"
    if config.to == "lmstudio":
        where = config.host or ship_lmstudio.URL
        folder = ship_lmstudio.models_folder(config) / ship_lmstudio.PUBLISHER / name
        planner.add("deploy", f"linked into {folder}, loaded by {where}")
        planner.add("smoke test", "identity, three probes; the previous version is restored when it fails")
        return f"LM Studio at {where}; {folder}"
    if config.to in ("llama", "mlx", "hf"):
        target = Path(config.folder) if config.folder else planner.workspace.root / "deployed" / config.to
        planner.add("deploy", f"a folder in {target}")
        if config.to == "llama":
            planner.add("self-test", "each expert alone, then all by turns: each must answer as it does alone")
        return str(target)
    return ""
