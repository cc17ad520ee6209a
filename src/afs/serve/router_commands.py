"""`afs route train`, `eval` and `explain`: a router from the questions of each expert, its metrics on others, and why a
question goes to which expert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from afs import artifacts, datasets
from afs.config import Config
from afs.council import RouteFigures, open_router, store_router
from afs.council.router_store import newest_router, open_sentence_encoder
from afs.council.train_router import (
    ABSTAINS,
    OFF_TOPIC,
    Examples,
    learn_sentences,
    learn_tfidf,
    measure,
    train_calibrated,
)
from afs.errors import DataError, WorkspaceError
from afs.intervals import share_interval
from afs.models import find_base
from afs.runs import Run
from afs.serve.route_gate import EndToEndMeasured, measure_end_to_end, read_tasks
from afs.types import Artifact, Interval, RefText, Value, digest
from afs.workspace import Workspace

__all__ = ["Duty", "RouteEvalConfig", "RouteTrainConfig", "route_eval", "route_train"]


class Duty(Config, frozen=True, kw_only=True):
    """The questions that belong to one expert."""

    expert: str
    """The expert's name."""
    source: RefText
    """Records or dataset with its questions."""
    families: tuple[str, ...] = ()
    """Only these task families (`optimize` for all of `optimize/…`); empty: all."""
    split: str = ""
    """Only this split; empty: all."""


class RouteTrainConfig(Config, frozen=True, kw_only=True):
    """Train the router."""

    name: str = "router"
    """Name of the router to store."""
    duties: tuple[Duty, ...]
    """The questions of each expert."""
    limit: int = 400
    """At most this many questions per expert."""
    accuracy: float = 0.95
    """Accuracy the router should reach on the questions it does not abstain from."""
    encoder: str = ""
    """Sentence encoder whose vectors stand beside the words: a stored one (`afs doctor --fix minilm`) or a folder."""


def questions(duties: Sequence[Duty], workspace: Workspace, limit: int) -> tuple[Examples, tuple[str, ...]]:
    """The labeled questions of all duties, and the datasets they come from."""
    texts, labels, groups, parents = [], [], [], []
    for duty in duties:
        dataset = datasets.load(workspace, duty.source)
        parents.append(dataset.ref)
        rows = [
            (datasets.question_text(record), record.origin.group or record.id)
            for record in datasets.read(workspace, dataset, duty.split)
            if not duty.families or {record.kind, record.kind.partition("/")[0]} & set(duty.families)
        ]
        rows = sorted(set(rows), key=digest)[:limit]
        texts += [text for text, _ in rows]
        groups += [group for _, group in rows]
        labels += [duty.expert] * len(rows)
    return Examples(texts, labels, groups), tuple(dict.fromkeys(parents))


def route_train(config: RouteTrainConfig, run: Run) -> Artifact:
    """Train on the experts' questions, calibrate on held-out groups, store."""
    examples, parents = questions(config.duties, run.workspace, config.limit)
    for expert, count in Counter(examples.labels).items():
        run.event("route.duty", expert=expert, questions=count)
    base = find_base(run.workspace, config.encoder) if config.encoder else None
    with run.phase("train the router"):
        learn = learn_sentences(open_sentence_encoder(run.workspace, config.encoder)) if base else learn_tfidf
        router = train_calibrated(examples, target=config.accuracy, learn=learn)
    fields = {"form": "router", "parents": parents, "run": run.id}
    if base is not None:
        fields |= {"base": base.text, "base_digest": base.digest}
        router.card = msgspec.structs.replace(router.card, form="encoder")
    with artifacts.store_artifact(run.workspace, config.name, config_digest=run.state.digest, **fields) as pending:
        store_router(router, pending.folder)
        card = router.card
        pending.facts |= {
            "form": card.form,
            "labels": list(card.labels),
            "accuracy": card.accuracy,
            "held_out": card.held_out,
            "off_topic": msgspec.to_builtins(card.off_topic),
            "coverage": card.coverage,
            "calibration_error": card.calibration_error,
        }
    return pending.artifact


class RouteEvalConfig(Config, frozen=True, kw_only=True):
    """Measure a router on questions it never saw."""

    positional: ClassVar[tuple[str, ...]] = ("router",)
    router: RefText = ""
    """Router artifact; empty: the newest."""
    duties: tuple[Duty, ...]
    """The questions of each expert; those of an expert the router does not know count as off-topic."""
    limit: int = 2000
    """At most this many questions per expert."""
    end_to_end: bool = False
    """Let the council, each expert and the base answer the duties' tasks, and compare checked scores: a gate."""


class RouteMeasured(Value, frozen=True, kw_only=True):
    """Result of `afs route eval`."""

    router: str
    form: str
    figures: RouteFigures
    off_topic: Interval
    """Share of off-topic questions it abstains from."""
    seen: int = 0
    """Questions left out because the router was trained on them."""

    def text(self) -> str:
        """Metrics with their intervals, then the confusion matrix."""
        found = self.figures
        error = found.calibration_error
        rows = [
            f"router       {self.router} ({self.form})",
            f"accuracy     {_percent(found.accuracy)}",
            f"coverage     {_percent(found.coverage)}",
            f"precision    {_percent(found.answered)} of the answered",
            f"calibration  error {'unknown' if error is None else f'{error:.3f}'}",
            f"off-topic    {_percent(self.off_topic)} abstained from",
            *([f"left out     {self.seen} questions the router was trained on"] if self.seen else []),
            "",
        ]
        columns = sorted({name for row in found.confusion.values() for name in row})
        width = max([len(name) for name in (*found.confusion, "true")])
        rows.append("  ".join([f"{'true':<{width}}", *columns, "right"]))
        for label, row in found.confusion.items():
            cells = [f"{row.get(name, 0):>{len(name)}}" for name in columns]
            right = _percent(found.by_label[label]) if label in found.by_label else ""
            rows.append("  ".join([f"{label:<{width}}", *cells, right]))
        return "\n".join(rows)


def route_eval(config: RouteEvalConfig, workspace: Workspace) -> RouteMeasured | EndToEndMeasured:
    """Accuracy, coverage, calibration and confusion, with intervals; or what the council's answers are worth."""
    if config.end_to_end:
        rows = [(duty.source, duty.split, duty.families) for duty in config.duties]
        name = config.router or workspace.settings.council.router or newest_router(workspace, even_lost=True)
        return measure_end_to_end(workspace, name, read_tasks(workspace, rows, config.limit))
    router = open_router(workspace, config.router or workspace.settings.council.router)
    if router is None:
        raise WorkspaceError("no router yet; train one with `afs route train`")
    examples, _ = questions(config.duties, workspace, config.limit)
    fresh = [place for place, text in enumerate(examples.texts) if not router.has_seen(text)]
    if not fresh:
        raise DataError("no question is left to evaluate: the router was trained on all of them")
    held_out = examples.part(fresh)
    found = measure(router, held_out.texts, held_out.labels)
    off_topic = found.confusion.get(OFF_TOPIC, {})
    return RouteMeasured(
        router=config.router or workspace.settings.council.router or "the newest",
        form=router.card.form,
        figures=found,
        off_topic=share_interval(off_topic.get(ABSTAINS, 0), sum(off_topic.values())),
        seen=len(examples.texts) - len(fresh),
    )


def _percent(value: Interval) -> str:
    if value.value is None:
        return "unknown (none in this set)"
    return f"{value.value:.1%} ({value.low:.1%}-{value.high:.1%}, n={value.n})"


class Explained(Value, frozen=True, kw_only=True):
    """Why a question goes to an expert."""

    expert: str
    probability: float
    abstains: bool
    words: dict[str, float]
    others: dict[str, float]


class RouteExplainConfig(Config, frozen=True, kw_only=True):
    """Show why a question goes to which expert."""

    positional: ClassVar[tuple[str, ...]] = ("question",)
    question: str
    """The question."""
    router: str = ""
    """Router; empty: the newest."""


def route_explain(config: RouteExplainConfig, workspace: Workspace) -> Explained:
    """The chosen expert, its probability, and the words that decided it."""
    router = open_router(workspace, config.router or workspace.settings.council.router)
    if router is None:
        raise WorkspaceError("no router yet; train one with `afs route train`")
    choices = router.choose(config.question)
    return Explained(
        expert=choices[0].label,
        probability=round(choices[0].probability, 4),
        abstains=router.abstains(choices),
        words={word: round(weight, 3) for word, weight in router.explain(config.question)},
        others={choice.label: round(choice.probability, 4) for choice in choices[1:]},
    )
