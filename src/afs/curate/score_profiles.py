"""Score profiles: tables of weights and floors in TOML, chosen by name or by what a record is."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from afs.config import Config, decode, load_toml
from afs.curate.quality_measures import MEASURES, STORED
from afs.errors import ConfigError
from afs.plugins import suggest_name
from afs.types import Record, Score

SHIPPED = files("afs.curate") / "profiles"
CHECKED = ("verdict", "lint")
"""Measures that need a domain pack."""


class Profile(Config, frozen=True, kw_only=True):
    """One table of a profile file."""

    schema: int = 1
    """Version of the format."""
    about: str = ""
    """What it is for."""
    requires: tuple[str, ...] = ()
    """Measures that must be known for every record; a missing checker refuses the whole run."""
    weights: dict[str, float] = {}
    """Measure -> weight in the total; unknown measures are left out of it."""
    floors: dict[str, float] = {}
    """Measure -> least value."""
    overlook: tuple[str, ...] = ()
    """Patterns of lint rules that do not apply to fragments, e.g. names defined elsewhere in the source tree."""
    least: float = 0.0
    """Least total."""
    domains: dict[str, float] = {}
    """Domain, source, kind or task family -> least total instead of `least`; the first that is named counts."""

    def measures(self) -> tuple[str, ...]:
        """Every measure the profile speaks of."""
        return tuple(dict.fromkeys((*self.requires, *self.weights, *self.floors)))


def profile_names() -> list[str]:
    """The profiles that are shipped."""
    return sorted(p.name.removesuffix(".toml") for p in Path(str(SHIPPED)).iterdir() if p.name.endswith(".toml"))


@functools.lru_cache(maxsize=64)
def load_profile(name: str) -> Profile:
    """A shipped profile, or one from a file."""
    path = Path(name) if name.endswith(".toml") else Path(str(SHIPPED)) / f"{name}.toml"
    if not name.endswith(".toml") and not path.exists():
        raise ConfigError("profile", f"no profile is called {name!r}{suggest_name(name, [*profile_names(), 'auto'])}")
    profile = decode(Profile, load_toml(path), file=path.name)
    known = (*MEASURES, *STORED, *CHECKED)
    for measure in profile.measures():
        if measure not in known:
            raise ConfigError(f"{path.name}: {measure}", f"no such measure{suggest_name(measure, known)}")
    if any(weight < 0 for weight in profile.weights.values()):
        raise ConfigError(f"{path.name}: weights", "want zero or more")
    return profile


def choose_profile(record: Record) -> str:
    """The profile that suits a record: `verified` with a task, else by the kind of conversation."""
    if record.task is not None:
        return "verified"
    if record.kind == "tools" or any(m.tool_calls for m in record.messages):
        return "tools"
    return {"asm": "asm", "code": "code", "docs": "docs", "api": "code", "debug": "code", "optimize": "code"}.get(
        record.kind, "dialogue"
    )


def judge_scores(profile: Profile, record: Record, scores: Sequence[Score]) -> tuple[float | None, str]:
    """(total, reason to drop or nothing): floors first, then the weighted mean of what is known."""
    known = {score.id: score.value for score in scores if score.value is not None}
    for measure in profile.requires:
        if measure not in known:
            return None, f"{measure} is unknown"
    for measure, floor in profile.floors.items():
        if measure in known and known[measure] < floor:
            return known[measure], f"{measure} below its floor"
    weights = [(known[measure], weight) for measure, weight in profile.weights.items() if measure in known and weight]
    if not weights:
        return None, "nothing could be measured"
    total = sum([value * weight for value, weight in weights]) / sum([weight for _, weight in weights])
    names = (record.domain, record.origin.source, record.task.family if record.task else "", record.kind)
    least = next((profile.domains[name] for name in names if name in profile.domains), profile.least)
    return total, "total below the least" if total < least else ""
