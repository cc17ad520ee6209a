"""Asks models every question that has no answer yet, and stores each answer durably as it arrives.

What is behind HTTP is asked through the engine of `model_calls`: its ledger, limits, retries, budgets. Models on this
machine are asked in batches or threads. `inspect_engine` is the alternative.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from afs import datasets, jsonl
from afs.errors import ProviderError
from afs.evaluate import result_rows
from afs.evaluate.result_rows import Key, Outcome, ResultRow
from afs.evaluate.suite_types import Suite, SuiteItem
from afs.model_calls import Caller
from afs.model_calls.questions import LedgerQuestion, LedgerReply, LedgerTerms, ask_questions
from afs.model_calls.target import Target
from afs.providers.base import BatchProvider, Provider, Sampling
from afs.providers.few_shot import FewShotModel
from afs.types import Completion, Message

BATCH = 64
"""Batch size for models on this machine."""
_CONTROL = re.compile(
    r"<\|(?:im_start|im_end|endoftext|eot_id|start_header_id|assistant|user|system|end)\|>|\[/?INST\]|<</?SYS>>"
    r"|<(?:start|end)_of_turn>|^#{2,3} (?:Instruction|Response):\s*$",
    re.M,
)
_HTML = re.compile(r"\s*<(?:!doctype\s+html|html[\s>])", re.I)


class Question(NamedTuple):
    """One question to one model."""

    item: SuiteItem
    epoch: int


class OpenedModel(NamedTuple):
    """A model under evaluation."""

    provider: Provider
    artifact: str
    """Digest of its files; empty for an endpoint."""
    endpoint: bool
    """Whether a server answers, so that the name of the answering model must be checked."""


class Terms(NamedTuple):
    """Settings shared by all questions of a run."""

    suite: Suite
    digest: str
    """The suite's."""
    sampling: Sampling
    epochs: int
    concurrency: int
    path: Path
    """Where answers are stored."""
    progress: Callable[[int], None] = lambda _: None
    """Called with the number of answers after each group; may raise to stop."""
    calls: LedgerTerms | None = None
    """How models behind HTTP are called; none: directly, without a ledger."""


def missing_questions(terms: Terms, model: str) -> list[Question]:
    """Questions this model has not answered yet; failed requests are asked again."""
    known: Mapping[Key, ResultRow] = result_rows.read(terms.path, growing=True).by_key if terms.path.exists() else {}
    wanted = [Question(item, epoch) for epoch in range(terms.epochs) for item in terms.suite.items]

    def has_answer(question: Question) -> bool:
        row = known.get(Key(model, question.item.id, question.epoch))
        return row is not None and row.outcome not in result_rows.LOST and row.suite == terms.digest

    return [question for question in wanted if not has_answer(question)]


def ask_all(terms: Terms, asked: OpenedModel) -> None:
    """Ask one model everything that is missing."""
    questions = missing_questions(terms, asked.provider.name)
    bare = [q for q in questions if not q.item.task.tools]
    if isinstance(asked.provider, BatchProvider):
        _ask_in_batches(terms, asked, asked.provider, bare)
        questions = [q for q in questions if q.item.task.tools]
    if terms.calls is not None and (targets := remote_targets(asked.provider)):
        _ask_through_ledger(terms, terms.calls, asked, questions, targets)
    else:
        _ask_in_threads(terms, asked, questions)


def remote_targets(provider: Provider) -> Sequence[Target]:
    """The models behind HTTP that answer for a provider; none for one on this machine."""
    called = provider.behind if isinstance(provider, FewShotModel) else provider
    return called.targets if isinstance(called, Caller) else ()


def _ask_through_ledger(
    terms: Terms, calls: LedgerTerms, asked: OpenedModel, questions: Sequence[Question], targets: Sequence[Target]
) -> None:
    cell = f"{asked.provider.name}|{terms.digest}"
    by_key = {f"{question.item.id}|{question.epoch}": question for question in questions}

    def file(replies: Sequence[LedgerReply]) -> None:
        jsonl.append(terms.path, [row_of(terms, asked, by_key[r.question.key], r.completion) for r in replies])
        terms.progress(len(replies))

    listed = [_listed(terms, asked, key, question) for key, question in by_key.items()]
    failed = ask_questions(calls, cell, listed, targets, file)
    rows = [lost_row(terms, asked, by_key[one.key], ProviderError(problem), 0.0) for one, problem in failed]
    jsonl.append(terms.path, rows)


def _listed(terms: Terms, asked: OpenedModel, key: str, question: Question) -> LedgerQuestion:
    task = question.item.task
    messages: Sequence[Message] = datasets.task_messages(task.prompt, task.system)
    if isinstance(asked.provider, FewShotModel):
        messages = asked.provider.conversation(messages)
    return LedgerQuestion(key, messages, _sampling(terms, question.epoch), task.tools)


def _ask_in_batches(terms: Terms, asked: OpenedModel, model: BatchProvider, questions: Sequence[Question]) -> None:
    for start in range(0, len(questions), BATCH):
        part = questions[start : start + BATCH]
        turns = [datasets.task_messages(q.item.task.prompt, q.item.task.system) for q in part]
        for epoch in sorted({q.epoch for q in part}):
            chosen = [i for i, q in enumerate(part) if q.epoch == epoch]
            started = time.monotonic()
            try:
                made = model.complete_many([turns[i] for i in chosen], _sampling(terms, epoch))
                rows = [row_of(terms, asked, part[i], c) for i, c in zip(chosen, made, strict=True)]
            except ProviderError as error:
                seconds = (time.monotonic() - started) / len(chosen)
                rows = [lost_row(terms, asked, part[i], error, seconds) for i in chosen]
            jsonl.append(terms.path, rows)
        terms.progress(len(part))


def _ask_in_threads(terms: Terms, asked: OpenedModel, questions: Sequence[Question]) -> None:
    """Stores answers in groups: whatever arrived while the last group was being written."""
    source: Iterator[Question] = iter(questions)
    running: set[Future[ResultRow]] = set()
    with ThreadPoolExecutor(terms.concurrency) as threads:
        try:
            while True:
                while len(running) < 2 * terms.concurrency and (question := next(source, None)) is not None:
                    running.add(threads.submit(_ask, terms, asked, question))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                jsonl.append(terms.path, [future.result() for future in done])
                terms.progress(len(done))
        finally:
            for future in running:
                future.cancel()


def _ask(terms: Terms, asked: OpenedModel, question: Question) -> ResultRow:
    return answer(terms, asked, question)[0]


def answer(terms: Terms, asked: OpenedModel, question: Question) -> tuple[ResultRow, Completion | None]:
    """Ask one question: the row and the completion; no completion when the call failed."""
    task = question.item.task
    started = time.monotonic()
    try:
        messages = datasets.task_messages(task.prompt, task.system)
        completion = asked.provider.complete(messages, _sampling(terms, question.epoch), task.tools)
    except ProviderError as error:
        return lost_row(terms, asked, question, error, time.monotonic() - started), None
    if not completion.seconds:
        completion = msgspec.structs.replace(completion, seconds=time.monotonic() - started)
    return row_of(terms, asked, question, completion), completion


def _sampling(terms: Terms, epoch: int) -> Sampling:
    return msgspec.structs.replace(terms.sampling, seed=terms.sampling.seed + epoch)


def _fields(terms: Terms, asked: OpenedModel, question: Question) -> dict[str, Any]:
    item = question.item
    return {
        "suite": terms.digest,
        "item": item.id,
        "family": item.task.family,
        "category": item.category,
        "cluster": item.cluster,
        "model": asked.provider.name,
        "artifact": asked.artifact,
        "sampling": terms.sampling,
        "epoch": question.epoch,
    }


def row_of(terms: Terms, asked: OpenedModel, question: Question, completion: Completion) -> ResultRow:
    """An answer as a row with its outcome, not yet judged."""
    outcome, problem = outcome_of(completion, asked)
    used = completion.usage
    return ResultRow(
        **_fields(terms, asked, question),
        outcome=outcome,
        output=datasets.completion_text(completion),
        thinking=completion.thinking,
        answered_by=completion.answered_by or completion.model,
        seconds=round(completion.seconds, 4),
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost_usd=used.cost_usd,
        error=problem,
    )


def lost_row(terms: Terms, asked: OpenedModel, question: Question, error: ProviderError, seconds: float) -> ResultRow:
    """A failed call as a row."""
    text = str(error)
    outcome: Outcome = "dead"
    if "in time" in text:
        outcome = "slow"
    elif "not JSON but" in text and "<" in text.partition("not JSON but")[2][:4]:
        outcome = "html"
    return ResultRow(**_fields(terms, asked, question), outcome=outcome, seconds=round(seconds, 4), error=text)


def outcome_of(completion: Completion, asked: OpenedModel) -> tuple[Outcome, str]:
    """How a call ended, and why its text cannot be judged."""
    text = datasets.completion_text(completion)
    who = completion.answered_by or completion.model
    if asked.endpoint and not same_model(asked.provider.name, who):
        return "wrong model", f"asked {asked.provider.name}, {who} answered"
    if _HTML.match(text):
        return "html", "a web page instead of an answer"
    if completion.finish == "filter":
        return "filtered", "withheld by the provider"
    if found := _CONTROL.search(text):
        return "template", f"the control token {found[0].strip()!r} in the answer: wrong chat template"
    if completion.finish == "length":
        return "cut", "ended by the token limit"
    if not text.strip():
        return "empty", "no text" + (" but thinking" if completion.thinking else "")
    return "answered", ""


def same_model(wanted: str, got: str) -> bool:
    """Whether the answering model is the requested one; dates, path prefixes and a council's expert are ignored."""
    if not got or got == wanted:
        return True
    ask = wanted.partition(":")[2].casefold() or wanted.casefold()
    names = {got.casefold(), got.casefold().rpartition("/")[2], got.casefold().removesuffix(":latest")}
    wants = {ask, ask.rpartition("/")[2], ask.removesuffix(":latest")}
    dated = "|".join(re.escape(want) + r"(?:[-@]\d[\d-]*|/.+)?" for want in wants)
    return any(re.fullmatch(dated, name) for name in names)
