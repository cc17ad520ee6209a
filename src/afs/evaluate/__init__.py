"""Evaluates models on a suite, always beside their base, and stores a report with a row per answer.

Ask (resumable) → judge → compare → write. A killed run resumes and asks only what is missing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple, cast

from afs import answer_verifier, artifacts, plugins
from afs.checks.check_parser import require_checks
from afs.config import Config, Count
from afs.errors import ConfigError, ProviderError
from afs.evaluate import answer_perplexity, ask_models, models_under_test, report, report_store, result_rows, statistics
from afs.evaluate.ask_models import Terms
from afs.evaluate.compare import Cut, Metric
from afs.evaluate.contamination import ContaminationSearch, search_dataset
from afs.evaluate.models_under_test import CallLimits, Subject
from afs.evaluate.result_rows import Key, ResultRow, Table
from afs.evaluate.score import judge, score_answer, score_rows
from afs.evaluate.score.scorer_interface import scorer
from afs.evaluate.suite_lint import refuse_unlinted
from afs.evaluate.suite_types import Suite, SuiteItem
from afs.evaluate.suites import open_suite
from afs.model_calls.questions import LedgerTerms
from afs.model_calls.work_protocol import Knobs
from afs.providers.base import Sampling
from afs.runs import Run
from afs.types import Interval, Report, Verdict

__all__ = ["EvalRunConfig", "eval_run"]

INSPECT = "afs.evaluate.inspect_engine"
"""Loaded on demand: it needs inspect_ai."""
_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class EvalRunConfig(Config, frozen=True, kw_only=True):
    """Evaluate models on a suite."""

    positional: ClassVar[tuple[str, ...]] = ("suite",)
    suite: str
    """A pack (`sums`, `sums:add,copy`), a named suite (`snes-core:docs`), a dataset (`snes-sft@3`: its
    split `heldout`), or a file."""
    model: tuple[str, ...]
    """Models: a registered name, a stored ref, `provider:model`, `model@http://host/v1`, `council`, `council:expert`.
    The first is the subject."""
    base: str = ""
    """The baseline; empty: the model the subject was trained from; `none`: no baseline."""
    fewshot: Count = 4
    """Solved examples of the subject's training data before each question, as a further baseline: the base with them;
    0: none. A base trained from nothing has no such baseline."""
    name: str = ""
    """Name of the report; empty: suite and subject."""
    count: int = 0
    """Items per family; 0: all stored ones, 40 generated ones."""
    seed: int = 0
    """Seed of generated items: another seed gives fresh constants."""
    sampling: Sampling = Sampling(max_tokens=1024)
    """Sampling settings; stored with every result."""
    epochs: int = 1
    """Answers per item; above 1 the report shows pass@k."""
    metric: Metric = "solved"
    """Count solved items, or average scores that give credit for parts."""
    cut: Cut = "unsolved"
    """How an answer cut at the token limit counts toward solved items; it never has a score."""
    concurrency: int = 8
    """Concurrent requests per endpoint."""
    timeout_s: float = 120.0
    """Request timeout."""
    retries: int = 2
    """Retries after a failed request; an outage of the whole model is waited for."""
    longest_outage_s: float = 300.0
    """How long to wait when a model cannot be called, before the run ends; rerun to resume."""
    budget_usd: float | None = None
    """Most that all calls of this run may cost; the worst case of a call is reserved before it is sent."""
    engine: Literal["direct", "inspect"] = "direct"
    """`direct`: our own threads and batches; `inspect`: inspect_ai with its cache and logs. Same results table."""
    cache: bool = False
    """With the engine `inspect`: use its cache (`cache/inspect` in the workspace)."""
    also: tuple[str, ...] = ()
    """More scorers (`exact`, `bleu`, `f1`, `chrf`): the report shows their means for subject and base."""
    perplexity: int = 0
    """Gold answers to measure perplexity on, for stored models; 0: none."""
    contamination: bool = True
    """Search the subject's training data for the items, if it is stored here."""
    lint: bool = True
    """Refuse a suite whose scorers can be fooled; false: refuse only wrong gold answers."""

    def late_needs(self) -> Iterator[tuple[str, str]]:
        """The scorers of `also` and the engine are used after all models were asked, and models are opened in turn."""
        kinds = {spec.partition(":")[0] for spec in (*self.model, self.base) if ":" in spec}
        yield from (("provider", kind) for kind in sorted(kinds) if kind in plugins.TABLES["provider"])
        yield from (("scorer", name) for name in self.also)
        if self.engine == "inspect":
            yield "target", f"{INSPECT}:ask_with_inspect"


class EvalWork(NamedTuple):
    """Suite, models and base of a run."""

    suite: Suite
    subjects: tuple[Subject, ...]
    base: Subject | None


def eval_run(config: EvalRunConfig, run: Run) -> Report:
    """Ask every model every question, judge the answers, compare with the base, write the report."""
    if not config.model:
        raise ConfigError("model", "want at least one model to measure")
    if config.engine == "inspect" and config.budget_usd is not None:
        raise ConfigError("budget_usd", "the engine `inspect` keeps no ledger; a budget wants the engine `direct`")
    with run.phase("open the suite"), run.interruptible():
        suite = open_suite(run.workspace, config.suite, seed=config.seed, count=config.count)
        first = models_under_test.find_subject(run.workspace, config.model[0])
        base = models_under_test.base_of(run.workspace, first, config.base)
        others = [models_under_test.find_subject(run.workspace, spec) for spec in config.model[1:]]
        shown = models_under_test.shown_examples(run.workspace, first, base, suite, config.fewshot)
        every = list({s.name: s for s in (first, *others, base, shown) if s}.values())
        require_checks(item.task for item in suite.items)
        work = EvalWork(suite, tuple(every), base)
    with answer_verifier.open_verifier(run.workspace.root, run.workspace.jobs) as verifier:
        with run.phase("check the suite on control answers"):
            refuse_unlinted(verifier, suite, run.workspace, only_gold=not config.lint)
        run.event("notice", text=power_line(suite))
        _ask(config, run, work, verifier)
        with run.phase("judge the answers"):
            rows = _judged(run, verifier, work, config.epochs)
    with run.phase("write the report"):
        return _write(config, run, work, rows)


def power_line(suite: Suite) -> str:
    """What the items can show, stated before the models are asked."""
    clusters = [item.cluster for item in suite.items]
    chance = statistics.power(clusters, 0.10)
    guard = statistics.needed_items(0.05, discordant=0.1, effect=statistics.design_effect(clusters))
    return (
        f"{len(clusters)} items in {len(set(clusters))} clusters: a true gain of 10 points is detected with "
        f"probability {chance:.2f} (assuming that {statistics.ASSUMED_DISCORDANT:.0%} of the answers differ); "
        f"to guard a margin of 5 points about {guard} items are needed"
    )


def _ask(config: EvalRunConfig, run: Run, work: EvalWork, verifier: answer_verifier.Verifier) -> None:
    """Every model its missing questions; an outage of one does not keep the others from being asked."""
    outages: list[ProviderError] = []
    for subject in work.subjects:
        terms = _terms(config, run, work.suite)
        waiting = len(ask_models.missing_questions(terms, subject.name))
        if not waiting:
            continue
        with run.phase(f"ask {subject.name}"):
            try:
                _ask_one(
                    config, run, subject, terms._replace(progress=EvalProgress(run, subject.name, waiting)), verifier
                )
            except ProviderError as outage:
                outages.append(outage)
    if outages:
        raise ProviderError("; ".join(dict.fromkeys(map(str, outages))))


def _terms(config: EvalRunConfig, run: Run, suite: Suite) -> Terms:
    knobs = Knobs(config.concurrency, longest_outage_s=config.longest_outage_s, failures=config.retries + 1)
    calls = LedgerTerms(run.workspace.root, run.folder, knobs, config.budget_usd, asks_again=True, stop=run.check_stop)
    path = run.folder / "answers.jsonl"
    return Terms(suite, suite.digest, config.sampling, config.epochs, config.concurrency, path, calls=calls)


def _ask_one(
    config: EvalRunConfig, run: Run, subject: Subject, terms: Terms, verifier: answer_verifier.Verifier
) -> None:
    limits = CallLimits(config.timeout_s, config.retries)
    asked = models_under_test.open_subject(run.workspace, subject, limits)
    if config.engine == "direct":
        ask_models.ask_all(terms, asked)
        return
    cache = run.workspace.root / "cache" / "inspect" if config.cache else None
    log = run.folder / "inspect"
    settings = (log, _checker(verifier), config.timeout_s, config.retries, cache, subject.digest or subject.spec)
    cast(Callable[..., None], plugins.load(f"{INSPECT}:ask_with_inspect"))(
        terms, asked, cast(Callable[..., object], plugins.load(f"{INSPECT}:InspectSettings"))(*settings)
    )
    run.event("notice", text=f"its log: inspect view --log-dir {log}")


def _checker(verifier: answer_verifier.Verifier) -> Callable[[SuiteItem, str], Verdict]:
    return lambda item, text: judge(verifier, [(item, text)])[0]


class EvalProgress:
    """Reports progress, and stops the run on request."""

    def __init__(self, run: Run, name: str, total: int) -> None:
        self.run, self.name, self.total, self.done = run, name, total, 0
        self.started = self.reported = time.monotonic()

    def __call__(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.reported >= 1:
            self.reported = now
            self.run.progress(f"answers of {self.name}", self.done, self.total, now - self.started)
        self.run.check_stop()


def _judged(run: Run, verifier: answer_verifier.Verifier, work: EvalWork, epochs: int) -> list[ResultRow]:
    items = {item.id: item for item in work.suite.items}
    answers = result_rows.read(run.folder / "answers.jsonl", growing=True).by_key
    keys = [Key(s.name, item, epoch) for s in work.subjects for epoch in range(epochs) for item in items]
    digest = work.suite.digest
    mine = [answers[key] for key in keys if key in answers and answers[key].suite == digest]
    return list(score_rows(verifier, items, mine))


def _measured(work: EvalWork) -> Iterator[tuple[str, Subject]]:
    """(suffix of a metric's name, model): the subject, then its base."""
    yield "", work.subjects[0]
    if work.base and work.base.name != work.subjects[0].name:
        yield report.OF_BASE, work.base


def _also(config: EvalRunConfig, work: EvalWork, rows: Sequence[ResultRow]) -> dict[str, Interval]:
    """Means of the additional scorers for subject and base, over items with a gold text."""
    items = {item.id: item for item in work.suite.items}
    found = {}
    for ending, subject in _measured(work) if config.also else ():
        mine = [r for r in rows if r.model == subject.name and r.outcome == "answered" and items[r.item].task.reference]
        for use in config.also:
            made = scorer({"use": use}, "also")
            values = [score_answer(made, items[row.item].task, row.output).score or 0.0 for row in mine]
            found[use + ending] = statistics.share(values, [row.cluster for row in mine])
    return found


def _searched(config: EvalRunConfig, run: Run, work: EvalWork) -> ContaminationSearch | None:
    """The suite's items found in the subject's training data; None when that is not stored here."""
    if not config.contamination or not work.subjects[0].digest:
        return None
    name = artifacts.load(run.workspace, work.subjects[0].name).dataset
    if not name or not run.workspace.versions("dataset", name.partition("@")[0]):
        return None
    with run.phase("search the training data for the items"):
        return search_dataset(run.workspace, name, work.suite.items)


def _perplexity(config: EvalRunConfig, run: Run, work: EvalWork) -> dict[str, Interval]:
    """Perplexity of subject and base if they are stored; an endpoint gives no likelihoods."""
    found: dict[str, Interval] = {}
    for ending, subject in _measured(work) if config.perplexity else ():
        if subject.endpoint:
            continue
        with run.phase(f"perplexity of the gold answers under {subject.name}"):
            asked = models_under_test.open_subject(run.workspace, subject, CallLimits(config.timeout_s, config.retries))
            step = max(1, len(work.suite.items) // config.perplexity)
            measured = answer_perplexity.measure(asked.provider, work.suite.items[::step][: config.perplexity])
            found |= {name + ending: interval for name, interval in measured.items()}
    return found


def _write(config: EvalRunConfig, run: Run, work: EvalWork, rows: Sequence[ResultRow]) -> Report:
    subject, table = work.subjects[0], Table(rows)
    base = work.base.name if work.base and work.base.name != subject.name else ""
    facts = report.Facts(
        suite=work.suite,
        models=tuple(dict(models_under_test.describe_subject(s)) for s in work.subjects),
        subject=subject.name,
        base=base,
        metric=config.metric,
        cut=config.cut,
        sampling=config.sampling,
        command=report.reproduce_command(config),
        run=run.id,
        numbers=_also(config, work, rows) | _perplexity(config, run, work),
        searched=_searched(config, run, work),
    )
    made = report.build_report(facts, table)
    name = config.name or _NAME.sub("-", f"{work.suite.name}-{subject.name}").strip("-.")
    return report_store.store(run.workspace, name, work.suite, rows, made.report, made.pages)
