"""Scorers: pure functions from a task and an answer to a verdict in [0, 1].

A scorer is a config struct with `id`, `version` and `score(task, answer)`; an item without one is judged by its pack.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from afs.answer_verifier import MOST_CHARACTERS, Verifier, refuse_long
from afs.errors import DataError
from afs.evaluate.result_rows import ResultRow, verdict_fields
from afs.evaluate.score.scorer_interface import Refiner, Scorer, scorer
from afs.evaluate.suite_types import SuiteItem
from afs.types import Task, Verdict

__all__ = ["Scorer", "judge", "score_answer", "score_rows", "scorer"]


def judge(verifier: Verifier, pairs: Sequence[tuple[SuiteItem, str]]) -> list[Verdict]:
    """Verdicts in the order of the pairs: packs run in the verifier's workers, other scorers here."""
    found: dict[int, Verdict] = {}
    scorers: dict[bytes, Scorer] = {}
    for item, _ in pairs:
        key = msgspec.json.encode(item.scorer, order="sorted")
        if item.scorer and key not in scorers:
            scorers[key] = scorer(item.scorer, f"{item.id}: scorer")
    packed = [(i, pair) for i, pair in enumerate(pairs) if _by_pack(scorers, pair[0])]
    verdicts = verifier.verify_all((item.task, answer) for _, (item, answer) in packed)
    found |= {i: _refined(scorers, *pair, verdict) for (i, pair), verdict in zip(packed, verdicts, strict=True)}
    rest = [(i, pair) for i, pair in enumerate(pairs) if i not in found]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        jobs = threads.map(lambda job: _one(scorers, *job[1]), rest)
        found |= {i: verdict for (i, _), verdict in zip(rest, jobs, strict=True)}
    return [found[i] for i in range(len(pairs))]


def _by_pack(scorers: Mapping[bytes, Scorer], item: SuiteItem) -> bool:
    """Whether the pack judges: there is no other scorer, or one that refines its verdict."""
    if not item.scorer:
        return True
    made = scorers[msgspec.json.encode(item.scorer, order="sorted")]
    return bool(item.task.domain) and isinstance(made, Refiner)


def _refined(scorers: Mapping[bytes, Scorer], item: SuiteItem, answer: str, verdict: Verdict) -> Verdict:
    made = scorers[msgspec.json.encode(item.scorer, order="sorted")] if item.scorer else None
    if len(answer) > MOST_CHARACTERS:
        return verdict
    return made.refine(answer, verdict) if isinstance(made, Refiner) else verdict


def _one(scorers: Mapping[bytes, Scorer], item: SuiteItem, answer: str) -> Verdict:
    made = scorers[msgspec.json.encode(item.scorer, order="sorted")]
    verdict = score_answer(made, item.task, answer)
    if verdict.score is not None and not 0.0 <= verdict.score <= 1.0:
        raise DataError(f"the scorer {made.id} gave {verdict.score} to item {item.id}: scores lie in [0, 1]")
    return msgspec.structs.replace(verdict, checker=verdict.checker or f"{made.id}/{made.version}")


def score_answer(made: Scorer, task: Task, answer: str) -> Verdict:
    """A scorer's verdict; an answer of many megabytes is not read, whatever would judge it."""
    return refuse_long(task, answer) or made.score(task, answer)


def score_rows(verifier: Verifier, items: Mapping[str, SuiteItem], rows: Sequence[ResultRow]) -> Iterator[ResultRow]:
    """Judge every row with an answer; the others keep no score."""
    answered = [row for row in rows if row.outcome == "answered"]
    verdicts = judge(verifier, [(items[row.item], row.output) for row in answered])
    scored = {row.key: verdict for row, verdict in zip(answered, verdicts, strict=True)}
    for row in rows:
        verdict = scored.get(row.key)
        yield msgspec.structs.replace(row, **verdict_fields(verdict)) if verdict is not None else row
