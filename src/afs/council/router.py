"""A trained router: features, a softmax regression in numpy, calibrated, able to abstain.

Features are TF-IDF, alone or beside a sentence encoder's vector, or the hidden state of a small language model. It
does not look at answers, and it does not know what an expert is beyond its name. Weights are an `.npz` and a JSON
file, never a pickle.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec
import numpy as np

from afs.council.router_features import SIZE, WORD, Floats, matrix, softmax
from afs.providers.base import Vectors
from afs.types import Interval, Value, digest

CLOSE = 0.25
"""The two likeliest experts answer together when their probabilities differ by less than this."""
SENTENCE_WEIGHT = 2.0
"""Of a sentence's unit vector beside a unit vector of words."""
_KEPT = 4096
"""Texts whose vectors are kept."""
Embed = Callable[[Sequence[str]], Floats]
"""Turns texts into rows of features."""


class RouteFigures(Value, frozen=True, kw_only=True):
    """Metrics of a router on questions it never saw."""

    accuracy: Interval
    """Share of all questions that is routed right when the router never abstains."""
    coverage: Interval
    """Share of questions it does not abstain from."""
    answered: Interval
    """Share of the questions it answers that is routed right."""
    calibration_error: float | None = None
    by_label: dict[str, Interval] = {}
    """Accuracy by true label."""
    confusion: dict[str, dict[str, int]] = {}
    """True label -> given label -> questions; `(abstains)` where it gave none."""


class RouterCard(Value, frozen=True, kw_only=True):
    """The readable half of a router: labels, calibration, and what was measured on held-out groups."""

    schema: int = 2
    form: Literal["tfidf", "model", "encoder"] = "tfidf"
    labels: tuple[str, ...]
    temperature: float
    abstain_below: float
    """Probability below which the router abstains."""
    off_topic: Interval = msgspec.field(default=Interval(value=None), name="strangers")
    """Share of held-out off-topic questions it abstains from."""
    accuracy: float | None = None
    """On held-out groups; None without any."""
    held_out: int = 0
    coverage: float | None = None
    """Share of held-out questions it does not abstain from."""
    calibration_error: float | None = None
    figures: RouteFigures | None = None
    weak: int = 0
    """Training examples made of the experts' keywords."""
    real: int = 0
    """Real questions it was measured on, each by a router that had not seen its thread; 0: generated ones."""


class Choice(NamedTuple):
    """One expert and the calibrated probability that it should answer."""

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
        """Calibrated probabilities, a row per question, a column per label; what is missing to 1 is off-topic."""
        return probabilities(self.embed(questions) @ self.weights, len(self.card.labels), self.card.temperature)

    def abstains(self, choices: Sequence[Choice]) -> bool:
        """Whether no expert is likely enough."""
        return choices[0].probability < self.card.abstain_below

    def several(self, choices: Sequence[Choice]) -> list[str]:
        """The likeliest expert, and the next where it is close."""
        return [c.label for c in choices[:2] if choices[0].probability - c.probability < CLOSE]

    def has_seen(self, question: str) -> bool:
        """Whether the router was trained on exactly this question."""
        return question_hash(question) in self.seen

    def explain(self, question: str, count: int = 8) -> list[tuple[str, float]]:
        """The words that count most for the chosen expert: by weight, or by the probability lost without them."""
        words = sorted(set(WORD.findall(question.lower())))
        best = self.card.labels.index(self.choose(question)[0].label)
        if self.card.form == "tfidf":
            weighted = [(word, float(self.weights[zlib.crc32(f"w {word}".encode()) % SIZE, best])) for word in words]
        else:
            alphabetic = [word for word in words if word.isalpha()][:40] or words[:40]
            without = [" ".join(w for w in question.split() if word not in w.lower()) or "-" for word in alphabetic]
            whole = self.chances([question])[0, best]
            weighted = list(zip(alphabetic, (whole - self.chances(without)[:, best]).tolist(), strict=True))
        return sorted(weighted, key=lambda pair: -pair[1])[:count]


def probabilities(scores: Floats, labels: int, temperature: float) -> Floats:
    """Scores as probabilities: of each expert, times that of being on topic where the router has that head."""
    experts = softmax(scores[:, :labels] / temperature)
    gate = scores[:, labels:]
    return experts * softmax(gate)[:, :1] if gate.shape[1] else experts


def question_hash(question: str) -> int:
    """A 64-bit id of a question, to recognize it later."""
    return int(digest(question.strip())[:16], 16)


class Tfidf:
    """TF-IDF features with the document frequencies of the training questions."""

    def __init__(self, idf: Floats) -> None:
        self.idf = idf

    def __call__(self, texts: Sequence[str]) -> Floats:
        """One row per text."""
        return matrix(texts, self.idf)[0]


class SentenceReader(Protocol):
    """A sentence encoder: a unit vector per text."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row per text."""


class Sentences:
    """TF-IDF features with a sentence encoder's vectors beside them; each text is read once."""

    def __init__(self, encoder: SentenceReader, idf: Floats, known: dict[str, Floats] | None = None) -> None:
        self.encoder, self.idf = encoder, idf
        self.known = {} if known is None else known

    def __call__(self, texts: Sequence[str]) -> Floats:
        """One row per text; the vectors are weighted so that both kinds of features count."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            self.known |= dict(zip(new, np.asarray(self.encoder.embed(new), dtype=np.float64), strict=True))
        while len(self.known) > _KEPT and len(texts) == 1:
            self.known.pop(next(iter(self.known)))
        vectors = np.stack([self.known[text] for text in texts]) if texts else np.zeros((0, 0))
        return np.concatenate([matrix(texts, self.idf)[0], SENTENCE_WEIGHT * vectors], axis=1)
