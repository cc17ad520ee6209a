"""`afs route train` and `afs route eval`: a router from the questions each expert was made for, and how good one is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from afs import artifacts, datasets
from afs.config import Config
from afs.errors import DataError, WorkspaceError
from afs.intervals import share_interval
from afs.routing import RouteFigures, open_router, store_router
from afs.routing.train_router import ABSTAINS, NOBODY, Examples, calibrated, measure
from afs.runs import Run
from afs.types import Artifact, Interval, RefText, Value, digest
from afs.workspace import Workspace

__all__ = ["Duty", "RouteEvalConfig", "RouteTrainConfig", "route_eval", "route_train"]


class Duty(Config, frozen=True, kw_only=True):
    """The questions that belong to one expert."""

    expert: str
    """The expert's name."""
    source: RefText
    """Records or dataset whose questions are his."""
    families: tuple[str, ...] = ()
    """Only these families of it (`optimize` for all `optimize/…`); empty: all."""
    split: str = ""
    """Only this split; empty: all."""


class RouteTrainConfig(Config, frozen=True, kw_only=True):
    """Train the router."""

    name: str = "router"
    """Name of the router to store."""
    duties: tuple[Duty, ...]
    """Which questions belong to whom."""
    limit: int = 400
    """Questions per expert at the most."""
    accuracy: float = 0.95
    """Accuracy wanted on what is not abstained from."""


def questions(duties: Sequence[Duty], workspace: Workspace, limit: int) -> tuple[Examples, tuple[str, ...]]:
    """The questions of the duties with whose they are, and the datasets they came from."""
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
    """Fit on the experts' questions, calibrate on held-out groups, store."""
    examples, parents = questions(config.duties, run.workspace, config.limit)
    for expert, count in Counter(examples.labels).items():
        run.event("route.duty", expert=expert, questions=count)
    with run.phase("train the router"):
        router = calibrated(examples, target=config.accuracy)
    fields = {"form": "router", "parents": parents, "run": run.id}
    with artifacts.store_artifact(run.workspace, config.name, config_digest=run.state.digest, **fields) as pending:
        store_router(router, pending.folder)
        card = router.card
        pending.facts |= {
            "labels": list(card.labels),
            "accuracy": card.accuracy,
            "held_out": card.held_out,
            "strangers": msgspec.to_builtins(card.strangers),
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
    """Which questions belong to whom; an expert the router does not know: nobody, and it should abstain."""
    limit: int = 2000
    """Questions of a duty at the most."""


class RouteMeasured(Value, frozen=True, kw_only=True):
    """What `afs route eval` found."""

    router: str
    form: str
    figures: RouteFigures
    strangers: Interval
    """Abstained from, of the questions that are nobody's."""
    seen: int = 0
    """Questions that the router was trained on: they were left out."""

    def text(self) -> str:
        """Figures with their intervals, then who was taken for whom."""
        found = self.figures
        error = found.calibration_error
        rows = [
            f"router       {self.router} ({self.form})",
            f"accuracy     {_percent(found.accuracy)}",
            f"coverage     {_percent(found.coverage)}",
            f"… and right  {_percent(found.answered)} of those",
            f"calibration  off by {'unknown' if error is None else f'{error:.3f}'} on the mean",
            f"nobody's     {_percent(self.strangers)} abstained from",
            *([f"left out     {self.seen} questions it was trained on"] if self.seen else []),
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


def route_eval(config: RouteEvalConfig, workspace: Workspace) -> RouteMeasured:
    """Accuracy, coverage, calibration and confusion, with intervals."""
    router = open_router(workspace, config.router or workspace.settings.council.router)
    if router is None:
        raise WorkspaceError("no router yet; `afs route train` makes one")
    examples, _ = questions(config.duties, workspace, config.limit)
    fresh = [place for place, text in enumerate(examples.texts) if not router.has_seen(text)]
    if not fresh:
        raise DataError("no question is left to measure on: the router was trained on all of them")
    asked = examples.part(fresh)
    found = measure(router, asked.texts, asked.labels)
    nobody = found.confusion.get(NOBODY, {})
    return RouteMeasured(
        router=config.router or workspace.settings.council.router or "the newest",
        form=router.card.form,
        figures=found,
        strangers=share_interval(nobody.get(ABSTAINS, 0), sum(nobody.values())),
        seen=len(examples.texts) - len(fresh),
    )


def _percent(value: Interval) -> str:
    if value.value is None:
        return "unknown (no such questions)"
    return f"{value.value:.1%} ({value.low:.1%}-{value.high:.1%}, n={value.n})"
