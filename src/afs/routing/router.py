"""A trained router: features, a softmax regression in numpy, calibrated, able to abstain.

Features are TF-IDF, or the hidden state of a small language model. It does not look at answers, and it does not know
what an expert is beyond its name. Weights are an `.npz` and a JSON file, never a pickle.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from afs.routing.router_features import SIZE, WORD, Floats, matrix, softmax
from afs.types import Interval, Value, digest

Embed = Callable[[Sequence[str]], Floats]
"""Texts -> a row of features each."""


class RouteFigures(Value, frozen=True, kw_only=True):
    """How good a router is on questions it never saw."""

    accuracy: Interval
    """Right of all questions, as if it never abstained."""
    coverage: Interval
    """Questions it does not abstain from."""
    answered: Interval
    """Right of those it does not abstain from."""
    calibration_error: float | None = None
    by_label: dict[str, Interval] = {}
    """Right of the questions of each label."""
    confusion: dict[str, dict[str, int]] = {}
    """True label -> given label -> questions; `(abstains)` where it gave none."""


class RouterCard(Value, frozen=True, kw_only=True):
    """The readable half of a router: labels, calibration, and what was measured on held-out groups."""

    schema: int = 2
    form: Literal["tfidf", "model"] = "tfidf"
    labels: tuple[str, ...]
    temperature: float
    abstain_below: float
    """Least probability that is an answer."""
    strangers: Interval = Interval(value=None)
    """Abstained from, of held-out questions that are nobody's."""
    accuracy: float | None = None
    """On held-out groups; None when there were none."""
    held_out: int = 0
    coverage: float | None = None
    """Share of held-out questions that are not abstained from."""
    calibration_error: float | None = None
    figures: RouteFigures | None = None
    weak: int = 0
    """Examples that were made of experts' keywords."""


class Choice(NamedTuple):
    """One expert and the calibrated probability that the question is his."""

    label: str
    probability: float


class Router:
    """A trained router."""

    def __init__(self, card: RouterCard, weights: Floats, embed: Embed, seen: frozenset[int] = frozenset()) -> None:
        self.card, self.weights, self.embed, self.seen = card, weights, embed, seen

    def choose(self, question: str) -> list[Choice]:
        """Every expert with its probability, the most likely first."""
        chances = self.chances([question])[0]
        order = np.argsort(-chances, kind="stable")
        return [Choice(self.card.labels[i], float(chances[i])) for i in order]

    def chances(self, questions: Sequence[str]) -> Floats:
        """Calibrated probabilities, a row for each question, a column for each label; the rest to 1 is nobody's."""
        return chances_of(self.embed(questions) @ self.weights, len(self.card.labels), self.card.temperature)

    def abstains(self, choices: Sequence[Choice]) -> bool:
        """Whether nobody is likely enough."""
        return choices[0].probability < self.card.abstain_below

    def has_seen(self, question: str) -> bool:
        """Whether it was trained on this very question."""
        return mark(question) in self.seen

    def explain(self, question: str, count: int = 8) -> list[tuple[str, float]]:
        """The words that speak most for the chosen expert: their weight, or what leaving them out takes away."""
        words = sorted(set(WORD.findall(question.lower())))
        best = self.card.labels.index(self.choose(question)[0].label)
        if self.card.form == "tfidf":
            weighed = [(word, float(self.weights[zlib.crc32(f"w {word}".encode()) % SIZE, best])) for word in words]
        else:
            spoken = [word for word in words if word.isalpha()][:40] or words[:40]
            without = [" ".join(w for w in question.split() if word not in w.lower()) or "-" for word in spoken]
            whole = self.chances([question])[0, best]
            weighed = list(zip(spoken, (whole - self.chances(without)[:, best]).tolist(), strict=True))
        return sorted(weighed, key=lambda pair: -pair[1])[:count]


def chances_of(scores: Floats, labels: int, temperature: float) -> Floats:
    """Scores as probabilities: whose it would be, times whether it is anybody's, where the router can tell."""
    whose = softmax(scores[:, :labels] / temperature)
    gate = scores[:, labels:]
    return whose * softmax(gate)[:, :1] if gate.shape[1] else whose


def mark(question: str) -> int:
    """What a question is remembered by."""
    return int(digest(question.strip())[:16], 16)


class Tfidf:
    """The features of the light form, by the document frequencies of the questions it was trained on."""

    def __init__(self, idf: Floats) -> None:
        self.idf = idf

    def __call__(self, texts: Sequence[str]) -> Floats:
        """A row for each text."""
        return matrix(texts, self.idf)[0]
