"""How a verb's work is divided: in this process and its workers, over the shards of a shell loop or Slurm, or over Ray.

A shard does its part of the pieces and leaves the results in the workspace; joining reads them all. Which pieces a
shard takes depends on their order alone, so that shards need not talk to each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple, Protocol

from afs import plugins
from afs.config import Config
from afs.errors import ConfigError, DataError
from afs.process import CallOutcome, Workers
from afs.types import Value

MOST_SHARDS = 100_000
_SHARDS = re.compile(r"(all|[1-9][0-9]*)/([1-9][0-9]*)")


class DividedWork(Config, frozen=True, kw_only=True):
    """Options of a verb whose work can be divided."""

    shards: str = ""
    """`3/8`: do the third of eight parts and stop; `all/8`: join the parts that eight such commands did."""
    engine: Literal["embedded", "ray"] = "embedded"
    """Who works: this process and its workers, or a Ray cluster (extra `ray`). The output is the same."""
    address: str = ""
    """Address of a running Ray cluster, such as `auto` or `10.0.0.1:6379`; empty: one on this machine."""

    def late_needs(self) -> Iterator[tuple[str, str]]:
        """Ray, when it is asked for."""
        if self.engine == "ray":
            yield "package", "ray"


class ShardNumber(NamedTuple):
    """Which part of the work is meant: `number` of `total`; 0 stands for joining all of them."""

    number: int
    total: int

    @property
    def is_join(self) -> bool:
        """Whether the parts are to be joined."""
        return not self.number

    def takes(self, piece: int) -> bool:
        """Whether this shard does the piece with this number."""
        return piece % self.total == self.number - 1

    def __str__(self) -> str:
        return f"{self.number or 'all'}/{self.total}"


class ShardReport(Value, frozen=True, kw_only=True):
    """What a shard did."""

    shards: str
    pieces: int
    """Pieces of the shard."""
    done: int
    """Pieces done now; the others were done before."""
    unit: str
    join: str
    """The command that joins all shards."""

    def text(self) -> str:
        """One line, and how to join."""
        before = f", {self.pieces - self.done} of them before" if self.done < self.pieces else ""
        return f"shard {self.shards}: {self.pieces} {self.unit} done{before}\nwhen all shards are done: {self.join}"


class TaskWorkers(Protocol):
    """Workers that call one function (bytes -> bytes) for many payloads."""

    def map(self, payloads: Iterable[bytes]) -> Iterator[CallOutcome]:
        """Outcomes in the order of the payloads."""


class OpenEngine(Protocol):
    """Another engine: opens workers for a function."""

    def __call__(
        self, function: str, *, address: str, timeout_s: float, memory_mb: int = 0
    ) -> AbstractContextManager[TaskWorkers]:
        """Workers that stop when the block ends."""


def parse_shards(config: DividedWork) -> ShardNumber | None:
    """The part that `shards` names; None when the work is not divided this way."""
    if not config.shards:
        return None
    match = _SHARDS.fullmatch(config.shards)
    number, total = (0 if match[1] == "all" else int(match[1]), int(match[2])) if match else (0, 0)
    if not match or number > total or total > MOST_SHARDS:
        raise ConfigError("shards", f"want 3/8 (the third of eight parts) or all/8 (join them), got {config.shards!r}")
    if config.engine != "embedded":
        raise ConfigError("shards", f"cannot be used with engine {config.engine!r}, which divides the work itself")
    return ShardNumber(number, total)


class _ThisProcess:
    """One worker is this process itself."""

    def __init__(self, function: str) -> None:
        self._function = plugins.Late[Callable[[bytes], bytes]](function)

    def map(self, payloads: Iterable[bytes]) -> Iterator[CallOutcome]:
        """Outcomes in the order of the payloads; an error is raised as it is."""
        function = self._function.load()
        return (CallOutcome(function(payload)) for payload in payloads)


def open_workers(
    config: DividedWork, function: str, *, jobs: int, timeout_s: float
) -> AbstractContextManager[TaskWorkers]:
    """Workers of the config's engine."""
    if config.engine == "embedded" and jobs < 2:
        return nullcontext(_ThisProcess(function))
    if config.engine == "embedded":
        return Workers(function, jobs=jobs, timeout_s=timeout_s)
    return plugins.PluginTable[OpenEngine]("engine").find(config.engine)(
        function, address=config.address, timeout_s=timeout_s
    )


def require_pieces(missing: Collection[int], share: ShardNumber, work: str) -> None:
    """Raise when pieces are missing, naming the shards that have not done them."""
    if not missing:
        return
    numbers = sorted({piece % share.total + 1 for piece in missing})
    listed = ", ".join(f"{number}/{share.total}" for number in numbers[:20])
    more = f" and {len(numbers) - 20} more" if len(numbers) > 20 else ""
    one = len(numbers) == 1
    raise DataError(
        f"{len(missing)} {work} of shard{'' if one else 's'} {listed}{more} missing; run the same command with "
        f"--shards {numbers[0]}/{share.total}{'' if one else ' (and the others)'}, then join again"
    )
