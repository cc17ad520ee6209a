"""The results table: a row per model, item and epoch, as JSON lines. Everything else in this package reads it.

A row holds the full answer, so it can be re-judged. Failures (a dead endpoint, HTML, a cut text) have their own outcome
and never a score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from afs import jsonl
from afs.errors import DataError
from afs.providers.base import Sampling
from afs.types import Json, Value, Verdict

Outcome = Literal["answered", "cut", "empty", "template", "filtered", "html", "wrong model", "slow", "dead"]
"""answered: judged; cut: ended by the token limit; template: control tokens in the text; filtered: by the provider;
html, wrong model, slow, dead: the endpoint's failures."""

OUTCOMES: tuple[str, ...] = get_args(Outcome)
LOST = frozenset({"html", "wrong model", "slow", "dead"})
"""Endpoint failures; a resumed run asks again."""
UNUSABLE = frozenset({"cut", "empty", "template", "filtered"})
"""The model answered, but the text cannot be judged."""


class ResultRow(Value, frozen=True, kw_only=True):
    """One answer of one model to one item, with its verdict."""

    suite: str
    """Digest of the suite."""
    item: str
    family: str
    category: str
    cluster: str
    """Items of one cluster (same constants, paraphrases) are not independent."""
    model: str
    artifact: str = ""
    """Digest of the stored model; empty for one behind an endpoint."""
    sampling: Sampling
    epoch: int = 0
    outcome: Outcome
    score: float | None = None
    """In [0, 1]; None: not judged."""
    ok: bool | None = None
    scorer: str = ""
    """Id and version of the scorer."""
    stage: str = ""
    reason: str = ""
    facts: Json = {}
    output: str = ""
    thinking: str = ""
    answered_by: str = ""
    """The model name reported by the endpoint."""
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    error: str = ""

    @property
    def key(self) -> Key:
        """Identifies a row."""
        return Key(self.model, self.item, self.epoch)


class Key(NamedTuple):
    """One question to one model."""

    model: str
    item: str
    epoch: int


class Table:
    """Rows in order; a later row replaces an earlier one with the same key."""

    def __init__(self, rows: Iterable[ResultRow]) -> None:
        self.by_key = {row.key: row for row in rows}

    @property
    def rows(self) -> list[ResultRow]:
        """Every row."""
        return list(self.by_key.values())

    @property
    def models(self) -> list[str]:
        """The models, in the order they appear."""
        return list(dict.fromkeys(key.model for key in self.by_key))

    def of(self, model: str) -> list[ResultRow]:
        """The rows of one model."""
        return [row for row in self.by_key.values() if row.model == model]


def read(path: Path, *, growing: bool = False) -> Table:
    """Read a results table; with `growing`, a torn last line is skipped."""
    torn: list[tuple[int, str]] = []
    rows = list(
        jsonl.read(path, ResultRow, (lambda number, problem, _: torn.append((number, problem))) if growing else None)
    )
    if torn and (len(torn) > 1 or torn[0][0] <= len(rows)):
        raise DataError(f"{path}:{torn[0][0]}: {torn[0][1]}")
    for row in rows:
        if row.score is not None and not 0.0 <= row.score <= 1.0:
            raise DataError(f"{path}: item {row.item} of {row.model} has the score {row.score}, outside [0, 1]")
    return Table(rows)


def count_outcomes(rows: Iterable[ResultRow]) -> Mapping[str, int]:
    """Rows per outcome, in the order of `Outcome`."""
    found = dict.fromkeys(OUTCOMES, 0)
    for row in rows:
        found[row.outcome] += 1
    return {name: count for name, count in found.items() if count}


def verdict_fields(verdict: Verdict) -> Json:
    """The fields of a row that a verdict sets."""
    return {
        "score": verdict.score,
        "ok": verdict.ok,
        "scorer": verdict.checker,
        "stage": verdict.stage,
        "reason": verdict.reason,
        "facts": verdict.facts,
    }
