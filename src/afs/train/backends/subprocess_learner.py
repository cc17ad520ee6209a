"""A learner in a process of its own, perhaps in an environment of its own: calls go over as JSON, the loop stays here.

The guard, the checkpoints and the records are therefore the same for every back end; only files' names and numbers
cross over.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from afs import plugins
from afs.errors import DataError
from afs.process import Worker
from afs.train.learner import Measured, Notify
from afs.types import Json, Value

T = TypeVar("T")
TIMEOUT_S = 3600.0
_KEEP = ("CUDA_VISIBLE_DEVICES", "CUDA_HOME", "HF_HOME", "HF_HUB_OFFLINE", "TRITON_CACHE_DIR", "XDG_CACHE_HOME")
"""Of the environment, beside what every child gets: which card, and where libraries keep their files."""


class RemoteCall(Value, frozen=True, kw_only=True):
    """One call: what to do, with what."""

    do: str
    rows: list[int] = []
    rate: float = 0.0
    micro: int = 0
    folder: str = ""
    weights_only: bool = False
    more: Json = {}


class RemoteAnswer(Value, frozen=True, kw_only=True):
    """Its result, and the events that fell meanwhile."""

    value: msgspec.Raw = msgspec.Raw(b"null")
    events: list[tuple[str, Json]] = []
    micro: int = 0


class Figures(Value, frozen=True, kw_only=True):
    """`Measured` as it goes over: JSON has no word for what is not a number, and the guard must see it."""

    loss: str
    grad_norm: str
    tokens: int
    seen: int

    @classmethod
    def of(cls, measured: Measured) -> Figures:
        """Packed."""
        return cls(
            loss=str(measured.loss), grad_norm=str(measured.grad_norm), tokens=measured.tokens, seen=measured.seen
        )

    def measured(self) -> Measured:
        """Unpacked."""
        return Measured(float(self.loss), float(self.grad_norm), self.tokens, self.seen)


class FarEnd(Protocol):
    """What stands at the other end."""

    micro: int

    def do(self, call: RemoteCall) -> object:
        """Carry out a call."""


class Remote:
    """The near end."""

    def __init__(self, python: str, target: str, notify: Notify) -> None:
        self.notify, self.target, self.micro = notify, target, 0
        self.worker = Worker(f"{__name__}:serve_calls", python=python, inherit=_KEEP)

    def call(self, call: RemoteCall, kind: type[T]) -> T:
        """Send a call, wait, pass its events on."""
        payload = msgspec.json.encode([self.target, msgspec.structs.replace(call, micro=self.micro)])
        outcome = self.worker.call(payload, TIMEOUT_S)
        if outcome.problem:
            self.worker.close()
            raise DataError(f"{self.target.partition(':')[0].rpartition('.')[2]}, {call.do}: {outcome.problem}")
        answer = msgspec.json.decode(outcome.value, type=RemoteAnswer)
        self.micro = answer.micro
        for name, fields in answer.events:
            self.notify(name, **fields)
        return msgspec.json.decode(answer.value, type=kind)


class RemoteSteps:
    """The half of a learner that is the same wherever it runs: steps, saving, and going back."""

    remote: Remote

    @property
    def micro(self) -> int:
        """Samples at once."""
        return self.remote.micro

    @micro.setter
    def micro(self, value: int) -> None:
        self.remote.micro = value

    def gradients(self, rows: Sequence[int]) -> Measured:
        """Forward and backward over one batch; the weights stay."""
        return self.remote.call(RemoteCall(do="gradients", rows=list(rows)), Figures).measured()

    def apply(self, rate: float) -> float:
        """The optimizer's step; the rate it really ran at."""
        return self.remote.call(RemoteCall(do="apply", rate=rate), float)

    def discard(self) -> None:
        """Forget the gradients."""
        self.remote.call(RemoteCall(do="discard"), object)

    def evaluate(self) -> Measured:
        """Loss over the held-out items."""
        return self.remote.call(RemoteCall(do="evaluate"), Figures).measured()

    def save(self, folder: Path) -> None:
        """Everything the next step depends on."""
        self.remote.call(RemoteCall(do="save", folder=str(folder)), object)

    def restore(self, folder: Path, *, weights_only: bool = False) -> None:
        """Back to what `save` wrote."""
        self.remote.call(RemoteCall(do="restore", folder=str(folder), weights_only=weights_only), object)

    def close(self) -> None:
        """End the far end."""
        self.remote.worker.close()


_served: list[FarEnd] = []
_events: list[tuple[str, Json]] = []


def print_event(name: str, **fields: object) -> None:
    """At the far end: keep an event for the answer."""
    _events.append((name, dict(fields)))


def serve_calls(payload: bytes) -> bytes:
    """The far end: the first call makes what serves all of them."""
    target, call = msgspec.json.decode(payload, type=tuple[str, RemoteCall])
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not _served:
        _served.append(plugins.load(target)(call))  # type: ignore[operator]
    served = _served[0]
    if call.micro:
        served.micro = call.micro
    value = served.do(call)
    events, _events[:] = list(_events), []
    answer = RemoteAnswer(value=msgspec.Raw(msgspec.json.encode(value)), events=events, micro=served.micro)
    return msgspec.json.encode(answer)
