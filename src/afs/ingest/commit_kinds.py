"""What a commit does to a piece of code, by what it says and what it changes: `debug`, `optimize`, or only `change`.

Unsure is `change`: a fix of a typo, of the build or of a test teaches no debugging.
"""

from __future__ import annotations

import re

_FIX = re.compile(r"\b(fix(?:e[sd]|ing)?|bug|correct(?:ed|s)?|repair|crash|wrong|regression|off[- ]by[- ]one)\b", re.I)
_FASTER = re.compile(
    r"\b(optimi[sz]e[sd]?|optimi[sz]ation|speed(?:s|ed)?[ -]?up|faster|perf(?:ormance)?|fewer cycles|shrink"
    r"|smaller)\b",
    re.I,
)
_FAULT = re.compile(
    r"#\d+|\b(?:bug|crash\w*|segfault|wrong\w*|leak\w*|overflow\w*|underflow|race|deadlock|hang\w*|regression"
    r"|off[- ]by[- ]one"
    r"|incorrect\w*|fail\w*|invalid|missing|null|nil|none|nan|exception|\w+error|infinite|corrupt\w*"
    r"|truncat\w*|duplicat\w*"
    r"|broken|breaks?|not (?:work|be|being|set|handled|found|closed)\w*|should(?:n't| not)|instead of|when|if"
    r"|edge case|problem)\b",
    re.I,
)
_NO_FAULT = re.compile(
    r"\b(?:typos?|mis-?spell\w*|spelling|grammar|docs?|documentation|docstrings?|comments?|readme|changelog"
    r"|format\w*|indent\w*"
    r"|styl(?:e|ing)|pep ?8|lint\w*|flake8|mypy|typing|type hints?|annotations?|whitespace|warnings?"
    r"|deprecat\w*|compil\w*|builds?"
    r"|msvc|mingw|gcc|clang\w*|cmake\w*|makefile|ci|travis|appveyor|actions|tests?|testing|test ?cases?"
    r"|unit ?tests?|examples?|bench\w*"
    r"|licen[cs]e|copyright|merge|revert\w*|bump|version|imports?|includes?|syntax|markup|links?|can now"
    r"|workarounds?|rename\w*|names?|naming|cleanup"
    r"|clean up|refactor\w*|nits?|review|conflicts?|packag\w*|install\w*|release)\b",
    re.I,
)
_FEATURE = re.compile(r"\W*(?:add|remov|convert|allow|support|implement|introduc|replac|use)(?:e|es|ed|s|ing)?\b", re.I)
_GAIN = re.compile(
    r"\b(?:optimi[sz](?:es?|ing|ations?)|speed(?:s|ed)?[ -]?up|faster|better performance"
    r"|perf(?:ormance)? improv\w*|improv\w* (?:the )?perf\w*"
    r"|perf:|fewer cycles|avoid(?:s|ing)? (?:copy|copies|alloc\w*|reload\w*|recomput\w*|duplicat\w*)|smaller code)\b",
    re.I,
)
_NO_GAIN = re.compile(
    r"\b(?:remove[sd]?|disable[sd]?|without|no longer|drop\w*|imports?|logo|image|check\w*|simplic\w*)\b", re.I
)
_OTHER_PATH = re.compile(
    r"(?:^|/)(?:tests?|testing|bench\w*|examples?|docs?|scripts?|ci|\.github|third_?party|vendor|bundled)(?:/"
    r"|$)|(?:^|/)(?:test_|setup\.py|conftest|\w*bench\w*\.)"
    r"|[_.]tests?\.\w+$|_spec\.\w+$",
    re.I,
)
_LEAST_WORDS = 4
"""Words of a subject that names what it fixes."""
_COMMENT = re.compile(
    r"^\s*(?:#(?!\s*(?:if|else|elif|endif|define|include|pragma|error|undef))|//|;|\*|/\*|--|\"\"\"|''')"
)


def classify_subject(subject: str) -> str:
    """What the first line of a message claims: debug, optimize, or nothing of both."""
    if _FIX.search(subject):
        return "debug"
    return "optimize" if _FASTER.search(subject) else ""


def classify_change(message: str, path: str, before: str, after: str) -> str:
    """The kind of one changed place of a commit whose subject claims something."""
    subject = message.strip().partition("\n")[0]
    claimed = classify_subject(subject)
    if not claimed or _OTHER_PATH.search(path) or _NO_FAULT.search(subject) or _code(before) == _code(after):
        return "change"
    if claimed == "optimize":
        return (
            "optimize"
            if _GAIN.search(subject) and not _NO_GAIN.search(subject) and len(subject.split()) > 1
            else "change"
        )
    if _FEATURE.match(subject):
        return "change"
    names_it = re.match(r"(?i)\W*(?:fix(?:e[sd])?|correct(?:ed)?)\b", subject) and len(subject.split()) >= _LEAST_WORDS
    return "debug" if _FAULT.search(subject) or names_it else "change"


def _code(text: str) -> list[str]:
    """The lines of code without comments and spacing."""
    return ["".join(line.split()) for line in text.split("\n") if line.strip() and not _COMMENT.match(line)]
