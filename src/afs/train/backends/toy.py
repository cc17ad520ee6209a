"""The smallest learner: a bigram table of bytes, trained by gradient descent without torch.

It shows what a back end must do, and lets the loop, the guard and the checkpoints be tested in milliseconds. It learns
no skill anybody would want.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from afs import datasets
from afs.errors import ConfigError
from afs.providers.base import Sampling
from afs.train.learner import Measured, Notify
from afs.train.settings import TrainConfig
from afs.train.training_data import Material
from afs.types import Message, Record

_END = 0
Table = npt.NDArray[np.float64]


class ToyBackend:
    """A bigram table; see `afs.train.learner.Learner`."""

    def __init__(self, config: TrainConfig, material: Material, notify: Notify) -> None:
        self.refuse(config)
        self.config = config
        self.items = [byte_pairs(record) for record in material.train]
        self.held_out = [byte_pairs(record) for record in material.held_out[: config.evaluate.samples]]
        self.lengths = [len(item) for item in self.items]
        self.table: Table = np.zeros((256, 256))
        self.moved: Table = np.zeros((256, 256))
        self.gradient: Table | None = None
        self.facts: Mapping[str, object] = {
            "all_parameters": self.table.size,
            "template_sha256": hashlib.sha256(b"toy").hexdigest(),
        }

    @staticmethod
    def refuse(config: TrainConfig) -> None:
        """Refuse everything but models from scratch."""
        if config.method != "scratch":
            raise ConfigError("method", "the toy back end only trains from scratch")

    def gradients(self, rows: Sequence[int]) -> Measured:
        """Mean loss of the next byte and its gradient."""
        pairs = np.concatenate([self.items[row] for row in rows])
        loss, gradient = pair_loss(self.table, pairs)
        norm = float(np.linalg.norm(gradient))
        self.gradient = gradient * min(1.0, self.config.max_grad_norm / max(norm, 1e-12))
        return Measured(loss, norm, len(pairs), len(pairs))

    def apply(self, rate: float) -> float:
        """A step with momentum."""
        assert self.gradient is not None
        self.moved = 0.9 * self.moved + self.gradient
        self.table -= rate * self.moved
        self.gradient = None
        return rate

    def discard(self) -> None:
        """Forget the gradient."""
        self.gradient = None

    def evaluate(self) -> Measured:
        """Mean loss over the held-out answers."""
        pairs = np.concatenate(self.held_out)
        return Measured(pair_loss(self.table, pairs)[0], 0.0, len(pairs), len(pairs))

    def answer(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[str]:
        """The likeliest bytes after the question's last one."""
        return [self._answer(conversation[-1].text, sampling.max_tokens) for conversation in conversations]

    def _answer(self, question: str, longest: int) -> str:
        last, found = question.encode()[-1] if question else _END, bytearray()
        while len(found) < longest:
            last = int(self.table[last].argmax())
            if last == _END:
                break
            found.append(last)
        return found.decode("utf-8", "replace")

    def save(self, folder: Path) -> None:
        """Table and momentum."""
        np.save(folder / "table.npy", self.table, allow_pickle=False)
        np.save(folder / "moved.npy", self.moved, allow_pickle=False)

    def restore(self, folder: Path, *, weights_only: bool = False) -> None:
        """Back to what was saved."""
        self.table = np.load(folder / "table.npy", allow_pickle=False)
        if not weights_only:
            self.moved = np.load(folder / "moved.npy", allow_pickle=False)
        self.discard()

    def export(self, folder: Path) -> Mapping[str, object]:
        """The table."""
        np.save(folder / "table.npy", self.table, allow_pickle=False)
        return {"parameters": self.table.size}

    def close(self) -> None:
        """Nothing was started."""


def byte_pairs(record: Record) -> npt.NDArray[np.intp]:
    """(byte, next byte) of the answer, from the question's last byte to the end mark."""
    text = datasets.question_text(record).encode()[-1:] + datasets.answer_text(record).encode() + bytes([_END])
    return np.array(list(itertools.pairwise(text)), dtype=np.intp)


def pair_loss(table: Table, pairs: npt.NDArray[np.intp]) -> tuple[float, Table]:
    rows = table[pairs[:, 0]]
    chances = np.exp(rows - rows.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    places = np.arange(len(pairs))
    loss = float(-np.log(chances[places, pairs[:, 1]]).mean())
    chances[places, pairs[:, 1]] -= 1
    gradient = np.zeros_like(table)
    np.add.at(gradient, pairs[:, 0], chances / len(pairs))
    return loss, gradient
