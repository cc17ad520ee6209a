"""What models accept, as data: sampling fields, words for effort, and the day a model ends.

A row's pattern is matched against `provider:model`; the first match counts, and `[models."provider:model"]` of
providers.toml overrides it. Sources and dates are in docs/log.md; a model that is not here is asked plainly.
"""

from __future__ import annotations

import re
from functools import lru_cache

from afs.types import Value

_GPT_EFFORTS = ("none", "minimal", "low", "medium", "high")


class Capabilities(Value, frozen=True, kw_only=True):
    """What one model accepts."""

    temperature: bool = True
    """Whether temperature and top_p may be sent."""
    seed: bool = True
    efforts: tuple[str, ...] = ()
    """Words it takes for effort; empty: none is sent."""
    schema: bool = True
    """Whether it follows a JSON schema."""
    thinks: bool = False
    """Whether it thinks unless it is kept from it; the limit of tokens then holds for thinking and answer together."""
    length_field: str = ""
    """The field of OpenAI's dialect that limits the answer; empty: the address decides."""
    ends: str = ""
    """The day it is switched off, YYYY-MM-DD."""


class _Row(Value, frozen=True):
    pattern: str
    capabilities: Capabilities


def _thinker(*efforts: str) -> Capabilities:
    """A model that thinks, and takes neither temperature nor seed."""
    return Capabilities(temperature=False, seed=False, efforts=efforts, thinks=True)


_NO_SAMPLING = r"^anthropic:claude-(?:opus-(?:4-[78]|5)|sonnet-5|haiku-5-5|fable)"
_CLAUDE_EFFORTS = ("low", "medium", "high")
TABLE = (
    _Row(r"^openai:gpt-5\.1", _thinker("none", "low", "medium", "high")),
    _Row(r"^openai:(?:gpt-[5-9]|codex)", _thinker(*_GPT_EFFORTS)),
    _Row(r"^openai:o\d", _thinker("low", "medium", "high")),
    _Row(_NO_SAMPLING, _thinker(*_CLAUDE_EFFORTS)),
    _Row(r"^anthropic:claude-sonnet-4-5", Capabilities(seed=False, ends="2026-11-30")),
    _Row(r"^anthropic:claude-opus-4-5", Capabilities(seed=False, efforts=_CLAUDE_EFFORTS, ends="2027-01-22")),
    _Row(r"^anthropic:", Capabilities(seed=False)),
    _Row(r"^google:gemini-[3-9]", Capabilities(efforts=("minimal", "low", "medium", "high"), thinks=True)),
)


@lru_cache(maxsize=256)
def capabilities_of(model: str) -> Capabilities:
    """What `provider:model` accepts."""
    return next((row.capabilities for row in TABLE if re.match(row.pattern, model)), Capabilities())
