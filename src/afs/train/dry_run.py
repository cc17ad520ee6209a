"""`afs train --dry-run`: the plan of a run and every error it would meet, before anything is loaded or rented."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Protocol

from afs import plugins
from afs.config import decode, validate
from afs.errors import ConfigError
from afs.train import record_checks
from afs.train.device_monitor import this_machine
from afs.train.gpu_estimate import Lengths
from afs.train.learner import BACKENDS
from afs.train.memory_estimate import ModelShape
from afs.train.run_estimate import Plan, PlanConfig, measured_steps, plan_shape
from afs.train.schedule import plan_batches
from afs.train.settings import TrainConfig
from afs.train.training_data import Material, gather_material, read_sides
from afs.types import Value
from afs.workspace import Workspace

_SHOWN = 600
"""Characters of the sample shown."""


class ExaminedRun(Protocol):
    """`afs.train.backends.data_inspection.Examination`, without torch."""

    shape: ModelShape
    lengths: Sequence[int]
    facts: dict[str, object]
    end: str
    sample: str


class Preview(Value, frozen=True, kw_only=True):
    """What the run would be."""

    name: str
    method: str
    trainer: str
    dataset: str
    records: int
    held_out: int
    base: str
    steps: int
    facts: dict[str, object] = {}
    end: str = ""
    sample: str = ""
    plan: Plan | None = None

    @property
    def exit_code(self) -> int:
        """3 when it does not fit this machine."""
        return self.plan.exit_code if self.plan else 0

    def text(self) -> str:
        """The run as a page."""
        rows = [
            f"{self.name}: {self.method} by {self.trainer} on {self.dataset}"
            + (f", base {self.base}" if self.base else ""),
            f"data: {self.records} records to train on, {self.held_out} held out; no problems found",
            *(f"  {name.replace('_', ' ')}: {shorten(value)}" for name, value in self.facts.items()),
        ]
        if self.end:
            rows.append(f"an answer ends with {self.end!r}, in training and in serving")
        if self.sample:
            rows += [
                "the first record as the model reads it, trained tokens between « and »:",
                cut_sample(self.sample),
            ]
        rows.append(f"run: {self.steps} steps")
        return "\n".join([*rows, *(["", self.plan.text()] if self.plan else []), "", "dry run only"])


def shorten(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:16] if isinstance(value, str) else str(value)


def cut_sample(text: str) -> str:
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + " …"
    return "\n".join(f"  | {line}" for line in shown.splitlines())


_EXAMINE = plugins.Late[Callable[[TrainConfig, Material], ExaminedRun]]("afs.train.backends.data_inspection:examine")


def preview(config: TrainConfig, workspace: Workspace) -> Preview:
    """Read, check and plan; nothing is loaded but a tokenizer."""
    validate(config)
    BACKENDS.find(config.trainer).refuse(config)
    if config.method == "fewshot":
        dataset, train, held_out = read_sides(config, workspace)
        record_checks.refuse_bad_records(config, train, held_out)
        return Preview(
            name=config.name,
            method=config.method,
            trainer="fewshot",
            dataset=dataset.ref,
            base=config.base,
            records=len(train),
            held_out=len(held_out),
            steps=0,
        )
    material = gather_material(config, workspace, lambda _: [])
    record_checks.refuse_bad_records(config, material.train, material.held_out)
    found = _EXAMINE.load()(config, material)
    steps = plan_batches(config, found.lengths)
    return Preview(
        name=config.name,
        method=config.method,
        trainer=config.trainer,
        dataset=material.dataset.ref,
        records=len(material.train),
        held_out=len(material.held_out),
        base=material.base.text,
        steps=len(steps),
        facts=found.facts,
        end=found.end,
        sample=found.sample,
        plan=plan_run(config, workspace, material, found, sum(len(batch.rows) for batch in steps)),
    )


def plan_run(config: TrainConfig, workspace: Workspace, material: Material, found: ExaminedRun, samples: int) -> Plan:
    """The plan's page for this very run on this machine."""
    here, _ = this_machine()
    if config.device == "cuda" and here == "cpu":
        raise ConfigError("device", "cuda was requested, but there is no NVIDIA GPU")
    counts = sorted(found.lengths)
    lengths = Lengths(
        samples=samples,
        mean=statistics.fmean(counts),
        p95=counts[min(len(counts) - 1, len(counts) * 95 // 100)],
        longest=int(str(found.facts.get("longest", counts[-1]))),
        how="measured with the base's tokenizer, all epochs",
    )
    table = {
        "model": material.base.text or f"{config.name} (from scratch)",
        "method": config.method if config.method in ("qlora", "lora8", "full", "scratch") else "lora",
        "gpu": "cpu" if config.device == "cpu" else "here",
        "epochs": 1,
        "batch_size": config.batch_size,
        "micro_batch": config.micro_batch or (config.batch_size if here == "cpu" or config.device == "cpu" else 1),
        "rank": config.lora.rank,
        "last_layers": config.lora.last_layers,
        "dropout": config.lora.dropout,
        "checkpointing": config.checkpointing,
        "optimizer": config.optimizer,
        "loss_chunk": config.loss_chunk,
        "usd_per_hour": config.usd_per_hour,
        "dtype": config.dtype,
        "threads": config.threads,
    }
    chosen = decode(PlanConfig, table)
    on_cpu = "cpu" in (here, config.device)
    timing = measured_steps(chosen, found.shape, material.base.folder, counts) if on_cpu else None
    return plan_shape(chosen, workspace, found.shape, lengths, timing)
