"""Answers from passages: the prompt, an answer without a model, and the check of what is cited.

A citation holds when its passage has the numbers of the sentence and most of its words; that is no proof, but a
citation that fails is certainly wrong or points elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from afs.council.passages import Passage, words_of
from afs.types import Value

_RULE: Final = (
    "Answer from the passages below only, and cite them: put the number of the passage behind each sentence, like [2]."
    " Say so when they do not answer the question."
)
_MARK: Final = re.compile(r"\[(\d{1,2})\]")
_SENTENCE: Final = re.compile(r"(?<=[.!?])(?<!\[)\s+(?=[A-Z`$\[])|\n+")
_NUMBER: Final = re.compile(r"[$#%]{0,2}\d[0-9A-Fa-f:.]*")
_ENOUGH: Final = 0.6
"""Share of a sentence's words that its passages must hold."""
_MOST_QUOTED: Final = 3


class CitationCheck(Value, frozen=True, kw_only=True):
    """What became of an answer's citations."""

    cited: int
    """Sentences with a citation."""
    holding: int
    uncited: int
    """Sentences without one."""
    problems: tuple[str, ...] = ()

    def text(self) -> str:
        """One line."""
        if not self.cited:
            return "▹ no passage is cited"
        mark = "✔" if self.holding == self.cited else "✘"
        more = "".join(f"; {problem}" for problem in self.problems)
        uncited = f", {self.uncited} sentences without one" if self.uncited else ""
        return f"{mark} {self.holding} of {self.cited} citations hold{uncited}{more}"


def prompt_with_passages(question: str, passages: Sequence[Passage]) -> str:
    """The question, with the passages it is to be answered from."""
    shown = "\n\n".join(f"[{n}] {one.heading} ({one.source})\n{one.text}" for n, one in enumerate(passages, 1))
    return f"{_RULE}\n\n{shown}\n\nQuestion: {question}"


def list_sources(passages: Sequence[Passage]) -> str:
    """The sources below an answer."""
    return "\n".join(
        f"[{n}] {one.source}" + (f" — {one.heading}" if one.heading else "") for n, one in enumerate(passages, 1)
    )


def quote_answer(question: str, passages: Sequence[Passage]) -> str:
    """The passages' own sentences nearest to the question: an answer without a model."""
    asked = set(words_of(question))
    found: list[tuple[int, int, int, str]] = []
    for number, passage in enumerate(passages, 1):
        for at, sentence in enumerate(_sentences(passage.text)):
            shared = len(asked & set(words_of(sentence)))
            found.append((-shared, number, at, sentence.rstrip(".")))
    best = sorted(one for one in found if one[0] < 0)[:_MOST_QUOTED]
    return "\n".join(f"{sentence} [{number}]." for _, number, _, sentence in sorted(best, key=lambda one: one[1:3]))


def check_citations(answer: str, passages: Sequence[Passage]) -> CitationCheck:
    """Whether each cited passage can be where its sentence comes from."""
    cited = holding = uncited = 0
    problems: list[str] = []
    for sentence in _sentences(answer):
        numbers = [int(mark) for mark in _MARK.findall(sentence)]
        if not numbers:
            uncited += bool(words_of(sentence))
            continue
        cited += 1
        problem = _problem(_MARK.sub("", sentence), numbers, passages)
        holding += not problem
        problems += [problem] if problem else []
    return CitationCheck(cited=cited, holding=holding, uncited=uncited, problems=tuple(problems[:3]))


def _problem(sentence: str, numbers: Sequence[int], passages: Sequence[Passage]) -> str:
    unknown = [number for number in numbers if not 1 <= number <= len(passages)]
    if unknown:
        return f"there is no passage [{unknown[0]}]"
    text = " ".join(f"{passages[n - 1].heading} {passages[n - 1].text}" for n in numbers)
    missing = [one for one in _NUMBER.findall(sentence) if one.rstrip(".:").lower() not in text.lower()]
    if missing:
        return f"{missing[0]} is not in [{numbers[0]}]"
    said, there = set(words_of(sentence)), set(words_of(text))
    if said and len(said & there) / len(said) < _ENOUGH:
        return f"[{numbers[0]}] does not say {' '.join(sentence.split())[:60]!r}"
    return ""


def _sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in _SENTENCE.split(text) if sentence.strip()]
