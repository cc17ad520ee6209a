"""Unsloth in an environment of its own: its pins exclude the libraries used here. It wants a GPU.

Its model, kernels and loss do the steps; schedule, guard, checkpoints and records are ours. What it does not do is
refused before anything is loaded; `afs doctor` lists it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from afs.config import to_table
from afs.errors import ConfigError
from afs.providers.base import Sampling
from afs.train.backend_environments import SFT, environment_python
from afs.train.backends.subprocess_learner import Remote, RemoteCall, RemoteSteps
from afs.train.learner import Notify
from afs.train.settings import TrainConfig
from afs.train.training_data import Material
from afs.types import Json, Message, Value

TARGET = "afs.train.backends.unsloth_learner:ServedUnsloth"


class RemoteStart(Value, frozen=True, kw_only=True):
    """What the far end says of the model it has loaded."""

    lengths: list[int]
    facts: Json


class UnslothBackend(RemoteSteps):
    """A model in training at the far end; see `afs.train.learner.Learner`."""

    def __init__(self, config: TrainConfig, material: Material, notify: Notify) -> None:
        self.refuse(config)
        self.remote = Remote(environment_python("unsloth", config.environment, "unsloth"), self.target(), notify)
        begun = self.remote.call(RemoteCall(do="begin", more=encode_material(config, material)), RemoteStart)
        self.lengths: Sequence[int] = begun.lengths
        self.facts: Mapping[str, object] = begun.facts

    @staticmethod
    def target() -> str:
        """What stands at the far end."""
        return TARGET

    @staticmethod
    def refuse(config: TrainConfig) -> None:
        """What Unsloth does not do here."""
        if config.method not in SFT:
            raise ConfigError("trainer", f"unsloth does {', '.join(SFT)}; {config.method!r} is done by hf")
        unsupported = {
            "packing": config.packing,
            "neftune": config.neftune,
            "lora.dora": config.lora.dora,
            "lora.last_layers": config.lora.last_layers,
        }
        for name, asked in unsupported.items():
            if asked:
                raise ConfigError(name, "not with unsloth; hf does it")
        environment_python("unsloth", config.environment, "unsloth")

    def answer(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[str]:
        """Answers of the model as it is now."""
        more = {"conversations": msgspec.to_builtins(conversations), "sampling": msgspec.to_builtins(sampling)}
        return self.remote.call(RemoteCall(do="answer", more=more), list[str])

    def export(self, folder: Path) -> Mapping[str, object]:
        """Write the model as an artifact's files."""
        return self.remote.call(RemoteCall(do="export", folder=str(folder)), dict[str, object])


def encode_material(config: TrainConfig, material: Material) -> Json:
    """Config and material as they go over."""
    base = material.base
    return {
        "config": to_table(config),
        "train": msgspec.to_builtins(list(material.train)),
        "held_out": msgspec.to_builtins(list(material.held_out)),
        "base": [base.text, str(base.folder or ""), base.digest, str(base.adapter or "")],
        "dataset": msgspec.to_builtins(material.dataset),
        "digest": material.digest,
    }
