"""Why a call failed, in six classes, from statuses, headers and each provider's own words.

Nothing is retried here: the engine (`model_calls`) decides by the class. The table of signals is in
docs/how-to/campaigns.md.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from afs.errors import ProviderError
from afs.types import Usage

Kind = Literal["rate", "spent", "busy", "unusable", "task", "bad"]
"""rate: wait and retry; spent: no quota until a stated time; busy: retry a little; unusable: this model with this key
can answer nothing; task: this very request is rejected; bad: an answer came that cannot be used."""

SPENT = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "billing_error",
        "payment_required",
        "openrouter_key_limit",
        "openrouter_guardrail_budget",
        "openrouter_workspace_budget",
    }
)
SLOW_DOWN = frozenset({"slow_down", "ramp_limit_exceeded", "openrouter_in_flight_budget"})
"""Too many at once, whatever the status: fewer in flight, not another model."""
BUSY = frozenset({"overloaded_error", "timeout_error", "api_error", "server_error", "UNAVAILABLE", "INTERNAL"})
UNSUPPORTED = frozenset({"unsupported_parameter", "unsupported_value", "model_not_found", "not_found_error"})
_OWN_LIMIT = re.compile(r"spend limit you set|credit balance is too low", re.I)
_NO_PARAMETER = re.compile(
    r"(?:is|are) (?:deprecated|not supported) (?:for|with|by) this model|unsupported parameter", re.I
)
_NO_QUOTA = re.compile(r"\blimit: 0\b")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?")
_LONG_S = 3600.0
"""A daily limit that ends within the hour is waited for; a longer one is another model's turn."""


class CallError(ProviderError):
    """A failed call, with its class and what the server asked for."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        wait_s: float | None = None,
        fewer: bool = False,
        retry: bool | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message)
        self.kind, self.wait_s, self.fewer, self.retry, self.usage = kind, wait_s, fewer, retry, usage
        self.status = 0
        """The HTTP status; 0: there was none."""
        self.may_be_charged = False
        """The request may have reached the server, which may charge for an answer that never arrived."""


def failure(name: str, status: int, error: object, headers: Mapping[str, str], now: float | None = None) -> CallError:
    """The class of a failed call; `error` is the provider's own object."""
    moment = time.time() if now is None else now
    table = error if isinstance(error, dict) else {}
    message = str(table.get("message") or error or f"HTTP {status}")[:300]
    codes = set(_codes(table))
    inner = next((int(code) for code in codes if code.isdigit()), status)
    wait = _wait(headers, table, moment)
    kind, fewer = _kind(inner, codes, message, wait, table)
    if kind == "spent" and wait is None:
        wait = _reset(message, table, moment)
    retry = {"true": True, "false": False}.get(headers.get("x-should-retry", ""))
    if retry and kind in ("unusable", "task", "bad"):
        kind = "busy"
    text = f"{name}: {message} (HTTP {status})"
    problem = CallError(kind, text, wait_s=wait, fewer=fewer, retry=retry)
    problem.status = inner
    return problem


def _codes(table: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(table[key]) for key in ("code", "type", "status", "error_code") if table.get(key))
    for inner in (table.get("details"), table.get("metadata")):
        if isinstance(inner, dict):
            yield from (str(inner[key]) for key in ("error_code", "limit_source", "reason") if inner.get(key))


def _kind(
    status: int, codes: set[str], message: str, wait: float | None, table: Mapping[str, Any]
) -> tuple[Kind, bool]:
    if codes & SLOW_DOWN:
        return "rate", True
    if "weight_exceeds_budget" in codes:
        return "task", False
    if codes & SPENT or status == 402 or (status == 400 and _OWN_LIMIT.search(message)):
        return "spent", False
    if status == 429 or "RESOURCE_EXHAUSTED" in codes:
        if _NO_QUOTA.search(message):
            return "unusable", False
        is_daily = "PerDay" in str(table.get("details", ""))
        return ("spent" if is_daily and (wait is None or wait > _LONG_S) else "rate"), False
    if status >= 500 or status in (408, 409, 425) or codes & BUSY:
        return "busy", False
    if codes & UNSUPPORTED or _NO_PARAMETER.search(message):
        return "unusable", False
    return ("task" if status in (400, 413, 422) else "unusable"), False


def _wait(headers: Mapping[str, str], table: Mapping[str, Any], now: float) -> float | None:
    """Seconds until the server wants to be asked again, in every form it may say so."""
    if (value := _number(headers.get("retry-after-ms"))) is not None:
        return value / 1000
    if text := headers.get("retry-after"):
        if (value := _number(text)) is not None:
            return value
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - now)
        except (ValueError, TypeError):
            pass
    details = table.get("details")
    for detail in details if isinstance(details, list) else []:
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and (value := _number(delay.removesuffix("s"))) is not None:
            return value
    metadata = table.get("metadata")
    reset = table.get("resets_at") or (metadata.get("resets_at") if isinstance(metadata, dict) else None)
    return None if reset is None else _until(reset, now)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < 1e9 else None


def _until(moment: object, now: float) -> float | None:
    if isinstance(moment, int | float):
        return max(0.0, (moment / 1000 if moment > 1e11 else float(moment)) - now)
    try:
        stamp = datetime.fromisoformat(str(moment))
    except ValueError:
        return None
    return max(0.0, (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp() - now)


def _reset(message: str, table: Mapping[str, Any], now: float) -> float | None:
    """When a spent quota returns: a date in the message; for Gemini's daily limits midnight in California."""
    if found := _DATE.search(message):
        return _until(found[0].replace(" ", "T"), now)
    if "PerDay" not in str(table.get("details", "")):
        return None
    try:
        zone: ZoneInfo | timezone = ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # a machine without time zone data: standard time there
        zone = timezone(timedelta(hours=-8))
    there = datetime.fromtimestamp(now, zone)
    midnight = (there + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight.timestamp() - now
