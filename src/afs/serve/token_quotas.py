"""What each named token spent today, in model tokens, and how much it may: over all dialects, across restarts."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from afs.council.reply_log import RouteRow
from afs.serve.error_responses import Refusal

DAY_S: Final = 86_400
_COUNTS: Final = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))


class Spending:
    """The day's counters; a day begins at midnight UTC."""

    def __init__(self, limits: Mapping[str, int], clock: Callable[[], float] = time.time) -> None:
        self.limits, self._clock = dict(limits), clock
        self._day, self._spent, self._lock = self._today(), Counter[str](), threading.Lock()

    def _today(self) -> int:
        return int(self._clock() // DAY_S)

    def restore(self, rows: Iterable[RouteRow]) -> None:
        """Count what the log says of today."""
        for row in rows:
            if int(row.at // DAY_S) == self._day and row.owner:
                self._spent[row.owner] += row.tokens

    def spent(self) -> dict[str, int]:
        """Today's tokens by owner."""
        with self._lock:
            self._turn_page()
            return dict(self._spent)

    def check(self, owner: str) -> None:
        """Refuse an owner whose budget is used up."""
        limit = self.limits.get(owner)
        if limit is None or self.spent().get(owner, 0) < limit:
            return
        left = DAY_S - int(self._clock() % DAY_S)
        text = f"the token {owner!r} may use {limit} model tokens a day; they are used up"
        raise Refusal(429, text, code="budget_exhausted", headers={"retry-after": str(left)})

    def add(self, owner: str, tokens: int) -> None:
        """Count an answer."""
        with self._lock:
            self._turn_page()
            self._spent[owner] += tokens

    def _turn_page(self) -> None:
        if self._today() != self._day:
            self._day, self._spent = self._today(), Counter()


def count_tokens(answer: Mapping[str, Any]) -> int:
    """The tokens that an answer of any dialect says it used."""
    for table in (answer, answer.get("message"), answer.get("response")):
        usage = table.get("usage") if isinstance(table, Mapping) else None
        if not isinstance(usage, Mapping):
            continue
        for names in _COUNTS:
            counts = [usage.get(name) for name in names]
            if any(isinstance(count, int) for count in counts):
                return sum(count for count in counts if isinstance(count, int))
    return 0
