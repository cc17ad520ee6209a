"""What a call costs, by a frozen price table or the user's own price; an unknown price is None, never 0.

The table knows no batch tier and ignores the word silently, so half price is computed here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Protocol

from afs.plugins import Late
from afs.providers.endpoint import Price
from afs.types import Usage


class _Priced(Protocol):
    total_price: float


_CALC_PRICE: Late[Callable[..., _Priced]] = Late("genai_prices:calc_price")
"""The table is loaded when a price of it is wanted: it takes half a second, and own models need none."""
_PRICE_USAGE: Late[Callable[..., object]] = Late("genai_prices:Usage")
BATCH_SHARE = 0.5
"""OpenAI, Anthropic and Gemini all take half for a batch."""


@cache
def table_version() -> str:
    """The price table, as receipts name it."""
    return f"genai-prices {version('genai-prices')}"


def cost_of(
    provider: str, model: str, usage: Usage, *, price: Price | None = None, cache_writes: int = 0, batch: bool = False
) -> float | None:
    """US dollars of one call, or None."""
    share = BATCH_SHARE if batch else 1.0
    if price is not None:
        cached = price.input if price.cached is None else price.cached
        fresh = usage.input_tokens - usage.cached_tokens
        paid = fresh * price.input + usage.cached_tokens * cached + usage.output_tokens * price.output
        return paid / 1e6 * share
    if not provider or not _is_known(provider, model):
        return None
    used = _PRICE_USAGE.load()(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=cache_writes,
    )
    return float(_CALC_PRICE.load()(used, model_ref=model, provider_id=provider).total_price) * share


@lru_cache(maxsize=256)
def _is_known(provider: str, model: str) -> bool:
    try:
        _CALC_PRICE.load()(_PRICE_USAGE.load()(input_tokens=1), model_ref=model, provider_id=provider)
    except LookupError:
        return False
    return True
