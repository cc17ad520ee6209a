"""Makes records: a pack's tasks with their reference answers, or a teacher's answers judged by the pack.

Every answer passes `verify` before it is written; what fails is kept beside with its verdict. Work is claimed
piecewise, so a killed run goes on where it was and pays for nothing twice.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import cast

import msgspec

from afs import datasets, plugins, verify
from afs.artifacts import open_model
from afs.config import Config
from afs.domains.base import Domain
from afs.errors import ConfigError, DataError, ProviderError, UsageError
from afs.providers.base import BatchProvider, Provider, Sampling
from afs.runs import Run
from afs.types import Completion, Dataset, Dropped, Origin, Record, RefText, Task, Usage, Value, Verdict, record_id
from afs.work_queue import ClaimedItem, WorkQueue

__all__ = ["FamilyCount", "GenerateConfig", "generate"]

_BATCH = 64
_LEASE_S = 600.0


class FamilyCount(Config, frozen=True, kw_only=True):
    """How many tasks of one family."""

    family: str
    """A family of the pack; `afs PACK` and `afs generate --help` name them."""
    count: int
    """Tasks to make."""


class GenerateConfig(Config, frozen=True, kw_only=True):
    """Make verified records."""

    domain: str
    """The pack that sets the tasks and judges the answers."""
    name: str
    """Name of the records to write."""
    families: tuple[FamilyCount, ...] = ()
    """Families with their counts; empty: every family of the pack, `count` each."""
    count: int = 100
    """Tasks per family when `families` is empty."""
    source: RefText = ""
    """Records of a log: each session becomes a task of the pack, instead of its families; the pack must know how."""
    seed: int = 0
    """Seed of the tasks."""
    teacher: str = ""
    """Model that answers (`openai:…`, a stored model); empty: the pack's own reference answers."""
    sampling: Sampling = Sampling(max_tokens=1024, temperature=0.7)
    """How the teacher samples."""
    attempts: int = 1
    """Answers asked of the teacher per task until one passes."""
    concurrency: int = 8
    """Teacher calls in flight."""
    license: str = "CC0-1.0"
    """License of what a pack makes; a teacher's terms decide for its answers."""


class Answered(Value, frozen=True, kw_only=True):
    """A finished piece: the task, the answers in order, their verdicts, and what they used."""

    task: Task
    answers: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    usage: Usage = Usage()
    problem: str = ""


def generate(config: GenerateConfig, run: Run) -> Dataset:
    """Ask for every task, judge every answer, write what passed."""
    pack = verify.load_pack(config.domain)
    families = () if config.source else pack.families
    shares = config.families or tuple(FamilyCount(family=family, count=config.count) for family in families)
    for share in shares:
        _refuse_unknown(pack, share.family)
    claims = WorkQueue(run.folder / "claims.db")
    try:
        with run.phase(f"make {config.name}"):
            claims.add(_pieces(config, shares))
            claims.add(_sessions(config, run))
            short = _shortfall(run, shares, claims)
            _answer_all(config, run, claims, sum(claims.counts().values()))
            return _write(config, run, claims, short)
    finally:
        claims.close()


def _refuse_unknown(pack: Domain, family: str) -> None:
    """A pack may know families that it does not list: only it can say."""
    if family in pack.families:
        return
    try:
        next(pack.tasks(family, 0, 1))
    except UsageError as error:
        near = plugins.suggest_name(family, pack.families)
        raise ConfigError("families", f"the pack {pack.name} has no family {family!r}{near}") from error


def _shortfall(run: Run, shares: tuple[FamilyCount, ...], claims: WorkQueue) -> dict[str, int]:
    """How many tasks of each family the pack could not make; said aloud and written into the manifest."""
    made = Counter(key.rsplit("/", 2)[0] for key in claims.names())
    short = {share.family: share.count - made[share.family] for share in shares if made[share.family] < share.count}
    for family, missing in short.items():
        run.event(
            "notice", text=f"{family}: the pack has {made[family]} different tasks, {missing} fewer than asked for"
        )
    return short


def _pieces(config: GenerateConfig, shares: tuple[FamilyCount, ...]) -> Iterator[tuple[str, bytes]]:
    pack = verify.load_pack(config.domain)
    for share in shares:
        for number, task in enumerate(pack.tasks(share.family, config.seed, share.count)):
            yield f"{share.family}/{number:07d}/{task.id}", msgspec.msgpack.encode(task)


def _sessions(config: GenerateConfig, run: Run) -> Iterator[tuple[str, bytes]]:
    """A task for every session of the source that the pack can make one of."""
    if not config.source:
        return
    pack = verify.load_pack(config.domain)
    make = cast("Callable[[list[Record]], Task | None] | None", getattr(pack, "from_session", None))
    if make is None:
        raise ConfigError("source", f"the pack {config.domain} makes no tasks out of logs")
    dataset = datasets.load(run.workspace, config.source)
    sessions = itertools.groupby(
        datasets.read(run.workspace, dataset), key=lambda record: record.origin.group or record.id
    )
    tasks = [make(list(records)) for _, records in sessions]
    run.event("generate.source", source=dataset.ref, sessions=len(tasks), tasks=sum(task is not None for task in tasks))
    found = [task for task in tasks if task is not None]
    if not found:
        raise DataError(f"{dataset.ref}: no session of it makes a task of the pack {config.domain}")
    yield from ((f"source/{task.id}/{task.id}", msgspec.msgpack.encode(task)) for task in found)


def _answer_all(config: GenerateConfig, run: Run, claims: WorkQueue, total: int) -> None:
    teacher = open_model(run.workspace, config.teacher) if config.teacher else None
    cache = run.workspace.root / "cache" / "verdicts.db"
    before = claims.counts().get("done", 0)
    with verify.Verifier(jobs=run.workspace.jobs, cache=cache) as verifier:
        batches = iter(lambda: claims.claim(_BATCH * run.workspace.jobs, _LEASE_S), [])
        items = (item for batch in batches for item in _answer_batch(config, batch, teacher, verifier, claims))
        for _ in run.track(items, "tasks answered and judged", total - before):
            run.check_stop()


def _answer_batch(
    config: GenerateConfig,
    batch: list[ClaimedItem],
    teacher: Provider | None,
    verifier: verify.Verifier,
    claims: WorkQueue,
) -> list[Answered]:
    tasks = [msgspec.msgpack.decode(item.payload, type=Task) for item in batch]
    if teacher is None:
        verdicts = verifier.verify_all((task, task.reference) for task in tasks)
        done = [
            Answered(task=task, answers=(task.reference,), verdicts=(verdict,))
            for task, verdict in zip(tasks, verdicts, strict=True)
        ]
    elif isinstance(teacher, BatchProvider) and not any(task.tools for task in tasks):
        done = _ask_together(config, teacher, verifier, tasks)
    else:
        with ThreadPoolExecutor(config.concurrency) as threads:
            done = list(threads.map(partial(_ask, config, teacher, verifier), tasks))
    claims.complete((item.key, msgspec.msgpack.encode(answer)) for item, answer in zip(batch, done, strict=True))
    return done


def _ask(config: GenerateConfig, teacher: Provider, verifier: verify.Verifier, task: Task) -> Answered:
    answers: list[str] = []
    verdicts: list[Verdict] = []
    usage, problem = Usage(), ""
    messages = datasets.task_messages(task.prompt, task.system)
    for attempt in range(config.attempts):
        sampling = msgspec.structs.replace(config.sampling, seed=config.sampling.seed + attempt)
        try:
            completion = teacher.complete(messages, sampling, task.tools)
        except ProviderError as error:
            problem = str(error)
            break
        usage = _sum(usage, completion)
        answers.append(datasets.completion_text(completion))
        verdicts.append(verifier.verify(task, answers[-1]))
        if verdicts[-1].ok:
            break
    return Answered(task=task, answers=tuple(answers), verdicts=tuple(verdicts), usage=usage, problem=problem)


def _ask_together(
    config: GenerateConfig, teacher: BatchProvider, verifier: verify.Verifier, tasks: list[Task]
) -> list[Answered]:
    """A teacher that runs here answers many tasks at once; who failed is asked again with the others who did."""
    done = [Answered(task=task, answers=(), verdicts=()) for task in tasks]
    left = list(range(len(tasks)))
    for attempt in range(config.attempts):
        sampling = msgspec.structs.replace(config.sampling, seed=config.sampling.seed + attempt)
        asked = [datasets.task_messages(tasks[place].prompt, tasks[place].system) for place in left]
        completions = teacher.complete_many(asked, sampling)
        texts = [datasets.completion_text(completion) for completion in completions]
        verdicts = list(verifier.verify_all([(tasks[place], text) for place, text in zip(left, texts, strict=True)]))
        for place, completion, text, verdict in zip(left, completions, texts, verdicts, strict=True):
            before = done[place]
            done[place] = msgspec.structs.replace(
                before,
                answers=(*before.answers, text),
                verdicts=(*before.verdicts, verdict),
                usage=_sum(before.usage, completion),
            )
        left = [place for place in left if not done[place].verdicts[-1].ok]
        if not left:
            break
    return done


def _sum(usage: Usage, completion: Completion) -> Usage:
    new = completion.usage
    cost = None if new.cost_usd is None and usage.cost_usd is None else (usage.cost_usd or 0) + (new.cost_usd or 0)
    return Usage(
        input_tokens=usage.input_tokens + new.input_tokens,
        output_tokens=usage.output_tokens + new.output_tokens,
        cached_tokens=usage.cached_tokens + new.cached_tokens,
        thinking_tokens=usage.thinking_tokens + new.thinking_tokens,
        cost_usd=cost,
    )


def _write(config: GenerateConfig, run: Run, claims: WorkQueue, short: dict[str, int]) -> Dataset:
    maker = config.teacher or f"{config.domain}/{verify.load_pack(config.domain).version}"
    with datasets.write_dataset(run.workspace, config.name, "records", run=run.id) as pending:
        pending.writer.counts.update({f"short:{family}": missing for family, missing in short.items()})
        seen: set[str] = set()
        for _, raw in claims.results():
            done = msgspec.msgpack.decode(raw, type=Answered)
            for record, problem in _records(config, run, maker, done):
                if problem:
                    pending.drop(Dropped(record=record, reason=problem, detail=done.problem))
                elif record.id in seen:
                    pending.drop(Dropped(record=record, reason="made twice"))
                else:
                    seen.add(record.id)
                    pending.add("all", record)
    return pending.dataset


def _records(config: GenerateConfig, run: Run, maker: str, done: Answered) -> Iterator[tuple[Record, str]]:
    task = done.task
    for answer, verdict in zip(done.answers, done.verdicts, strict=True):
        messages = datasets.task_messages(task.prompt, task.system, answer)
        record = Record(
            id=record_id(task.domain, messages),
            domain=task.domain,
            kind=task.family,
            messages=messages,
            origin=Origin(
                source=f"generate:{task.domain}",
                license=config.license if not config.teacher else "",
                maker=maker,
                run=run.id,
                group=f"{task.family}#{task.group}" if task.group else task.family,
            ),
            task=task,
            verdicts=(verdict,),
            tools=task.tools,
        )
        yield record, "" if verdict.ok else f"verdict:{verdict.stage}"
    if not done.answers:
        messages = datasets.task_messages(task.prompt, task.system)
        origin = Origin(source=f"generate:{task.domain}", maker=maker, run=run.id, group=task.family)
        record_key = record_id(task.domain, messages)
        yield (
            Record(id=record_key, domain=task.domain, kind=task.family, messages=messages, origin=origin, task=task),
            "no answer",
        )
