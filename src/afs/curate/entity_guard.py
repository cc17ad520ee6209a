"""The entity guard: two texts that name different things are different facts, however alike they look.

Entities are addresses, numbers, registers, labels, and the words that turn a statement round; a changed line of code is
a changed fact. Nothing here knows a subject.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest

_PUNCTUATION = ".,;:!?\"'`()[]{}<>"
_ENTITY = re.compile(r"\d|[_$@%]|^#|^[A-Z]{2,}|^[B-HJ-Z]$|[a-z][A-Z]")
_TURNS = frozenset(
    "not no never none without unless except before after only read write reads writes set clear sets clears enable"  # noqa: SIM905
    " disable enabled disabled on off high low left right up down signed unsigned first last more less true false min"
    " max minimum maximum horizontal vertical start end increment decrement push pull load store add subtract"
    " x y s direct indirect long short native emulation".split()
)
_LABEL = re.compile(r"[.\w@+-]+:\s*(?:;|$)")
_SHORT_CODE = 4
"""A line of at most so many words with an address or a number in it is code too."""
_DEFINED = re.compile(r"^\s*([A-Za-z_.@][\w.@]*):", re.M)
_NAME = re.compile(r"[A-Za-z_.@][\w.@]*")
_HEX = re.compile(r"(?:0x|\$)0*([0-9a-f]+)(?![0-9a-z_])")


def is_entity(token: str) -> bool:
    """Whether a word names a thing or turns a statement round."""
    return bool(_ENTITY.search(token)) or token.lower() in _TURNS


def extract_entities(text: str) -> frozenset[str]:
    """The entities of a text."""
    return frozenset(map(_entity, text.split())) - _NONE


_NONE = frozenset({""})


@functools.lru_cache(maxsize=1 << 16)
def _entity(word: str) -> str:
    """The entity a word is, without its punctuation; empty when it is none. Words come again and again."""
    word_only = word.strip(_PUNCTUATION)
    return word_only.lower() if word_only and is_entity(word_only) else ""


def have_same_facts(a: str, b: str) -> bool:
    """Whether two texts hold the same lines of code and name the same things."""
    return _have_same_code(a.splitlines(), b.splitlines()) and _have_same_entities(set(a.split()), set(b.split()))


def _have_same_code(a: list[str], b: list[str]) -> bool:
    """Line by line until one differs; what both begin with is passed over."""
    begin = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    pairs = zip_longest(_code_lines(a[begin:]), _code_lines(b[begin:]))
    return all(x == y for x, y in pairs)


def _have_same_entities(a: set[str], b: set[str]) -> bool:
    """Words both have say nothing of a difference, unless the other's own words need them."""
    own_a, own_b = set(map(_entity, a - b)), set(map(_entity, b - a))
    return own_a == own_b or (own_a ^ own_b) - _NONE <= set(map(_entity, a & b))


def extract_code_lines(text: str) -> list[str]:
    """The lines that look like code, in order, without comments, case and spacing."""
    return list(_code_lines(text.splitlines()))


def _code_lines(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if _is_code(line) and (plain := "".join(_strip_comment(line).lower().split())):
            yield plain


def _strip_comment(line: str) -> str:
    """A line up to its comment."""
    return line.partition(";")[0].partition("//")[0]


def _is_code(line: str) -> bool:
    """Indented, a label, with braces or an equals sign, ended by a semicolon; or short with an address in it."""
    text = line.strip()
    return bool(text) and (
        line[0].isspace()
        or text[-1] == ";"
        or "=" in text
        or "{" in text
        or "}" in text
        or (":" in text and _LABEL.match(text) is not None)
        or ("$" in text and len(_strip_comment(text).split()) <= _SHORT_CODE)
    )


def are_same_program(a: str, b: str) -> bool:
    """Whether two texts are one program under other label names: the same lines, but for their comments, case, spacing

    and hexadecimal spelling, where the labels each defines count by their order. Registers and names from elsewhere
    stay: another register is another program.
    """
    if not defines_labels(a) or a.count("\n") != b.count("\n"):
        return False
    a, b = a.lower(), b.lower()
    names_a, names_b = _number_labels(a), _number_labels(b)
    if len(names_a) != len(names_b):
        return False
    same_names = names_a == names_b
    return all(
        (same_names and x == y) or _canonicalize(x, names_a) == _canonicalize(y, names_b)
        for x, y in zip_longest(a.splitlines(), b.splitlines(), fillvalue="")
    )


def _number_labels(text: str) -> dict[str, str]:
    """The labels a text defines, numbered in order."""
    names: dict[str, str] = {}
    for name in _DEFINED.findall(text):
        names.setdefault(name, f"label{len(names)}")
    return names


def _canonicalize(line: str, names: Mapping[str, str]) -> str:
    """A line in lower case without its comment and spelling."""
    plain = _NAME.sub(lambda match: names.get(match[0], match[0]), " ".join(_strip_comment(line).split()))
    return _HEX.sub(r"$\1", plain)


def defines_labels(text: str) -> bool:
    """Whether there is a label that could have been renamed."""
    return _DEFINED.search(text) is not None
