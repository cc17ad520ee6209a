"""Renamed locals: two programs whose statements are the same but for the names they give to their own variables.

A name may differ only where both programs bind it themselves: a parameter, a variable, a label, a function that the
prose does not mention. For names from elsewhere, attributes, and words with a counterpart another name is another
program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from afs.curate.code_normalization import Form
from afs.curate.entity_comparison import are_opposed, normalize_word

_TOKEN = re.compile(
    r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|(?:0x|\$)[0-9A-Fa-f]+|\.?[A-Za-z_@][\w@]*|\d[\w.]*|->|::|\S"
)
_NAME = re.compile(r"\.?[A-Za-z_@][\w@]*\Z")
_HEX = re.compile(r"(?:0x|\$)0*([0-9a-f]+)\Z", re.IGNORECASE)
_LABEL = re.compile(r"^[^\S\n]*([A-Za-z_.@][\w.@]*):", re.M)
_BINDINGS = {
    "python": (
        re.compile(r"^[\s\x01\x02]*([a-z_]\w*)\s*(?::[^=\n]+)?=(?!=)|\b(?:for|as|def)\s+([a-z_]\w*)", re.M),
        re.compile(
            r"\bdef\s+\w+\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)|\blambda\b([^:\n]*):|\bfor\s+([\w\s,()]+?)\s+in\b"
        ),
    ),
    "c": (
        re.compile(
            r"\b(?:let|var|const|mut|fn|function|auto)\s+([a-z_]\w*)"
            r"|(?<!\breturn)(?<!\bnew)(?<!\bthrow)(?<!\bcase)(?<!\belse)[\w>&*\]]\s+[&*]*([a-z_]\w*)\s*(?=[=;,)\[({]|:[^:])"
        ),
        re.compile(r"\bfunction\s*\w*\s*\(([^()]*)\)|\(([^()]*)\)\s*=>|\|([^|\n]*)\||\bfn\s+\w+[^(]*\(([^()]*)\)"),
    ),
}
_PARAMETER = re.compile(r"(?:^|[,(&*\s])([a-z_]\w*)\s*(?=[,:=)]|$)")
_KEYWORDS = frozenset(
    re.findall(
        r"\S+",
        """
    and as async await auto bool break case catch char class const continue def default del do double elif else
    enum except false finally float fn for from function global if impl import in int interface is lambda let
    long loop match mod mut new nil none nonlocal not null nullptr or override pass pub public raise ref return
    self short static struct super switch template this throw true try type typedef undefined union unsafe
    unsigned use using var virtual void where while with yield
        """,
    )
)
_LEAST_TOKENS = 16
"""A shorter program is too common to be the same under other names; labels may, they only name places."""
_MOST_SHARE = 0.6
"""Of the names of a program at most so many may differ."""


def are_same_program(a: Form, b: Form) -> bool:
    """Whether two texts hold one program but for comments, layout, quotes and the names of its own variables."""
    if not a.code or a.syntax != b.syntax:
        return False
    if a.syntax == "asm" and a.statements.count("\n") != b.statements.count("\n"):
        return False
    left, right = _tokens(a), _tokens(b)
    names = _match_tokens(left, right)
    if names is None:
        return False
    renamed = {x: y for x, y in names.items() if x != y}
    if [renamed.get(w, w) for w in map(normalize_word, a.prose)] != [normalize_word(w) for w in b.prose]:
        return False
    if not renamed:
        return True
    if a.syntax == "asm":
        return _bind_labels(renamed, a, b)
    few = len(left) >= _LEAST_TOKENS and len(renamed) <= max(1, _MOST_SHARE * len(names))
    return few and _bind_locals(renamed, a, b, left)


def _tokens(form: Form) -> list[str]:
    """Tokens of the code with quotes and hexadecimal numbers in one spelling."""
    text = form.statements.lower() if form.syntax == "asm" else form.statements
    found = [_spell(token) for token in _TOKEN.findall(text)]
    return [
        token
        for token, after in zip(found, [*found[1:], ""], strict=True)
        if token != "," or after not in (")", "]", "}")
    ]


def _spell(token: str) -> str:
    if token[0] in "\"'" and len(token) > 1:
        return f'"{token[1:-1]}"'
    match = _HEX.match(token)
    return f"${match[1].lower()}" if match else token


def _match_tokens(a: Sequence[str], b: Sequence[str]) -> dict[str, str] | None:
    """Name -> name, one to one, when nothing but names differs."""
    if len(a) != len(b):
        return None
    names: dict[str, str] = {}
    back: dict[str, str] = {}
    for x, y in zip(a, b, strict=True):
        if x != y and not (_NAME.match(x) and _NAME.match(y)):
            return None
        if _NAME.match(x) and (names.setdefault(x, y) != y or back.setdefault(y, x) != x):
            return None
    return names


def _bind_labels(renamed: Mapping[str, str], a: Form, b: Form) -> bool:
    labels_a, labels_b = (set(_LABEL.findall(form.statements.lower())) for form in (a, b))
    return renamed.keys() <= labels_a and set(renamed.values()) <= labels_b


def _bind_locals(renamed: Mapping[str, str], a: Form, b: Form, tokens: Sequence[str]) -> bool:
    """Whether every renamed name is a program's own and stands for nothing else."""
    if not (renamed.keys() <= _find_locals(a) and set(renamed.values()) <= _find_locals(b)):
        return False
    members = {after for before, after in pairwise(tokens) if before in ("->", "::")}
    mentioned = {normalize_word(word) for word in (*a.prose, *b.prose)}
    return not any(
        x in members or {x, y} & mentioned or _differ_in_number(x, y) or _name_opposites(x, y)
        for x, y in renamed.items()
    )


def _name_opposites(x: str, y: str) -> bool:
    """`first_row` and `first_column` are two things."""
    parts_x, parts_y = _parts(x), _parts(y)
    return are_opposed(parts_x - parts_y, parts_y - parts_x)


def _find_locals(form: Form) -> set[str]:
    """The names a program binds."""
    single, lists = _BINDINGS[form.syntax]
    found = {name for match in single.finditer(form.statements) for name in match.groups() if name}
    for match in lists.finditer(form.statements):
        found |= {name for group in match.groups() if group for name in _PARAMETER.findall(group)}
    return found - _KEYWORDS


def _differ_in_number(x: str, y: str) -> bool:
    """`bank1` and `bank2` are two things."""
    bare = re.sub(r"\d", "", x)
    return len(bare) > 1 and bare == re.sub(r"\d", "", y)


def _parts(name: str) -> set[str]:
    """The words of a name."""
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)}
