"""What a call costs, by a frozen price table; a model that is not in it has an unknown price, never 0."""

from __future__ import annotations

from functools import lru_cache

import genai_prices
from genai_prices import Usage as PriceUsage

from afs.types import Usage

TABLE_VERSION = genai_prices.__version__ if hasattr(genai_prices, "__version__") else "0.2.3"


def cost_of(provider: str, model: str, usage: Usage) -> float | None:
    """US dollars of one call, or None."""
    if not _known(provider, model):
        return None
    used = PriceUsage(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cache_read_tokens=usage.cached_tokens
    )
    return float(genai_prices.calc_price(used, model_ref=model, provider_id=provider).total_price)


@lru_cache(maxsize=256)
def _known(provider: str, model: str) -> bool:
    try:
        genai_prices.calc_price(PriceUsage(input_tokens=1), model_ref=model, provider_id=provider)
    except LookupError:
        return False
    return True
