"""The interface of a back end: what a model must offer to be trained by the loop. No framework is named here.

The loop decides when; the learner does. Between `gradients` and `apply` the guard may say no, and then `discard` leaves
the weights and the optimizer exactly as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from afs.plugins import PluginTable
from afs.providers.base import Sampling
from afs.train.settings import TrainConfig
from afs.train.training_data import Material
from afs.types import Message, Value

Notify = Callable[..., None]
"""`run.event`: a name and fields."""


class Measured(NamedTuple):
    """What one batch gave."""

    loss: float
    """Mean over the trained tokens."""
    grad_norm: float
    tokens: int
    """Tokens that were trained on."""
    seen: int
    """Tokens read, without padding."""
    extra: Mapping[str, float] = {}
    """Further figures of the method: rewards, margins …"""


class StepTiming(Value, frozen=True, kw_only=True):
    """What a training step was measured to take."""

    seconds: float
    tokens: float
    """Tokens read in a step, without padding."""
    peak_bytes: int
    """The most memory of the process, libraries included."""


class Learner(Protocol):
    """A model in training."""

    lengths: Sequence[int]
    """Tokens of every training item, in the order of the material: what batches are made by."""
    facts: Mapping[str, object]
    """Facts about the model before the first step: parameters, trained share, hashes."""

    def gradients(self, rows: Sequence[int]) -> Measured:
        """Forward and backward over one batch; the weights stay."""

    def apply(self, rate: float) -> float:
        """The optimizer's step; the rate it really ran at."""

    def discard(self) -> None:
        """Forget the gradients."""

    def evaluate(self) -> Measured:
        """Loss over the held-out items."""

    def answer(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[str]:
        """Answers of the model as it is now."""

    def save(self, folder: Path) -> None:
        """Weights in training, optimizer, random states: everything the next step depends on."""

    def restore(self, folder: Path, *, weights_only: bool = False) -> None:
        """Back to what `save` wrote; `weights_only` leaves the optimizer and the random states."""

    def export(self, folder: Path) -> Mapping[str, object]:
        """Write the model as an artifact's files and return facts measured from them."""

    def close(self) -> None:
        """End what was started beside this process."""


class Backend(Protocol):
    """What a trainer plug-in is: it makes a learner."""

    def __call__(self, config: TrainConfig, material: Material, notify: Notify) -> Learner:
        """Load or make the model, encode the material, refuse what cannot be trained on."""

    def refuse(self, config: TrainConfig) -> None:
        """Raise what this back end or its libraries cannot do, before anything is read or loaded."""


BACKENDS = PluginTable[Backend]("trainer")
"""Every back end by its name."""
