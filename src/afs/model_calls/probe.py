"""Each model is tried once before a campaign spends anything: does it exist, and does it take what will be sent?

The free list of models names a misspelt one; one small call with the campaign's own fields finds what a model does not
take. What was found is kept in the workspace's cache, so that it is asked once a week and not once a run.
"""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from afs import jsonl
from afs.errors import AfsError, ConfigError
from afs.model_calls.budget import Budget
from afs.model_calls.outage_check import small_call
from afs.model_calls.store import CallStore
from afs.model_calls.target import Target
from afs.model_calls.target_pool import end_of
from afs.plugins import suggest_name
from afs.providers.base import Sampling
from afs.providers.capabilities import Capabilities
from afs.providers.failures import CallError
from afs.providers.model_lists import is_listed, listed_models
from afs.types import Value, digest

FILE = Path("cache", "models.json")
KEPT_S = 7 * 86400.0
"""Providers change what a model takes, and switch models off."""
NOTICE_DAYS = 30
_ROUNDS = 4
"""Fields a model may refuse one after the other."""
_WORDS = (
    ("temperature", re.compile(r"temperature|top_?p", re.I)),
    ("seed", re.compile(r"\bseed\b", re.I)),
    ("length_field", re.compile(r"max_completion_tokens", re.I)),
)
"""Fields that are left out when a model refuses them; without any other field a campaign would be another."""


class KnownModel(Value, frozen=True, kw_only=True):
    """What the probe of one model found."""

    model: str
    checked: float
    capabilities: Capabilities


class Prober:
    """Probes the models of a run."""

    def __init__(self, root: Path, store: CallStore, budget: Budget, event: Callable[..., None]) -> None:
        self._root, self._path = root, root / FILE
        self._store, self._budget, self._event = store, budget, event
        self._known = _read(self._path)

    def check(self, targets: Iterable[Target], sampling: Sampling) -> None:
        """Every model behind HTTP; raises for the first that cannot be used."""
        for target in targets:
            provider = target.provider
            self._say_end(target)
            if not hasattr(provider, "api") or not hasattr(provider, "request"):
                continue
            key = _key(target, sampling)
            known = self._known.get(key)
            if known is None or time.time() - known.checked > KEPT_S:
                if not self._probe(target, sampling):
                    continue  # an outage says nothing of the model
                found = getattr(provider, "capabilities", Capabilities())
                known = KnownModel(model=target.name, checked=time.time(), capabilities=found)
                self._known[key] = known
                jsonl.replace(self._path, msgspec.json.format(msgspec.json.encode(self._known), indent=1))
            if hasattr(provider, "capabilities"):
                provider.capabilities = known.capabilities
            self._say_thinking(target, sampling, known.capabilities)

    def _probe(self, target: Target, sampling: Sampling) -> bool:
        """Whether the model answered; what it does not take is left out from now on."""
        refuse_unlisted(target)
        tried = msgspec.structs.replace(sampling, max_tokens=16, stop=())
        for _ in range(_ROUNDS):
            problem = small_call(target, self._store, self._budget, tried)
            if problem is None:
                return True
            if not isinstance(problem, CallError) or problem.kind not in ("unusable", "task"):
                return False
            if not self._leave_out(target, str(problem)):
                raise ConfigError("teacher", f"{problem}. Nothing was asked of it but this probe")
        return False

    def _leave_out(self, target: Target, problem: str) -> bool:
        capabilities = getattr(target.provider, "capabilities", None)
        if not isinstance(capabilities, Capabilities):
            return False
        for field, words in _WORDS:
            value: object = "max_completion_tokens" if field == "length_field" else False
            if words.search(problem) and getattr(capabilities, field) != value:
                found = msgspec.structs.replace(capabilities, **{field: value})
                target.provider.capabilities = found  # type: ignore[attr-defined]
                text = f"does not take {field}, so it is not sent" if value is False else f"wants {value}"
                self._event("notice", text=f"{target.name} {text}")
                return True
        return False

    def _say_end(self, target: Target) -> None:
        ends = end_of(self._root, target.name, target.name)
        if ends is not None and (left := (ends - datetime.date.today()).days) <= NOTICE_DAYS:
            self._event("notice", text=f"{target.name} is switched off on {ends}, in {left} days")

    def _say_thinking(self, target: Target, sampling: Sampling, capabilities: Capabilities) -> None:
        if capabilities.thinks and sampling.effort != "none" and sampling.max_tokens < 1024:
            text = f"{target.name} thinks before it answers, and max_tokens = {sampling.max_tokens} holds for both"
            self._event("notice", text=text)


def refuse_unlisted(target: Target) -> None:
    """A model that its server's own list does not have, or a key that the server refuses."""
    try:
        names = listed_models(target.provider)
    except CallError as error:
        raise ConfigError("teacher", f"{error}. Nothing was asked") from error
    model = str(getattr(target.provider, "model", ""))
    if names and model and not is_listed(model, names):
        hint = suggest_name(model, names)
        raise ConfigError("teacher", f"{target.name}: the server has no such model{hint}. Nothing was asked")


def _key(target: Target, sampling: Sampling) -> str:
    """The model, its address, and the kinds of fields that are sent to it."""
    place = getattr(target.provider, "place", None)
    fields = (sampling.temperature is not None, sampling.top_p < 1, sampling.effort, sampling.schema is not None)
    return digest((target.name, getattr(place, "base_url", ""), getattr(place, "parameters", {}), fields))[:24]


def _read(path: Path) -> dict[str, KnownModel]:
    """A damaged cache is forgotten: all of it can be found again."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, KnownModel])
    except (OSError, msgspec.DecodeError, AfsError):
        return {}
