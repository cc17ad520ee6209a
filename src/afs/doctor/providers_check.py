"""`afs providers check`: real calls to every model and tier, with latency, tokens and cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar, Literal

from afs import models
from afs.config import Config, Positive
from afs.errors import AfsError, ConfigError, UsageError
from afs.model_calls import Caller
from afs.model_calls.provider_settings import PRESET, is_chain, read_providers
from afs.providers.base import Sampling
from afs.types import Completion, Message, Value
from afs.workspace import Workspace

__all__ = ["CheckConfig", "CheckTable", "ProviderCheck", "check_providers"]

_QUESTION = (Message(role="user", text="Answer with the single word: ready"),)
_PRESET_TIERS = ("fast", "coding", "reasoning")


class CheckConfig(Config, frozen=True, kw_only=True):
    """Call every model."""

    positional: ClassVar[tuple[str, ...]] = ("models",)
    models: tuple[str, ...] = ()
    """Models, tiers or chains (`openai:gpt-5.2`, `coding`); empty: the tiers of providers.toml and their models."""
    preset: Literal["", "founding"] = ""
    """`founding`: the four models and three tiers of the first system's test."""
    calls: Positive = 1
    """Calls to each."""
    base_url: str = ""
    """Another address for the models named here."""
    timeout_s: float = 30.0
    """Longest wait for one answer."""
    max_tokens: Positive = 256
    """Most tokens of an answer, thinking included."""


class ProviderCheck(Value, frozen=True, kw_only=True):
    """One model or tier."""

    model: str
    ok: bool
    passed: int
    calls: int
    p50_s: float | None
    p95_s: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    answered_by: str
    note: str


class CheckTable(Value, frozen=True, kw_only=True):
    """The table of `afs providers check`."""

    rows: tuple[ProviderCheck, ...]

    @property
    def exit_code(self) -> int:
        """1 when a model failed."""
        return 0 if all(row.ok for row in self.rows) else 1

    def text(self) -> str:
        """A line for each model, then the count."""
        width = max(len(row.model) for row in self.rows)
        lines = [f"{'model':<{width}}  {'calls':>7}  {'p50 s':>7}  {'p95 s':>7}  {'tokens':>9}  {'cost $':>9}  note"]
        lines += [_line(row, width) for row in self.rows]
        return "\n".join([*lines, f"{sum(row.ok for row in self.rows)}/{len(self.rows)} pass"])


def check_providers(config: CheckConfig, workspace: Workspace) -> CheckTable:
    """One short question to each, as often as wanted."""
    names = config.models or _models_of(config, workspace)
    if not names:
        raise UsageError("no models: name some, or fill the tiers in providers.toml")
    options: dict[str, object] = {"timeout_s": config.timeout_s}
    if config.base_url:
        options["base_url"] = config.base_url
    return CheckTable(rows=tuple(_check(config, workspace, model, options) for model in names))


def _models_of(config: CheckConfig, workspace: Workspace) -> tuple[str, ...]:
    tiers = read_providers(workspace.root).tiers
    if config.preset:
        missing = [name for name in _PRESET_TIERS if name not in tiers]
        if missing:
            raise ConfigError(
                "tiers", f"the preset calls the tiers {', '.join(missing)} too; add them to providers.toml"
            )
        return (*PRESET, *_PRESET_TIERS)
    return tuple(dict.fromkeys([*(model for models in tiers.values() for model in models), *tiers]))


def _check(config: CheckConfig, workspace: Workspace, model: str, options: Mapping[str, object]) -> ProviderCheck:
    answers: list[tuple[Completion, float]] = []
    problem = ""
    try:
        targets = models.target_pool(workspace).chain(model, options)
        caller = Caller(targets, name=model, failures=0, longest_wait_s=0.0)
        for _ in range(config.calls):
            started = time.monotonic()
            answer = caller.complete(_QUESTION, Sampling(max_tokens=config.max_tokens))
            answers.append((answer, time.monotonic() - started))
    except AfsError as error:
        problem = str(error)
    good = [answer for answer, _ in answers if answer.text.strip()]
    seconds = sorted(spent for _, spent in answers)
    costs = [answer.usage.cost_usd for answer, _ in answers]
    who = answers[-1][0].answered_by or answers[-1][0].model if answers else ""
    known = [cost for cost in costs if cost is not None]
    return ProviderCheck(
        model=model,
        ok=len(good) == config.calls,
        passed=len(good),
        calls=config.calls,
        p50_s=round(seconds[len(seconds) // 2], 3) if seconds else None,
        p95_s=round(seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))], 3) if seconds else None,
        input_tokens=sum(a.usage.input_tokens for a, _ in answers) if answers else None,
        output_tokens=sum(a.usage.output_tokens for a, _ in answers) if answers else None,
        cost_usd=sum(known) if known and len(known) == len(costs) else None,
        answered_by=who,
        note=problem or _note(model, who, answers, workspace),
    )


def _note(model: str, who: str, answers: list[tuple[Completion, float]], workspace: Workspace) -> str:
    text = answers[-1][0].text.strip()[:40] if answers else ""
    if answers and not text:
        return "an answer without text" + (" but with thinking" if answers[-1][0].thinking else "")
    return f"{who}: {text}" if is_chain(workspace.root, model) else text


def _line(row: ProviderCheck, width: int) -> str:
    def shown(value: float | None, form: str) -> str:
        return "unknown" if value is None else format(value, form)

    tokens = "unknown" if row.input_tokens is None else f"{row.input_tokens}+{row.output_tokens}"
    cells = f"{shown(row.p50_s, '.3f'):>7}  {shown(row.p95_s, '.3f'):>7}  {tokens:>9}  {shown(row.cost_usd, '.6f'):>9}"
    return f"{row.model:<{width}}  {f'{row.passed}/{row.calls}':>7}  {cells}  {row.note}".rstrip()
