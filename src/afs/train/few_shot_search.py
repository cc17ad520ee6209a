"""Few-shot "training": which examples, put before a question, make a model pass the most held-out tasks.

Nothing of the model changes; the artifact is the chosen conversation. Candidates are drawn from the training split,
families in turn, and judged by execution on the same tasks of the evaluation's split, with no examples as the mark to
beat. The test side is never read: what the best of several sets is worth is measured there afterwards, by `afs eval`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from afs import artifacts, jsonl, models
from afs.config import config_digest
from afs.errors import ConfigError, DataError
from afs.providers.base import BatchProvider, Provider, Sampling
from afs.runs import Run
from afs.train.rewards import Judge
from afs.train.settings import TrainConfig
from afs.train.task_probes import interleave_families, question_messages
from afs.types import Artifact, Dataset, Message, Record

EXAMPLES = "examples.json"


def choose_examples(
    config: TrainConfig, run: Run, sides: tuple[Sequence[Record], Sequence[Record]], dataset: Dataset, judge: Judge
) -> Artifact:
    """Try sets of examples and store the best."""
    if not config.base:
        raise ConfigError("base", "few-shot examples are chosen for a model: a stored one or `provider:model`")
    train_side, held_out = sides
    rules = config.fewshot
    asked = interleave_families([record for record in held_out if record.task is not None], rules.tasks)
    if not asked:
        raise DataError(f"{dataset.ref}: no held-out record has a task, so no set of examples can be judged")
    model = models.open_model(run.workspace, config.base)
    trials = list(candidate_sets(train_side, rules.examples, rules.trials, config.seed))
    shares: list[float] = []
    for number, chosen in enumerate([(), *trials]):
        run.check_stop()
        marker = f"fewshot-{number}"
        if not run.done(marker):
            run.mark(marker, passed=passed_share(model, chosen, asked, judge, rules.max_tokens))
        shares.append(float(run.facts(marker)["passed"]))
        run.event("train.fewshot", trial=number, examples=len(chosen), passed=shares[-1])
    plain, tried = shares[0], shares[1:]
    best = max(range(len(trials)), key=lambda number: tried[number], default=-1)
    if best < 0 or tried[best] <= plain:
        run.event("notice", text=f"no set of examples beat zero-shot ({plain:.0%}): the stored set is empty")
        return store_examples(config, run, dataset, (), {"passed": plain, "passed_without": plain})
    facts = {"passed": tried[best], "passed_without": plain, "passed_on_average": sum(tried) / len(tried)}
    return store_examples(config, run, dataset, trials[best], facts)


def candidate_sets(records: Sequence[Record], size: int, trials: int, seed: int) -> Iterator[tuple[Record, ...]]:
    """Sets of examples: families in turn, other members every time."""
    rng = random.Random(f"fewshot:{seed}")
    for _ in range(trials):
        shuffled = list(records)
        rng.shuffle(shuffled)
        yield tuple(interleave_families(shuffled, size))


def passed_share(
    model: Provider, examples: Sequence[Record], asked: Sequence[Record], judge: Judge, longest: int
) -> float:
    """Share of the tasks a model passes with these examples before each question."""
    before = [message for record in examples for message in record.messages if message.role != "system"]
    conversations = [prepend_examples(before, question_messages(record)) for record in asked]
    sampling = Sampling(max_tokens=longest)
    if isinstance(model, BatchProvider):
        answers = [completion.text for completion in model.complete_many(conversations, sampling)]
    else:
        answers = [model.complete(messages, sampling).text for messages in conversations]
    tasks = [record.task for record in asked if record.task is not None]
    known = [verdict.ok for verdict in judge(list(zip(tasks, answers, strict=True))) if verdict.ok is not None]
    if not known:
        raise DataError(
            f"none of the {len(asked)} answers could be judged, so no set of examples is known to be better"
        )
    return sum(known) / len(known)


def prepend_examples(examples: Sequence[Message], question: Sequence[Message]) -> list[Message]:
    """The examples after the question's own system prompt."""
    lead = [message for message in question[:1] if message.role == "system"]
    return [*lead, *examples, *question[len(lead) :]]


def store_examples(
    config: TrainConfig, run: Run, dataset: Dataset, chosen: Sequence[Record], facts: Mapping[str, float]
) -> Artifact:
    with artifacts.store_artifact(
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
        pending.facts.update(method="fewshot", examples=[record.id for record in chosen], **facts)
    return pending.artifact
