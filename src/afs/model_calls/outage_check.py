"""An outage: what is said when no model can answer, and the small call that tells it from a request at fault.

Without that call one request that a server can never answer, asked last, would look like an outage in every run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Literal

from afs.errors import ProviderError, boundary
from afs.model_calls.budget import Budget
from afs.model_calls.canary import QUESTION, fault_of
from afs.model_calls.store import CallStore, LedgerRow, Piece, to_nano
from afs.model_calls.target import Target
from afs.providers.base import Sampling
from afs.providers.failures import CallError

_SAMPLING = Sampling(max_tokens=16, temperature=None)


def is_serving(target: Target, store: CallStore, budget: Budget) -> bool:
    """Whether a model answers anything at all."""
    problem = small_call(target, store, budget, _SAMPLING)
    return problem is None or (isinstance(problem, CallError) and problem.kind == "task")


def small_call(target: Target, store: CallStore, budget: Budget, sampling: Sampling) -> ProviderError | None:
    """One call of a few tokens, in the ledger like every other; what went wrong with it."""
    worst = target.worst_nano(target.tokens_of(QUESTION, sampling, ()), sampling.max_tokens)
    if budget.is_limited and (worst is None or not budget.reserve(worst)):
        return ProviderError(budget.refusal(target.name, worst or 0))
    with store.transaction():
        call = store.ask(Piece(0, "control", "control", b""), target.name, worst, sampling.max_tokens)
    started = time.monotonic()
    row = LedgerRow(call, "unknown", None, problem="the program ended while the call was in flight")
    try:
        with boundary(ProviderError, target.name):
            completion = target.provider.complete(QUESTION, sampling)
        cost = completion.usage.cost_usd
        paid = None if cost is None else to_nano(cost)
        row = LedgerRow(call, "answered", paid, time.monotonic() - started, completion, prices=target.price_source)
        fault = fault_of(target.provider, completion)
        return CallError("unusable", fault) if fault else None
    except ProviderError as error:
        problem = error if isinstance(error, CallError) else CallError("busy", str(error))
        row = failed_row(call, problem, time.monotonic() - started, target.price_source)
        return problem
    finally:
        budget.settle(worst, row.cost)
        with store.transaction():
            store.enter(row)


def failed_row(call: int, error: CallError, seconds: float, prices: str) -> LedgerRow:
    """A rejected call costs nothing; one that was charged, or may have been, is written so."""
    cost: int | None = 0
    if error.usage is not None:
        cost = None if error.usage.cost_usd is None else to_nano(error.usage.cost_usd)
    elif error.may_be_charged:
        cost = None
    state: Literal["failed", "unknown"] = "unknown" if cost is None else "failed"
    return LedgerRow(call, state, cost, seconds, None, f"{error.kind}: {error}"[:500], prices, error.usage)


def no_model_error(targets: Sequence[Target], soonest: float) -> ProviderError:
    """Who is down, and until when."""
    reasons = "; ".join(dict.fromkeys(target.reason for target in targets if target.reason))
    when = "" if math.isinf(soonest) else f" (the first can be called again in {_span(soonest)})"
    return ProviderError(
        f"no model can answer{when}: {reasons or 'the chain is empty'}. Answers are stored; rerun to resume"
    )


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
