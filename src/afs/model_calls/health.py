"""Health of machines of one's own: each is asked now and then for its list of models, which costs nothing.

A machine that is down, or that no longer serves the model it is called for, is closed before a call fails on it, and
one that came back is called again at once. The council and the campaigns use it; what is behind a key and a bill is
never polled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from afs.errors import ProviderError
from afs.http import Client, HttpError
from afs.model_calls.target import Target
from afs.providers.model_lists import is_listed, is_same_model, read_names

POLL_S = 10.0
"""Between two questions to one machine."""
_ANSWER_S = 3.0
_PATHS = {"Ollama": "api/tags"}
"""Where a server lists its models; `models` under OpenAI's API."""


class Health(NamedTuple):
    """What the last poll of a machine found."""

    is_up: bool
    at: float
    """Moment of `time.monotonic`."""
    seconds: float = 0.0
    reason: str = ""
    models: tuple[str, ...] = ()
    """What it says it serves; empty: it does not say."""


class HealthPoller:
    """Polls addresses in one thread until it is closed."""

    def __init__(
        self, addresses: Mapping[str, str], *, every_s: float = POLL_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._addresses, self._every, self._clock = dict(addresses), every_s, clock
        self.found: dict[str, Health] = {}
        """Address -> what was found last; replaced whole, so any thread may read it."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name="health", daemon=True)
        if self._addresses:
            self._thread.start()

    def poll(self) -> None:
        """Ask every address once."""
        self.found = {address: self._ask(address, path) for address, path in self._addresses.items()}

    def _ask(self, address: str, path: str) -> Health:
        started = self._clock()
        try:
            with Client(address, timeout_s=_ANSWER_S, connect_s=_ANSWER_S) as client:
                answer = client.request("GET", path)
        except (HttpError, ProviderError) as error:
            return Health(False, self._clock(), reason=f"health check: {error}")
        is_up = answer.status < 500  # 401 or 404: it lives, and has its reasons
        reason = "" if is_up else f"health check: HTTP {answer.status}"
        models = _names_in(answer.body) if answer.status == 200 else ()
        return Health(is_up, self._clock(), self._clock() - started, reason, models)

    def _work(self) -> None:
        while not self._end.is_set():
            self.poll()
            self._end.wait(self._every)

    def close(self) -> None:
        """No more polls."""
        self._end.set()
        if self._addresses:
            self._thread.join(1.0)  # a machine that hangs is not waited for

    def __enter__(self) -> HealthPoller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def apply(self, targets: Iterable[Target]) -> None:
        """Close targets on machines that are down, and open those whose machine came back."""
        for target in targets:
            health = self.found.get(address_of(target)) if target.is_own else None
            if health is None:
                continue
            if problem := health.reason or missing_model(target, health.models):
                target.close(health.at + 2 * self._every, problem)
            elif target.closed_until > health.at and target.is_down:
                target.reopen()


def missing_model(target: Target, served: tuple[str, ...]) -> str:
    """Why a machine that lives is not the one that was meant; empty when it is."""
    model = str(getattr(target.provider, "model", ""))
    if not served or not model or is_listed(model, served) or any(is_same_model(model, name) for name in served):
        return ""
    return f"health check: {target.name}: this machine serves {', '.join(served[:5])}, not {model}"


def _names_in(body: bytes) -> tuple[str, ...]:
    try:
        return read_names(msgspec.json.decode(body, type=dict[str, Any]))
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return ()


def address_of(target: Target) -> str:
    """The address a target's machine answers at; empty for what runs in this process."""
    client = getattr(getattr(target.provider, "api", None), "client", None)
    return client.base_url if isinstance(client, Client) else ""


def poller_for(targets: Iterable[Target], *, every_s: float = POLL_S) -> HealthPoller:
    """A poller of every machine of one's own among the targets."""
    own = [target for target in targets if target.is_own and address_of(target)]
    paths = {address_of(target): _PATHS.get(type(target.provider).__name__, "models") for target in own}
    return HealthPoller(paths, every_s=every_s)
