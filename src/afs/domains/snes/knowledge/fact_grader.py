"""Is an answer to a question of fact right? By whole tokens, so that English words never count by chance."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from afs.domains.base import is_refusal
from afs.domains.snes.knowledge.registers import by_name, list_registers
from afs.types import Value

Exclusive = Literal["", "register", "address"]

_TOKEN: Final = re.compile(r"[#$]?[A-Za-z0-9_](?:[A-Za-z0-9_'/]|:(?=[0-9A-Fa-f]{4}\b)|-(?=[A-Za-z]))*")
_ADDRESS: Final = re.compile(r"(?:\$|0[xX])?([0-9A-Fa-f]{2}:?)??([0-9A-Fa-f]{4})[hH]?")
_RANGE: Final = r"\d{1,2}(?:\s*(?:-|–|:|to|through|\.\.)\s*\d{1,2})?"
_BITS: Final = re.compile(r"\b(\d{1,2})(?:\s*(?:-|–|:|to|through|\.\.)\s*(\d{1,2}))?\b(?![\w$])")
_BIT_WORD: Final = re.compile(
    rf"\bbits?\s+({_RANGE}(?:\s*(?:,|,? and|&)\s*(?:bits?\s+)?{_RANGE})*)|[\[<]({_RANGE})[\]>]", re.IGNORECASE
)
_DECIMAL: Final = re.compile(r"\d+\.\d+(?:\s*[A-Za-z]+)?")
_LETTER: Final = re.compile(r"\A\(?([A-D])\b|\b([A-D])\)|(?<=answer is )([A-D])\b")
_NOT: Final = frozenset({"not", "never", "isn't", "unlike", "instead", "than"})
_CONFUSED: Final = frozenset({"confuse", "confused", "mistake", "mistaken", "mix", "different", "differs", "opposed"})
"""Words after which everything up to the end of the clause is denied."""
_YES: Final = frozenset({"yes", "yeah", "yep", "true", "correct", "right", "indeed"})
_NO: Final = frozenset({"no", "nope", "false", "incorrect", "wrong", "not"})
_ECHO: Final = re.compile(
    r"^\W*(?:it|they|that|this|you|one)\s+(?:does|do|is|are|must|may|can|has|have|needs?)\b", re.I
)
_BEFORE_NOT: Final = frozenset({
    *("is", "are", "was", "does", "do", "did", "can", "could", "must", "may", "need", "should", "will", "would", "has"),
    *("have", "it", "they", "that", "this", "certainly"),
})  # fmt: skip
_TWO_ACCESSES: Final = re.compile(
    r"\b(?:takes?|needs?|requires?)\s+(?:two|2)\s+(?:byte\s+)?(?:accesses|reads|writes)\b", re.IGNORECASE
)
_TRUE_OR_FALSE: Final = re.compile(r"^true or false\b", re.IGNORECASE)
"""The question asks for nothing but one of the two."""
_NEGATED: Final = re.compile(r"^\W*(?:it|they|that|this|you|one)\s+\w+(?:n't|n’t|\s+not)\b", re.IGNORECASE)
_NUMBER_WORDS: Final = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_WORDS: Final = frozenset({"TEST", "CONTROL", "DIR", "NON", "TS"})


_SAME: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), word)
    for pattern, word in (
        (r"\bread[ -]only\b|\breadonly\b", "read-only"),
        (r"\bwrite[ -]only\b|\bwriteonly\b", "write-only"),
        (r"\bread(?:[ -]and[ -]|[ -]?/[ -]?|-)write\b|\breadable and writable\b", "read/write"),
        (r"\bany ?time\b", "any-time"),
        (r"\bh-?blank(?:ing)?\b|\bhorizontal(?: blank(?:ing)?)?\b", "h-blank"),
        (r"\bv-?blank(?:ing)?\b|\bvertical(?: blank(?:ing)?)?\b", "v-blank"),
        (r"\bf-?blank(?:ing)?\b|\bforced(?: blank(?:ing)?)?\b", "forced"),
    )
)
_SENTENCE: Final = re.compile(r"[.;!?](?=\s|$)|\n")
_NEAR: Final = 4
"""Words between a number and what it counts, at most."""
_BARE: Final = 3
"""Words of a clause that is nothing but its last word, a number: `it takes 8`."""
_CLAUSE: Final = re.compile(r"[.,:;!?()\n](?=\s|$)|\s[-–—]\s|[()]")


class FactQuestion(Value, frozen=True, kw_only=True):
    """A question with a known answer, as data that can travel in a task's `spec`."""

    kind: str
    phrase: str
    """Family of the wording, `kind/number`: split by it."""
    subject: str
    """What it is about (`$2100`): facts asked in two ways share it."""
    prompt: str
    answer: str
    """A reference answer that passes `grade`."""
    accept: tuple[tuple[str, ...], ...] = ()
    """Groups of tokens: one of each group must be in the answer."""
    forbid: tuple[str, ...] = ()
    """Tokens that must not be claimed."""
    exclusive: Exclusive = ""
    """Claim no other register name, or no other register address."""
    says: Literal["", "yes", "no"] = ""
    """What the first yes-or-no word must be."""
    bits: tuple[int, int] | None = None
    """(high, low) that the answer must give."""
    letter: str = ""
    """The choice that the answer must name, and no other."""
    unit: tuple[str, ...] = ()
    """What the number counts: one of these words must stand by it, unless it is all that a short clause says."""


class Grade(NamedTuple):
    """Right or wrong, and why."""

    ok: bool
    reason: str = ""


class _Word(NamedTuple):
    text: str
    denied: bool


def canonicalize(token: str) -> str:
    """One spelling per token: addresses as four digits, the rest in lower case."""
    match = _ADDRESS.fullmatch(token)
    if match:
        return match[2].upper() if _is_mirror(match[1]) else (match[1] or "").rstrip(":").upper() + match[2].upper()
    return token.lower().lstrip("#$")


def _is_mirror(bank: str | None) -> bool:
    return bank is None or bank == "" or int(bank.rstrip(":"), 16) & 0x7F < 0x40


def tokenize(text: str) -> list[_Word]:
    """Tokens of an answer; a word such as `not` denies the three after it, up to a `but`."""
    found: list[_Word] = []
    for pattern, same in _SAME:
        text = pattern.sub(same, text)
    for clause in _CLAUSE.split(text):
        tokens = _TOKEN.findall(clause)
        for n, token in enumerate(tokens):
            before = [other.lower() for other in tokens[max(0, n - 3) : n]]
            since = before[len(before) - before[::-1].index("but") :] if "but" in before else before
            whole = [other.lower() for other in tokens[:n]]
            after_but = whole[len(whole) - whole[::-1].index("but") :] if "but" in whole else whole
            denied = any(other in _NOT for other in since) or any(other in _CONFUSED for other in after_but)
            found.append(_Word(token, denied))
    return found


def grade(question: FactQuestion, answer: str) -> Grade:
    """Judge an answer by its tokens; everything the question demands must hold."""
    found = tokenize(answer)
    if not found:
        return Grade(False, "an empty answer")
    if is_refusal(answer):
        return Grade(False, "a refusal")
    if question.says:
        said = _said(question, answer, found)
        if said != question.says:
            return Grade(False, f"want {question.says}, got {said or 'neither yes nor no'}")
    if question.bits is not None:
        return _grade_bits(question.bits, answer)
    if question.letter:
        return _grade_letter(question.letter, answer)
    if question.unit:
        found = tokenize(_with_digits(answer))
    claimed = {canonicalize(word.text) for word in found if not word.denied}
    for group in () if question.says and _TRUE_OR_FALSE.search(question.prompt) else question.accept:
        if not claimed & {canonicalize(token) for token in group}:
            return Grade(False, f"want {' or '.join(group)}")
    if question.unit:
        counted = _find_counts(question.unit, answer)
        if not any(counted & {canonicalize(token) for token in group} for group in question.accept):
            return Grade(False, f"counts no {question.unit[0]}")
    wrong = _find_wrong_claims(question, claimed, found)
    return Grade(False, f"claims {', '.join(sorted(wrong))}") if wrong else Grade(True)


def _said(question: FactQuestion, answer: str, found: Sequence[_Word]) -> str:
    """`yes` or `no`: by the first such word, by an answer that begins `It does`, or by the statement itself."""
    if _NEGATED.search(answer):
        return "no"
    words = [word.text.lower() for word in found]
    decided = (word for n, word in enumerate(words) if word in _YES | _NO and _is_said(words, n))
    first = next(decided, "")
    if first in _YES or (not first and _ECHO.search(answer)):
        return "yes"
    if not first and question.kind == "twice" and _TWO_ACCESSES.search(answer):
        return "yes"
    return "no" if first else ""


def _is_said(words: Sequence[str], place: int) -> bool:
    """A `not` answers only where it begins or follows a verb: `22 bytes, not 21` says neither yes nor no."""
    return words[place] != "not" or place == 0 or words[place - 1] in _BEFORE_NOT


def _find_wrong_claims(question: FactQuestion, claimed: set[str], found: Iterable[_Word]) -> set[str]:
    wanted = {canonicalize(token) for group in question.accept for token in group}
    wrong = {token for token in question.forbid if canonicalize(token) in claimed - wanted}
    if question.exclusive == "register":
        names = {w.text for w in found if not w.denied and w.text.upper() in by_name() and _is_meant(w.text)}
        wrong |= {name for name in names if canonicalize(name) not in wanted}
    elif question.unit:
        wrong |= {
            token for token in _find_counts(question.unit, " ".join(w.text for w in found), 1) if token not in wanted
        }
    elif question.exclusive == "address":
        known = {f"{one.address:04X}" for one in list_registers() if one.space == "cpu"}
        wrong |= {f"${token}" for token in claimed & known if token not in wanted}
    return wrong


def _find_counts(unit: tuple[str, ...], answer: str, near: int = _NEAR) -> set[str]:
    """Numbers with a unit's word by them, and those that a short clause gives and nothing else; denied ones aside."""
    found = set()
    for sentence in _SENTENCE.split(_with_digits(answer)):
        said = tokenize(sentence)
        units = [place for place, word in enumerate(said) if word.text.lower() in unit]
        for place, word in enumerate(said):
            if word.text.isdigit() and not word.denied and any(abs(place - other) <= near for other in units):
                found.add(canonicalize(word.text))
        for clause in _CLAUSE.split(sentence):
            short = tokenize(clause)
            if 0 < len(short) <= _BARE and short[-1].text.isdigit() and not short[-1].denied and near == _NEAR:
                found.add(canonicalize(short[-1].text))
    return found


def _with_digits(text: str) -> str:
    """Number words as digits, and no decimals: `eight clocks (3.58 MHz)` counts 8."""
    plain = _DECIMAL.sub(" ", text)
    for value, word in enumerate(_NUMBER_WORDS):
        plain = re.sub(rf"\b{word}\b", str(value), plain, flags=re.IGNORECASE) if value > 1 else plain
    return plain


def _is_meant(token: str) -> bool:
    """Is a token that equals a register's name meant as one? Short names and words only in capitals."""
    return token.isupper() and token not in _WORDS if len(token) < 5 or token.upper() in _WORDS else True


def _grade_bits(wanted: tuple[int, int], answer: str) -> Grade:
    text = re.sub(r"(?:\$|\b0[xX])[0-9A-Fa-f]+|\b\d+-bit\b", " ", answer)
    named = " ; ".join(one or two for one, two in _BIT_WORD.findall(text))
    spans = _BITS.findall(named or text)
    got = {bit for a, b in spans for bit in range(min(int(a), int(b or a)), max(int(a), int(b or a)) + 1)}
    if not got:
        return Grade(False, "names no bits")
    if got == set(range(wanted[1], wanted[0] + 1)):
        return Grade(True)
    return Grade(False, f"claims bits {', '.join(map(str, sorted(got, reverse=True)))}")


def _grade_letter(wanted: str, answer: str) -> Grade:
    got = {"".join(groups) for groups in _LETTER.findall(answer.strip())}
    if got == {wanted}:
        return Grade(True)
    return Grade(False, f"want {wanted}, got {', '.join(sorted(got)) or 'no letter'}")
