"""`afs plan`: will it fit, how long, what will it cost; from the model's shape, the data's lengths and the card.

Each figure says whether it is measured or assumed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from afs import datasets, plugins
from afs.config import Config, Count, Positive, Weight, decode, validate
from afs.errors import ConfigError, MissingError, UsageError
from afs.models import find_base
from afs.train import memory_estimate
from afs.train.device_monitor import card_named, processor, this_machine
from afs.train.gpu_estimate import Card, Lengths, PlannedRun, card_text
from afs.train.learner import StepTiming
from afs.train.memory_estimate import GIB, Gpu, MemoryLine, ModelShape, Setting
from afs.train.memory_savings import propose_changes
from afs.train.settings import Dropout, Length, Share, TrainConfig
from afs.train.throughput_cache import BY, known_speed
from afs.types import Record, Value
from afs.workspace import Workspace

MEASURED_PARAMETERS = (20_000_000, 2_000_000_000)
"""Sizes whose steps are measured on a CPU: smaller ones train in minutes, larger ones take too long to plan."""
_CHARACTERS = 3.2
"""Characters of code and English per token, when no tokenizer is at hand."""


class PlanConfig(Config, frozen=True, kw_only=True):
    """Estimate memory, time and cost of a training run."""

    positional: ClassVar[tuple[str, ...]] = ("model",)

    model: str
    """A public model (`qwen2.5-coder-14b`), a stored base, a model folder, or a hub id."""
    method: Literal["qlora", "lora8", "lora", "full", "scratch"] = "qlora"
    """How the model would be trained."""
    gpu: str = "rtx-5060-ti"
    """The card, by its name in the table; `all`: every one; `here`: this machine's; `cpu`: its CPU."""
    dataset: str = ""
    """Dataset whose real lengths are used; empty: `samples` of `mean_tokens`."""
    samples: Positive = 24000
    """Samples, without a dataset."""
    mean_tokens: Positive = 512
    """Tokens per sample, without a dataset."""
    max_length: Length = 2048
    """Longest sample, without a dataset."""
    epochs: Positive = 3
    """Passes over the data."""
    batch_size: Positive = 16
    """Samples per step."""
    micro_batch: Positive = 1
    """Samples at once."""
    rank: Positive = 16
    """Rank of the adapter."""
    last_layers: Count = 0
    """Adapt only this many of the last transformer blocks; 0: all."""
    dropout: Dropout = 0.0
    """Dropout before the adapter."""
    checkpointing: bool = True
    """Recompute activations."""
    optimizer: Literal["adamw", "adamw8bit"] = "adamw8bit"
    """Optimizer states in 32 or 8 bits."""
    loss_chunk: Count = 512
    """Positions whose logits are held at once; 0: all, as most trainers do."""
    utilization: Share = 0.35
    """Share of the card's peak that training reaches: 0.25 to 0.35 plain, up to 0.5 with fused kernels."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the base; auto: as training chooses it, bfloat16 on a GPU."""
    threads: Positive = 1
    """CPU threads, for a plan on a CPU."""
    measure: bool = True
    """On a CPU with the base at hand, measure time and memory in three real steps."""
    usd_per_hour: Weight = 0.0
    """Price of the card; 0: the table's, where it has one."""


class Plan(Value, frozen=True, kw_only=True):
    """The answer."""

    model: str
    parameters: int
    trained: int
    method: str
    lengths: Lengths
    lines: tuple[MemoryLine, ...]
    needed: int
    steps: int
    tokens: float
    cards: tuple[Card, ...]
    proposals: tuple[str, ...]
    notes: tuple[str, ...]
    activations: str

    @property
    def exit_code(self) -> int:
        """3 when it fits on no card asked for."""
        return 0 if any(card.verdict != "no" for card in self.cards) else 3

    def text(self) -> str:
        """The plan as a page."""
        share = self.trained / self.parameters
        lengths = self.lengths
        unit, size = ("GiB", GIB) if self.needed >= 2 * GIB else ("MiB", 1 << 20)
        rows = [f"  {line.what:<38}{line.bytes / size:8.2f} {unit}" for line in self.lines]
        return "\n".join(
            [
                f"{self.model}: {format_count(self.parameters)} parameters, "
                f"{self.method} trains {format_count(self.trained)} ({share:.2%})",
                f"data: {lengths.samples} samples, mean {lengths.mean:.0f}, 95 % up to {lengths.p95}, "
                f"longest {lengths.longest} tokens ({lengths.how})",
                f"run: {self.steps} steps, {format_count(self.tokens)} tokens",
                "",
                f"memory ({self.activations})",
                *rows,
                f"  {'together':<38}{self.needed / size:8.2f} {unit}",
                "",
                *(card_text(card) for card in self.cards),
                *(("", *self.proposals) if self.proposals else ()),
                *(("", *(f"note: {note}" for note in self.notes)) if self.notes else ()),
            ]
        )


def format_count(number: float) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.0f}"


def plan(config: PlanConfig, workspace: Workspace) -> Plan:
    """What the run would take."""
    validate(config)
    shape, folder = find_shape(config.model, workspace)
    counts = sample_lengths(config, workspace, folder)
    timing = measured_steps(config, shape, folder, counts) if list(requested_cards(config)) == ["cpu"] else None
    return plan_shape(config, workspace, shape, describe_lengths(config, counts, folder), timing)


def plan_shape(
    config: PlanConfig, workspace: Workspace, shape: ModelShape, lengths: Lengths, timing: StepTiming | None = None
) -> Plan:
    """What a run of this shape over samples of these lengths would take."""
    names = requested_cards(config)
    width = 4 if plan_dtype(config, names) == "float32" else 2
    setting = Setting(
        method=config.method,
        rank=config.rank,
        last_layers=config.last_layers,
        dropout=config.dropout,
        micro_batch=config.micro_batch,
        length=lengths.longest,
        checkpointing=config.checkpointing,
        adam_bits=8 if config.optimizer == "adamw8bit" else 32,
        chunk=config.loss_chunk,
        width=width,
    )
    activation_bytes = ActivationBytes(shape)
    found = memory_estimate.memory_lines(shape, setting, activation_bytes(setting))
    needed = memory_estimate.total_bytes(found)
    job = PlannedRun(shape, setting, lengths, config.epochs, config.utilization, config.usd_per_hour)
    measured = measured_speeds(workspace, config.method)
    first = next(iter(names.values()))
    adapted = config.method not in memory_estimate.WHOLE
    return Plan(
        model=config.model,
        parameters=shape.parameters,
        trained=shape.adapter(config.rank, config.last_layers) if adapted else shape.parameters,
        method=config.method,
        lengths=lengths,
        lines=found,
        needed=needed,
        steps=-(-lengths.samples // config.batch_size) * config.epochs,
        tokens=lengths.samples * lengths.mean * config.epochs,
        cards=tuple(
            job.on(name, card, needed, measured.get(card_named(name) or name))
            if timing is None
            else job.on_measured(name, card, timing)
            for name, card in names.items()
        ),
        proposals=tuple(propose_changes(job, first, activation_bytes, config.batch_size)) if len(names) == 1 else (),
        notes=tuple(plan_notes(config, lengths, timing)),
        activations="activations by a dry run of the config"
        if activation_bytes.measured
        else "activations by formula: no torch here",
    )


def requested_cards(config: PlanConfig) -> dict[str, Gpu]:
    """The cards asked for: one of the table, all of them, or the machine this runs on."""
    if config.gpu == "all":
        return dict(memory_estimate.gpus())
    if config.gpu in ("here", "cpu"):
        return dict([this_machine() if config.gpu == "here" else processor()])
    return {config.gpu: memory_estimate.gpu_named(config.gpu)}


def measured_speeds(workspace: Workspace, method: str) -> dict[str, float]:
    """What runs of this workspace measured, those of the method first; by the table's names where it has them."""
    found: dict[str, float] = {}
    for device, speed in known_speed(workspace).items():
        name, _, by = device.partition(BY)
        key = "cpu" if name.startswith("cpu") else card_named(name) or name
        if by == method or (not by and key not in found):
            found[key] = speed
    return found


_ACTIVATION_BYTES = plugins.Late[Callable[[ModelShape, Setting], float]](
    "afs.train.backends.meta_memory:activation_bytes"
)
_TOKEN_COUNTS = plugins.Late[Callable[[Path, Sequence[Record]], list[int]]](
    "afs.train.backends.meta_memory:token_counts"
)
_TIME_STEPS = plugins.Late[Callable[[TrainConfig, Path, Sequence[int]], StepTiming]](
    "afs.train.backends.step_timing:time_cpu_steps"
)
_CPU_DTYPE = plugins.Late[Callable[[str], str]]("afs.train.backends.model_loading:cpu_dtype")


class ActivationBytes:
    """Activation bytes per token and layer, by dry run where torch is installed."""

    def __init__(self, shape: ModelShape) -> None:
        self.shape, self.measured = shape, True
        self._known: dict[tuple[str, int, float], float | None] = {}

    def __call__(self, setting: Setting) -> float | None:
        key = (setting.method, setting.rank, setting.dropout)
        if key not in self._known:
            self._known[key] = self._run(setting)
        return self._known[key]

    def _run(self, setting: Setting) -> float | None:
        try:
            dry = _ACTIVATION_BYTES.load()
        except MissingError:
            self.measured = False
            return None
        return dry(self.shape, setting)


def find_shape(model: str, workspace: Workspace) -> tuple[ModelShape, Path | None]:
    """The shape of a named model, and its folder if it is here."""
    known = memory_estimate.shape_named(model)
    if known is not None:
        return known, None
    try:
        base = find_base(workspace, model)
    except UsageError as error:
        near = plugins.suggest_name(model, [*memory_estimate.known_shapes(), *workspace.names("artifact")])
        raise UsageError(f"no model is called {model!r}{near}") from error
    assert base.folder is not None
    return memory_estimate.shape_of_folder(base.folder), base.folder


def sample_lengths(config: PlanConfig, workspace: Workspace, folder: Path | None) -> list[int]:
    """Tokens of every sample: by the base's tokenizer, by characters when it is not here, or as the config says."""
    if not config.dataset:
        if config.mean_tokens > config.max_length:
            raise ConfigError("mean_tokens", f"{config.mean_tokens} is more than max_length = {config.max_length}")
        return [config.mean_tokens]
    dataset = datasets.load(workspace, config.dataset)
    side = "train" if "train" in [split.name for split in dataset.splits] else ""
    records = list(datasets.read(workspace, dataset, side))
    if not records:
        raise ConfigError("dataset", f"{dataset.ref} has no records to train on")
    if folder is not None:
        return sorted(_TOKEN_COUNTS.load()(folder, records))
    return sorted(round(sum(len(m.text) for m in record.messages) / _CHARACTERS) + 8 for record in records)


def describe_lengths(config: PlanConfig, counts: Sequence[int], folder: Path | None) -> Lengths:
    """How long the samples are, and how that is known."""
    if not config.dataset:
        mean, longest = config.mean_tokens, config.max_length
        return Lengths(samples=config.samples, mean=mean, p95=longest, longest=longest, how="assumed")
    how = "measured with the base's tokenizer"
    if folder is None:
        how = f"estimated at {_CHARACTERS} characters a token: the tokenizer is not here"
    return Lengths(
        samples=len(counts),
        mean=statistics.fmean(counts),
        p95=counts[min(len(counts) - 1, len(counts) * 95 // 100)],
        longest=counts[-1],
        how=how,
    )


def plan_dtype(config: PlanConfig, names: Iterable[str]) -> str:
    """The base's number format: as asked, or as training chooses it on that device."""
    if config.dtype != "auto" or "cpu" not in names:
        return config.dtype if config.dtype != "auto" else "bfloat16"
    try:
        return _CPU_DTYPE.load()(config.method)
    except MissingError:
        return "float32"


def measured_steps(
    config: PlanConfig, shape: ModelShape, folder: Path | None, counts: Sequence[int]
) -> StepTiming | None:
    """Three steps of the very model on this CPU; None where it is not here, too large, or torch is missing."""
    _, machine = processor()
    low, high = MEASURED_PARAMETERS
    fits = 4 * shape.parameters < machine.usable / 2 and low <= shape.parameters < high
    if not config.measure or folder is None or not fits:
        return None
    table = {
        "dataset": "plan",
        "name": "plan",
        "method": config.method,
        "base": str(folder),
        "device": "cpu",
        "lora": {"rank": config.rank, "dropout": config.dropout, "last_layers": config.last_layers},
        "batch_size": config.batch_size,
        "micro_batch": config.micro_batch,
        "checkpointing": config.checkpointing,
        "optimizer": config.optimizer,
        "loss_chunk": config.loss_chunk or counts[-1] * config.batch_size,
        "dtype": config.dtype,
        "threads": config.threads,
    }
    try:
        time_steps = _TIME_STEPS.load()
    except MissingError:
        return None
    return time_steps(decode(TrainConfig, table), folder, counts)


def plan_notes(config: PlanConfig, lengths: Lengths, timing: StepTiming | None) -> list[str]:
    found = [
        f"time assumes {config.utilization:.0%} of the card's peak where none is measured; the first 20 steps of a run "
        "on the card measure it, and the next plan of this workspace goes by that"
        if timing is None
        else f"measured on this CPU in three steps: {timing.seconds:.3g} s and {timing.tokens:.0f} tokens each, "
        f"at most {timing.peak_bytes / GIB:.2f} GiB with all libraries"
    ]
    if config.epochs > 20:
        found.append(f"{config.epochs} epochs will memorize the data")
    if config.dataset and lengths.samples < 50:
        found.append(f'{lengths.samples} samples are few: few-shot examples (`method = "fewshot"`) may do as well')
    return found
