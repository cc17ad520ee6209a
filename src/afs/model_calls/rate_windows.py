"""Limits of the form "so much in so many seconds": read from headers, stated by the user, or learned from rejections.

A sliding window counts a call from the last moment it could have reached the server (its answer), so that our clock
and the server's may differ by the travel time.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

MARGIN_S = 0.05
"""Added to a window's length: two calls never travel at the same speed."""
USUAL_S = (1.0, 10.0, 60.0, 3600.0)
"""Lengths that providers use: an estimate close to one of them is that one."""
RAISE_AFTER = 6.0
"""A learned limit that held for so many of its windows is tried 1 % higher."""


class Window:
    """At most `limit` in `seconds`."""

    def __init__(self, limit: float, seconds: float, *, learned: bool = False) -> None:
        self.limit, self.seconds, self.learned = limit, seconds, learned
        self.raised_at = -math.inf
        self._used = 0.0
        self._flying = 0.0
        self._log: deque[tuple[float, float]] = deque()

    def ready_in(self, now: float, amount: float) -> float:
        """Seconds until so much more may be sent; 0: now."""
        log = self._log
        while log and log[0][0] <= now:
            self._used -= log.popleft()[1]
        excess = self._used + self._flying + min(amount, self.limit) - self.limit
        if excess <= 1e-9:
            return 0.0
        for free_at, size in log:
            excess -= size
            if excess <= 1e-9:
                return free_at - now
        return MARGIN_S  # what fills it is still in flight: an answer wakes the scheduler

    def left(self, now: float) -> float:
        """How much of it is free."""
        self.ready_in(now, 0.0)
        return max(0.0, self.limit - self._used - self._flying)

    def start(self, amount: float) -> None:
        """A call is sent."""
        self._flying += amount

    def finish(self, now: float, reserved: float, amount: float) -> None:
        """A call ended and used `amount`."""
        self._flying = max(0.0, self._flying - reserved)
        if amount:
            self._used += amount
            self._log.append((now + self.seconds + MARGIN_S, amount))

    def count(self, now: float, moment: float, amount: float) -> None:
        """A call that was answered at `moment`, before the window was known."""
        free_at = moment + self.seconds + MARGIN_S
        if free_at > now:
            self._used += amount
            self._log.append((free_at, amount))


class Stated(NamedTuple):
    """Limits a header states: per minute, and a pause when nothing is left."""

    requests: float | None = None
    tokens: float | None = None
    pause_s: float = 0.0


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def stated_limits(headers: Mapping[str, str], now: float) -> Stated:
    """Limits per minute in OpenAI's and Anthropic's headers; -1 and 0 mean unknown there (Azure), not zero."""
    openai = _pairs(headers, "x-ratelimit-{part}-{what}")
    anthropic = _pairs(headers, "anthropic-ratelimit-{what}-{part}")
    limits, pause = {}, 0.0
    for what in ("requests", "tokens"):
        limit, left, reset = openai.get(what) or anthropic.get(what) or ("", "", "")
        if (value := _positive(limit)) is None:
            continue
        limits[what] = value
        if left == "0":
            pause = max(pause, _seconds(reset, now))
    return Stated(limits.get("requests"), limits.get("tokens"), pause)


def _pairs(headers: Mapping[str, str], form: str) -> dict[str, tuple[str, str, str]]:
    found = {}
    for what in ("requests", "tokens"):
        limit, left, reset = (headers.get(form.format(part=p, what=what), "") for p in ("limit", "remaining", "reset"))
        if limit:
            found[what] = (limit, left, reset)
    return found


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value > 0 and math.isfinite(value) else None


def _seconds(reset: str, now: float) -> float:
    """A duration such as `6m0s` or `12ms`, or a moment as RFC 3339."""
    parts = re.findall(r"([\d.]+)(ms|s|m|h|d)", reset)
    if parts and "".join(n + u for n, u in parts) == reset:
        return min(sum(float(n) * _UNITS[u] for n, u in parts), 3600.0)
    try:
        return min(max(0.0, datetime.fromisoformat(reset).timestamp() - now), 3600.0)
    except ValueError:
        return 1.0


def usual(seconds: float) -> float:
    """The length a provider most likely means by an estimated one."""
    return next((length for length in USUAL_S if 0.85 * length <= seconds <= 1.1 * length), seconds)
