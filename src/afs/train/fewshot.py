"""Few-shot "training": which examples, put before a question, make a model pass the most held-out tasks.

Nothing of the model changes; the artifact is the chosen conversation. Candidates are drawn from the training split,
families in turn, and judged by execution on the same held-out tasks, with no examples as the mark to beat.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import msgspec

from afs import artifacts, jsonl
from afs.config import config_digest
from afs.errors import ConfigError, DataError
from afs.providers.base import BatchProvider, Provider, Sampling
from afs.runs import Run
from afs.train.probes import opening, spread
from afs.train.rewards import Judge
from afs.train.settings import TrainConfig
from afs.types import Artifact, Dataset, Message, Record

EXAMPLES = "examples.json"


def choose(
    config: TrainConfig, run: Run, sides: tuple[Sequence[Record], Sequence[Record]], dataset: Dataset, judge: Judge
) -> Artifact:
    """Try sets of examples and store the best."""
    if not config.base:
        raise ConfigError("base", "few-shot examples are chosen for a model: a stored one or `provider:model`")
    train_side, held_out = sides
    rules = config.fewshot
    asked = spread([record for record in held_out if record.task is not None], rules.tasks)
    if not asked:
        raise DataError(f"{dataset.ref}: no held-out record has a task, so no set of examples can be judged")
    model = artifacts.open_model(run.workspace, config.base)
    best: tuple[float, tuple[Record, ...]] = (share(model, (), asked, judge, rules.max_tokens), ())
    run.event("train.fewshot", examples=0, passed=best[0])
    plain = best[0]
    for number, chosen in enumerate(candidates(train_side, rules.examples, rules.trials, config.seed)):
        run.check_stop()
        passed = share(model, chosen, asked, judge, rules.max_tokens)
        run.event("train.fewshot", trial=number, examples=len(chosen), passed=passed)
        if passed > best[0]:
            best = (passed, chosen)
    if not best[1]:
        run.event("notice", text=f"no set of examples beat none at all ({plain:.0%}): the stored set is empty")
    return _store(config, run, dataset, best, plain)


def candidates(records: Sequence[Record], size: int, trials: int, seed: int) -> Iterator[tuple[Record, ...]]:
    """Sets of examples: families in turn, other members every time."""
    rng = random.Random(f"fewshot:{seed}")
    for _ in range(trials):
        shuffled = list(records)
        rng.shuffle(shuffled)
        yield tuple(spread(shuffled, size))


def share(model: Provider, examples: Sequence[Record], asked: Sequence[Record], judge: Judge, longest: int) -> float:
    """Share of the tasks a model passes with these examples before each question."""
    before = [message for record in examples for message in record.messages if message.role != "system"]
    conversations = [_with(before, opening(record)) for record in asked]
    sampling = Sampling(max_tokens=longest)
    if isinstance(model, BatchProvider):
        answers = [made.text for made in model.complete_many(conversations, sampling)]
    else:
        answers = [model.complete(messages, sampling).text for messages in conversations]
    tasks = [record.task for record in asked if record.task is not None]
    known = [verdict.ok for verdict in judge(list(zip(tasks, answers, strict=True))) if verdict.ok is not None]
    return sum(known) / len(known) if known else 0.0


def _with(examples: Sequence[Message], question: Sequence[Message]) -> list[Message]:
    """The examples after the question's own system prompt."""
    lead = [message for message in question[:1] if message.role == "system"]
    return [*lead, *examples, *question[len(lead) :]]


def _store(
    config: TrainConfig, run: Run, dataset: Dataset, best: tuple[float, tuple[Record, ...]], plain: float
) -> Artifact:
    passed, chosen = best
    with artifacts.storing(
        run.workspace,
        config.name,
        form="fewshot",
        base=config.base,
        dataset=dataset.ref,
        dataset_digest=dataset.digest,
        config_digest=config_digest(config),
        parents=(f"dataset:{dataset.ref}",),
        run=run.id,
    ) as pending:
        messages = [message for record in chosen for message in record.messages if message.role != "system"]
        jsonl.replace(pending.folder / EXAMPLES, msgspec.json.format(msgspec.json.encode(messages), indent=2))
        pending.facts.update(
            method="fewshot", examples=[record.id for record in chosen], passed=passed, passed_without=plain
        )
    return pending.artifact
