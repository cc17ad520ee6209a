"""Three real steps on the CPU, in a child process: so that a plan measures time and memory there."""

from __future__ import annotations

import random
import resource
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch

from afs.config import decode, to_table
from afs.errors import DataError
from afs.models import Base
from afs.process import Worker
from afs.train.backends import model_loading
from afs.train.backends.token_encoding import Sample
from afs.train.backends.token_loss import collate, summed_loss
from afs.train.learner import StepTiming
from afs.train.settings import TrainConfig
from afs.types import Value

STEPS = 3
TIMEOUT_S = 900.0
_TRAINED = 3
"""One token in so many is trained on: questions are longer than their answers."""


class TimingRequest(Value, frozen=True, kw_only=True):
    """What the child is asked."""

    config: dict[str, object]
    folder: str
    batches: list[list[int]]
    """Lengths of the samples of each step."""


def time_cpu_steps(config: TrainConfig, folder: Path, counts: Sequence[int]) -> StepTiming:
    """Run three steps of a config over random tokens with the lengths of real samples."""
    drawn = random.Random(0)
    batches = [sorted(drawn.choices(counts, k=config.batch_size)) for _ in range(STEPS)]
    batches[0][-1] = max(counts)
    request = TimingRequest(config=to_table(config), folder=str(folder), batches=batches)
    worker = Worker(f"{__name__}:run_steps", inherit=("OMP_NUM_THREADS",))
    try:
        outcome = worker.call(msgspec.json.encode(request), TIMEOUT_S)
    finally:
        worker.close()
    if outcome.problem:
        raise DataError(f"three measured steps: {outcome.problem}")
    return msgspec.json.decode(outcome.value, type=StepTiming)


def run_steps(payload: bytes) -> bytes:
    """In the child: the steps, their time, and the most memory the process took."""
    request = msgspec.json.decode(payload, type=TimingRequest)
    config = decode(TrainConfig, request.config)
    loaded = model_loading.load_for_training(config, Base("", Path(request.folder), ""))
    loaded.model.train()
    chosen = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
    optimizer = model_loading.new_optimizer(config, chosen, "cpu")
    seconds = [one_step(config, loaded.model, optimizer, lengths) for lengths in request.batches]
    tokens = statistics.fmean(sum(lengths) for lengths in request.batches[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    timing = StepTiming(seconds=statistics.fmean(seconds[1:]), tokens=tokens, peak_bytes=peak)
    return msgspec.json.encode(timing)


def one_step(
    config: TrainConfig, model: torch.nn.Module, optimizer: torch.optim.Optimizer, lengths: Sequence[int]
) -> float:
    """Seconds of one whole step; by processor time, which another program's load does not stretch."""
    begun = time.process_time()
    micro = config.micro_batch or config.batch_size
    samples = [
        Sample(torch.randint(3, 200, (length,)).tolist(), [place % _TRAINED == 0 for place in range(length)])
        for length in lengths
    ]
    for start in range(0, len(samples), micro):
        rows = collate(samples[start : start + micro], 0, "cpu", packing=config.packing)
        summed_loss(model, rows, config.loss_chunk).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float((time.process_time() - begun) / max(1, torch.get_num_threads()))
