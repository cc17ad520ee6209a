"""Fitting a router: softmax regression, then temperature, abstention and figures from groups held out in turn."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from afs.errors import DataError
from afs.intervals import share_interval
from afs.routing.router import Embed, RouteFigures, Router, RouterCard, Tfidf, chances_of, mark
from afs.routing.router_features import Floats, matrix, softmax

SMOOTHING = 0.05
"""Share of doubt that calibration leaves everywhere."""
STRANGERS = 0.95
"""Share of held-out questions from outside that must be abstained from."""
FOLDS = 5
ABSTAINS, NOBODY = "(abstains)", "(nobody)"
_TEMPERATURES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
Labels = npt.NDArray[np.int64]
Learn = Callable[[Sequence[str]], Embed]
"""Questions -> features fitted to them."""


class Examples(NamedTuple):
    """Questions, whose they are, and what must stay together."""

    texts: Sequence[str]
    labels: Sequence[str]
    groups: Sequence[str]

    def part(self, places: Iterable[int]) -> Examples:
        """Some of them."""
        chosen = list(places)
        return Examples(*([column[i] for i in chosen] for column in self))

    def joined(self, other: Examples) -> Examples:
        """These and others."""
        return Examples(*([*mine, *theirs] for mine, theirs in zip(self, other, strict=True)))


def learn_tfidf(texts: Sequence[str]) -> Embed:
    """Features of the light form, with the document frequencies of these texts."""
    return Tfidf(matrix(texts)[1])


def solve(rows: Floats, wanted: Floats, *, steps: int = 150, decay: float = 1e-4) -> Floats:
    """Weights of a softmax regression, labels weighing the same however many examples they have."""
    used, width = np.flatnonzero(rows.any(axis=0)), rows.shape[1]
    rows = np.ascontiguousarray(rows[:, used])
    weights = np.zeros((len(used), wanted.shape[1]))
    momentum = np.zeros_like(weights)
    balance = (wanted / wanted.sum(axis=0)).sum(axis=1, keepdims=True) / wanted.shape[1]
    for _ in range(steps):
        slope = rows.T @ ((softmax(rows @ weights) - wanted) * balance) + decay * weights
        momentum = 0.9 * momentum + slope
        weights -= 4.0 * momentum
    whole = np.zeros((width, wanted.shape[1]))
    whole[used] = weights
    return whole


def outsiders() -> Examples:
    """Questions that are nobody's: what a router learns to abstain from."""
    texts = (resources.files("afs.routing") / "outsiders.txt").read_text(encoding="utf-8").splitlines()
    return Examples(texts, [NOBODY] * len(texts), [f"{NOBODY}{number}" for number in range(len(texts))])


def fit(texts: Sequence[str], labels: Sequence[str], learn: Learn = learn_tfidf) -> Router:
    """Train on all of these; calibration comes from `calibrated`.

    Whose a question is and whether it is anybody's are two heads: outsiders do not blur the border between experts.
    """
    names = tuple(sorted(set(labels) - {NOBODY}))
    if len(names) < 2:
        raise DataError(f"a router needs questions for two experts at least, got {', '.join(names) or 'none'}")
    embed = learn(texts)
    rows = embed(texts)
    ours = np.array([label != NOBODY for label in labels])
    weights = solve(rows[ours], np.eye(len(names))[[names.index(label) for label in labels if label != NOBODY]])
    if not ours.all():
        weights = np.concatenate([weights, solve(rows, np.stack([ours, ~ours], axis=1).astype(float))], axis=1)
    seen = frozenset(mark(text) for text in texts)
    return Router(RouterCard(labels=names, temperature=1.0, abstain_below=0.0), weights, embed, seen)


def calibrated(
    examples: Examples, *, target: float = 0.95, weak: Examples | None = None, learn: Learn = learn_tfidf
) -> Router:
    """Train, with temperature, abstention and figures measured on groups held out in turn; weak examples only teach."""
    weak = weak or Examples([], [], [])
    every = examples.joined(outsiders())
    taught = every.joined(weak)
    final = fit(taught.texts, taught.labels, learn)
    names = final.card.labels
    card = msgspec.structs.replace(final.card, weak=len(weak.texts))
    scores, places = _held_out(every, weak, names, learn)
    truth = np.array([_index(names, every.labels[place]) for place in places], dtype=np.int64)
    ours = truth >= 0
    if not ours.any():
        card = msgspec.structs.replace(card, abstain_below=1 / len(names))
        return Router(card, final.weights, final.embed, final.seen)
    whose = scores[ours, : len(names)]
    temperature = min(_TEMPERATURES, key=lambda t: _loss(whose / t, truth[ours]))
    chances = chances_of(scores, len(names), temperature)
    best, right = chances.max(axis=1), chances.argmax(axis=1) == truth
    floor = _floor(best[ours], right[ours], target)
    if (~ours).any():
        floor = max(floor, float(np.quantile(best[~ours], STRANGERS)))
    quiet = [bool(one < floor) for one in best]
    measured = figures(names, chances, truth, quiet)
    nobody = measured.confusion.get(NOBODY, {})
    card = msgspec.structs.replace(
        card,
        temperature=temperature,
        abstain_below=floor,
        accuracy=measured.accuracy.value,
        held_out=int(ours.sum()),
        coverage=measured.coverage.value,
        calibration_error=measured.calibration_error,
        figures=measured,
        strangers=share_interval(nobody.get(ABSTAINS, 0), sum(nobody.values())),
    )
    return Router(card, final.weights, final.embed, final.seen)


def figures(names: Sequence[str], chances: Floats, truth: Labels, silent: Sequence[bool]) -> RouteFigures:
    """Right, covered and confused, with intervals; truth of -1 is a question that is nobody's."""
    given, best = chances.argmax(axis=1), chances.max(axis=1)
    quiet = np.array(silent, dtype=bool)
    right, ours = given == truth, truth >= 0
    confusion: dict[str, dict[str, int]] = {}
    for true, label, still in zip(truth.tolist(), given.tolist(), quiet.tolist(), strict=True):
        row = confusion.setdefault(names[true] if true >= 0 else NOBODY, {})
        said = ABSTAINS if still else names[label]
        row[said] = row.get(said, 0) + 1
    by_label = {
        name: share_interval(int((right & (truth == number)).sum()), int((truth == number).sum()))
        for number, name in enumerate(names)
    }
    return RouteFigures(
        accuracy=share_interval(int(right[ours].sum()), int(ours.sum())),
        coverage=share_interval(int((~quiet & ours).sum()), int(ours.sum())),
        answered=share_interval(int((right & ~quiet & ours).sum()), int((~quiet & ours).sum())),
        calibration_error=_calibration_error(best[ours], right[ours]) if ours.any() else None,
        by_label=by_label,
        confusion=confusion,
    )


def measure(router: Router, texts: Sequence[str], labels: Sequence[str]) -> RouteFigures:
    """How a router does on these questions; a label it does not know is a question that is nobody's."""
    names = router.card.labels
    chances = router.chances(texts)
    truth = np.array([_index(names, label) for label in labels], dtype=np.int64)
    return figures(names, chances, truth, (chances.max(axis=1) < router.card.abstain_below).tolist())


def _held_out(examples: Examples, weak: Examples, names: Sequence[str], learn: Learn) -> tuple[Floats, list[int]]:
    """Scores of every question by a router that never saw its group, and which questions they are of."""
    folds = np.array([zlib.crc32(group.encode()) % FOLDS for group in examples.groups], dtype=np.int64)
    scores: list[Floats] = []
    places: list[int] = []
    for fold in range(FOLDS):
        inside, outside = np.flatnonzero(folds != fold).tolist(), np.flatnonzero(folds == fold).tolist()
        taught = examples.part(inside).joined(weak)
        if not outside or set(taught.labels) - {NOBODY} != set(names):
            continue
        router = fit(taught.texts, taught.labels, learn)
        scores.append(router.embed([examples.texts[i] for i in outside]) @ router.weights)
        places += outside
    return (np.concatenate(scores) if scores else np.zeros((0, len(names) + 2))), places


def _index(names: Sequence[str], label: str) -> int:
    return names.index(label) if label in names else -1


def _loss(scores: Floats, truth: Labels) -> float:
    """Cross-entropy with smoothed truth, so that a perfect score does not call for infinite certainty."""
    logs = np.log(np.maximum(softmax(scores), 1e-12))
    right = logs[np.arange(len(truth)), truth]
    return float(-((1 - SMOOTHING) * right + SMOOTHING * logs.mean(axis=1)).mean())


def _floor(best: Floats, right: npt.NDArray[np.bool_], target: float) -> float:
    """The lowest probability above which the held-out accuracy reaches the target."""
    order = np.argsort(-best)
    kept = np.cumsum(right[order]) / np.arange(1, len(best) + 1)
    good = np.flatnonzero(kept >= target)
    return float(best[order[good[-1]]]) if len(good) else 1.0


def _calibration_error(best: Floats, right: npt.NDArray[np.bool_], bins: int = 10) -> float:
    places = np.minimum((best * bins).astype(int), bins - 1)
    parts: Iterable[tuple[int, npt.NDArray[np.bool_]]] = ((b, places == b) for b in range(bins))
    return float(sum(abs(best[m].mean() - right[m].mean()) * m.mean() for _, m in parts if m.any()))
