"""The entity guard: two texts that name different things are different facts, however similar they look.

Entities are addresses, numbers, registers, and names written as names; changed code is a changed fact, and so is a word
replaced by its counterpart. What remains may differ in wording only. Nothing here knows a subject.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from importlib.resources import files
from typing import NamedTuple

from afs.curate.code_normalization import Form

_PUNCTUATION = ".,;:!?\"'()[]{}<>*\u2013\u2014"
_ENTITY = re.compile(r"\d|[_$@%`]|^#|^[A-Z]{2,}|^[B-HJ-Z]$|[a-z][A-Z]|\w[-./:+]+\w")
_QUOTED = re.compile(r"['\"][\w-]+['\"][.,;:)]*$")
"""One word in quotes is a literal."""
_PLAIN_ASCII = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "-",
        "\u2026": "...",
        "\u00a0": " ",
    }
)
_PROPER_NAME = re.compile(r"[A-Z][a-z]{2,}")
_INSIDE_SENTENCE = re.compile(r"[a-z0-9],?$")
"""A word behind which no sentence begins."""
_NEGATIONS = frozenset("not no never none without unless except neither nor cannot only".split())  # noqa: SIM905
_EMPTY_WORDS = frozenset(
    re.findall(
        r"\S+",
        """
    a an the this that these those it its is are was were be been being to of in at by for with as and or but so
    if then than there here which who whose what when where how also just very quite rather really simply can
    could may might will would shall should must do does did has have had we you they he she i our your their
    them us itself
        """,
    )
)
_PREFIXES = (
    "de",
    "dis",
    "un",
    "in",
    "im",
    "non",
    "anti",
    "sub",
    "super",
    "pre",
    "post",
    "over",
    "under",
    "inter",
    "intra",
    "co",
)
_SHORT_TEXT = 25
"""In a text of fewer words one replaced word may be the whole fact."""
_BLOCK = 4
"""So many words in a row that stand in one text only say something the other does not."""
_ADDED = 2
"""So many words of its own that one text only has add a statement; a single one may be a matter of style."""
_STEM = 3
"""Letters at the beginning of a word that it has in another form too."""
_FEW_PLACES = 3
"""Texts of one template differ in few places, however long they are."""


def is_entity(token: str) -> bool:
    """Whether a word names a thing."""
    return bool(_ENTITY.search(token))


def extract_entities(text: str) -> frozenset[str]:
    """The entities of a text, and its words that have a counterpart."""
    return frozenset(map(_entity, text.split())) - _NONE


_NONE = frozenset({""})


@functools.lru_cache(maxsize=1 << 16)
def _entity(word: str) -> str:
    """The entity a word is, without its punctuation; empty when it is none. Words come again and again."""
    plain = word.translate(_PLAIN_ASCII)
    bare = plain.strip(_PUNCTUATION)
    if not bare or not (
        _QUOTED.match(plain) or is_entity(bare) or bare.lower() in _counterparts() or bare.lower() in _NEGATIONS
    ):
        return ""
    return bare.strip("`").lower()


@functools.lru_cache(maxsize=1 << 16)
def normalize_word(word: str) -> str:
    """A word without punctuation and case."""
    return word.translate(_PLAIN_ASCII).strip(_PUNCTUATION + "`").lower()


@functools.cache
def _counterparts() -> dict[str, frozenset[int]]:
    """Word -> the groups of counterparts it is in."""
    groups: dict[str, set[int]] = {}
    rows = (files("afs.curate") / "counterparts.txt").read_text("utf-8").splitlines()
    for number, row in enumerate(row for row in rows if not row.startswith("#")):
        for word in row.split():
            groups.setdefault(word, set()).add(number)
    return {word: frozenset(found) for word, found in groups.items()}


def are_same_facts(a: Form, b: Form, *, in_family: bool = False) -> bool:
    """The same for texts taken apart; in a family of texts of one template one replaced word is a fact of its own."""
    if a.code != b.code:
        return False
    if a.prose == b.prose:
        return True
    if _numbers(a) != _numbers(b) or _have_other_titles(a, b):
        return False
    own_a, own_b = set(a.prose) - set(b.prose), set(b.prose) - set(a.prose)
    return _name_same_things(own_a, own_b, a, b) and _is_rewording(a, b, in_family)


def _have_other_titles(a: Form, b: Form) -> bool:
    """Whether both texts have headlines, and these differ in more than a slip."""
    if not a.title or not b.title:
        return False
    left, right = [normalize_word(w) for w in a.title], [normalize_word(w) for w in b.title]
    return not all(map(_is_slip, _changes(left, right)))


def _name_same_things(own_a: set[str], own_b: set[str], a: Form, b: Form) -> bool:
    """Names both have say nothing of a difference, unless the other's own words need them."""
    names_a, names_b = (
        {_entity(word) for word in own if is_entity(_bare(word)) or _QUOTED.match(word.translate(_PLAIN_ASCII))} - _NONE
        for own in (own_a, own_b)
    )
    if differing := names_a ^ names_b:
        shared = {_entity(word) for word in {*a.prose} & {*b.prose}}
        if not differing <= shared:
            return False
    words_a, words_b = (
        {normalize_word(w) for w in own} - {normalize_word(w) for w in other.prose}
        for own, other in ((own_a, b), (own_b, a))
    )
    if _list_proper_names(a) & words_a or _list_proper_names(b) & words_b:
        return False
    return not are_opposed(words_a, words_b)


def _list_proper_names(form: Form) -> set[str]:
    """Capitalized words that do not begin a sentence: `or Schannel`."""
    return {
        normalize_word(word)
        for before, word in itertools.pairwise(form.prose)
        if _INSIDE_SENTENCE.search(before) and _PROPER_NAME.fullmatch(_bare(word))
    } - _EMPTY_WORDS


def _numbers(form: Form) -> list[str]:
    """The numbers of the prose in their order, which is part of what it says."""
    return [bare for word in form.prose if (bare := _bare(word))[:1].isdigit()]


def _bare(word: str) -> str:
    return word.translate(_PLAIN_ASCII).strip(_PUNCTUATION)


def are_opposed(own_a: set[str], own_b: set[str]) -> bool:
    """Whether words of one text only have a counterpart among those of the other, or one denies something."""
    if (own_a | own_b) & _NEGATIONS:
        return True
    groups = _counterparts()
    known_a = frozenset[int]().union(*(groups.get(word, frozenset()) for word in own_a))
    known_b = frozenset[int]().union(*(groups.get(word, frozenset()) for word in own_b))
    return bool(known_a & known_b) or _has_prefixed(own_a, own_b) or _has_prefixed(own_b, own_a)


def _has_prefixed(words: set[str], others: set[str]) -> bool:
    """`deconvolution` beside `convolution`."""
    return any(word.startswith(p) and word[len(p) :] in others for word in words for p in _PREFIXES)


class _Change(NamedTuple):
    """A place where two texts differ: the words of each there, without those that say nothing."""

    left: tuple[str, ...]
    right: tuple[str, ...]


def _is_rewording(a: Form, b: Form, in_family: bool) -> bool:
    """Whether the differences look like edits of one text, not like another fact in the same template."""
    left, right = [normalize_word(w) for w in a.prose], [normalize_word(w) for w in b.prose]
    changes = [change for change in _changes(left, right) if not _is_slip(change)]
    if not changes:
        return True
    if any(max(len(c.left), len(c.right)) >= _BLOCK for c in changes):
        return False
    if any(c.left and c.right and are_opposed(set(c.left) - set(c.right), set(c.right) - set(c.left)) for c in changes):
        return False
    if any(_adds_something(c, set(left), set(right)) for c in changes):
        return False
    if _has_own_subject(left, right) or _has_own_subject(right, left):
        return False
    if len(changes) <= _FEW_PLACES and any(_is_other_thing(c, set(left), set(right)) for c in changes):
        return False
    if min(len(left), len(right)) < _SHORT_TEXT or (in_family and len(changes) <= _FEW_PLACES):
        return False
    replaced = Counter(c for c in changes if c.left and c.right)
    return not any(
        count > 1 and not {*change.left} & {*right} and not {*change.right} & {*left}
        for change, count in replaced.items()
    )


def _changes(a: Sequence[str], b: Sequence[str]) -> Iterator[_Change]:
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind != "equal":
            yield _Change(_telling(a[a0:a1], a, a0), _telling(b[b0:b1], b, b0))


def _telling(words: Sequence[str], text: Sequence[str], at: int) -> tuple[str, ...]:
    """The words of a place that say something: no empty ones, and none that only repeats its neighbor."""
    return tuple(
        word
        for place, word in enumerate(words, at)
        if word and word not in _EMPTY_WORDS and not (place and text[place - 1] == word)
    )


def _adds_something(change: _Change, left: set[str], right: set[str]) -> bool:
    """Whether one text says in several words what the other, there or elsewhere, does not say at all."""
    if change.left and change.right:
        return False
    return len((set(change.left) - right) | (set(change.right) - left)) >= _ADDED


def _has_own_subject(words: Sequence[str], others: Sequence[str]) -> bool:
    """Whether a text says a word again and again that the other, in whatever form, does not know: `shard`, `member`."""
    known = {_singular(word) for word in others}
    own = Counter(_singular(word) for word in words if word and word not in _EMPTY_WORDS)
    repeated = [word for word, count in own.items() if count > 1 and word not in known]
    return any(not any(_is_misspelled(word, other) for other in known) for word in repeated)


def _singular(word: str) -> str:
    return word.removesuffix("'s").removesuffix("s") if len(word) > _STEM else word


def _is_other_thing(change: _Change, left: set[str], right: set[str]) -> bool:
    """Words replaced by others that the first text nowhere has, and the other way round: not its own words moved."""
    own, new = set(change.left) - right, set(change.right) - left
    if not own or not new:
        return False
    return not any(a[:_STEM] == b[:_STEM] or _is_misspelled(a, b) or _lost_a_letter(a, b) for a in own for b in new)


def _lost_a_letter(a: str, b: str) -> bool:
    """Whether one word, however short, is the other without one of its letters."""
    long, short = (a, b) if len(a) > len(b) else (b, a)
    return len(long) == len(short) + 1 and any(long[:at] + long[at + 1 :] == short for at in range(len(long)))


def _is_slip(change: _Change) -> bool:
    """Nothing telling, or words that differ by a slip of the keyboard."""
    if not change.left and not change.right:
        return True
    return len(change.left) == len(change.right) and all(map(_is_misspelled, change.left, change.right))


def _is_misspelled(a: str, b: str) -> bool:
    """Whether one word is the other with one letter more, less or different, or two of them exchanged."""
    if a == b:
        return True
    if min(len(a), len(b)) < 3 or abs(len(a) - len(b)) > 1:
        return False
    begin = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[begin:], b[begin:]
    return (
        rest_a[1:] == rest_b
        or rest_a == rest_b[1:]
        or (rest_a[1:] == rest_b[1:] and len(a) > 4)
        or (rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:])
    )
