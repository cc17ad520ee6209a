"""The far end of a back end that has torch: unpacks config and material, and carries out calls on a learner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from afs.config import decode
from afs.models import Base
from afs.providers.base import Sampling
from afs.train.backends.hf import HfBackend
from afs.train.backends.subprocess_learner import Figures, RemoteCall, print_event
from afs.train.learner import Notify
from afs.train.settings import TrainConfig
from afs.train.training_data import Material
from afs.types import Dataset, Json, Message, Record

Make = Callable[[TrainConfig, Material, Notify], HfBackend]


class ServedLearner:
    """A learner that is called from another process."""

    def __init__(self, call: RemoteCall, make: Make = HfBackend) -> None:
        config, material = decode_material(call.more)
        self.learner = make(config, material, print_event)

    @property
    def micro(self) -> int:
        """Samples at once."""
        return self.learner.micro

    @micro.setter
    def micro(self, value: int) -> None:
        self.learner.micro = value

    def do(self, call: RemoteCall) -> object:
        """Carry out a call."""
        learner, folder = self.learner, Path(call.folder)
        if call.do == "begin":
            return {"lengths": list(learner.lengths), "facts": learner.facts}
        if call.do == "gradients":
            return Figures.of(learner.gradients(call.rows))
        if call.do == "apply":
            return learner.apply(call.rate)
        if call.do == "evaluate":
            return Figures.of(learner.evaluate())
        if call.do == "answer":
            conversations = msgspec.convert(call.more["conversations"], list[list[Message]])
            return learner.answer(conversations, msgspec.convert(call.more["sampling"], Sampling))
        if call.do == "export":
            return learner.export(folder)
        if call.do == "save":
            learner.save(folder)
        if call.do == "restore":
            learner.restore(folder, weights_only=call.weights_only)
        if call.do == "discard":
            learner.discard()
        return None


def decode_material(more: Json) -> tuple[TrainConfig, Material]:
    """Config and material as they came over; nothing here learns from verdicts."""
    text, folder, key, adapter = msgspec.convert(more["base"], tuple[str, str, str, str])
    base = Base(text, Path(folder) if folder else None, key, Path(adapter) if adapter else None)
    material = Material(
        msgspec.convert(more["train"], list[Record]),
        msgspec.convert(more["held_out"], list[Record]),
        base,
        str(more["digest"]),
        msgspec.convert(more["dataset"], Dataset),
        (),
        lambda _: [],
    )
    return decode(TrainConfig, msgspec.convert(more["config"], dict[str, object])), material
