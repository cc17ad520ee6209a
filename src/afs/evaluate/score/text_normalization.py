"""Normalization and tokens of texts, shared by the scorers."""

from __future__ import annotations

import itertools
import re
import unicodedata

from afs.types import Task, Verdict

_WORD = re.compile(r"[$%#]?[0-9A-Za-z_]+|[^\W\s]")
_MOST_MARKS = 30
"""Unicode's own limit of stream-safe text (UAX 15)."""
_SPACE = re.compile(r"\s+")


def normalize(text: str) -> str:
    """Lower case, single spaces, no final period."""
    plain = _compose(text).casefold()
    return _SPACE.sub(" ", plain).strip().rstrip(".!").strip()


def tokens(text: str, *, fold: bool = True) -> list[str]:
    """Words and numbers, lower-cased unless `fold` is false; `$7E0010`, `#$01` and `m_flag` are one token each."""
    plain = _compose(text)
    return [token for token in _WORD.findall(plain.casefold() if fold else plain) if _is_word(token)]


def _compose(text: str) -> str:
    """The text in Unicode's form NFKC, without marks beyond the 30th on one letter: sorting them is quadratic."""
    if text.isascii():
        return text
    runs = itertools.groupby(text, lambda letter: unicodedata.combining(letter) > 0)
    kept = (itertools.islice(run, _MOST_MARKS) if is_mark else run for is_mark, run in runs)
    return unicodedata.normalize("NFKC", "".join(itertools.chain.from_iterable(kept)))


def _is_word(token: str) -> bool:
    return any(letter.isalnum() for letter in token)


def overlap_verdict(task: Task, value: float, enough: float, **facts: float) -> Verdict:
    """The verdict of a scorer that measures similarity to the gold text."""
    bounded = round(min(1.0, max(0.0, value)), 9)
    reason = "" if bounded >= enough else f"{bounded:.3f} is under {enough:g}"
    shown: dict[str, object] = {name: round(fact, 4) for name, fact in facts.items()}
    return Verdict(task=task.id, ok=bounded >= enough, score=bounded, stage="match", reason=reason, facts=shown)
