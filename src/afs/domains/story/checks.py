"""What can be checked of a text against a canon: facts, order of events, citations, style. Plot and prose cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from afs.domains.base import Finding, LineCounter
from afs.domains.story.canon import Canon, CanonFact
from afs.domains.story.mentions import Mention, mentions

LEFT_TO_JUDGES: Final = ("plot", "character", "prose")
"""What no rule here says anything about."""
_CITATION: Final = re.compile(r"\[([\w.-]+)\]")
_SENTENCE: Final = re.compile(r"[^.!?\n]+(?:[.!?]+(?:\s*\[[\w.-]+\])*|$)", re.M)
_NEGATED: Final = re.compile(r"\b(?:not|never|no longer|nobody|neither|nor|used to)\b|n['\u2019]t\b", re.IGNORECASE)
_ORDER: Final = re.compile(r"\b(before|after)\b", re.IGNORECASE)
_OPENING: Final = re.compile(r"\W*(?:(?:and|but|so|soon|long|shortly|only|right|just)\s+)*$", re.IGNORECASE)
"""What may stand before the `before` or `after` that opens a sentence."""
_FOLLOWING: Final = re.compile(r"\s*(?:,|,?\s*(?:there )?(?:came|comes))\s+(?:(?:the|an?)\s+)?$", re.IGNORECASE)
"""What stands between its two events."""
_SPOKEN: Final = re.compile(r"^[^\S\n]*([A-Z][\w' -]{0,40}):\s*(.+)$", re.M)


def split_sentences(text: str) -> list[tuple[int, str]]:
    """(line, sentence) of a text; a citation behind the full stop belongs to the sentence."""
    lines = LineCounter(text)
    return [(lines.line_at(match.start()), match[0].strip()) for match in _SENTENCE.finditer(text) if match[0].strip()]


def list_citations(text: str) -> list[str]:
    """The ids that a text cites."""
    return _CITATION.findall(text)


def check_text(canon: Canon, text: str, *, must_cite: bool = True) -> tuple[Finding, ...]:
    """Every remark on a text; what none of them is about was not checked."""
    sentences = split_sentences(text)
    found = [
        *_find_contradictions(canon, sentences),
        *_find_disorder(canon, sentences),
        *_find_bad_citations(canon, text, sentences, must_cite=must_cite),
        *_find_style(canon, text, sentences),
    ]
    return tuple(sorted(found, key=lambda one: (one.line, one.rule)))


def state_fact(fact: CanonFact) -> str:
    """A fact as a remark quotes it."""
    return f"the {fact.attribute} of {fact.of} is {fact.value} [{fact.source}]"


def _find_contradictions(canon: Canon, sentences: Sequence[tuple[int, str]]) -> Iterator[Finding]:
    """Sentences that give a name another known value of an attribute; sentences on two names are left."""
    for line, sentence in sentences:
        for fact in canon.fact:
            if not _is_about(canon, sentence, fact):
                continue
            stated = canon.asserted_values(sentence, fact.attribute)
            others = [one for one in canon.fact if one.attribute == fact.attribute and one.of != fact.of]
            if fact.value in stated or any(mentions(sentence, canon.spellings(one.of)) for one in others):
                continue
            if wrong := [value for value in stated if is_other_value(value, fact.value)]:
                yield Finding(rule="contradiction", message=f"says {wrong[0]}, but {state_fact(fact)}", line=line)


def is_other_value(value: str, right: str) -> bool:
    """Whether a value contradicts the right one; a wider one (Hyrule of Hyrule Castle) does not."""
    return value != right and not mentions(right, (value,))


def _find_disorder(canon: Canon, sentences: Sequence[tuple[int, str]]) -> Iterator[Finding]:
    """`A before B`, `A after B`, `After A, B` and `Before A, B` against the timeline."""
    places = {one.name: at for at, one in enumerate(canon.event)}
    for line, sentence in sentences:
        marks = list(_ORDER.finditer(sentence))
        found = canon.find_events(sentence)
        if len(marks) != 1 or len(found) != 2 or _NEGATED.search(sentence):
            continue
        first, second = (places[one.what] for one in found)
        if not _is_in_order(sentence, marks[0], found):
            first, second = second, first
        if first > second and _joins(sentence, marks[0], found):
            names = canon.event[second].name, canon.event[first].name
            yield Finding(rule="order", message=f"in the timeline {names[0]} comes before {names[1]}", line=line)


def _is_in_order(sentence: str, mark: re.Match[str], found: Sequence[Mention]) -> bool:
    """Whether the event named first happens first."""
    is_between = found[0].end <= mark.start()
    return (mark[0].lower() == "before") is is_between


def _joins(sentence: str, mark: re.Match[str], found: Sequence[Mention]) -> bool:
    """Whether `before` or `after` stands between the two events, or opens a sentence that names both in a row."""
    if found[0].end <= mark.start() and mark.end() <= found[1].start:
        return True
    opens = mark.end() <= found[0].start and _OPENING.match(sentence[: mark.start()])
    return bool(opens and _FOLLOWING.match(sentence[found[0].end : found[1].start]))


def _find_bad_citations(
    canon: Canon, text: str, sentences: Sequence[tuple[int, str]], *, must_cite: bool
) -> Iterator[Finding]:
    known = {one.id for one in canon.source}
    for line, sentence in sentences:
        for cited in list_citations(sentence):
            if cited not in known:
                yield Finding(rule="citation", message=f"cites [{cited}], which is no source of the canon", line=line)
        stated = _list_stated(canon, sentence)
        cited_here = set(list_citations(sentence))
        if stated and cited_here & known and not cited_here & {fact.source for fact in stated}:
            yield Finding(rule="citation", message=f"cites another source; {state_fact(stated[0])}", line=line)
    if must_cite and not list_citations(text):
        yield Finding(rule="citation", message="cites no source", line=1)
    elif must_cite:
        yield from _find_uncited(canon, text)


def _find_uncited(canon: Canon, text: str) -> Iterator[Finding]:
    """Paragraphs that state a fact and cite nothing."""
    for line, paragraph in enumerate(text.splitlines(), 1):
        stated = [fact for _, sentence in split_sentences(paragraph) for fact in _list_stated(canon, sentence)]
        if stated and not list_citations(paragraph):
            yield Finding(rule="citation", message=f"cites no source; {state_fact(stated[0])}", line=line)


def _list_stated(canon: Canon, sentence: str) -> list[CanonFact]:
    """The facts of the canon that a sentence states."""
    return [
        fact
        for fact in canon.fact
        if _is_about(canon, sentence, fact) and fact.value in canon.asserted_values(sentence, fact.attribute)
    ]


def _is_about(canon: Canon, sentence: str, fact: CanonFact) -> bool:
    return mentions(sentence, canon.spellings(fact.of)) and mentions(sentence, canon.words_of(fact.attribute))


def _count_words(text: str) -> int:
    return len(re.findall(r"[\w'-]+", _CITATION.sub("", text)))


def _find_style(canon: Canon, text: str, sentences: Sequence[tuple[int, str]]) -> Iterator[Finding]:
    style = canon.style
    for line, sentence in sentences:
        count = len(re.findall(r"[\w'-]+", _CITATION.sub("", sentence)))
        if style.sentence_words and count > style.sentence_words:
            yield Finding(
                rule="style", message=f"a sentence of {count} words; at most {style.sentence_words}", line=line
            )
        for word in style.banned:
            if mentions(sentence, (word,)):
                yield Finding(rule="style", message=f"says {word!r}, which the style bans", line=line)
    total = _count_words(text)
    if style.most_words and total > style.most_words:
        yield Finding(rule="style", message=f"{total} words; at most {style.most_words}", line=1)
    lines = LineCounter(text)
    for match in _SPOKEN.finditer(text):
        line = lines.line_at(match.start(1))
        for voice in canon.voice:
            if match[1].strip() not in canon.spellings(voice.name):
                continue
            count = len(re.findall(r"[\w'-]+", match[2]))
            if voice.most_words and count > voice.most_words:
                yield Finding(
                    rule="voice", message=f"{voice.name} says {count} words; at most {voice.most_words}", line=line
                )
            for word in voice.banned:
                if mentions(match[2], (word,)):
                    yield Finding(rule="voice", message=f"{voice.name} does not say {word!r}", line=line)
