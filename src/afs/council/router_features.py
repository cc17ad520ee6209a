"""A question as hashed TF-IDF features: no vocabulary to store, the same on every machine."""

from __future__ import annotations

import itertools
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SIZE = 1 << 13
WORD = re.compile(r"[a-z_]+|\d|[^\sa-z\d]")
_MAX_WORDS = 96


def features(text: str) -> Counter[int]:
    """Hashed counts of words, word pairs and letter groups; the middle of a long text is left out."""
    words = WORD.findall(text.lower())
    if len(words) > _MAX_WORDS:
        words = words[: _MAX_WORDS // 2] + words[-_MAX_WORDS // 2 :]
    grams = ["w " + word for word in words]
    grams += [f"p {a} {b}" for a, b in itertools.pairwise(words)]
    joined = " ".join(words)
    grams += [f"c {joined[i : i + n]}" for n in (3, 4) for i in range(len(joined) - n + 1)]
    return Counter(zlib.crc32(gram.encode()) % SIZE for gram in grams)


@lru_cache(4096)
def _weigh(text: str) -> tuple[npt.NDArray[np.int64], Floats]:
    """(columns, weights before the document frequencies): a text is in every fold of a cross-validation but one."""
    counts = features(text)
    return np.fromiter(counts, np.int64, len(counts)), 1 + np.log(np.fromiter(counts.values(), float, len(counts)))


def matrix(texts: Sequence[str], idf: Floats | None = None) -> tuple[Floats, Floats]:
    """(rows of unit length, inverse document frequencies)."""
    rows = np.zeros((len(texts), SIZE))
    for row, text in enumerate(texts):
        columns, weights = _weigh(text)
        rows[row, columns] = weights
    if idf is None:
        idf = np.log((1 + len(texts)) / (1 + np.count_nonzero(rows, axis=0))) + 1
    rows *= idf
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms == 0, 1, norms), idf


def softmax(scores: Floats) -> Floats:
    """Probabilities of each row."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
