"""Trains a router: softmax regression, then temperature, abstention and metrics by cross-validation over groups."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from afs.council.real_questions import ENOUGH, expert_of_tags, load_questions
from afs.council.router import (
    Embed,
    RouteFigures,
    Router,
    RouterCard,
    SentenceReader,
    Sentences,
    Tfidf,
    probabilities,
    question_hash,
)
from afs.council.router_features import Floats, matrix, softmax
from afs.errors import DataError
from afs.intervals import share_interval

SMOOTHING = 0.05
"""Label smoothing of the calibration loss, so that no temperature is rewarded for infinite certainty."""
REAL_TARGET = 0.85
"""Share of answered real questions that should go to the right expert; generated ones reach more."""
OFF_TOPIC_RECALL = 0.95
"""Share of held-out off-topic questions that must be abstained from."""
FOLDS = 5
"""Cross-validation folds: enough to train on most groups, few enough to stay under a second."""
ABSTAINS, OFF_TOPIC = "(abstains)", "(nobody)"
_TEMPERATURES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
Labels = npt.NDArray[np.int64]
Learn = Callable[[Sequence[str]], Embed]
"""Fits features to questions."""


class Examples(NamedTuple):
    """Questions, the expert of each, and the group that stays in one fold."""

    texts: Sequence[str]
    labels: Sequence[str]
    groups: Sequence[str]

    def part(self, places: Iterable[int]) -> Examples:
        """The examples at these indices."""
        chosen = list(places)
        return Examples(*([column[i] for i in chosen] for column in self))

    def joined(self, other: Examples) -> Examples:
        """These examples followed by others."""
        return Examples(*([*mine, *theirs] for mine, theirs in zip(self, other, strict=True)))


def learn_tfidf(texts: Sequence[str]) -> Embed:
    """TF-IDF features with the document frequencies of these texts."""
    return Tfidf(matrix(texts)[1])


def learn_sentences(encoder: SentenceReader) -> Learn:
    """TF-IDF features beside the vectors of an encoder, which reads each text once."""
    known: dict[str, Floats] = {}
    return lambda texts: Sentences(encoder, matrix(texts)[1], known)


def fit_softmax(rows: Floats, wanted: Floats, *, steps: int = 150, decay: float = 1e-4) -> Floats:
    """Weights of a softmax regression; every label has the same total weight, however many examples it has.

    Descent from zero stays in the span of the rows, so it runs on their products with each other: examples are fewer
    than features, and one square matrix of their number is read a step.
    """
    products = rows @ rows.T
    shares = np.zeros_like(wanted)
    momentum = np.zeros_like(shares)
    balance = (wanted / wanted.sum(axis=0)).sum(axis=1, keepdims=True) / wanted.shape[1]
    for _ in range(steps):
        slope = (softmax(products @ shares) - wanted) * balance + decay * shares
        momentum = 0.9 * momentum + slope
        shares -= 4.0 * momentum
    return np.asarray(rows.T @ shares)


def off_topic_examples() -> Examples:
    """Questions that no expert should answer: what a router learns to abstain from."""
    texts = (resources.files("afs.council") / "off_topic.txt").read_text(encoding="utf-8").splitlines()
    return Examples(texts, [OFF_TOPIC] * len(texts), [f"{OFF_TOPIC}{number}" for number in range(len(texts))])


def real_examples(names: Sequence[str]) -> Examples:
    """The real questions of these labels, grouped by thread; none where they are too few to measure by."""
    experts = expert_of_tags(names)
    rows = [(q.text, experts[q.label], q.address) for q in load_questions() if q.label in experts]
    if len(rows) < ENOUGH or len({label for _, label, _ in rows}) < 2:
        return Examples([], [], [])
    return Examples(*([row[column] for row in rows] for column in range(3)))


def fit_router(texts: Sequence[str], labels: Sequence[str], learn: Learn = learn_tfidf) -> Router:
    """Train on all of these, without calibration (see `train_calibrated`).

    Two heads, which expert and whether any: off-topic questions then do not blur the border between experts.
    """
    names = tuple(sorted(set(labels) - {OFF_TOPIC}))
    if len(names) < 2:
        raise DataError(f"a router needs questions for two experts at least, got {', '.join(names) or 'none'}")
    embed = learn(texts)
    rows = embed(texts)
    on_topic = np.array([label != OFF_TOPIC for label in labels])
    weights = fit_softmax(
        rows[on_topic], np.eye(len(names))[[names.index(label) for label in labels if label != OFF_TOPIC]]
    )
    if not on_topic.all():
        weights = np.concatenate(
            [weights, fit_softmax(rows, np.stack([on_topic, ~on_topic], axis=1).astype(float))], axis=1
        )
    seen = frozenset(question_hash(text) for text in texts)
    return Router(RouterCard(labels=names, temperature=1.0, abstain_below=0.0), weights, embed, seen)


def train_calibrated(
    examples: Examples,
    *,
    target: float = 0.95,
    weak: Examples | None = None,
    learn: Learn = learn_tfidf,
    with_real: bool = True,
) -> Router:
    """Train, with temperature, abstention and metrics from cross-validation; weak examples only train.

    Where enough real questions fit the labels, they are learned too, and they alone are measured.
    """
    keywords = weak or Examples([], [], [])
    weak = keywords
    real = real_examples(sorted(set(examples.labels))) if with_real else Examples([], [], [])
    if real.texts:
        weak, examples, target = keywords.joined(examples), real, min(target, REAL_TARGET)
    every = examples.joined(off_topic_examples())
    train = every.joined(weak)
    final = fit_router(train.texts, train.labels, learn)
    names = final.card.labels
    card = msgspec.structs.replace(final.card, weak=len(keywords.texts), real=len(real.texts))
    scores, places = _held_out(every, weak, names, learn)
    truth = np.array([_index(names, every.labels[place]) for place in places], dtype=np.int64)
    on_topic = truth >= 0
    if not on_topic.any():
        card = msgspec.structs.replace(card, abstain_below=1 / len(names))
        return Router(card, final.weights, final.embed, final.seen)
    expert_scores = scores[on_topic, : len(names)]
    temperature = min(_TEMPERATURES, key=lambda t: _smoothed_loss(expert_scores / t, truth[on_topic]))
    chances = probabilities(scores, len(names), temperature)
    best, right = chances.max(axis=1), chances.argmax(axis=1) == truth
    threshold = _abstain_below(best[on_topic], right[on_topic], target)
    if (~on_topic).any():
        threshold = max(threshold, float(np.quantile(best[~on_topic], OFF_TOPIC_RECALL)))
    abstained = [bool(one < threshold) for one in best]
    measured = route_figures(names, chances, truth, abstained)
    off_topic = measured.confusion.get(OFF_TOPIC, {})
    card = msgspec.structs.replace(
        card,
        temperature=temperature,
        abstain_below=threshold,
        accuracy=measured.accuracy.value,
        held_out=int(on_topic.sum()),
        coverage=measured.coverage.value,
        calibration_error=measured.calibration_error,
        figures=measured,
        off_topic=share_interval(off_topic.get(ABSTAINS, 0), sum(off_topic.values())),
    )
    return Router(card, final.weights, final.embed, final.seen)


def route_figures(names: Sequence[str], chances: Floats, truth: Labels, silent: Sequence[bool]) -> RouteFigures:
    """Accuracy, coverage and confusion with intervals; a truth of -1 is an off-topic question."""
    given, best = chances.argmax(axis=1), chances.max(axis=1)
    abstained = np.array(silent, dtype=bool)
    right, on_topic = given == truth, truth >= 0
    confusion: dict[str, dict[str, int]] = {}
    for true, label, silent in zip(truth.tolist(), given.tolist(), abstained.tolist(), strict=True):
        row = confusion.setdefault(names[true] if true >= 0 else OFF_TOPIC, {})
        given_label = ABSTAINS if silent else names[label]
        row[given_label] = row.get(given_label, 0) + 1
    by_label = {
        name: share_interval(int((right & (truth == number)).sum()), int((truth == number).sum()))
        for number, name in enumerate(names)
    }
    return RouteFigures(
        accuracy=share_interval(int(right[on_topic].sum()), int(on_topic.sum())),
        coverage=share_interval(int((~abstained & on_topic).sum()), int(on_topic.sum())),
        answered=share_interval(int((right & ~abstained & on_topic).sum()), int((~abstained & on_topic).sum())),
        calibration_error=_calibration_error(best[on_topic], right[on_topic]) if on_topic.any() else None,
        by_label=by_label,
        confusion=confusion,
    )


def measure(router: Router, texts: Sequence[str], labels: Sequence[str]) -> RouteFigures:
    """Metrics of a router on these questions; a label it does not know counts as off-topic."""
    names = router.card.labels
    chances = router.chances(texts)
    truth = np.array([_index(names, label) for label in labels], dtype=np.int64)
    return route_figures(names, chances, truth, (chances.max(axis=1) < router.card.abstain_below).tolist())


def _held_out(examples: Examples, weak: Examples, names: Sequence[str], learn: Learn) -> tuple[Floats, list[int]]:
    """Cross-validated scores, each by a router that never saw the question's group, and the index of each question."""
    folds = np.array([zlib.crc32(group.encode()) % FOLDS for group in examples.groups], dtype=np.int64)
    scores: list[Floats] = []
    places: list[int] = []
    for fold in range(FOLDS):
        inside, outside = np.flatnonzero(folds != fold).tolist(), np.flatnonzero(folds == fold).tolist()
        train = examples.part(inside).joined(weak)
        if not outside or set(train.labels) - {OFF_TOPIC} != set(names):
            continue
        router = fit_router(train.texts, train.labels, learn)
        scores.append(router.embed([examples.texts[i] for i in outside]) @ router.weights)
        places += outside
    return (np.concatenate(scores) if scores else np.zeros((0, len(names) + 2))), places


def _index(names: Sequence[str], label: str) -> int:
    return names.index(label) if label in names else -1


def _smoothed_loss(scores: Floats, truth: Labels) -> float:
    """Cross-entropy with label smoothing."""
    logs = np.log(np.maximum(softmax(scores), 1e-12))
    right = logs[np.arange(len(truth)), truth]
    return float(-((1 - SMOOTHING) * right + SMOOTHING * logs.mean(axis=1)).mean())


def _abstain_below(best: Floats, right: npt.NDArray[np.bool_], target: float) -> float:
    """The lowest probability above which the held-out accuracy reaches the target."""
    order = np.argsort(-best)
    kept = np.cumsum(right[order]) / np.arange(1, len(best) + 1)
    good = np.flatnonzero(kept >= target)
    return float(best[order[good[-1]]]) if len(good) else 1.0


def _calibration_error(best: Floats, right: npt.NDArray[np.bool_], bins: int = 10) -> float:
    places = np.minimum((best * bins).astype(int), bins - 1)
    parts: Iterable[tuple[int, npt.NDArray[np.bool_]]] = ((b, places == b) for b in range(bins))
    return float(sum(abs(best[m].mean() - right[m].mean()) * m.mean() for _, m in parts if m.any()))
