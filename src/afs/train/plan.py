"""`afs plan`: will it fit, how long, what will it cost; from the model's shape, the data's lengths and the card.

What is measured and what is assumed is said beside each figure. Nothing is loaded but a tokenizer.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, cast

from afs import artifacts, datasets, plugins
from afs.config import Config
from afs.errors import ConfigError, MissingError, UsageError
from afs.train import memory
from afs.train.memory import GIB, Gpu, MemoryLine, ModelShape, Setting
from afs.train.speed import known_speed
from afs.types import Record, Value
from afs.workspace import Workspace

TIGHT = 0.93
"""Share of the card from which a run is called tight."""
_CHARACTERS = 3.2
"""Characters of code and English per token, when no tokenizer is at hand."""


class PlanConfig(Config, frozen=True, kw_only=True):
    """Say what a training run would take."""

    positional: ClassVar[tuple[str, ...]] = ("model",)

    model: str
    """A public shape (`qwen2.5-coder-14b`), a stored base, or a model folder."""
    method: Literal["qlora", "lora8", "lora", "full"] = "qlora"
    """How the model would be trained."""
    gpu: str = "rtx-5060-ti"
    """The card, by its name in the table; `all` compares every one."""
    dataset: str = ""
    """Dataset whose real lengths are used; empty: `samples` of `mean_tokens`."""
    samples: int = 24000
    """Samples, without a dataset."""
    mean_tokens: int = 512
    """Tokens per sample, without a dataset."""
    max_length: int = 2048
    """Longest sample, without a dataset."""
    epochs: int = 3
    """Passes over the data."""
    batch_size: int = 16
    """Samples per step."""
    micro_batch: int = 1
    """Samples at once."""
    rank: int = 16
    """Rank of the adapter."""
    dropout: float = 0.0
    """Dropout before the adapter."""
    checkpointing: bool = True
    """Recompute activations."""
    optimizer: Literal["adamw", "adamw8bit"] = "adamw8bit"
    """Optimiser states in 32 or 8 bits."""
    loss_chunk: int = 512
    """Positions whose logits are held at once; 0: all, as most trainers do."""
    utilisation: float = 0.35
    """Share of the card's peak that training reaches: 0.25 to 0.35 plain, up to 0.5 with fused kernels."""
    usd_per_hour: float = 0.0
    """Price of the card; 0: the table's, where it has one."""


class Lengths(Value, frozen=True, kw_only=True):
    """How long the samples are."""

    samples: int
    mean: float
    p95: int
    longest: int
    how: str


class Card(Value, frozen=True, kw_only=True):
    """What a card makes of the plan."""

    gpu: str
    memory_gib: float
    needed_gib: float
    verdict: str
    """fits, tight, or no."""
    tokens_per_s: float | None = None
    hours: float | None = None
    usd: tuple[float, float] | None = None
    note: str = ""


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
                f"{self.model}: {self.parameters / 1e9:.3g} B parameters, "
                f"{self.method} trains {self.trained / 1e6:.1f} M ({share:.2%})",
                f"data: {lengths.samples} samples, mean {lengths.mean:.0f}, 95 % up to {lengths.p95}, "
                f"longest {lengths.longest} tokens ({lengths.how})",
                f"run: {self.steps} steps, {self.tokens / 1e6:.1f} M tokens",
                "",
                f"memory ({self.activations})",
                *rows,
                f"  {'together':<38}{self.needed / size:8.2f} {unit}",
                "",
                *(_card_text(card) for card in self.cards),
                *(("", *self.proposals) if self.proposals else ()),
                *(("", *(f"note: {note}" for note in self.notes)) if self.notes else ()),
            ]
        )


def _card_text(card: Card) -> str:
    word = {"fits": "fits", "tight": "fits, tightly", "no": "does not fit"}[card.verdict]
    line = f"{card.gpu:<12} {card.memory_gib:5.0f} GiB  needs {card.needed_gib:6.2f}  {word:<14}"
    if card.hours is not None and card.verdict != "no":
        line += f"{card.tokens_per_s:8.0f} tokens/s {card.hours:8.1f} h"
        line += f"  ${card.usd[0]:.2f}-{card.usd[1]:.2f}" if card.usd else "  price unknown"
    return line + (f"  ({card.note})" if card.note else "")


def plan(config: PlanConfig, workspace: Workspace) -> Plan:
    """What the run would take."""
    shape, folder = find_shape(config.model, workspace)
    lengths = find_lengths(config, workspace, folder)
    setting = Setting(
        method=config.method,
        rank=config.rank,
        dropout=config.dropout,
        micro_batch=config.micro_batch,
        length=lengths.longest,
        checkpointing=config.checkpointing,
        adam_bits=8 if config.optimizer == "adamw8bit" else 32,
        chunk=config.loss_chunk,
    )
    kept = ActivationBytes(shape)
    found = memory.lines(shape, setting, kept(setting))
    needed = memory.total(found)
    names = list(memory.gpus()) if config.gpu == "all" else [config.gpu]
    cards = tuple(_card(config, name, shape, setting, lengths, needed) for name in names)
    adapted = config.method != "full"
    return Plan(
        model=config.model,
        parameters=shape.parameters,
        trained=shape.adapter(config.rank) if adapted else shape.parameters,
        method=config.method,
        lengths=lengths,
        lines=found,
        needed=needed,
        steps=-(-lengths.samples // config.batch_size) * config.epochs,
        tokens=lengths.samples * lengths.mean * config.epochs,
        cards=cards,
        proposals=tuple(propose(shape, setting, lengths, memory.gpu(names[0]), kept)) if len(names) == 1 else (),
        notes=tuple(_notes(config, lengths, workspace)),
        activations="activations by a dry run of the config"
        if kept.measured
        else "activations by formula: no torch here",
    )


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
            dry = cast(
                Callable[[ModelShape, Setting], float], plugins.load("afs.train.backends.dryrun:activation_bytes")
            )
        except MissingError:
            self.measured = False
            return None
        return dry(self.shape, setting)


def find_shape(model: str, workspace: Workspace) -> tuple[ModelShape, Path | None]:
    """The shape of a named model, and its folder if it is here."""
    known = memory.shape_named(model)
    if known is not None:
        return known, None
    folder = Path(model)
    if (folder / "config.json").is_file():
        return memory.shape_of_folder(folder), folder
    name = model.partition("@")[0]
    if name in workspace.names("artifact"):
        place = artifacts.folder_of(workspace, artifacts.load(workspace, model))
        return memory.shape_of_folder(place), place
    near = plugins.nearest(model, [*memory.known_shapes(), *workspace.names("artifact")])
    raise UsageError(f"no model is called {model!r}{near}")


def find_lengths(config: PlanConfig, workspace: Workspace, folder: Path | None) -> Lengths:
    """Lengths by the base's tokenizer, by characters when it is not here, or as the config says."""
    if not config.dataset:
        if config.mean_tokens > config.max_length:
            raise ConfigError("mean_tokens", f"{config.mean_tokens} is more than max_length = {config.max_length}")
        mean, longest = config.mean_tokens, config.max_length
        return Lengths(samples=config.samples, mean=mean, p95=longest, longest=longest, how="assumed")
    dataset = datasets.load(workspace, config.dataset)
    side = "train" if "train" in [split.name for split in dataset.splits] else ""
    records = list(datasets.read(workspace, dataset, side))
    if not records:
        raise ConfigError("dataset", f"{dataset.ref} has nothing to train on")
    how = "measured with the base's tokenizer"
    if folder is not None:
        count = cast(
            Callable[[Path, Sequence[Record]], list[int]], plugins.load("afs.train.backends.dryrun:token_counts")
        )
        counts = count(folder, records)
    else:
        counts = [round(sum(len(m.text) for m in record.messages) / _CHARACTERS) + 8 for record in records]
        how = f"estimated at {_CHARACTERS} characters a token: the tokenizer is not here"
    counts.sort()
    return Lengths(
        samples=len(counts),
        mean=statistics.fmean(counts),
        p95=counts[min(len(counts) - 1, len(counts) * 95 // 100)],
        longest=counts[-1],
        how=how,
    )


def _card(config: PlanConfig, name: str, shape: ModelShape, setting: Setting, lengths: Lengths, needed: int) -> Card:
    card = memory.gpu(name)
    if card.why_not:
        return Card(
            gpu=name, memory_gib=card.memory, needed_gib=round(needed / GIB, 2), verdict="no", note=card.why_not
        )
    verdict = "no" if needed > card.usable else "tight" if needed > TIGHT * card.usable else "fits"
    rate = tokens_per_s(config.utilisation, card, shape, setting, lengths)
    hours = lengths.samples * lengths.mean * config.epochs / rate / 3600
    price = (config.usd_per_hour,) * 2 if config.usd_per_hour else card.usd
    return Card(
        gpu=name,
        memory_gib=card.memory,
        needed_gib=round(needed / GIB, 2),
        verdict=verdict,
        tokens_per_s=round(rate, 1),
        hours=round(hours, 2),
        usd=(round(price[0] * hours, 2), round(price[1] * hours, 2)) if price else None,
    )


def tokens_per_s(utilisation: float, card: Gpu, shape: ModelShape, setting: Setting, lengths: Lengths) -> float:
    """Tokens per second: arithmetic at a share of the peak, and the unpacking of 4-bit weights once per pass."""
    mean = min(lengths.mean, setting.length)
    arithmetic = memory.flops_per_token(shape, setting._replace(length=round(mean))) / (
        utilisation * card.tflops * 1e12
    )
    unpacking = 0.0
    if setting.method == "qlora":
        passes = 3 if setting.checkpointing else 2
        unpacking = passes * 2.5 * shape.linear / (card.bandwidth * 1e9) / (setting.micro_batch * mean)
    return 1 / (arithmetic + unpacking)


class Saving(NamedTuple):
    """One way to take less memory."""

    what: str
    apply: Callable[[Setting], Setting]


def _changes(lengths: Lengths) -> list[Saving]:
    return [
        Saving("loss in chunks of 512", lambda s: s._replace(chunk=512 if not s.chunk else min(s.chunk, 512))),
        Saving("micro-batch 1 (the batch is kept by accumulation)", lambda s: s._replace(micro_batch=1)),
        Saving("recomputed activations", lambda s: s._replace(checkpointing=True)),
        Saving("an 8-bit optimiser", lambda s: s._replace(adam_bits=8)),
        Saving("no adapter dropout", lambda s: s._replace(dropout=0.0)),
        Saving("4-bit weights (qlora)", lambda s: s._replace(method="qlora")),
        Saving(
            f"max_length {lengths.p95} (95 % of the samples)", lambda s: s._replace(length=min(s.length, lengths.p95))
        ),
        Saving("half the length", lambda s: s._replace(length=max(256, s.length // 2))),
        Saving("half the rank", lambda s: s._replace(rank=max(4, s.rank // 2))),
    ]


def propose(shape: ModelShape, setting: Setting, lengths: Lengths, card: Gpu, kept: ActivationBytes) -> list[str]:
    """What would make it fit, fewest changes first; or what the free memory is good for."""

    def needs(changed: Setting) -> int:
        return memory.total(memory.lines(shape, changed, kept(changed)))

    if card.why_not:
        return []
    if needs(setting) <= card.usable:
        return _roomier(setting, card, needs)
    taken: list[str] = []
    changed = setting
    for change in _changes(lengths):
        after = change.apply(changed)
        if needs(after) >= needs(changed):
            continue
        if needs(change.apply(setting)) <= card.usable:
            return [f"fits with {change.what}: {needs(change.apply(setting)) / GIB:.2f} GiB"]
        changed = after
        taken.append(change.what)
        if needs(changed) <= card.usable:
            return [f"fits with {', '.join(taken)}: {needs(changed) / GIB:.2f} GiB"]
    roomy = [name for name, other in memory.gpus().items() if needs(changed) <= other.usable and not other.why_not]
    larger = f"; the smallest card for it: {roomy[0]}" if roomy else ""
    return [f"does not fit even with {', '.join(taken) or 'every saving'}: {needs(changed) / GIB:.2f} GiB{larger}"]


def _roomier(setting: Setting, card: Gpu, needs: Callable[[Setting], int]) -> list[str]:
    found = []
    plain = setting._replace(checkpointing=False)
    if setting.checkpointing and needs(plain) <= TIGHT * card.usable:
        found.append(f"room for checkpointing = false: {needs(plain) / GIB:.2f} GiB, a third faster")
    size = setting.micro_batch
    while size < 64 and needs(setting._replace(micro_batch=size * 2)) <= TIGHT * card.usable:
        size *= 2
    if size > setting.micro_batch:
        wider = needs(setting._replace(micro_batch=size))
        found.append(f"room for micro_batch = {size}: {wider / GIB:.2f} GiB; the measured probe decides")
    return found


def _notes(config: PlanConfig, lengths: Lengths, workspace: Workspace) -> list[str]:
    found = [
        f"time assumes {config.utilisation:.0%} of the card's peak; the first steps of a run measure it "
        "(`train.speed` in its events)"
    ]
    here = known_speed(workspace)
    found += [f"measured here: {name} did {speed / 1e12:.3g} TFLOP/s in training" for name, speed in here.items()]
    if config.epochs > 20:
        found.append(f"{config.epochs} epochs are memorising, not learning")
    if config.dataset and lengths.samples < 50:
        found.append(f'{lengths.samples} samples are few: choosing examples (`method = "fewshot"`) may do as well')
    return found
