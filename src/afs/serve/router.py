"""Which expert a question belongs to: TF-IDF features and a softmax regression in numpy, calibrated, able to abstain.

Features are hashed (no vocabulary to store); the weights are an `.npz` and a JSON file, never a pickle. It does not
look at answers, and it does not know what an expert is beyond its name.
"""

from __future__ import annotations

import io
import itertools
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from afs import jsonl
from afs.errors import DataError
from afs.types import Value

Floats = npt.NDArray[np.float64]

SIZE = 1 << 13
_WORD = re.compile(r"[a-z_]+|\d|[^\sa-z\d]")
_MAX_WORDS = 96
SMOOTHING = 0.05
"""Share of doubt that calibration leaves everywhere."""


class RouterCard(Value, frozen=True, kw_only=True):
    """The readable half of a router: labels, calibration, and what was measured on held-out groups."""

    schema: int = 1
    labels: tuple[str, ...]
    temperature: float
    abstain_below: float
    accuracy: float | None = None
    """On held-out groups; None when there were none."""
    held_out: int = 0
    coverage: float | None = None
    """Share of held-out questions that are not abstained from."""
    calibration_error: float | None = None


class Choice(NamedTuple):
    """One expert and the calibrated probability that the question is his."""

    label: str
    probability: float


def features(text: str) -> Counter[int]:
    """Hashed counts of words, word pairs and letter groups; the middle of a long text is left out."""
    words = _WORD.findall(text.lower())
    if len(words) > _MAX_WORDS:
        words = words[: _MAX_WORDS // 2] + words[-_MAX_WORDS // 2 :]
    grams = ["w " + word for word in words]
    grams += [f"p {a} {b}" for a, b in itertools.pairwise(words)]
    joined = " ".join(words)
    grams += [f"c {joined[i : i + n]}" for n in (3, 4) for i in range(len(joined) - n + 1)]
    return Counter(zlib.crc32(gram.encode()) % SIZE for gram in grams)


def matrix(texts: Sequence[str], idf: Floats | None = None) -> tuple[Floats, Floats]:
    """(rows of unit length, inverse document frequencies)."""
    rows = np.zeros((len(texts), SIZE))
    for row, text in enumerate(texts):
        for column, count in features(text).items():
            rows[row, column] = 1 + np.log(count)
    if idf is None:
        idf = np.log((1 + len(texts)) / (1 + np.count_nonzero(rows, axis=0))) + 1
    rows *= idf
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms == 0, 1, norms), idf


def softmax(scores: Floats) -> Floats:
    """Probabilities of each row."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


class Router:
    """A trained router."""

    def __init__(self, card: RouterCard, weights: Floats, idf: Floats) -> None:
        self.card, self._weights, self._idf = card, weights, idf

    def choose(self, question: str) -> list[Choice]:
        """Every expert with its probability, the most likely first."""
        rows, _ = matrix([question], self._idf)
        chances = softmax(rows @ self._weights / self.card.temperature)[0]
        order = np.argsort(-chances)
        return [Choice(self.card.labels[i], float(chances[i])) for i in order]

    def abstains(self, choices: Sequence[Choice]) -> bool:
        """Whether nobody is likely enough."""
        return choices[0].probability < self.card.abstain_below

    def explain(self, question: str, count: int = 8) -> list[tuple[str, float]]:
        """The words that speak most for the chosen expert, with their weight."""
        best = self.card.labels.index(self.choose(question)[0].label)
        words = set(_WORD.findall(question.lower()))
        weighed = [(word, float(self._weights[zlib.crc32(f"w {word}".encode()) % SIZE, best])) for word in words]
        return sorted(weighed, key=lambda pair: -pair[1])[:count]

    def save(self, folder: Path) -> None:
        """Write `router.json` and `router.npz`."""
        with jsonl.replacing(folder / "router.npz") as target:
            np.savez_compressed(target, weights=self._weights.astype(np.float32), idf=self._idf.astype(np.float32))
        jsonl.replace(folder / "router.json", msgspec.json.format(msgspec.json.encode(self.card), indent=2))

    @classmethod
    def load(cls, folder: Path) -> Router:
        """Read a router from its folder."""
        try:
            card = msgspec.json.decode((folder / "router.json").read_bytes(), type=RouterCard)
            content = io.BytesIO((folder / "router.npz").read_bytes())
            with np.load(content, allow_pickle=False) as stored:
                return cls(card, stored["weights"].astype(float), stored["idf"].astype(float))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, msgspec.DecodeError) as error:
            raise DataError(f"{folder}: not a router ({error})") from error


def fit(texts: Sequence[str], labels: Sequence[str], *, steps: int = 150, decay: float = 1e-4) -> Router:
    """Train on all of these; calibration comes from `calibrated`."""
    names = tuple(sorted(set(labels)))
    if len(names) < 2:
        raise DataError(f"a router needs questions for two experts at least, got {', '.join(names) or 'none'}")
    rows, idf = matrix(texts)
    used = np.flatnonzero(rows.any(axis=0))
    rows = np.ascontiguousarray(rows[:, used])
    wanted = np.eye(len(names))[[names.index(label) for label in labels]]
    weights = np.zeros((len(used), len(names)))
    momentum = np.zeros_like(weights)
    share = wanted / wanted.sum(axis=0)
    balance = share.sum(axis=1, keepdims=True) / len(names)
    for _ in range(steps):
        slope = rows.T @ ((softmax(rows @ weights) - wanted) * balance) + decay * weights
        momentum = 0.9 * momentum + slope
        weights -= 4.0 * momentum
    whole = np.zeros((SIZE, len(names)))
    whole[used] = weights
    return Router(RouterCard(labels=names, temperature=1.0, abstain_below=0.0), whole, idf)


def calibrated(
    texts: Sequence[str], labels: Sequence[str], groups: Sequence[str], *, folds: int = 5, target: float = 0.95
) -> Router:
    """Train, with temperature, abstention and accuracy measured on groups held out in turn."""
    names = tuple(sorted(set(labels)))
    scores, truth = _held_out(texts, labels, groups, names, folds)
    final = fit(texts, labels)
    if len(truth) == 0:
        return Router(msgspec.structs.replace(final.card, abstain_below=1 / len(names)), final._weights, final._idf)
    temperature = min((0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0), key=lambda t: _loss(scores / t, truth))
    chances = softmax(scores / temperature)
    right = chances.argmax(axis=1) == truth
    best = chances.max(axis=1)
    floor = max(_floor(best, right, target), 1.05 / len(names))
    card = RouterCard(
        labels=names,
        temperature=temperature,
        abstain_below=floor,
        accuracy=float(right.mean()),
        held_out=len(truth),
        coverage=float((best >= floor).mean()),
        calibration_error=_calibration_error(best, right),
    )
    return Router(card, final._weights, final._idf)


def _held_out(
    texts: Sequence[str], labels: Sequence[str], groups: Sequence[str], names: Sequence[str], folds: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Scores of every question by a router that never saw its group."""
    fold_of = np.array([zlib.crc32(group.encode()) % folds for group in groups])
    scores, truth = [], []
    for fold in range(folds):
        inside, outside = np.flatnonzero(fold_of != fold).tolist(), np.flatnonzero(fold_of == fold).tolist()
        if not outside or {labels[i] for i in inside} != set(names):
            continue
        router = fit([texts[i] for i in inside], [labels[i] for i in inside])
        rows, _ = matrix([texts[i] for i in outside], router._idf)
        scores.append(rows @ router._weights)
        truth += [names.index(labels[i]) for i in outside]
    return (np.concatenate(scores) if scores else np.zeros((0, len(names)))), np.array(truth, dtype=np.int64)


def _loss(scores: Floats, truth: npt.NDArray[np.int64]) -> float:
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
