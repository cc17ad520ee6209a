"""The config of training: one struct per idea, all of them tables of one TOML file."""

from __future__ import annotations

from typing import ClassVar, Literal

from afs.config import Config
from afs.types import RefText

Method = Literal["scratch", "lora", "qlora", "lora8", "full", "dpo", "kto", "grpo", "fewshot", "classify"]


class Shape(Config, frozen=True, kw_only=True):
    """A model made from nothing (`method = "scratch"`), in Qwen2's architecture."""

    hidden: int = 256
    """Width of the model; K-quants want a multiple of 256."""
    layers: int = 2
    """Number of layers."""
    intermediate: int = 512
    """Width of the feed-forward part."""
    heads: int = 4
    """Attention heads."""
    kv_heads: int = 2
    """Key and value heads."""
    vocabulary: int = 1024
    """Most tokens the byte-level tokenizer may learn from the dataset."""
    positions: int = 1024
    """Longest context."""


class Lora(Config, frozen=True, kw_only=True):
    """The shape of an adapter."""

    rank: int = 16
    """Rank of the update."""
    alpha: int = 32
    """Scale of the update: alpha/rank (alpha/√rank with rsLoRA)."""
    dropout: float = 0.0
    """Dropout before the adapter; above 0 it costs two fifths more activation memory."""
    targets: tuple[str, ...] = ()
    """Names of the linear layers to adapt; empty: all of them except the head."""
    dora: bool = False
    """Weight-decomposed adapter (DoRA)."""
    rslora: bool = False
    """Rank-stabilized scale (rsLoRA)."""


class TrainStage(Config, frozen=True, kw_only=True):
    """One part of the run: so many samples, so often, at this rate."""

    name: str
    """Name in events and reports."""
    samples: int = 0
    """Samples drawn from the training split; 0: all of it."""
    epochs: int = 1
    """Passes over them."""
    learning_rate: float
    """Peak rate of this stage."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the rate falls to its end within the stage."""
    warmup: float = 0.0
    """Share of the stage's steps in which the rate rises from 0."""
    end: float = 0.1
    """Rate at the end of the stage as a share of its peak."""
    gate: float = 0.0
    """Least share of probes that must pass at the end of the stage before the next begins; 0: no gate."""


class Rehearsal(Config, frozen=True, kw_only=True):
    """Earlier data mixed in against forgetting."""

    dataset: RefText
    """An earlier version's dataset."""
    share: float = 0.25
    """Its share of all samples of an epoch."""
    split: str = "train"
    """The split to draw from; the best-scored records come first."""


class Checkpoints(Config, frozen=True, kw_only=True):
    """When the state is written and how much of it is kept."""

    every: int = 100
    """Steps between checkpoints; every epoch ends with one too."""
    keep: int = 5
    """Newest checkpoints kept, beside the best one."""


class Evaluation(Config, frozen=True, kw_only=True):
    """What is measured on held-out records while training goes on."""

    split: str = "val"
    """Split to evaluate on; without it the run has no evaluation and says so."""
    every: int = 0
    """Steps between evaluations; 0: at the end of every epoch."""
    samples: int = 200
    """Most records for the loss."""
    probes: int = 0
    """Records with a task whose answers are generated and judged by execution."""
    max_tokens: int = 96
    """Longest answer of a probe."""
    best: Literal["loss", "verified"] = "loss"
    """What decides which checkpoint is the best."""
    patience: int = 0
    """Evaluations without a better result before the run ends early; 0: never."""


class GuardRules(Config, frozen=True, kw_only=True):
    """What counts as trouble in a run, and what is done about it."""

    window: int = 100
    """Steps whose median and spread say what is normal."""
    spike: float = 8.0
    """Robust z-score from which a loss (together with its gradient) is a spike: the batch is skipped."""
    strikes: int = 3
    """Skipped batches within 50 steps that make the run roll back."""
    divergence: float = 1.5
    """Smoothed loss this many times its best: roll back."""
    stalled: float = 20.0
    """A step this many times the median time is reported."""
    rollbacks: int = 3
    """Roll-backs before the run ends with a report."""
    rate_cut: float = 0.5
    """Factor on the rate after a roll-back."""


class Reward(Config, frozen=True, kw_only=True):
    """How a verdict becomes a reward (`method = "grpo"`)."""

    stage: float = 0.2
    """Most that a wrong answer earns for the stages it reached."""
    economy: float = 0.2
    """Most that a right answer earns for being cheaper than the reference (facts `cycles`, `bytes`)."""
    length: float = 0.1
    """Most that is taken off for length beyond four times the reference."""
    form: float = 0.1
    """Taken off when nothing in the answer can be judged."""


class Preference(Config, frozen=True, kw_only=True):
    """Learning from better and worse answers, or from verdicts."""

    beta: float = 0.1
    """How firmly the model is held to where it began."""
    generations: int = 4
    """Answers sampled per task (GRPO)."""
    max_tokens: int = 96
    """Longest sampled answer (GRPO)."""
    temperature: float = 1.0
    """Sampling temperature (GRPO)."""
    reward: Reward = Reward()
    """What a verdict is worth (GRPO)."""


class FewShot(Config, frozen=True, kw_only=True):
    """Choosing examples instead of training (`method = "fewshot"`)."""

    examples: int = 4
    """Examples before each question."""
    trials: int = 8
    """Sets of examples to try."""
    tasks: int = 40
    """Held-out tasks each set is judged on."""
    max_tokens: int = 256
    """Longest answer."""


class Classify(Config, frozen=True, kw_only=True):
    """Telling whose a question is (`method = "classify"`)."""

    labels: dict[str, str] = {}
    """Label by `domain/family`, family, its first part, tag or domain; records without one are left out.
    Empty: the family is the label."""
    keywords: str = ""
    """Roster whose experts' keywords are weak examples beside the data; they teach, and are never measured on."""
    adapt: bool = False
    """Train an adapter (`lora`) on the base to say the label, before its hidden state is read."""
    limit: int = 400
    """Questions of a label at the most."""
    accuracy: float = 0.95
    """Accuracy wanted on what is not abstained from."""


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
    """What the base is called where its folder's path must not be written; empty: the last part of the path."""
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
    learning_rate: float = 2e-4
    """Peak rate; 1e-4 to 2e-4 for adapters on real models, 2e-3 for tiny ones."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the rate falls."""
    warmup: float = 0.03
    """Share of the steps in which the rate rises from 0."""
    epochs: int = 3
    """Passes over the training split."""
    max_steps: int = 0
    """Steps at most; 0: as the epochs say."""
    stages: tuple[TrainStage, ...] = ()
    """Warm-up, main, cool-down …; empty: one stage of the settings above."""
    curriculum: bool = False
    """Easy records first within the first epoch (by the scores the records carry, then by length)."""
    batch_size: int = 16
    """Samples per step; kept by accumulation whatever fits at once."""
    length_grouping: bool = False
    """Batches of like lengths: less padding, a rougher loss."""
    micro_batch: int = 0
    """Samples at once; 0: what a measured probe finds on a GPU, the whole batch on a CPU."""
    max_length: int = 2048
    """Longest sample in tokens; longer ones are refused, never cut silently."""
    over_length: Literal["refuse", "drop"] = "refuse"
    """What is done with longer samples."""
    packing: bool = False
    """Several samples in one row, each seeing only itself."""
    loss_chunk: int = 512
    """Trained positions whose logits are held at once."""
    neftune: float = 0.0
    """Noise on the embeddings (NEFTune's alpha); 0: none."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    """Full or 8-bit optimizer states."""
    max_grad_norm: float = 1.0
    """Longest gradient; longer ones are clipped."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more time."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the base: bfloat16 on a GPU, float32 on a CPU."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train."""
    threads: int = 1
    """CPU threads; more rarely help a tiny model and fight with neighbors."""
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
    """Go on although a family or source group stands on both sides of the split."""
    usd_per_hour: float = 0.0
    """Price of the machine, for the cost in records; 0: unknown."""
    tensorboard: bool = True
    """Write TensorBoard files beside the events when the library is there."""
