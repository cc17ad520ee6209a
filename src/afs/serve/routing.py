"""`afs route train`: a router from the questions each expert was made for."""

from __future__ import annotations

from afs import artifacts, datasets
from afs.config import Config
from afs.runs import Run
from afs.serve.router import calibrated
from afs.types import Artifact, RefText, digest

__all__ = ["Duty", "RouteTrainConfig", "route_train"]


class Duty(Config, frozen=True, kw_only=True):
    """The questions that belong to one expert."""

    expert: str
    """The expert's name."""
    source: RefText
    """Records or dataset whose questions are his."""
    families: tuple[str, ...] = ()
    """Only these families of it; empty: all."""
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


def route_train(config: RouteTrainConfig, run: Run) -> Artifact:
    """Fit on the experts' questions, calibrate on held-out groups, store."""
    texts, labels, groups, parents = [], [], [], []
    for duty in config.duties:
        dataset = datasets.load(run.workspace, duty.source)
        parents.append(dataset.ref)
        rows = [
            (datasets.question(record), record.origin.group or record.id)
            for record in datasets.read(run.workspace, dataset, duty.split)
            if not duty.families or record.kind in duty.families
        ]
        rows = sorted(set(rows), key=digest)[: config.limit]
        run.event("route.duty", expert=duty.expert, questions=len(rows))
        texts += [text for text, _ in rows]
        groups += [group for _, group in rows]
        labels += [duty.expert] * len(rows)
    with run.phase("train the router"):
        router = calibrated(texts, labels, groups, target=config.accuracy)
    fields = {"form": "router", "parents": tuple(dict.fromkeys(parents)), "run": run.id}
    with artifacts.storing(run.workspace, config.name, config_digest=run.state.digest, **fields) as pending:
        router.save(pending.folder)
        card = router.card
        pending.facts |= {
            "labels": list(card.labels),
            "accuracy": card.accuracy,
            "held_out": card.held_out,
            "coverage": card.coverage,
            "calibration_error": card.calibration_error,
        }
    return pending.artifact
