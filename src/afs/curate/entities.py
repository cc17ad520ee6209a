"""The entity guard: two texts that name different things are different facts, however alike they look.

Entities are addresses, numbers, registers, labels, and the words that turn a statement round; a changed line of code is
a changed fact. Nothing here knows a subject.
"""

from __future__ import annotations

import functools
import re

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
_NUMBER = re.compile(r"\$[0-9a-f]+")
_HEX = re.compile(r"(?:0x|\$)0*([0-9a-f]+)(?![0-9a-z_])")


def is_entity(token: str) -> bool:
    """Whether a word names a thing or turns a statement round."""
    return bool(_ENTITY.search(token)) or token.lower() in _TURNS


def entities(text: str) -> frozenset[str]:
    """The entities of a text."""
    return frozenset(map(_entity, text.split())) - _NONE


_NONE = frozenset({""})


@functools.lru_cache(maxsize=1 << 16)
def _entity(word: str) -> str:
    """The entity a word is, without its punctuation; empty when it is none. Words come again and again."""
    bare = word.strip(_PUNCTUATION)
    return bare.lower() if bare and is_entity(bare) else ""


def same_facts(a: str, b: str) -> bool:
    """Whether two texts name the same things and hold the same lines of code."""
    return entities(a) == entities(b) and code_lines(a) == code_lines(b)


def code_lines(text: str) -> list[str]:
    """The lines that look like code, in order, without comments, case and spacing."""
    lines = (_bare(line) for line in text.splitlines() if _is_code(line))
    return [plain for line in lines if (plain := "".join(line.lower().split()))]


def _bare(line: str) -> str:
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
        or ("$" in text and len(_bare(text).split()) <= _SHORT_CODE)
    )


def canonical(text: str) -> str:
    """Code with comments, case, spacing and hexadecimal spelling away, and the labels it defines numbered in order.

    Registers and names from elsewhere stay: another register is another program.
    """
    plain = "\n".join(" ".join(_bare(line).lower().split()) for line in text.splitlines())
    names: dict[str, str] = {}
    for match in _DEFINED.finditer(plain):
        names.setdefault(match[1], f"label{len(names)}")
    if names:
        plain = _NAME.sub(lambda match: names.get(match[0], match[0]), plain)
    return _HEX.sub(r"$\1", plain)


def same_program(a: str, b: str) -> bool:
    """Whether two texts are one program under other label names; cheap signs first."""
    if not defines_labels(a) or a.count("\n") != b.count("\n"):
        return False
    numbers_a, numbers_b = (_NUMBER.findall(text.lower()) for text in (a, b))
    return len(numbers_a) == len(numbers_b) and canonical(a) == canonical(b)


def defines_labels(text: str) -> bool:
    """Whether there is a label that could have been renamed."""
    return _DEFINED.search(text) is not None
