"""The reference back end in several processes, as `torchrun` and `accelerate launch` start them: data parallelism.

Every process holds the whole model and takes a part of each batch; gradients are summed, so that the step is that of
one process. The first process runs the loop, the guard and the checkpoints; the others do as it says. A checkpoint
knows nothing of how many there were.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import cast

import msgspec
import torch
import torch.distributed as dist

from afs.errors import ConfigError, DataError, boundary
from afs.train.backends.hf import OBJECTIVES, HfBackend
from afs.train.backends.subprocess_learner import RemoteCall
from afs.train.backends.unsloth import encode_material
from afs.train.backends.worker import decode_material
from afs.train.learner import Measured, Notify
from afs.train.settings import TrainConfig
from afs.train.training_data import Material

_PATIENCE = timedelta(hours=12)
"""How long a process waits for the others, whose evaluation may take long; a dead one is noticed at once."""
_BUCKET = 8 << 20
"""Numbers that are summed over the processes at once."""


class RankedBackend(HfBackend):
    """One of several processes that train one model."""

    def __init__(self, config: TrainConfig, material: Material, notify: Notify) -> None:
        self.refuse(config)
        join_group()
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        if self.rank == 0:
            _send(RemoteCall(do="begin", more=encode_material(config, material)))
        super().__init__(config, material, notify)
        self.facts = {**self.facts, "processes": self.world}

    @staticmethod
    def refuse(config: TrainConfig) -> None:
        """What is learned otherwise than from answers is not divided."""
        HfBackend.refuse(config)
        if OBJECTIVES.get(config.method) != OBJECTIVES["lora"]:
            raise ConfigError("method", f"{config.method!r} trains in one process; several can do: full, lora, scratch")

    def gradients(self, rows: Sequence[int]) -> Measured:
        """The gradients of a batch, of which every process computes its part."""
        self._lead(RemoteCall(do="gradients", rows=list(rows)))
        if self.rank:
            torch.manual_seed(random.Random(f"{self.config.seed}:{self.rank}:{list(rows)}").getrandbits(63))
        with boundary(DataError, "another process of the run"):
            return super().gradients(rows)

    def own_rows(self, rows: Sequence[int]) -> Sequence[int]:
        """The part of a batch that is this process's."""
        return rows[self.rank :: self.world]

    def combine(self, measured: Measured) -> Measured:
        """Loss and gradients of the whole batch: the mean over its tokens, whoever had them."""
        own = measured.tokens
        sums = torch.tensor([own, measured.seen, measured.loss * own], dtype=torch.float64)
        dist.all_reduce(sums)
        tokens, seen, loss = sums.tolist()
        for bucket in self._buckets():
            flat = torch.cat([_gradient(tensor).reshape(-1) for tensor in bucket]) * (own / max(1.0, tokens))
            dist.all_reduce(flat)
            for tensor, part in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
                tensor.grad = part.view_as(tensor).clone()
        return measured._replace(tokens=int(tokens), seen=int(seen), loss=loss / max(1.0, tokens))

    def _buckets(self) -> list[list[torch.nn.Parameter]]:
        """The trained tensors, in groups of one type that are summed together."""
        found: list[list[torch.nn.Parameter]] = []
        size = 0
        for tensor in self.named.values():
            if not found or size + tensor.numel() > _BUCKET or found[-1][0].dtype != tensor.dtype:
                found.append([])
                size = 0
            found[-1].append(tensor)
            size += tensor.numel()
        return found

    def apply(self, rate: float) -> float:
        """The optimizer's step, the same in every process."""
        self._lead(RemoteCall(do="apply", rate=rate))
        return super().apply(rate)

    def discard(self) -> None:
        """Forget the gradients, everywhere."""
        self._lead(RemoteCall(do="discard"))
        super().discard()

    def restore(self, folder: Path, *, weights_only: bool = False) -> None:
        """Back to a saved state, everywhere: all processes must see the folder."""
        self._lead(RemoteCall(do="restore", folder=str(folder.resolve()), weights_only=weights_only))
        super().restore(folder, weights_only=weights_only)

    def close(self) -> None:
        """End the part of the other processes."""
        if self.rank == 0:
            dismiss()

    def _lead(self, call: RemoteCall) -> None:
        """The first process says what all do now."""
        if self.rank == 0:
            _send(call)


def _gradient(tensor: torch.nn.Parameter) -> torch.Tensor:
    return tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)


def follow(_config: TrainConfig) -> None:
    """What every further process does instead of the verb: what the first one says, until it says that it is over."""
    join_group()
    learner: RankedBackend | None = None
    while (call := _receive()).do != "close":
        if call.do == "begin":
            learner = RankedBackend(*decode_material(call.more), _say_nothing)
        elif learner is not None:
            _carry_out(call, learner)
    dist.destroy_process_group()


def _carry_out(call: RemoteCall, learner: RankedBackend) -> None:
    if call.do == "gradients":
        learner.gradients(call.rows)
    elif call.do == "apply":
        learner.apply(call.rate)
    elif call.do == "discard":
        learner.discard()
    elif call.do == "restore":
        learner.restore(Path(call.folder), weights_only=call.weights_only)


def _say_nothing(_name: str, **_fields: object) -> None:
    """Events are the first process's."""


_over: list[bool] = []


def dismiss() -> None:
    """The first process lets the others end, also when there was nothing to train."""
    if _over:
        return
    _over.append(True)
    with suppress(DataError):  # a process that died needs no word
        join_group()
        _send(RemoteCall(do="close"))
        dist.destroy_process_group()


def join_group() -> None:
    """Meet the other processes; each has the card of its local number."""
    if dist.is_initialized():
        return
    on_cards = torch.cuda.is_available()
    if on_cards:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    with boundary(DataError, "the processes of the run cannot meet"):
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_cards else "gloo", timeout=_PATIENCE)


def _send(call: RemoteCall) -> None:
    with boundary(DataError, "another process of the run ended"):
        dist.broadcast_object_list([msgspec.json.encode(call)], src=0)


def _receive() -> RemoteCall:
    box: list[object] = [None]
    with boundary(DataError, "the first process of the run ended"):
        dist.broadcast_object_list(box, src=0)
    return msgspec.json.decode(cast(bytes, box[0]), type=RemoteCall)
