"""Workers on a Ray cluster: Ray Core tasks that call the same functions with the same payloads as our own workers.

Ray runs a task again when its worker or its machine dies. Needs the extra `ray`, loaded when workers open.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast

from afs import plugins
from afs.errors import ProcessError, boundary
from afs.process import CallOutcome, safe_environment

_TRIES = 5
"""How often a task whose worker died is run again; one that kills five workers would kill the sixth."""
_WAITING_PER_CORE = 2
_STORE_BYTES = 256 << 20
"""Object store of a cluster on this machine: payloads and results are small, records stay in files."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def run_task(function: str, payload: bytes) -> tuple[bytes, str]:
    """A task: (result, "") or (nothing, the problem), as a worker of ours answers."""
    try:
        return cast(Callable[[bytes], bytes], plugins.load(function))(payload), ""
    except MemoryError:
        return b"", "out of memory"
    except BaseException as error:  # noqa: BLE001  the caller decides what it means
        return b"", f"{type(error).__name__}: {error}"


class RayWorkers:
    """Calls one function for many payloads on a cluster."""

    def __init__(self, ray: ModuleType, function: str, timeout_s: float) -> None:
        self._ray, self.function, self.timeout_s = ray, function, timeout_s
        self._task = ray.remote(num_cpus=1, max_retries=_TRIES)(run_task)

    def map(self, payloads: Iterable[bytes]) -> Iterator[CallOutcome]:
        """Outcomes in the order of the payloads, with a bounded number in flight."""
        most = max(2, _WAITING_PER_CORE * int(self._ray.cluster_resources().get("CPU", 1)))
        waiting: deque[object] = deque()
        for payload in payloads:
            waiting.append(self._task.remote(self.function, payload))
            if len(waiting) >= most:
                yield self._outcome(waiting.popleft())
        while waiting:
            yield self._outcome(waiting.popleft())

    def _outcome(self, reference: object) -> CallOutcome:
        try:
            return CallOutcome(*self._ray.get(reference, timeout=self.timeout_s))
        except self._ray.exceptions.GetTimeoutError:
            self._ray.cancel(reference, force=True)
            return CallOutcome(b"", f"took longer than {self.timeout_s:g} s")
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines()
            return CallOutcome(b"", f"{type(error).__name__}: {lines[-1] if lines else 'no reason is given'}")


@contextmanager
def open_workers(function: str, *, address: str, timeout_s: float, memory_mb: int = 0) -> Iterator[RayWorkers]:
    """Workers of the cluster at `address`, or of one that lives as long as the block."""
    plugins.require([("package", "ray")])
    ray = importlib.import_module("ray")
    if ray.is_initialized():
        yield RayWorkers(ray, function, timeout_s)
        return
    _connect(ray, address, memory_mb)
    try:
        yield RayWorkers(ray, function, timeout_s)
    finally:
        ray.shutdown()


def _connect(ray: ModuleType, address: str, memory_mb: int) -> None:
    """Join a cluster, or start one whose processes inherit no keys."""
    options: dict[str, object] = {"log_to_driver": False, "logging_level": "ERROR"}
    with boundary(ProcessError, f"ray {address or 'on this machine'}"):
        if address:
            ray.init(address=address, **options)
            return
        with _safe_environment():
            ray.init(
                include_dashboard=False,
                num_cpus=len(os.sched_getaffinity(0)),
                object_store_memory=(memory_mb << 20) or _STORE_BYTES,
                _node_ip_address="127.0.0.1",
                **options,
            )


@contextmanager
def _safe_environment() -> Iterator[None]:
    """While Ray starts its processes, the environment they inherit."""
    before = dict(os.environ)
    path = os.pathsep.join(place for place in sys.path if place)
    inherited = safe_environment({**_QUIET, "OMP_NUM_THREADS": "1", "PYTHONPATH": path})
    os.environ.clear()
    os.environ.update(inherited)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
