"""A canon: sources, names, facts, a timeline and limits of style, declared in one TOML file. Nothing is guessed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from afs.domains.story.mentions import Mention, drop_article, find_mentions
from afs.errors import ConfigError, DataError
from afs.types import Value

_FILE_BYTES = 4 << 20


class CanonSource(Value, frozen=True, kw_only=True):
    """A document that facts are cited from, as `[id]`."""

    id: str
    file: str = ""
    """Relative to the canon; the quotes of facts must stand in it."""


class CanonName(Value, frozen=True, kw_only=True):
    """A person, place or thing."""

    name: str
    aliases: tuple[str, ...] = ()


class CanonAttribute(Value, frozen=True, kw_only=True):
    """A kind of fact, and the words by which a sentence states it."""

    name: str
    words: tuple[str, ...] = ()
    """Such as `lives`, `home`; empty: the attribute's name."""


class CanonFact(Value, frozen=True, kw_only=True):
    """What is true of a name."""

    of: str
    attribute: str
    value: str
    source: str
    quote: str = ""
    """Words of the source that say so."""


class CanonEvent(Value, frozen=True, kw_only=True):
    """Something that happens; the events of a canon stand in their order."""

    name: str
    source: str
    aliases: tuple[str, ...] = ()


class CanonStyle(Value, frozen=True, kw_only=True):
    """Limits a text keeps; 0: none."""

    sentence_words: int = 0
    most_words: int = 0
    banned: tuple[str, ...] = ()


class CanonVoice(Value, frozen=True, kw_only=True):
    """Limits of what one person says, in lines `Name: words`."""

    name: str
    most_words: int = 0
    banned: tuple[str, ...] = ()


class Canon(Value, frozen=True, kw_only=True):
    """What a world's texts may not contradict."""

    title: str
    license: str = ""
    source: tuple[CanonSource, ...]
    name: tuple[CanonName, ...]
    attribute: tuple[CanonAttribute, ...] = ()
    fact: tuple[CanonFact, ...] = ()
    event: tuple[CanonEvent, ...] = ()
    style: CanonStyle = CanonStyle()
    voice: tuple[CanonVoice, ...] = ()

    def spellings(self, name: str) -> tuple[str, ...]:
        """A name and its aliases; of what is not a declared name, itself."""
        known = {one.name: (one.name, *one.aliases) for one in self.name}
        words = known.get(name, (name,))
        return tuple(dict.fromkeys((*words, *map(drop_article, words))))

    def words_of(self, attribute: str) -> tuple[str, ...]:
        """The words that state an attribute."""
        return next((one.words for one in self.attribute if one.name == attribute and one.words), (attribute,))

    def values_of(self, attribute: str) -> tuple[str, ...]:
        """Every value that the canon gives an attribute."""
        return tuple(dict.fromkeys(one.value for one in self.fact if one.attribute == attribute))

    def find_values(self, text: str, attribute: str) -> list[Mention]:
        """Where a text gives a value of an attribute."""
        values = set(self.values_of(attribute))
        things = {*values, *(one.name for one in self.name)}
        found = find_mentions(text, {thing: self.spellings(thing) for thing in things})
        return [one for one in found if one.what in values]

    def asserted_values(self, text: str, attribute: str) -> tuple[str, ...]:
        """The values of an attribute that a text gives and does not deny."""
        found = self.find_values(text, attribute)
        return tuple(dict.fromkeys(one.what for one in found if not one.is_denied))

    def find_events(self, text: str) -> list[Mention]:
        """Where a text names events."""
        spelled: Mapping[str, tuple[str, ...]] = {one.name: (one.name, *one.aliases) for one in self.event}
        return find_mentions(text, {name: (*words, *map(drop_article, words)) for name, words in spelled.items()})


def read_canon(path: Path) -> Canon:
    """The canon of a file, checked: every reference resolves, every quote stands in its source."""
    try:
        canon = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Canon)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: {error}") from error
    problems = list(_find_problems(canon, path.parent))
    if problems:
        more = f" and {len(problems) - 5} more problems" if len(problems) > 5 else ""
        raise ConfigError(str(path), "; ".join(problems[:5]) + more)
    return canon


def _find_problems(canon: Canon, folder: Path) -> Iterator[str]:
    texts: dict[str, str] = {}
    for source in canon.source:
        if not source.file:
            continue
        try:
            with (folder / source.file).open("rb") as file:
                texts[source.id] = file.read(_FILE_BYTES).decode("utf-8", "replace")
        except OSError as error:
            yield f"source {source.id}: {source.file}: {error.strerror}"
    names = {one.name for one in canon.name}
    sources = {one.id for one in canon.source}
    yield from _find_repeats(canon)
    stated: dict[tuple[str, str], str] = {}
    for fact in canon.fact:
        label = f"fact {fact.of}/{fact.attribute}"
        if fact.of not in names:
            yield f"{label}: no name {fact.of!r} is declared"
        if fact.source not in sources:
            yield f"{label}: no source {fact.source!r} is declared"
        if stated.setdefault((fact.of, fact.attribute), fact.value) != fact.value:
            yield f"{label}: is both {stated[fact.of, fact.attribute]!r} and {fact.value!r}"
        if fact.quote and " ".join(fact.quote.split()) not in " ".join(texts.get(fact.source, "").split()):
            yield f"{label}: its quote does not stand in the source {fact.source!r}"
    for event in canon.event:
        if event.source not in sources:
            yield f"event {event.name}: no source {event.source!r} is declared"


def _find_repeats(canon: Canon) -> Iterator[str]:
    rows = [one.id for one in canon.source], [s for one in canon.name for s in (one.name, *one.aliases)]
    for kind, words in zip(("source", "name", "event"), (*rows, [one.name for one in canon.event]), strict=True):
        yield from (f"{kind} {word!r} stands twice" for word in sorted({w for w in words if words.count(w) > 1}))
