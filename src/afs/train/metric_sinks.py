"""TensorBoard files beside the events, when tensorboard is installed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

from afs import plugins
from afs.errors import MissingError
from afs.runs import Run
from afs.train.settings import TrainConfig
from afs.train.telemetry import Sink


class EventWriter(Protocol):
    def add_event(self, event: object) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


@contextmanager
def open_sinks(config: TrainConfig, run: Run) -> Iterator[Sequence[Sink]]:
    """The sinks a config asks for, closed when the block ends."""
    if not config.tensorboard:
        yield ()
        return
    try:
        board = TensorBoardSink(run)
    except (MissingError, ModuleNotFoundError):
        run.event("notice", text="no TensorBoard files: pip install tensorboard")
        yield ()
        return
    try:
        yield (board,)
    finally:
        board.writer.close()


class TensorBoardSink:
    """Scalars as TensorBoard events, without torch."""

    def __init__(self, run: Run) -> None:
        make = plugins.load("tensorboard.summary.writer.event_file_writer:EventFileWriter")
        self._event = plugins.load("tensorboard.compat.proto.event_pb2:Event")
        self._summary = plugins.load("tensorboard.compat.proto.summary_pb2:Summary")
        self.writer = cast(EventWriter, make(str(run.folder / "tensorboard")))  # type: ignore[operator]

    def __call__(self, what: str, step: int, figures: Mapping[str, float]) -> None:
        value = self._summary.Value  # type: ignore[attr-defined]
        values = [value(tag=f"{what}/{name}", simple_value=number) for name, number in figures.items()]
        summary = self._summary(value=values)  # type: ignore[operator]
        self.writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))  # type: ignore[operator]
