"""The inspect_ai engine: runs a suite as an inspect task, for its cache, logs and viewer.

`inspect view --log-dir RUN/inspect` shows every sample. Rows are stored as answers arrive; cached answers are read from
the log. Retries and timeouts are always set, because inspect's defaults are unlimited.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread
import inspect_ai
import msgspec
from inspect_ai import model as inspected
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver

from afs import datasets, jsonl
from afs.errors import ProviderError
from afs.evaluate import ask_models, result_rows
from afs.evaluate.ask_models import OpenedModel, Question, Terms
from afs.evaluate.result_rows import Key, ResultRow
from afs.evaluate.suite_types import SuiteItem
from afs.providers.base import BatchProvider
from afs.types import Completion, Usage, Verdict

Check = Callable[[SuiteItem, str], Verdict]
"""Judges one answer; independent of inspect."""

THINKING = "thinking"
CACHE = "INSPECT_CACHE_DIR"
_question: ContextVar[Question] = ContextVar("question")


AHEAD = 2
"""Concurrent samples per concurrent call: judging and logging must not hold up calls."""
GROUP = 32
"""Smallest group of samples written to inspect's log: it copies the file each time. Our rows do not wait for it."""


class InspectSettings(NamedTuple):
    """Settings of the inspect engine."""

    folder: Path
    """Where its logs go."""
    check: Check
    timeout_s: float
    retries: int
    cache: Path | None = None
    """Folder of inspect's cache; None: no cache."""
    identity: str = ""
    """Address or digest that separates models of the same name in the cache."""


class DurableRows:
    """Appends rows durably in groups: whatever arrived while the last group was being written."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._waiting: list[ResultRow] = []
        self._adding, self._writing = threading.Lock(), threading.Lock()

    def add(self, row: ResultRow) -> None:
        """Return when the row is on the disk."""
        with self._adding:
            self._waiting.append(row)
        with self._writing:
            with self._adding:
                rows, self._waiting = self._waiting, []
            if rows:
                jsonl.append(self.terms.path, rows)
                self.terms.progress(len(rows))


class InspectWork(NamedTuple):
    """One inspect run: its questions and how they are judged."""

    terms: Terms
    asked: OpenedModel
    items: dict[str, Question]
    engine: InspectSettings
    store: DurableRows
    slots: threading.Semaphore
    """Concurrent calls. Inspect runs more samples than this; the others are being judged and logged."""


_open: dict[str, InspectWork] = {}
"""Runs by model: inspect creates its objects by name, and logs their arguments with every sample."""


def ask_with_inspect(terms: Terms, asked: OpenedModel, engine: InspectSettings) -> None:
    """Ask one model all missing questions through inspect."""
    for epoch in range(terms.epochs):
        waiting = [q for q in ask_models.missing_questions(terms, asked.provider.name) if q.epoch == epoch]
        if waiting:
            with _cache_at(engine.cache):
                _run(terms, asked, engine, waiting, epoch)


@contextmanager
def _cache_at(folder: Path | None) -> Iterator[None]:
    """Inspect takes its cache folder from the environment only."""
    before = os.environ.get(CACHE)
    if folder is not None:
        os.environ[CACHE] = str(folder)
    try:
        yield
    finally:
        if before is not None:
            os.environ[CACHE] = before
        else:
            os.environ.pop(CACHE, None)


def _run(terms: Terms, asked: OpenedModel, engine: InspectSettings, waiting: list[Question], epoch: int) -> None:
    sampling = terms.sampling
    items = {question.item.id: question for question in waiting}
    together = 1 if isinstance(asked.provider, BatchProvider) else terms.concurrency
    name = asked.provider.name
    _open[name] = InspectWork(terms, asked, items, engine, DurableRows(terms), threading.Semaphore(together))
    task = inspect_ai.Task(
        dataset=MemoryDataset([_sample(question.item) for question in waiting], name=terms.suite.name),
        solver=_answer(name, cache=engine.cache is not None),
        scorer=_checked(name),
        name="afs-" + "".join(c if c.isalnum() else "-" for c in terms.suite.name),
        metadata={"suite": terms.digest, "epoch": epoch},
    )
    model = inspected.get_model(
        f"afs/{name}",
        base_url=engine.identity or None,
        memoize=False,
        config=inspected.GenerateConfig(
            max_retries=engine.retries,
            timeout=int(engine.timeout_s * (engine.retries + 1)) + 1,
            max_connections=AHEAD * terms.concurrency,
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            top_p=sampling.top_p,
            seed=sampling.seed + epoch,
            stop_seqs=list(sampling.stop) or None,
        ),
    )
    logs = inspect_ai.eval(
        task,
        model=model,
        log_dir=str(engine.folder),
        log_format="eval",
        log_level="error",
        display="none",
        max_samples=AHEAD * terms.concurrency,
        fail_on_error=False,
        log_realtime=False,
        log_buffer=max(GROUP, len(waiting) // 20),
        acp_server=False,
        ctl_server=False,
    )
    for log in logs:
        if log.status != "success":
            raise ProviderError(f"inspect_ai: {log.error.message if log.error else log.status}")
    _harvest(terms, asked, items, logs)


def _sample(item: SuiteItem) -> Sample:
    turns = datasets.task_messages(item.task.prompt, item.task.system)
    kinds = {"system": inspected.ChatMessageSystem, "user": inspected.ChatMessageUser}
    chat = [kinds[turn.role](content=turn.text) for turn in turns]
    return Sample(id=item.id, input=chat, target=item.task.reference, metadata={"category": item.category})


@solver  # type: ignore[untyped-decorator]
def _answer(name: str, *, cache: bool) -> Solver:
    items = _open[name].items

    policy = inspected.CachePolicy(expiry=None) if cache else False

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        _question.set(items[str(state.sample_id)])
        return await generate(state, cache=policy)

    return solve


@scorer(metrics=[mean(), stderr()], name="afs")  # type: ignore[untyped-decorator]
def _checked(name: str) -> Scorer:
    work, lock = _open[name], threading.Lock()

    def judge(item: SuiteItem, text: str) -> Verdict:
        with lock:
            return work.engine.check(item, text)

    async def score(state: TaskState, target: Target) -> Score | None:
        if ask_models.outcome_of(_completion(state.output), work.asked)[0] != "answered":
            return None
        verdict = await anyio.to_thread.run_sync(judge, work.items[str(state.sample_id)].item, state.output.completion)
        if verdict.score is None:
            return None
        return Score(value=verdict.score, answer=state.output.completion, explanation=verdict.reason)

    return score


@inspected.modelapi(name="afs")  # type: ignore[untyped-decorator]
def _afs() -> type[inspected.ModelAPI]:
    return _Api


class _Api(inspected.ModelAPI):  # type: ignore[misc]
    """One of our providers as an inspect model."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: inspected.GenerateConfig | None = None,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or inspected.GenerateConfig())
        self.work = _open[model_name]
        self._threads: anyio.CapacityLimiter | None = None

    async def generate(
        self,
        input: list[inspected.ChatMessage],
        tools: list[object],
        tool_choice: object,
        config: inspected.GenerateConfig,
    ) -> inspected.ModelOutput:
        """Ask this sample's question and store its row."""
        self._threads = self._threads or anyio.CapacityLimiter(self.max_connections())
        completion = await anyio.to_thread.run_sync(self._ask, _question.get(), limiter=self._threads)
        return _output(completion)

    def _ask(self, question: Question) -> Completion:
        with self.work.slots:
            row, completion = ask_models.answer(self.work.terms, self.work.asked, question)
        self.work.store.add(row)
        if completion is None or row.outcome in result_rows.LOST:
            raise ProviderError(row.error)
        return completion

    def should_retry(self, ex: BaseException) -> bool:
        """Never: the provider has already retried."""
        return False

    def connection_key(self) -> str:
        """One limit for each model."""
        return self.work.asked.provider.name

    def max_connections(self) -> int:
        """More than the run allows; each waits for its own slot."""
        return AHEAD * self.work.terms.concurrency


def _output(completion: Completion) -> inspected.ModelOutput:
    reason = {"length": "max_tokens", "filter": "content_filter"}.get(completion.finish, "stop")
    text = datasets.completion_text(completion)
    output = inspected.ModelOutput.from_content(completion.model, text, stop_reason=reason)
    used = completion.usage
    total = used.input_tokens + used.output_tokens
    output.usage = inspected.ModelUsage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        total_tokens=total,
        total_cost=used.cost_usd,
    )
    output.metadata = {THINKING: completion.thinking} if completion.thinking else None
    output.time = completion.seconds
    return output


def _harvest(terms: Terms, asked: OpenedModel, items: dict[str, Question], logs: list[EvalLog]) -> None:
    """Rows for cached answers, and for samples that failed before the call."""
    name, epoch = asked.provider.name, next(iter(items.values())).epoch
    left = {question.item.id for question in ask_models.missing_questions(terms, name) if question.epoch == epoch}
    if not left:
        return
    known = result_rows.read(terms.path, growing=True).by_key if terms.path.exists() else {}
    rows = []
    for sample in (sample for log in logs for sample in log.samples or []):
        question = items[str(sample.id)]
        if str(sample.id) in left and sample.error is None and sample.output.choices:
            rows.append(ask_models.row_of(terms, asked, question, _completion(sample.output)))
        elif sample.error is not None and Key(name, str(sample.id), epoch) not in known:
            problem = ProviderError(f"inspect_ai: {sample.error.message}")
            rows.append(ask_models.lost_row(terms, asked, question, problem, 0.0))
    if rows:
        jsonl.append(terms.path, rows)
        terms.progress(len(rows))


def _completion(output: inspected.ModelOutput) -> Completion:
    finish = {"max_tokens": "length", "content_filter": "filter"}.get(str(output.stop_reason), "stop")
    used = output.usage or inspected.ModelUsage()
    usage = Usage(input_tokens=used.input_tokens, output_tokens=used.output_tokens, cost_usd=used.total_cost)
    thinking = str((output.metadata or {}).get(THINKING, ""))
    made = Completion(text=output.completion, thinking=thinking, model=output.model, finish=finish, usage=usage)
    return msgspec.structs.replace(made, seconds=output.time or 0.0)
