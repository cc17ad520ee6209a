"""`afs providers check`: one real call per model, and a table of the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from afs.config import Config, load_toml
from afs.errors import AfsError, UsageError
from afs.providers.base import Sampling, provider
from afs.types import Message, Value
from afs.workspace import Workspace

__all__ = ["CheckConfig", "ProviderCheck", "check_providers"]

_QUESTION = (Message(role="user", text="Answer with the single word: ready"),)


class CheckConfig(Config, frozen=True, kw_only=True):
    """Call every model once."""

    positional: ClassVar[tuple[str, ...]] = ("models",)
    models: tuple[str, ...] = ()
    """Models to call (`openai:gpt-5.2`); empty: those in the tiers of providers.toml."""
    base_url: str = ""
    """Another address for the models named here."""
    timeout_s: float = 30.0
    """Longest wait for one answer."""


class ProviderCheck(Value, frozen=True, kw_only=True):
    """One row of the table."""

    model: str
    ok: bool
    seconds: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    note: str


def check_providers(config: CheckConfig, workspace: Workspace) -> list[ProviderCheck]:
    """Ask each model one short question."""
    models = config.models or _from_tiers(workspace)
    if not models:
        raise UsageError("no models: name some, or list them under [tiers] in providers.toml")
    options: dict[str, object] = {"timeout_s": config.timeout_s}
    if config.base_url:
        options["base_url"] = config.base_url
    return [_one(model, options) for model in models]


def _from_tiers(workspace: Workspace) -> tuple[str, ...]:
    path = workspace.root / "providers.toml"
    tiers = load_toml(path).get("tiers", {}) if path.exists() else {}
    return tuple(dict.fromkeys(model for models in tiers.values() for model in models))


def _one(model: str, options: Mapping[str, object]) -> ProviderCheck:
    try:
        answer = provider(model, options).complete(_QUESTION, Sampling(max_tokens=64))
    except AfsError as error:
        return ProviderCheck(
            model=model, ok=False, seconds=None, input_tokens=None, output_tokens=None, cost_usd=None, note=str(error)
        )
    return ProviderCheck(
        model=model,
        ok=bool(answer.text.strip()),
        seconds=round(answer.seconds, 3),
        input_tokens=answer.usage.input_tokens,
        output_tokens=answer.usage.output_tokens,
        cost_usd=answer.usage.cost_usd,
        note=answer.text.strip()[:40],
    )
