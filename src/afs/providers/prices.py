"""What a call costs, by a frozen price table or the user's own price; an unknown price is None, never 0.

The table knows no batch tier and ignores the word silently, so half price is computed here.
"""

from __future__ import annotations

from functools import lru_cache

import genai_prices
from genai_prices import Usage as PriceUsage

from afs.providers.endpoint import Price
from afs.types import Usage

TABLE_VERSION = f"genai-prices {getattr(genai_prices, '__version__', '0.2.3')}"
BATCH_SHARE = 0.5
"""OpenAI, Anthropic and Gemini all take half for a batch."""


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
    used = PriceUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=cache_writes,
    )
    return float(genai_prices.calc_price(used, model_ref=model, provider_id=provider).total_price) * share


@lru_cache(maxsize=256)
def _is_known(provider: str, model: str) -> bool:
    try:
        genai_prices.calc_price(PriceUsage(input_tokens=1), model_ref=model, provider_id=provider)
    except LookupError:
        return False
    return True
