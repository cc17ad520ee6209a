"""What a commit does to a piece of code, by what it says and what it changes: `debug`, `optimize`, or only `change`.

Unsure is `change`: a fix of a typo, of the build or of a test teaches no debugging, and many places of a commit that
fixes something are not the fix itself. Where a pack can run both versions, what they do has the last word.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from afs.domains.base import CHEAPER, DIFFERENT

_FIX = re.compile(
    r"\b((?:hot)?fix(?:e[sd]|ing)?|bug|correct(?:ed|s)?|repair|crash|wrong|regression|off[- ]by[- ]one)\b", re.I
)
_SAVES = (
    r"(?:remov|avoid|reduc|eliminat|sav|fewer|less|cut)\w* (?:\w+ ){0,2}?"
    r"(?:alloc\w*|cop(?:y|ies|ying)\b|overhead|cycles|memory|recomput\w*|reload\w*)"
)
_FASTER = re.compile(
    rf"\b(optimi[sz]e[sd]?|optimi[sz]ations?|speed(?:s|ed)?[ -]?up|faster|fast[ -]?path|perf(?:ormance)?|fewer cycles"
    rf"|shrink|smaller|{_SAVES})\b|\bspeed\b",
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
    r"|\w*styl(?:e|ed|ing)|code blocks?|pep ?8|lint\w*|flake8|mypy|typing|type hints?|annotations?|whitespace|warnings?"
    r"|deprecat\w*|compil\w*|builds?"
    r"|msvc|mingw|gcc|clang\w*|cmake\w*|makefile|ci|travis|appveyor|actions|tests?|testing|test ?cases?"
    r"|unit ?tests?|examples?|bench\w*"
    r"|licen[cs]e|copyright|merge|revert\w*|bump|version|imports?|includes?|syntax|markup|link\w*|can now"
    r"|workarounds?|rename\w*|names?|naming|cleanup"
    r"|clean up|refactor\w*|nits?|review|conflicts?|packag\w*|install\w*|release)\b|\bdoctests?\b|\.(?:rst|md)\b"
    r"|(?-i:(?<!\w)-?W(?:all|undef|shadow|extra|error|conversion|unused)\b)",
    re.I,
)
_FEATURE = re.compile(r"\W*(?:add|remov|convert|allow|support|implement|introduc|replac|use)(?:e|es|ed|s|ing)?\b", re.I)
_GAIN = re.compile(
    r"\b(?:optimi[sz](?:e[sd]?|ing|ations?)|speed(?:s|ed)?[ -]?up|faster|better performance"
    rf"|(?:performance|speed) improv\w*|improv\w* (?:\w+ ){{0,3}}?(?:perf\w*|speed)|fast[ -]?path"
    rf"|perf:|fewer cycles|{_SAVES}|smaller code)(?!\w)",
    re.I,
)
_NO_GAIN = re.compile(
    r"\b(?:disable[sd]?|without|no longer|drop\w*|imports?|logo|image|check\w*|simplic\w*|docs?|comments?"
    r"|tests?|bench\w*)\b"
    r"|\bremove[sd]? (?!(?:\w+ ){0,2}?(?:alloc|cop|overhead))",
    re.I,
)
_OTHER_PATH = re.compile(
    r"(?:^|/)(?:tests?|testing|bench\w*|examples?|docs?|scripts?|ci|\.github|third_?party|vendor|bundled)(?:/"
    r"|$)|(?:^|/)(?:test_|setup\.py|conftest|\w*bench\w*\.)"
    r"|(?<!la)(?<!con)tests?\.\w+$|_spec\.\w+$",
    re.I,
)
_LEAST_WORDS = 4
"""Words of a subject that names what it fixes."""
_SMALL = 6
"""Lines that a fix with a shorter subject may change: then the change itself shows what was wrong."""
_COMMENT = re.compile(
    r"^\s*(?:#(?!\s*(?:if|else|elif|endif|define|include|pragma|error|undef))|//|;|\*|/\*|--|\"\"\"|''')"
)
_TRAILING = re.compile(r"\s(?://|/\*|#(?=\s)|;(?=\s)).*$")
_INERT = re.compile(
    r"^(?:#\s*(?:include|pragma|undef)|import\b|from\b.*\bimport\b|use\b|using\b|package\b|typedef\b|extern\b|print\w*\("
    r"|(?:self\.)?log(?:ger|ging)?\b|DEBUGLOG|assert\b|console\.log|[)}\]>;,]*$|else$|else:$|\{$|>>>|\.\.\."
    r"|['\"\[({\d][^=]*['\"\])}\d,]$|(?!return\b|if\b|for\b|while\b)[A-Za-z][\w'`]*(?: [\w'`.,;:-]+){4,}$"
    r"|(?!return|goto|break|continue|throw|delete)[\w:<>,*&]+[\s*&]+[\w\[\], *]+;$)"
)
"""Lines that cure and speed up nothing: imports, declarations, logs, examples and sentences of a docstring."""
_NEW_FUNCTION = re.compile(
    r"(?:async )?def |class |#\[(?:cfg\()?test|mod tests|function "
    r"|(?:\w[\w:*&<>]* )+[\w:~]+\([^;=]*\)\s*\{?$|(?:var|let) \w+ = ['\"]"
)
_DECORATION = re.compile(
    r"\b(?:const|static|inline|extern|volatile|register|final|public|private|protected|override|noexcept|explicit"
    r"|constexpr)\b\s*|\s*->\s*[\w\[\], .\"|]+(?=:$)"
    r"|(?<=[\w)])\s*:\s*(?:Optional|Union|List|Dict|Tuple|Sequence|Iterable|str|int|bool|float|Any)\b"
    r"(?:\[[^\]]*\]+)?"
)
"""Words that change what a compiler or a type checker sees, not what the code does."""


def classify_subject(subject: str) -> str:
    """What the first line of a message claims: debug, optimize, or nothing of both."""
    if _FIX.search(subject):
        return "debug"
    return "optimize" if _FASTER.search(subject) else ""


def classify_change(message: str, path: str, before: str, after: str, effect: str = "") -> str:
    """The kind of one changed place of a commit whose subject claims something; `effect` is what running it showed."""
    subject = message.strip().partition("\n")[0]
    claimed = classify_subject(subject)
    if not claimed or _OTHER_PATH.search(path):
        return "change"
    if effect == CHEAPER:
        return "optimize"
    removed, added = _find_changed_lines(before, after)
    if _NO_FAULT.search(subject) or _is_beside_the_point(removed, added):
        return "change"
    if claimed == "optimize":
        is_gain = (
            removed and added and _GAIN.search(subject) and not _NO_GAIN.search(subject) and len(subject.split()) > 1
        )
        return "optimize" if is_gain and effect != DIFFERENT else "change"
    if _FEATURE.match(subject):
        return "change"
    names_it = re.match(r"(?i)\W*(?:(?:hot)?fix(?:e[sd])?|correct(?:ed)?)\b", subject) and (
        len(subject.split()) >= _LEAST_WORDS
        or effect == DIFFERENT
        or (len(subject.split()) > 2 and max(len(removed), len(added)) <= _SMALL)
    )
    return "debug" if _FAULT.search(subject) or names_it else "change"


def _find_changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines of code that only one side has; comments, spacing and mere decoration aside."""
    old, new = _code(before), _code(after)
    removed, added = list[str](), list[str]()
    for kind, first, last, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            removed += old[first:last]
            added += new[start:end]
    return removed, added


def _is_beside_the_point(removed: list[str], added: list[str]) -> bool:
    """Whether no line that does something changed, or only a new function was put in."""
    lost, new = ([line for line in lines if not _INERT.match(line)] for lines in (removed, added))
    return not lost and (not new or _NEW_FUNCTION.match(new[0]) is not None)


def _code(text: str) -> list[str]:
    """The lines of code without comments, decoration and spacing."""
    rows = (_TRAILING.sub("", line).strip() for line in text.split("\n") if not _COMMENT.match(line))
    return [" ".join(_DECORATION.sub("", row).split()) for row in rows if row]
