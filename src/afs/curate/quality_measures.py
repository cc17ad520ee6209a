"""Measures of a record without a model: each in [0, 1] with its id and version, or unknown with the reason.

Web-text filters are left out on purpose: they reject most real assembly. Code with a task is judged by executing it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

import re2

from afs.curate import shingles
from afs.datasets import answer_text, question_text
from afs.types import Message, Record, Score

VERSION = "4"

Measure = Callable[[Record], "float | None"]

_WORD = re.compile(r"[A-Za-z_$#][A-Za-z0-9_]{2,}")
_REFUSALS = (
    "i cannot help with",
    "i can't help with",
    "i'm sorry, but",
    "i am sorry, but",
    "as an ai language model",
    "as a large language model",
    "i'm unable to assist",
    "i cannot assist",
    "i can't assist",
    "i cannot fulfill",
    "i don't have access to your",
    "my knowledge cutoff",
)
_BOILERPLATE = (
    "certainly! here",
    "sure! here",
    "of course! here",
    "great question",
    "i hope this helps",
    "feel free to ask",
    "let me know if you have any",
    "happy coding",
    "in conclusion,",
    "it's important to note that",
    "delve into",
    "here's a breakdown",
    "rest of the code remains",
    "... existing code ...",
    "your code here",
    "lorem ipsum",
)
_ANY_PHRASE = re2.compile(("(?i)" + "|".join(map(re.escape, (*_REFUSALS, *_BOILERPLATE)))).encode())
_CUT = re.compile(r"(?:[,(\[{:=+\-*/&|]|\b(?:and|or|the|a|an|of|to|with|for|in|is|that|which|because))\s*$")
_RUN = 6
"""Length in words of the runs that are checked for repetition."""
_OPEN_ENDS = ",([{:=+-*/&|"
_LONG = 16
"""Average characters between spaces above which a text is not prose; scripts without spaces are not counted."""
_LETTERS = re.compile(r"[^\W\d_]+")
_STRAY = re.compile(r"[^\w\s.,;:!?'\"()\-$#%/`*…–—‘’“”«»、。，！？：；「」（）]")
_FENCED = re.compile(r"(?ms)^[ \t]*(`{3,}|~{3,})[^\n]*\n?(?P<code>.*?)^[ \t]*\1")
_INLINE = re.compile(r"(?:^|(?<=[\s(]))`[^`\n]+`(?=[\s.,;:!?)]|$)")
_UNSPOKEN = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}|(.)\1\1")
_ECHO = 0.7
"""An answer that is so much of the question, word by word, repeats it."""
_FEW, _LEAST, _CALM = 8, 8, 1.6
"""Fewer words are judged by their turns; a shorter text counts as this long; turns up to 38 % are calm."""
_STOP = frozenset(
    "the and for that this with you are not have from was will can has but all what how your when use using into out"  # noqa: SIM905
    " its does should would there their they then than also any our one two please make need want like about".split()
)


def measure_structure(record: Record) -> float | None:
    """Roles in order, nothing empty, an answer at the end: 1 or 0."""
    turns = [m for m in record.messages if m.role != "system"]
    if not turns or turns[0].role != "user" or turns[-1].role != "assistant":
        return 0.0
    if any(m.role == "system" for m in record.messages[1:]):
        return 0.0
    return 1.0 if all(_follows(a, b) for a, b in pairwise(turns)) and _filled(turns) else 0.0


def _follows(before: Message, after: Message) -> bool:
    if before.role == "user":
        return after.role == "assistant"
    if before.role == "assistant":
        return after.role == ("tool" if before.tool_calls else "user")
    return after.role in ("assistant", "tool")


def _filled(turns: list[Message]) -> bool:
    return not any(m.role != "tool" and not m.tool_calls and (not m.text or m.text.isspace()) for m in turns)


def measure_length(record: Record) -> float | None:
    """How far the answer is from too short and too long; the plateau is wide."""
    size = len(answer_text(record))
    if size < 40:
        return size / 40
    return 1.0 if size <= 12_000 else max(0.0, 1.0 - (size - 12_000) / 48_000)


def measure_repetition(record: Record) -> float | None:
    """Share of the answer's longer lines and word runs that are not repeated; an answer that is the question is 0."""
    text = answer_text(record)
    if _is_echo(text.strip(), question_text(record)):
        return 0.0
    if len(text) < 80:
        return 1.0
    lines = [line for line in map(str.strip, text.splitlines()) if len(line) > 12]
    unrepeated = len(set(lines)) / len(lines) if len(lines) >= 4 else 1.0
    return min(unrepeated, shingles.unrepeated_share(text, _RUN))


def _is_echo(given: str, asked: str) -> bool:
    """Whether an answer of several words is the question, or most of it."""
    return _ECHO * len(asked) <= len(given) <= len(asked) and given.count(" ") >= 3 and given.lower() in asked.lower()


def measure_phrases(record: Record) -> float | None:
    """1 without refusal and boilerplate phrases; a refusal is 0."""
    text = answer_text(record)
    if _ANY_PHRASE.search(text.encode("utf-8", "replace")) is None:
        return 1.0
    text = text.lower()
    if any(phrase in text for phrase in _REFUSALS):
        return 0.0
    return max(0.0, 1.0 - 0.25 * sum(phrase in text for phrase in _BOILERPLATE))


def measure_completeness(record: Record) -> float | None:
    """0 when the answer looks cut off: an open fence, an open clause, a placeholder at the end."""
    text = answer_text(record).rstrip()
    if not text or text.endswith(("...", "…", "[truncated]")):
        return 0.0
    if measure_fences(record) == 0.0:
        return 0.0
    may_be_cut = text[-1].isalpha() or text[-1] in _OPEN_ENDS
    return 0.3 if may_be_cut and _CUT.search(text[-40:]) else 1.0


def measure_fences(record: Record) -> float | None:
    """Whether the code fences of the answer are closed."""
    return 0.0 if _open_fence(answer_text(record)) else 1.0


def _open_fence(text: str, inside: list[str] | None = None) -> str:
    """The fence that is left open at the end, or ""; the content of closed ones is appended to `inside`."""
    mark, begin = "", 0
    for at, end in _marks(text):
        if not mark:
            mark, begin = text[at:end], text.find("\n", end) + 1
        elif text[at] == mark[0] and end - at >= len(mark):
            if inside is not None:
                inside.append(text[begin:at])
            mark = ""
    return mark


@functools.lru_cache(maxsize=16)
def _marks(text: str) -> list[tuple[int, int]]:
    """(begin, end) of fence markers at the beginning of a line, in order; cached because many measures ask."""
    found: list[tuple[int, int]] = []
    for sign in ("```", "~~~"):
        at = text.find(sign) if sign[0] in text else -1  # one character is found many times faster than three
        while at >= 0:
            end = at + 3
            while end < len(text) and text[end] == sign[0]:
                end += 1
            begin = text.rfind("\n", 0, at) + 1
            if begin == at or not text[begin:at].strip():
                found.append((at, end))
            at = text.find(sign, end)
    return sorted(found)


def measure_language(record: Record) -> float | None:
    """Whether the prose looks like language: words of ordinary length with vowels, spaces, and few stray symbols.

    A few words cannot show that; there the measure is how often letters, digits and symbols alternate within words.
    """
    prose = _prose(answer_text(record)).strip()
    if not prose:
        return None
    words = _LETTERS.findall(prose)
    plausible = sum(map(_is_plausible, words)) / len(words) if words else float(any(map(str.isdigit, prose)))
    letters = 1.0 - len(_STRAY.findall(prose)) / len(prose)
    if len(words) < _FEW:
        return round(min(plausible, letters * min(1.0, _CALM * (1.0 - _turns(prose)))), 4)
    signs = len(prose) if prose.isascii() else sum(map(str.isascii, prose))
    spaced = min(1.0, _LONG * len(prose.split()) / max(1, signs))
    return round(min(plausible, letters, spaced), 4)


def _turns(text: str) -> float:
    """Share of neighbors inside of words that are of different kinds; a capital before small letters is no turn."""
    kinds = "".join(map(_kind, text))
    turns = sum(a != b and " " not in (a, b) and a + b != "Aa" for a, b in pairwise(kinds))
    return turns / max(_LEAST, len(text) - 1)


def _kind(sign: str) -> str:
    if sign.isalpha():
        return "a" if sign.islower() else "A"
    return "0" if sign.isdigit() else " " if sign.isspace() else "."


def _is_plausible(word: str) -> bool:
    if not word.isascii() or len(word) < 4 or (len(word) < 7 and word.isupper()):
        return True
    lower = word.lower()
    return len(word) <= 18 and any(c in "aeiouy" for c in lower) and not _UNSPOKEN.search(lower)


def _prose(text: str) -> str:
    """The text without fenced and inline code."""
    if "```" in text or "~~~" in text:
        text = _FENCED.sub(" ", text)
    return _INLINE.sub(" ", text) if "`" in text else text


def measure_coherence(record: Record) -> float | None:
    """Share of the question's content words that the answer takes up; lexical, so weak evidence."""
    asked = _content(question_text(record))
    if len(asked) < 3:
        return None
    return min(1.0, len(asked & _content(answer_text(record))) / min(len(asked), 8))


_PATTERN = re.compile(
    r"\$[0-9A-Fa-f]{2,6}\b|\b0x[0-9A-Fa-f]+\b|`[^`\n]{1,60}`|\b[a-z]+(?:_[a-z0-9]+)+\b|\b[A-Za-z]+[a-z0-9][A-Z]\w*\b"
    r"|\b\w+(?:::\w+)+|\b\w+(?=\()|\b[A-Z][A-Z0-9_]{2,}\b"
)
_STATEMENT = re.compile(
    r"^\s*(?:[A-Za-z]{3}(?:\.[bwlBWL])?(?:\s+[#$!(\[\w][^\s;]*)?\s*(?:;.*)?$|[.\w@!]+:(?:\s|$)|[\w:<>&*\s]+\([^)]*\)\s*(?:\{|;|:)|.*[;{}]\s*$"
    r"|(?:def|class|return|if|for|while|import|from|let|const|var|fn|func)\b)"
)


def measure_code_coherence(record: Record) -> float | None:
    """For code: whether the answer takes up what the question names in code, and is code; for talk, shared words."""
    asked, answer = question_text(record), answer_text(record)
    lines = [line for line in (_fenced(answer) or answer).splitlines() if line.strip()]
    share = sum(_STATEMENT.match(line) is not None for line in lines) / len(lines) if lines else 0.0
    if not _fenced(answer) and share < _MOSTLY:
        return measure_coherence(record)
    named = {name.strip("`").lower() for name in _PATTERN.findall(asked[:20_000])}
    if not named:
        return min(1.0, share / _MOSTLY)
    small = answer.lower()
    return (min(1.0, share / _MOSTLY) + sum(name in small for name in named) / len(named)) / 2


_MOSTLY = 0.5
"""An answer whose lines are code to this share is code."""


def _content(text: str) -> set[str]:
    text = text[:20_000]
    found = _WORD.findall(text.lower()) if text.isascii() else map(str.lower, _WORD.findall(text))
    return set(found) - _STOP


def measure_tool_trace(record: Record) -> float | None:
    """Of a tool conversation: every call answered, the share of results that are no errors, and a closing answer."""
    calls = [call for m in record.messages for call in m.tool_calls]
    if not calls:
        return None
    results = [m for m in record.messages if m.role == "tool"]
    named = {call.id for call in calls if call.id}
    answered = {m.tool_call_id for m in results}
    if named - answered or len(results) < len(calls):
        return 0.0
    if record.tools and any(call.name not in {t.name for t in record.tools} for call in calls):
        return 0.0
    last = record.messages[-1]
    if last.role != "assistant" or not last.text.strip():
        return 0.2
    failed = sum(_is_error(m.text) for m in results)
    return round(1.0 - 0.6 * failed / len(results), 4)


def _is_error(text: str) -> bool:
    head = text[:400].lower()
    return head.startswith(("error", "traceback", "fatal:")) or '"error": "' in head or "exit code: 1" in head


_NOTED = (";", "#", "*", "//", "/*")


def measure_code_lines(record: Record) -> float | None:
    """For code: share of it that stands in lines of ordinary length, with comments not above two thirds.

    Code is the content of fences; without fences it is the whole answer.
    """
    text = answer_text(record)
    lines = (_fenced(text) or text).splitlines()
    bare = [line for line in map(str.lstrip, lines) if line]
    if not bare:
        return None
    fit = 1.0
    if max(map(len, lines)) > 300:
        sizes = [len(line) for line in lines if line and not line.isspace()]
        fit = sum(size for size in sizes if size <= 300) / sum(sizes)
    noted = sum([line.startswith(_NOTED) for line in bare]) / len(bare)
    return round(fit * (1.0 if noted <= 2 / 3 else 0.5), 4)


def _fenced(text: str) -> str:
    """What stands inside of closed fences."""
    inside: list[str] = []
    _open_fence(text, inside)
    return "".join(inside)


MEASURES: Mapping[str, Measure] = {
    "structure": measure_structure,
    "length": measure_length,
    "repetition": measure_repetition,
    "phrases": measure_phrases,
    "whole": measure_completeness,
    "fences": measure_fences,
    "language": measure_language,
    "coherence": measure_coherence,
    "code-coherence": measure_code_coherence,
    "tool-trace": measure_tool_trace,
    "code-lines": measure_code_lines,
}
"""Measures that need nothing but the record."""

STORED = {"judge": "judged", "ifd": "difficulty", "semantic-coherence": "semantic"}
"""Scores that earlier steps put on records, by the step; unknown when it has not run."""


def measure_record(record: Record, wanted: Iterable[str]) -> list[Score]:
    """The scores of these measures."""
    found = []
    for name in wanted:
        if name in MEASURES:
            value = MEASURES[name](record)
            reason = "" if value is not None else "does not apply"
            found.append(Score(id=name, version=VERSION, value=value, reason=reason))
    return found
