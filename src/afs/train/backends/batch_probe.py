"""How many samples fit at once, found by really training: the longest samples there are, optimizer state included.

The trial runs in a child process, so that running out of memory leaves nothing behind; the batch itself is kept by
accumulation whatever is found.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import torch

from afs.config import decode, to_table
from afs.errors import DataError
from afs.models import Base
from afs.process import CallOutcome, Worker
from afs.providers.local import load_tokenizer
from afs.train.backends import model_loading
from afs.train.backends.token_encoding import Encoder, Sample
from afs.train.backends.token_loss import collate, summed_loss
from afs.train.learner import Notify
from afs.train.settings import TrainConfig
from afs.train.training_data import Material
from afs.types import Value

TIMEOUT_S = 900.0
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_kept: dict[str, tuple[model_loading.Loaded, torch.optim.Optimizer]] = {}
"""The child's model, loaded once for all its trials."""


class Trial(Value, frozen=True, kw_only=True):
    """What the child is asked."""

    config: dict[str, object]
    text: str
    folder: str
    adapter: str
    visible: str | None
    samples: list[tuple[list[int], list[bool]]]


class TrialStep(Value, frozen=True, kw_only=True):
    """What a trial found."""

    peak_bytes: int
    seconds: float
    """Of its second step: the first one compiles."""


def probe_micro_batch(config: TrainConfig, material: Material, notify: Notify) -> int:
    """The most samples at once that a step fits in."""
    longest = longest_samples(config, material)
    worker = Worker(f"{__name__}:try_step")
    try:

        def fits(count: int) -> bool:
            outcome = worker.call(encode_trial(config, material.base, longest[:count]), TIMEOUT_S)
            notify("train.fitting", samples=count, tokens=count * len(longest[0].ids), **outcome_fields(outcome))
            if outcome.problem:
                worker.close()
                if not is_out_of_memory(outcome.problem):
                    raise DataError(f"trial step: {outcome.problem}")
            return not outcome.problem

        return largest_fitting(fits, config.batch_size)
    finally:
        worker.close()


def probe_kernels(config: TrainConfig, material: Material, micro: int, notify: Notify) -> str:
    """`liger` if a step over the longest samples is faster with its kernels, else `none`."""
    samples = longest_samples(config, material)[:micro]
    seconds: dict[str, float | None] = {}
    for kernels in ("none", "liger"):
        worker = Worker(f"{__name__}:try_step")
        try:
            chosen = msgspec.structs.replace(config, kernels=kernels)
            outcome = worker.call(encode_trial(chosen, material.base, samples), TIMEOUT_S)
        finally:
            worker.close()
        trial = None if outcome.problem else msgspec.json.decode(outcome.value, type=TrialStep)
        seconds[kernels] = None if trial is None else trial.seconds
        notify("train.kernels", kernels=kernels, samples=micro, seconds=seconds[kernels], reason=outcome.problem[:200])
    return choose_kernels(seconds["none"], seconds["liger"])


def choose_kernels(plain: float | None, fused: float | None) -> str:
    """The faster kernels; a failed trial is never chosen."""
    return "liger" if fused is not None and (plain is None or fused < plain) else "none"


def longest_samples(config: TrainConfig, material: Material) -> list[Sample]:
    """The batch's worth of samples that take the most memory."""
    assert material.base.folder is not None
    by_size = sorted(material.train, key=lambda record: -sum(len(m.text) for m in record.messages))
    found = Encoder(load_tokenizer(material.base.folder)).samples(by_size[: 4 * config.batch_size])
    fitting = [sample for sample in found if len(sample.ids) <= config.max_length]
    ranked = sorted(fitting, key=lambda sample: -len(sample.ids))
    return (ranked * config.batch_size)[: config.batch_size]


def largest_fitting(fits: Callable[[int], bool], limit: int) -> int:
    """The largest count up to a limit that fits, by bisection; an error when even one does not."""
    if fits(limit):
        return limit
    low, high = 0, limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    if low == 0:
        raise DataError(
            "not even one of the longest samples fits; shorten max_length, set checkpointing = true or "
            'optimizer = "adamw8bit", or see `afs plan`'
        )
    return low


def is_out_of_memory(problem: str) -> bool:
    """Whether the child ran out of memory: it said so, or the system killed it."""
    words = problem.lower()
    return "memory" in words or "signal 9" in words


def outcome_fields(outcome: CallOutcome) -> dict[str, object]:
    if outcome.problem:
        return {"fits": False, "reason": outcome.problem[:200]}
    trial = msgspec.json.decode(outcome.value, type=TrialStep)
    return {"fits": True, "peak_bytes": trial.peak_bytes, "seconds": round(trial.seconds, 4)}


def encode_trial(config: TrainConfig, base: Base, samples: Sequence[Sample]) -> bytes:
    trial = Trial(
        config=to_table(config),
        text=base.text,
        folder=str(base.folder),
        adapter=str(base.adapter or ""),
        visible=os.environ.get(_VISIBLE),
        samples=[(sample.ids, sample.trained) for sample in samples],
    )
    return msgspec.json.encode(trial)


def try_step(payload: bytes) -> bytes:
    """In the child: two whole steps over these samples at once; their memory and time."""
    trial = msgspec.json.decode(payload, type=Trial)
    if trial.visible is not None:
        os.environ[_VISIBLE] = trial.visible
    config = decode(TrainConfig, trial.config)
    if trial.folder not in _kept:
        base = Base(trial.text, Path(trial.folder), "", Path(trial.adapter) if trial.adapter else None)
        model = model_loading.load_for_training(config, base)
        chosen = [parameter for parameter in model.model.parameters() if parameter.requires_grad]
        _kept[trial.folder] = model, model_loading.new_optimizer(config, chosen, model.device)
    loaded, optimizer = _kept[trial.folder]
    rows = collate([Sample(*sample) for sample in trial.samples], 0, loaded.device, packing=config.packing)
    begun = 0.0
    for _ in range(2):
        synchronize(loaded.device)
        begun = time.monotonic()
        with model_loading.autocast(loaded.device):
            summed_loss(loaded.model, rows, config.loss_chunk).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    synchronize(loaded.device)
    peak = torch.cuda.max_memory_reserved() if loaded.device.startswith("cuda") else 0
    return msgspec.json.encode(TrialStep(peak_bytes=peak, seconds=time.monotonic() - begun))


def synchronize(device: str) -> None:
    """Wait for queued GPU work, so that the time measured is real."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
