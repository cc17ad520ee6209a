"""Classifiers: a head that says whose a question is, over TF-IDF or over the hidden state of a small language model.

The head is solved in numpy, the same to the bit every time, in seconds; groups are held out in turn for its figures.
With `classify.adapt` an adapter is trained first, by the common loop, to answer each question with its label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from afs import artifacts, datasets
from afs.config import config_digest
from afs.council import Router, store_router
from afs.council.router_features import Floats
from afs.council.router_store import column_spread, open_encoder, state_features
from afs.council.train_router import Examples, Learn, off_topic_examples, train_calibrated
from afs.errors import ConfigError, DataError, RefusedError
from afs.models import Base
from afs.registry.rosters import load_roster
from afs.runs import Run
from afs.train.learner import Learner
from afs.train.record_checks import shared_sources
from afs.train.settings import Classify, TrainConfig
from afs.train.training_data import find_training_base, read_sides
from afs.types import Artifact, Dataset, Record, digest, record_id

Rewrite = Callable[[Sequence[Record]], list[Record]]
Adapt = Callable[[TrainConfig, Rewrite], Learner]
"""The common loop: a config, and how its records are rewritten, to a trained learner."""


def classify(config: TrainConfig, run: Run, adapt: Adapt) -> Artifact:
    """Fit, calibrate on held-out groups, store."""
    rules = config.classify
    dataset, records, held_out = read_sides(config, run.workspace)
    if not config.allow_leaks and (leaks := list(shared_sources(records, held_out))):
        raise RefusedError(f"{dataset.ref} cannot be trained on: {leaks[0]}")
    examples, left_out = label_records(records, rules)
    weak = keyword_examples(rules, set(examples.labels))
    counts = dict(sorted(Counter(examples.labels).items()))
    run.event("classify.examples", labels=counts, weak=len(weak.texts), left_out=left_out)
    if len(counts) < 2:
        raise DataError(
            f"{dataset.ref}: need at least two labels, got {', '.join(counts) or 'none'}; see classify.labels"
        )
    base = find_classifier_base(config, run)
    learner = adapt(config, lambda found: answer_with_labels(found, rules)) if rules.adapt else None
    with artifacts.store_artifact(run.workspace, config.name, **artifact_fields(config, run, dataset, base)) as pending:
        if learner is not None:
            pending.facts.update(learner.export(pending.folder))
        with run.phase(f"fit {config.name}", questions=len(examples.texts)):
            router, spread = fit_router(config, run, (examples, weak), base, pending.folder)
        store_router(router, pending.folder, spread)
        pending.facts.update(msgspec.to_builtins(router.card))
        pending.facts.update(method=config.method, adapted=rules.adapt, questions=counts)
    return pending.artifact


def label_records(records: Sequence[Record], rules: Classify) -> tuple[Examples, int]:
    """Questions with their labels and groups, so many of each label; and how many records have none."""
    rows: dict[str, list[tuple[str, str]]] = {}
    left_out = 0
    for record in records:
        label, text = label_of(record, rules), datasets.question_text(record).strip()
        if not label or not text:
            left_out += 1
            continue
        rows.setdefault(label, []).append((text, _group(record, label)))
    texts, labels, groups = [], [], []
    for label in sorted(rows):
        for text, group in sorted(set(rows[label]), key=digest)[: rules.limit]:
            texts.append(text)
            labels.append(label)
            groups.append(f"{label}|{group}")
    return Examples(texts, labels, groups), left_out


def label_of(record: Record, rules: Classify) -> str:
    """The label a record has by the rules; empty when it has none."""
    family = record.task.family if record.task is not None else record.kind
    if not rules.labels:
        return family
    names = (f"{record.domain}/{family}", family, family.partition("/")[0], *record.tags, record.domain)
    return next((rules.labels[name] for name in names if name in rules.labels), "")


def _group(record: Record, label: str) -> str:
    """What is held out together: the family where a label has several, else the source group."""
    family = record.task.family if record.task is not None else record.kind
    return f"{record.domain}/{family}" if family != label else record.origin.group or record.id


def answer_with_labels(records: Sequence[Record], rules: Classify) -> list[Record]:
    """The same questions, answered with their labels: what an adapter is trained on."""
    found = []
    for record in records:
        if label := label_of(record, rules):
            messages = datasets.task_messages(datasets.question_text(record), reply=label)
            key = record_id(record.domain, messages)
            found.append(msgspec.structs.replace(record, id=key, messages=messages, task=None, tools=()))
    return found


def keyword_examples(rules: Classify, known: set[str]) -> Examples:
    """Keyword lists of a roster's experts as weak examples of their name or their first tag that is a label."""
    texts, labels = [], []
    for member in load_roster(rules.keywords).experts if rules.keywords else ():
        label = next((name for name in (member.name, *member.tags) if name in known), "")
        for text in member.keywords if label else ():
            texts.append(text)
            labels.append(label)
    return Examples(texts, labels, ["keywords"] * len(texts))


def find_classifier_base(config: TrainConfig, run: Run) -> Base | None:
    if not config.base:
        if config.classify.adapt:
            raise ConfigError("classify.adapt", "adapt trains an adapter, which needs a base model: set `base`")
        return None
    base = find_training_base(config, run.workspace)
    if base.adapter is not None:
        raise ConfigError("base", f"{config.base} is an adapter; merge it first: afs ship {config.base} --to merged")
    return base


def fit_router(
    config: TrainConfig, run: Run, examples: tuple[Examples, Examples], base: Base | None, folder: Path
) -> tuple[Router, tuple[Floats, Floats] | None]:
    """The router over the features the config asks for, and the spread of hidden states when it reads them."""
    good, weak = examples
    target = config.classify.accuracy
    if base is None:
        return train_calibrated(good, target=target, weak=weak), None
    encoder = open_encoder(run.workspace, base.text, base.digest, folder)
    texts = list(dict.fromkeys([*good.texts, *weak.texts, *off_topic_examples().texts]))
    states = np.asarray(encoder.embed(texts), dtype=np.float64)
    spread = column_spread(states)
    router = train_calibrated(
        good,
        target=target,
        weak=weak,
        learn=from_cached_states(dict(zip(texts, states, strict=True)), spread),
        with_real=False,
    )
    card = msgspec.structs.replace(router.card, form="model")
    return Router(card, router.weights, state_features(encoder, spread), router.seen), spread


def from_cached_states(states: Mapping[str, Floats], spread: tuple[Floats, Floats]) -> Learn:
    """Features that were read once."""

    class ReadBefore:
        def embed(self, texts: Sequence[str]) -> list[Floats]:
            return [states[text] for text in texts]

    return lambda _: state_features(ReadBefore(), spread)


def artifact_fields(config: TrainConfig, run: Run, dataset: Dataset, base: Base | None) -> dict[str, object]:
    return {
        "form": "router",
        "base": base.text if base else "",
        "base_digest": base.digest if base else "",
        "dataset": dataset.ref,
        "dataset_digest": dataset.digest,
        "config_digest": config_digest(config),
        "parents": (f"dataset:{dataset.ref}", *((f"artifact:{base.ref}",) if base and base.ref else ())),
        "run": run.id,
    }
