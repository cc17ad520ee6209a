"""The engine that calls models: pieces, ledger, limits, retries, fallback, budgets. See docs/how-to/campaigns.md."""

from afs.model_calls.engine import Engine
from afs.model_calls.model_chain import Caller
from afs.model_calls.store import CallStore
from afs.model_calls.target_pool import TargetPool

__all__ = ["CallStore", "Caller", "Engine", "TargetPool"]
