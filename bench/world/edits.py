"""Edits that change no substance: of code its comments, layout, quotes and local names; of prose its words."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_COMMENT = {"python": "#", "cpp": "//", "rust": "//", "js": "//"}
_KEYWORDS = frozenset(
    re.findall(
        r"\S+",
        """
    and as assert async await auto bool break case catch char class const continue def default del delete double
    elif else enum except extern false finally float fn for from function global if impl import in inline int
    interface is lambda let long loop match mod mut namespace new none nonlocal not null nullptr or override
    pass private protected pub public raise ref return self short signed size_t sizeof static std string struct
    super switch template this throw trait true try type typedef typename undefined union unsafe unsigned use
    using var virtual void where while with yield
        """,
    )
)
_REMARKS = (
    "keep this in step with the caller", "see the note above", "the order matters here", "checked by the tests",
    "nothing else may happen before", "the common case first", "cheap, so done every time",
)  # fmt: skip
_STRINGS = re.compile(r"(\"\"\".*?\"\"\"|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')", re.S)
_FRESH = ("item", "entry", "current", "buffer", "place", "outcome", "element", "holder", "chunk", "piece")


def drop_comments(code: str, language: str, _chance: random.Random) -> str:
    mark = _COMMENT[language]
    lines = (re.sub(rf"(^|\s){re.escape(mark)}(?!\[).*$", r"\1", line).rstrip() for line in code.splitlines())
    kept = re.sub(r"/\*.*?\*/", "", "\n".join(lines), flags=re.S) if mark == "//" else "\n".join(lines)
    return "\n".join(line for line in kept.splitlines() if line.strip())


def add_comments(code: str, language: str, chance: random.Random) -> str:
    lines: list[str] = []
    for number, line in enumerate(code.splitlines()):
        if number and line.strip() and chance.random() < 0.25:
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(f"{indent}{_COMMENT[language]} {chance.choice(_REMARKS)}")
        lines.append(line)
    return "\n".join(lines)


def swap_quotes(code: str, language: str, _chance: random.Random) -> str:
    if language not in ("python", "js"):
        return code
    return re.sub(r"(?<![\w\"'])([\"'])([^\"'\\\n]*)\1(?![\"'])", lambda m: _other(m[1]) + m[2] + _other(m[1]), code)


def _other(quote: str) -> str:
    return "'" if quote == '"' else '"'


def change_layout(code: str, language: str, _chance: random.Random) -> str:
    lines = []
    for line in code.splitlines():
        indent = len(line) - len(line.lstrip())
        lines.append(" " * (indent // 2 if language != "python" else indent * 2) + line.strip())
    text = "\n".join(lines).replace("\n\n", "\n")
    return text if language == "python" else re.sub(r"\)\s*\{", ")\n{", text)


def rename_locals(code: str, language: str, chance: random.Random) -> str:
    """Up to three local names, each everywhere; none that a string, an attribute or a keyword argument spells."""
    bound = {
        "python": r"(?m)^[ \t]+([a-z_]\w*)\s*(?::[^=\n]+)?=(?!=)|\bfor ([a-z_]\w*) in|\bas ([a-z_]\w*):",
        "js": r"\b(?:var|let|const) ([a-z_]\w*)",
        "rust": r"\blet (?:mut )?([a-z_]\w*)",
        "cpp": r"\b(?:auto|int|size_t|bool|char|uint32_t|uint64_t|Status|Slice|std::string)[&*]? ([a-z_]\w*)\s*[=;(]",
    }[language]
    found = [name for row in re.findall(bound, code) for name in ([row] if isinstance(row, str) else row) if name]
    pieces = _STRINGS.split(code)
    plain = " ".join(pieces[::2])
    names = [n for n in dict.fromkeys(found) if n not in _KEYWORDS and not re.search(rf"[.>:]{n}\b|\b{n}\s*[(:]", code)]
    names = [n for n in names if language != "python" or not re.search(rf"[(,]\s*{n}=", plain)]
    names = [n for n in names if not any(re.search(rf"\b{n}\b", piece) for piece in pieces[1::2])]
    fresh = [name for name in _FRESH if not re.search(rf"\b{name}\b", code)]
    for name, new in zip(names[:3], chance.sample(fresh, min(3, len(fresh))), strict=False):
        code = re.sub(rf"\b{name}\b", new, code)
    return code


def _edit_words(share: float) -> Callable[[str, random.Random], str]:
    def edit(text: str, chance: random.Random) -> str:
        words = text.split(" ")
        for at in range(len(words)):
            if chance.random() < share and words[at].isalpha() and words[at].islower():
                words[at] = _edited(words, at, chance)
        return " ".join(word for word in words if word)

    return edit


def _edited(words: list[str], at: int, chance: random.Random) -> str:
    """Another word of the same text, no word, the word twice, or a slip of the keyboard."""
    word, kind = words[at], chance.randrange(4)
    if kind == 0:
        return chance.choice([w for w in words if w.isalpha() and w.islower()])
    if kind == 1:
        return ""
    if kind == 2:
        return f"{word} {word}"
    place = chance.randrange(len(word))
    return word[:place] + word[place + 1 :]


def rewrap(text: str, _chance: random.Random) -> str:
    words, lines, line = text.split(), [], ""
    for word in words:
        if len(line) + len(word) > 60:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


def typography(text: str, _chance: random.Random) -> str:
    text = re.sub(r"(\w)'(\w)", "\\1\u2019\\2", text)
    return re.sub(r'"([^"\n]*)"', "\u201c\\1\u201d", text).replace(" - ", " \u2013 ")


CODE_EDITS: dict[str, Callable[[str, str, random.Random], str]] = {
    "comments removed": drop_comments,
    "comments added": add_comments,
    "quotes": swap_quotes,
    "layout": change_layout,
    "locals renamed": rename_locals,
}
PROSE_EDITS: dict[str, Callable[[str, random.Random], str]] = {
    "2 % of words": _edit_words(0.02),
    "5 % of words": _edit_words(0.05),
    "10 % of words": _edit_words(0.10),
    "wrapped again": rewrap,
    "typography": typography,
}
