"""Judges a reply in a worker process: by its task where one was sent, else by what a pack can infer from the question.

A check that crashes, hangs or eats memory says nothing about the answer: `not checkable`, and the answer is delivered.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable
from typing import cast

import msgspec

from afs import answer_verifier
from afs.domains.base import DOMAINS, FACTS_AGREE, NO_CODE, NOT_CHECKABLE, REFUTED, RUNS, SAME_EFFECT
from afs.plugins import list_names
from afs.process import Workers
from afs.types import Task, Value, Verdict

TIMEOUT_S = 15.0
"""A verdict takes milliseconds; the first one starts the worker, and a client's own task may take longer."""
MEMORY_MB = 2048
_MAY_BE_CODE = re.compile(r"[`~#$<:;]")
"""What no code is without; the rest needs no worker."""
_MARKS = {SAME_EFFECT: "✔", RUNS: "▸", FACTS_AGREE: "▸", REFUTED: "✘"}


class _Question(Value, frozen=True, kw_only=True):
    question: str
    answer: str
    task: Task | None = None


def check_payload(payload: bytes) -> bytes:
    """A worker's entry: a question and its answer in, a verdict out."""
    asked = msgspec.msgpack.decode(payload, type=_Question)
    if asked.task is None:
        return msgspec.msgpack.encode(infer_verdict(asked.question, asked.answer))
    return msgspec.msgpack.encode(answer_verifier.check_answer(asked.task, asked.answer))


def infer_verdict(question: str, answer: str) -> Verdict:
    """The first pack's verdict that says more than that there is nothing to judge."""
    nothing = Verdict(task="", ok=None, score=None, stage=NOT_CHECKABLE, reason="not checkable: no pack can judge it")
    for name in list_names("domain"):
        infer = getattr(DOMAINS.find(name), "check_reply", None)
        if infer is None:
            continue
        found = cast(Callable[[str, str], Verdict], infer)(question, answer)
        if found.stage != NO_CODE:
            return found
        nothing = found
    return nothing


class ReplyChecker:
    """Verdicts on replies, with limits; safe to call from any thread."""

    def __init__(self, *, jobs: int = 1, timeout_s: float = TIMEOUT_S) -> None:
        self._workers = Workers(f"{__name__}:check_payload", jobs=jobs, timeout_s=timeout_s, memory_mb=MEMORY_MB)
        self._end = weakref.finalize(self, self._workers.close)

    def __call__(self, question: str, answer: str, task: Task | None = None) -> Verdict:
        """One verdict."""
        if task is None and not _MAY_BE_CODE.search(answer):
            return Verdict(task="", ok=None, score=None, stage=NO_CODE, reason=NO_CODE)
        payload = msgspec.msgpack.encode(_Question(question=question, answer=answer, task=task))
        own = answer_verifier.check_seconds(task) if task else 0.0
        outcome = self._workers.call(payload, max(self._workers.timeout_s, own))
        if outcome.problem:
            reason = f"not checkable: the check {outcome.problem}"
            return Verdict(task=task.id if task else "", ok=None, score=None, stage=NOT_CHECKABLE, reason=reason)
        return msgspec.msgpack.decode(outcome.value, type=Verdict)

    def close(self) -> None:
        """End the worker."""
        self._end()


def verdict_words(verdict: Verdict) -> str:
    """A verdict in words; never "verified" without the check's name."""
    if verdict.stage in (*_MARKS, NO_CODE, NOT_CHECKABLE):
        return verdict.reason
    if verdict.ok is None:
        return f"not checkable: {verdict.reason}"
    name = verdict.checker or "its task"
    return f"passes its check ({name}, {verdict.stage})" if verdict.ok else f"refuted by {name}: {verdict.reason}"


def footer(verdict: Verdict, attempts: int = 1) -> str:
    """The line below an answer; empty where there is nothing to say."""
    if verdict.stage == NO_CODE or (verdict.stage == NOT_CHECKABLE and "no pack" in verdict.reason):
        return ""
    by_outcome = "▹" if verdict.ok is None else "✔" if verdict.ok else "✘"
    remarks = verdict.facts.get("remarks")
    more = "".join(f" · {one}" for one in remarks) if isinstance(remarks, list) else ""
    tried = f" · best of {attempts} attempts, the first was refuted" if attempts > 1 else ""
    return f"{_MARKS.get(verdict.stage, by_outcome)} {verdict_words(verdict)}{more}{tried}"
