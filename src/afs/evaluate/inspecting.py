"""The other way of asking: a suite as a task of inspect_ai, for its cache, its logs and their viewer.

`inspect view --log-dir RUN/inspect` shows every sample. Rows are stored the moment an answer comes, as everywhere; what
inspect took from its cache is read out of the log. Retries and time limits are always set: inspect's own are unlimited.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

import anyio.to_thread
import inspect_ai
import msgspec
from inspect_ai import model as inspected
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog, EvalSample
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver

from afs import datasets, jsonl
from afs.errors import ProviderError
from afs.evaluate import asking, results
from afs.evaluate.asking import Asked, Question, Terms
from afs.evaluate.items import SuiteItem
from afs.types import Completion, Verdict

Check = Callable[[SuiteItem, str], Verdict]
"""Judges one answer; a pure function that knows nothing of inspect."""

_open: dict[str, tuple[Terms, Asked]] = {}
"""Models by name: inspect makes its own objects from names."""
_question: ContextVar[Question] = ContextVar("question")


class Engine(NamedTuple):
    """How inspect is driven."""

    folder: Path
    """Where its logs go."""
    check: Check
    timeout_s: float
    retries: int
    cache: bool = False
    """Take answers from inspect's cache, and put them there."""


def ask_all(terms: Terms, asked: Asked, engine: Engine) -> None:
    """Ask one model everything that is missing, by inspect."""
    for epoch in range(terms.epochs):
        waiting = [q for q in asking.missing(terms, asked.provider.name) if q.epoch == epoch]
        if waiting:
            _run(terms, asked, engine, waiting, epoch)


def _run(terms: Terms, asked: Asked, engine: Engine, waiting: list[Question], epoch: int) -> None:
    sampling = terms.sampling
    items = {question.item.id: question for question in waiting}
    task = inspect_ai.Task(
        dataset=MemoryDataset([_sample(question.item) for question in waiting], name=terms.suite.name),
        solver=_answer(items, cache=engine.cache),
        scorer=_checked(items, engine.check),
        name="afs-" + "".join(c if c.isalnum() else "-" for c in terms.suite.name),
        metadata={"suite": terms.digest, "epoch": epoch},
    )
    _open[asked.provider.name] = (terms, asked)
    model = inspected.get_model(
        f"afs/{asked.provider.name}",
        memoize=False,
        config=inspected.GenerateConfig(
            max_retries=engine.retries,
            timeout=int(engine.timeout_s * (engine.retries + 1)) + 1,
            max_connections=terms.concurrency,
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
        max_samples=terms.concurrency,
        fail_on_error=False,
        log_realtime=False,
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
def _answer(items: dict[str, Question], *, cache: bool) -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        _question.set(items[str(state.sample_id)])
        return await generate(state, cache=cache)

    return solve


@scorer(metrics=[mean(), stderr()], name="afs")  # type: ignore[untyped-decorator]
def _checked(items: dict[str, Question], check: Check) -> Scorer:
    lock = threading.Lock()

    def judge(item: SuiteItem, text: str) -> Verdict:
        with lock:
            return check(item, text)

    async def score(state: TaskState, target: Target) -> Score | None:
        if state.output.stop_reason != "stop":
            return None
        verdict = await anyio.to_thread.run_sync(judge, items[str(state.sample_id)].item, state.output.completion)
        if verdict.score is None:
            return None
        return Score(value=verdict.score, answer=state.output.completion, explanation=verdict.reason)

    return score


@inspected.modelapi(name="afs")  # type: ignore[untyped-decorator]
def _afs() -> type[inspected.ModelAPI]:
    return _Api


class _Api(inspected.ModelAPI):  # type: ignore[misc]
    """One of our providers as a model of inspect."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: inspected.GenerateConfig | None = None,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or inspected.GenerateConfig())
        self.terms, self.asked = _open[model_name]
        self._lock = threading.Lock()

    async def generate(
        self,
        input: list[inspected.ChatMessage],
        tools: list[object],
        tool_choice: object,
        config: inspected.GenerateConfig,
    ) -> inspected.ModelOutput:
        """Ask the question this sample stands for, and store its row."""
        completion = await anyio.to_thread.run_sync(self._ask, _question.get())
        return _output(completion)

    def _ask(self, question: Question) -> Completion:
        row, completion = asking.answer(self.terms, self.asked, question)
        with self._lock:
            jsonl.append(self.terms.path, [row])
            self.terms.progress(1)
        if completion is None:
            raise ProviderError(row.error)
        return completion

    def should_retry(self, ex: BaseException) -> bool:
        """Never: the provider has retried by the class of its failure."""
        return False

    def connection_key(self) -> str:
        """One limit for each model."""
        return self.asked.provider.name

    def max_connections(self) -> int:
        """As many as the run allows."""
        return self.terms.concurrency


def _output(completion: Completion) -> inspected.ModelOutput:
    reason = {"length": "max_tokens", "filter": "content_filter"}.get(completion.finish, "stop")
    text = datasets.completion_text(completion)
    output = inspected.ModelOutput.from_content(completion.model, text, stop_reason=reason)
    used = completion.usage
    total = used.input_tokens + used.output_tokens
    output.usage = inspected.ModelUsage(
        input_tokens=used.input_tokens, output_tokens=used.output_tokens, total_tokens=total
    )
    output.time = completion.seconds
    return output


def _harvest(terms: Terms, asked: Asked, items: dict[str, Question], logs: list[EvalLog]) -> None:
    """Rows of what inspect took from its cache, and of samples that failed before the model was asked."""
    stored = {row.item for row in results.read(terms.path).rows} if terms.path.exists() else set()
    left = {question.item.id for question in asking.missing(terms, asked.provider.name)}
    rows = []
    for sample in (sample for log in logs for sample in log.samples or []):
        question = items[str(sample.id)]
        if str(sample.id) in left and sample.error is None and sample.output.choices:
            rows.append(asking.row_of(terms, asked, question, _completion(sample)))
        elif sample.error is not None and str(sample.id) not in stored:
            problem = ProviderError(f"inspect_ai: {sample.error.message}")
            rows.append(asking.lost_row(terms, asked, question, problem, 0.0))
    if rows:
        jsonl.append(terms.path, rows)
        terms.progress(len(rows))


def _completion(sample: EvalSample) -> Completion:
    finish = {"max_tokens": "length", "content_filter": "filter"}.get(str(sample.output.stop_reason), "stop")
    made = Completion(text=sample.output.completion, model=sample.output.model, finish=finish)
    return msgspec.structs.replace(made, seconds=sample.output.time or 0.0)
