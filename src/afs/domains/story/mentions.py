"""Where a text names a thing of the canon, and whether it asserts or denies it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

_ARTICLE: Final = re.compile(r"(?:the|an?)\s+", re.IGNORECASE)
_DENIAL: Final = (
    r"(?:\b(?:not|never|no longer|nobody|neither|nor|used to|rather than|instead of|unlike)\b|n['\u2019]t\b)"
)
_DENIED_BEFORE: Final = re.compile(
    rf"{_DENIAL}(?:[\s*_\"]+(?!(?:but|except)\b)[\w'\u2019-]+){{0,6}}[\s*_\"]*$", re.IGNORECASE
)
"""A denial counts within its clause: no comma, full stop or `but` stands between, and few words."""
_DENIED_BEHIND: Final = re.compile(
    r"[\s*_\"]*(?:(?:is|was)\s+(?:not|never|no longer)\b|(?:is|was)n['\u2019]t\b)", re.IGNORECASE
)


class Mention(NamedTuple):
    """A place where a text names something."""

    what: str
    start: int
    end: int
    is_denied: bool


def drop_article(name: str) -> str:
    """A name as it stands behind another article, or behind a possessive."""
    return _ARTICLE.sub("", name, count=1) if _ARTICLE.match(name) else name


@functools.lru_cache(maxsize=1 << 16)
def _compile(words: str) -> re.Pattern[str]:
    """Whole words in any case, typographic apostrophes and line breaks included."""
    pattern = r"\s+".join(re.escape(word).replace("'", "['\u2019]") for word in words.split())
    return re.compile(rf"(?<![^\W_]){pattern}(?![^\W_])", re.IGNORECASE)


def mentions(text: str, words: Iterable[str]) -> bool:
    """Whether a text holds one of some words or phrases as a whole."""
    return any(_compile(word).search(text) for word in words)


def find_mentions(text: str, spellings: Mapping[str, Iterable[str]]) -> list[Mention]:
    """Each mention of the things, in order; a name inside a longer one (Hyrule in Hyrule Castle) is no mention."""
    spans = sorted(
        (match.start(), -match.end(), what)
        for what, words in spellings.items()
        for word in words
        for match in _compile(word).finditer(text)
    )
    found: list[Mention] = []
    for start, minus_end, what in spans:
        if not found or -minus_end > found[-1].end:
            is_denied = bool(_DENIED_BEFORE.search(text, max(0, start - 120), start))
            is_denied = is_denied or bool(_DENIED_BEHIND.match(text, -minus_end))
            found.append(Mention(what, start, -minus_end, is_denied))
    return found
