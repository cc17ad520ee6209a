"""`afs models trace`: from a model to its samples, or from a sample to the models trained on it."""

from __future__ import annotations

from typing import ClassVar

from afs.config import Config
from afs.errors import UsageError
from afs.registry import Registry
from afs.registry.garbage import names_by_ref
from afs.registry.lineage import Origins, Sighting, find_sightings, trace_origins
from afs.types import Artifact
from afs.workspace import Workspace


class TraceConfig(Config, frozen=True, kw_only=True):
    """Trace a model to its origins, or a sample to the models trained on it."""

    positional: ClassVar[tuple[str, ...]] = ("target",)
    target: str
    """A registered name, an artifact, or the id of a record (its first characters are enough)."""
    sample: str = ""
    """With a model: whether it was trained on this record."""


def trace(config: TraceConfig, workspace: Workspace) -> Origins | list[Sighting]:
    """Trace a model to its origins, or a record to the models trained on it."""
    registry = Registry(workspace)
    model = _model(registry, config.target)
    if model is not None:
        return trace_origins(workspace, model, config.sample)
    if config.sample:
        raise UsageError(f"--sample needs a model; {config.target!r} is not one")
    return find_sightings(workspace, config.target, names_by_ref(registry.entries()))


def _model(registry: Registry, text: str) -> Artifact | None:
    """The model of this name; None when the text can only be a record's id."""
    try:
        return registry.resolve(text)
    except UsageError:
        if all(letter in "0123456789abcdef" for letter in text) and len(text) >= 6:
            return None
        raise
