"""The config of training: one struct per idea, all of them tables of one TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import msgspec

from afs.config import Config, Count, Fraction, Positive, Weight
from afs.types import RefText

Method = Literal["scratch", "lora", "qlora", "lora8", "full", "dpo", "kto", "grpo", "fewshot", "classify"]

PositiveNumber = Annotated[float, msgspec.Meta(gt=0.0)]
Ratio = Annotated[float, msgspec.Meta(ge=1.0)]
Share = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
"""A part of a whole that is never empty."""
LearningRate = Annotated[float, msgspec.Meta(gt=0.0, le=10.0)]
"""A peak rate; at 0 or below nothing is learned, and above 10 even plain gradient descent diverges."""
Dropout = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]
Length = Annotated[int, msgspec.Meta(ge=8)]
"""Tokens; a chat template alone takes about eight."""
Window = Annotated[int, msgspec.Meta(ge=21)]
"""Steps; the guard compares once 20 are behind it."""
Generations = Annotated[int, msgspec.Meta(ge=2)]
"""Answers to one task: fewer have nothing to be compared with."""

_LAYERS: Mapping[str, tuple[str, ...]] = {
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "query-value": ("q_proj", "v_proj"),
}


class Shape(Config, frozen=True, kw_only=True):
    """A model trained from scratch (`method = "scratch"`), in Qwen2's architecture."""

    hidden: Positive = 256
    """Width of the model; K-quants want a multiple of 256."""
    layers: Positive = 2
    """Number of layers."""
    intermediate: Positive = 512
    """Width of the feed-forward part."""
    heads: Positive = 4
    """Attention heads."""
    kv_heads: Positive = 2
    """Key and value heads."""
    vocabulary: Positive = 1024
    """Most tokens the byte-level tokenizer may learn from the dataset."""
    positions: Positive = 1024
    """Longest context."""


class Lora(Config, frozen=True, kw_only=True):
    """The shape of an adapter."""

    rank: Positive = 16
    """Rank of the update."""
    alpha: Positive = 32
    """Scale of the update: alpha/rank (alpha/√rank with rsLoRA)."""
    dropout: Dropout = 0.0
    """Dropout before the adapter; above 0 it costs two fifths more activation memory."""
    layers: Literal["all", "attention", "query-value"] = "all"
    """Linear layers to adapt: all but the head, the four of attention, or its queries and values only."""
    targets: tuple[str, ...] = ()
    """Names of the linear layers to adapt, in place of `layers`."""
    last_layers: Count = 0
    """Adapt only this many of the model's last transformer blocks, so that backpropagation ends there; 0: all."""
    dora: bool = False
    """Weight-decomposed adapter (DoRA)."""
    rslora: bool = False
    """Rank-stabilized scale (rsLoRA)."""

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the layers to adapt; empty: all linear ones except the head."""
        return self.targets or _LAYERS.get(self.layers, ())


class TrainStage(Config, frozen=True, kw_only=True):
    """One part of the run with its own samples, epochs and rate."""

    name: str
    """Name in events and reports."""
    samples: Count = 0
    """Samples drawn from the training split; 0: all of it."""
    epochs: Positive = 1
    """Passes over them."""
    learning_rate: LearningRate
    """Peak rate of this stage."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the rate falls to its end within the stage."""
    warmup: Fraction = 0.0
    """Share of the stage's steps in which the rate rises from 0."""
    end: Fraction = 0.1
    """Rate at the end of the stage as a share of its peak."""
    gate: Fraction = 0.0
    """Least share of probes that must pass at the end of the stage before the next begins; 0: no gate."""


class Rehearsal(Config, frozen=True, kw_only=True):
    """Earlier data mixed in against forgetting."""

    dataset: RefText
    """An earlier version's dataset."""
    share: Share = 0.25
    """Its share of all samples of an epoch."""
    split: str = "train"
    """The split to draw from; the best-scored records come first."""


class Checkpoints(Config, frozen=True, kw_only=True):
    """When the state is written and how much of it is kept."""

    every: Positive = 100
    """Steps between checkpoints; every epoch ends with one too."""
    keep: Positive = 5
    """Newest checkpoints kept, beside the best one."""


class Evaluation(Config, frozen=True, kw_only=True):
    """Evaluation on held-out records during training."""

    split: str = "val"
    """Split to evaluate on; without it the run has no evaluation and says so."""
    every: Count = 0
    """Steps between evaluations; 0: at the end of every epoch."""
    samples: Positive = 200
    """Most records for the loss."""
    probes: Count = 0
    """Records with a task whose answers are generated and judged by execution."""
    max_tokens: Positive = 96
    """Longest answer of a probe."""
    best: Literal["loss", "verified"] = "loss"
    """What decides which checkpoint is the best; `verified` needs probes and held-out records with tasks."""
    patience: Count = 0
    """Evaluations without a better result before the run ends early; 0: never."""


class GuardRules(Config, frozen=True, kw_only=True):
    """When a run is in trouble, and what the guard does."""

    window: Window = 100
    """Steps whose median and spread say what is normal."""
    spike: PositiveNumber = 8.0
    """Robust z-score from which a loss (together with its gradient) is a spike: the batch is skipped."""
    strikes: Positive = 3
    """Skipped batches within 50 steps that make the run roll back."""
    divergence: Ratio = 1.5
    """Smoothed loss this many times its best: roll back."""
    stalled: Ratio = 20.0
    """A step this many times the median time is reported."""
    rollbacks: Count = 3
    """Roll-backs before the run ends with a report."""
    rate_cut: Share = 0.5
    """Factor on the rate after a roll-back."""


class Reward(Config, frozen=True, kw_only=True):
    """How a verdict becomes a reward (`method = "grpo"`)."""

    stage: Fraction = 0.2
    """Most that a wrong answer earns for the stages it reached."""
    economy: Fraction = 0.2
    """Most that a right answer earns for being cheaper than the reference (facts `cycles`, `bytes`)."""
    length: Fraction = 0.1
    """Most that is taken off for length beyond four times the reference."""
    form: Fraction = 0.1
    """Taken off when nothing in the answer can be judged."""


class Preference(Config, frozen=True, kw_only=True):
    """Learning from better and worse answers, or from verdicts."""

    beta: Weight = 0.1
    """Strength of the pull towards the starting model."""
    generations: Generations = 4
    """Answers sampled per task (GRPO)."""
    max_tokens: Positive = 96
    """Longest sampled answer (GRPO)."""
    temperature: Weight = 1.0
    """Sampling temperature (GRPO)."""
    reward: Reward = Reward()
    """What a verdict is worth (GRPO)."""


class FewShot(Config, frozen=True, kw_only=True):
    """Choosing examples instead of training (`method = "fewshot"`)."""

    examples: Positive = 4
    """Examples before each question."""
    trials: Positive = 8
    """Sets of examples to try."""
    tasks: Positive = 40
    """Held-out tasks each set is judged on."""
    max_tokens: Positive = 256
    """Longest answer."""


class Classify(Config, frozen=True, kw_only=True):
    """Training a question classifier (`method = "classify"`)."""

    labels: dict[str, str] = {}
    """Label by `domain/family`, family, its first part, tag or domain; records without one are left out.
    Empty: the family is the label."""
    keywords: str = ""
    """Roster whose experts' keywords are weak examples beside the data; they teach, and are never measured on."""
    adapt: bool = False
    """Train an adapter (`lora`) on the base to say the label, before its hidden state is read."""
    limit: Positive = 400
    """Most questions per label."""
    accuracy: Fraction = 0.95
    """Target accuracy on the questions it does not abstain from."""


class TrainConfig(Config, frozen=True, kw_only=True):
    """Train a model on a dataset."""

    positional: ClassVar[tuple[str, ...]] = ()

    dataset: RefText
    """Dataset with the splits `train` and, if there is one, `val`."""
    name: str
    """Name of the artifact to store."""
    method: Method = "lora"
    """How: from scratch, an adapter (on 16, 4 or 8 bits), all weights, preferences, verdicts, examples, labels."""
    base: str = ""
    """Base model: a stored artifact or a Hugging Face folder."""
    base_name: str = ""
    """Name of the base in artifacts, where a folder's path must not be written; empty: the folder's name."""
    trainer: str = "hf"
    """Back end that does the steps: hf (own loss, the reference), trl, unsloth, mlx, toy (no torch, for tests)."""
    environment: str = ""
    """Virtual environment that unsloth or mlx runs in; empty: where `afs doctor` looks for it."""
    kernels: Literal["auto", "none", "liger"] = "auto"
    """Fused kernels for hf; auto: liger's, where installed, on a GPU, and faster in a trial step."""
    shape: Shape = Shape()
    """The model made from scratch."""
    lora: Lora = Lora()
    """The adapter."""
    fewshot: FewShot = FewShot()
    """Options of fewshot."""
    classify: Classify = Classify()
    """Options of classify."""
    preference: Preference = Preference()
    """Options of dpo, kto and grpo."""
    learning_rate: LearningRate = 2e-4
    """Peak rate; 1e-4 to 2e-4 for adapters on real models, 2e-3 for tiny ones."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the rate falls."""
    warmup: Fraction = 0.03
    """Share of the steps in which the rate rises from 0."""
    epochs: Positive = 3
    """Passes over the training split."""
    max_steps: Count = 0
    """Steps at most; 0: as the epochs say."""
    max_hours: Weight = 0.0
    """Hours after which the run ends with its best checkpoint, over all its resumes; 0: no limit."""
    stages: tuple[TrainStage, ...] = ()
    """Warm-up, main, cool-down …; empty: one stage of the settings above."""
    curriculum: bool = False
    """Easy records first within the first epoch (by the scores the records carry, then by length)."""
    batch_size: Positive = 16
    """Samples per step; kept by accumulation whatever fits at once."""
    length_grouping: bool = False
    """Batches of similar lengths: less padding, a noisier loss."""
    micro_batch: Count = 0
    """Samples at once; 0: what a measured probe finds on a GPU, the whole batch on a CPU."""
    max_length: Length = 2048
    """Longest sample in tokens; longer ones are refused, never truncated."""
    over_length: Literal["refuse", "drop"] = "refuse"
    """What is done with longer samples."""
    packing: bool = False
    """Several samples in one row, each seeing only itself."""
    loss_chunk: Positive = 512
    """Trained positions whose logits are held at once."""
    neftune: Weight = 0.0
    """Noise on the embeddings (NEFTune's alpha); 0: none."""
    weight_decay: Fraction = 0.0
    """Weight decay of AdamW."""
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    """Full or 8-bit optimizer states."""
    max_grad_norm: PositiveNumber = 1.0
    """Longest gradient; longer ones are clipped."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more time."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the base; auto: bfloat16 on a GPU, and for an adapter on a CPU with bfloat16 instructions."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train."""
    threads: Positive = 1
    """CPU threads; more rarely help a tiny model and slow down other processes."""
    seed: int = 0
    """Seed of everything random."""
    rehearsal: tuple[Rehearsal, ...] = ()
    """Earlier data to mix in."""
    checkpoints: Checkpoints = Checkpoints()
    """When the state is saved."""
    evaluate: Evaluation = Evaluation()
    """Held-out loss and probes."""
    guard: GuardRules = GuardRules()
    """Rules against a run going wrong."""
    allow_leaks: bool = False
    """Train even if a family or source group occurs on both sides of the split."""
    usd_per_hour: Weight = 0.0
    """Price of the machine, for the cost in records; 0: unknown."""
    tensorboard: bool = True
    """Write TensorBoard files beside the events if tensorboard is installed."""
