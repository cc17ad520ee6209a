"""Checks on a matched value: a secret looks random, a password is no reference, a token is no dummy."""

from __future__ import annotations

import functools
import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable

_VERSION_LIKE = 20
"""Four numbers up to this look like a version, not an IP address,"""
_PRIVATE = 10
"""unless the first is 10, a private network."""
_LOOPBACK, _MULTICAST = 127, range(224, 240)
_LEAST_RANDOM = 8
_LONG_NUMBER = 24
"""Digits of a number that is no id, count or date."""
_TOKEN_ENTROPY = 2.3
"""Bits per character: hexadecimal digits drawn at random have 3.3 and more at 32 characters, `xxxxyyyy` has 1."""
_SECRET_ENTROPY = 2.9
_REFERENCE = re.compile(
    r"[$%#!&@]?\{|\$|%[A-Za-z(]|<|\[|\(|!\w|#[0-9A-Fa-f$]|&\w|@\w+[.(]|0x|\*|\.{0,2}/|~/|[A-Za-z]:\\|https?://[^@\s]*$|file:|s3:|arn:"
    r"|projects/|[a-z_]{2,12}=\Z|\d{1,3}(?:\.\d{1,3}){3}\b|(?:process|os|env|config|self|this|args|req|params|System|settings|secrets|var|data)\.[A-Za-z]"
)
"""Beginnings of variables, templates, paths and addresses: where a secret comes from, not the secret."""
_REFERENCE_PART = re.compile(
    r"\$\{[\w.:-]*\}|\{\{[\w. |()]*\}\}|%\(\w+\)|\$\(\s*\w|\w\(\)|\w->\w|\w::\w|getenv|environ|^\W*\{\{|\$\{[\w.]*$"
)
_QUERY = re.compile(r"&[\w%.-]+=")
"""The next parameter of a query behind a value."""
_DUMMY_PARTS = (
    "xxxx",
    "***",
    "...",
    "…",
    "yyyyy",
    "00000000",
    "deadbeef",
    "example",
    "changeme",
    "change_me",
    "change-me",
    "placeholder",
    "redacted",
    "your_",
    "your-",
    "mysecret",
    "my_secret",
    "mypass",
    "my_pass",
    "mytoken",
    "dummy",
    "fakekey",
    "fakesecret",
    "fakepass",
    "faketoken",
    "not_real",
    "not-real",
    "abcdefgh",
    "exampleexample",
)
_LONGEST_RUN = 12
"""Characters in a row, each the next of the last: `123456789012`, `klmnopqrstuv` are typed, not drawn."""
_ASCENDING = ("1234567890" * 2, "abcdefghijklmnopqrstuvwxyz")
_RUNS = re.compile(
    r"(.)\1{7}|" + "|".join(row[i : i + _LONGEST_RUN] for row in _ASCENDING for i in range(len(row) - _LONGEST_RUN + 1))
)
"""Eight equal characters, or a run."""
_RUN_PARTS = ("9012", "ijkl", "opqrst")
"""One of these is in every run of ascending characters."""
_PAIR, _QUAD = re.compile(r"(.)\1"), re.compile(r"(.)\1{3}")
"""What eight equal characters leave among every fourth, and every second, character."""
_DUMMY_TOKENS = ("xxxxxx", "***", "...", "000000000000", "exampleexample")
_DUMMIES = frozenset(
    "password passwd secret token test testing none null nil true false undefined string str int bool boolean bytes"  # noqa: SIM905
    " object text char required optional default empty value key hidden input invalid missing wrong unknown public"
    " private static const return new bearer basic digest disabled enabled admin root user username email login reset"
    " forgot confirm strong weak".split()
)
_SEPARATORS = re.compile(r"[-_./: ]")
_WORD = re.compile(r"(?:[A-Z]?[a-z]{0,24}|[A-Z]{1,24}|[A-Za-z]{0,16})\d{0,4}|\d{1,4}[a-z]{0,2}|\d{1,2}")
_CAMEL = re.compile(r"(?:[a-z]{2,16})?(?:[A-Z]{1,6}[a-z]{2,16}){0,8}[A-Z]{0,6}\d{0,3}")
"""Each text can be read in one way only: another form took exponential time on random letters."""
_DIGIT_LETTER, _LONGEST_ORDINAL = re.compile(r"\d[A-Za-z]"), 6
"""A digit stands before a letter only in words such as `3rd`, which are no longer than this."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_VERSION = re.compile(r"[a-z]{0,4}\d{1,4}\.\d{1,4}\.\d{1,4}(?:[-_.+]|\Z)")
"""`1.4.2`, `rc0.15.0_20231217-SNAPSHOT`: the beginning of a version."""
_PLAIN_NUMBER = re.compile(r"[-+]?[\d.,:/xXeE_-]*[a-z%]{0,2}")
_FILES = frozenset(
    "py js ts json yaml yml toml md txt html htm css go rs java c cpp h asm inc s pem crt key lock ini cfg conf xml png"  # noqa: SIM905
    " jpg jpeg gif svg sh so dll exe".split()
)
_CODE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$|[A-Za-z_][\w.]*[\[(]|.*(?:[=<>]=|&&|\|\|)")


_SYMBOLS = re.compile(r"[^\w\s./:-]")
_MANY_SYMBOLS = 5
"""Different symbols of a passphrase; expressions and paths have fewer."""
_CLOSERS = "\\).,:;*"
"""What ends a value in code and prose without being part of it."""
_LOGARITHMS = [0.0, *(n * math.log2(n) for n in range(1, 512))]


def entropy(value: str) -> float:
    """Shannon entropy of the characters, in bits."""
    total = len(value)
    if not total:
        return 0.0
    if total < len(_LOGARITHMS):
        return math.log2(total) - sum([_LOGARITHMS[value.count(char)] for char in set(value)]) / total
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())


def has_entropy(value: str, least: float) -> bool:
    """Whether the characters have at least so many bits each; the exact sum is needed for few values only."""
    total, kinds = len(value), len(set(value))
    known = None if kinds < 2 or total >= len(_LOGARITHMS) else _bound_entropy(total, kinds, least)
    return entropy(value) >= least if known is None else known


@functools.lru_cache(maxsize=1 << 14)
def _bound_entropy(total: int, kinds: int, least: float) -> bool | None:
    """Whether any text of so many characters and kinds has the entropy; None if it depends on their counts."""
    if math.log2(kinds) < least:
        return False
    common = total - kinds + 1
    lowest = math.log2(total) - common / total * math.log2(common)
    return True if lowest >= least else None


def _holds_run(small: str) -> bool:
    """Whether a text in lower case has a run; the first looks are cheap, and see every run."""
    if not _holds_any(small, _RUN_PARTS) and not (_PAIR.search(small[::4]) and _QUAD.search(small[::2])):
        return False
    return bool(_RUNS.search(small))


def _holds_any(value: str, parts: tuple[str, ...]) -> bool:
    for part in parts:  # noqa: SIM110 - `any` over a generator takes twice the time
        if part in value:
            return True
    return False


def _is_reference(value: str) -> bool:
    """Whether a value names a secret, or stands for one, instead of being it."""
    is_plain = value.isalnum()
    if _REFERENCE.match(value) or (not is_plain and _CODE.match(value)):
        return True
    small = value.lower()
    if small in _DUMMIES or ((not is_plain or "env" in value) and _REFERENCE_PART.search(value)):
        return True
    if _holds_any(small, _DUMMY_PARTS) or small.endswith("..") or _holds_run(small):
        return True
    return small.rpartition(".")[2] in _FILES


def is_token(value: str) -> bool:
    """A value in the form of a service's token that is no dummy such as `ghp_xxxxxxxx`."""
    body = value[4:] if len(value) > 12 else value
    small = value.lower()
    if _holds_any(small, _DUMMY_TOKENS) or small.endswith("example") or _holds_run(small):
        return False
    if body.islower() and not any(map(str.isdigit, body)) and _is_words(body):
        return False
    return has_entropy(body, _TOKEN_ENTROPY)


def is_secret(value: str) -> bool:
    """A value that looks random: letters and digits, no name, path, number or reference."""
    if value.endswith(".."):
        return False
    value = _cut_query(value).rstrip(_CLOSERS)
    if len(value) < _LEAST_RANDOM or " " in value:
        return False
    raw = value.encode("utf-8", "replace")
    digits = len(raw) - len(raw.translate(None, b"0123456789"))
    if digits == len(value):
        return digits >= _LONG_NUMBER
    if _PLAIN_NUMBER.fullmatch(value) or _VERSION.match(value) or _is_words(value) or _is_reference(value):
        return False
    if digits >= 2:
        return has_entropy(value, _SECRET_ENTROPY)
    if len(set(_SYMBOLS.findall(value))) >= _MANY_SYMBOLS and "\\" not in value:
        return len(value) >= 10 and has_entropy(value, 3.2)
    return len(value) >= 12 and _is_mixed(value) and has_entropy(value, 3.2 if digits else 3.7)


def _cut_query(value: str) -> str:
    value = value.strip()
    return _QUERY.split(value, maxsplit=1)[0] if "&" in value else value


def is_key(value: str) -> bool:
    """A value after a weaker word, such as `key` or `access`: long and random, no identifier of a thing."""
    plain = _cut_query(value)
    return len(plain) >= 16 and not _UUID.fullmatch(plain) and has_entropy(plain, 3.2) and is_secret(plain)


def is_password(value: str) -> bool:
    """A value after a word for passwords that is no reference, placeholder or name from code."""
    value = value.strip().rstrip(_CLOSERS)
    if len(value) < 4 or not any(map(str.isalnum, value)):
        return False
    if (len(value) < 6 and _PLAIN_NUMBER.fullmatch(value)) or _is_reference(value):
        return False
    if _is_words(value):
        return len(value) >= 6 and any(map(str.isdigit, value)) and not _SEPARATORS.search(value)
    return value.count(" ") <= 3


def _is_words(value: str) -> bool:
    """Words, slugs, camelCase, CONSTANTS: names that code gives to things."""
    for part in _SEPARATORS.split(value):
        if len(part) > _LONGEST_ORDINAL and _DIGIT_LETTER.search(part):
            return False
        if not (_WORD.fullmatch(part) or _CAMEL.fullmatch(part)):
            return False
    return True


def _is_mixed(value: str) -> bool:
    return any(map(str.islower, value)) and any(map(str.isupper, value))


def is_ipv4(value: str) -> bool:
    """An IPv4 address of a host, not a version number."""
    parts = value.split(".")
    if len(parts) != 4 or not all(_is_octet(part) for part in parts):
        return False
    first, *rest = map(int, parts)
    if first == _LOOPBACK or first in _MULTICAST or {first, *rest} in ({0}, {255}):
        return False
    return max(first, *rest) > _VERSION_LIKE or first == _PRIVATE


def _is_octet(part: str) -> bool:
    """A number up to 255 without a zero in front."""
    return part.isascii() and part.isdigit() and int(part) < 256 and (part[0] != "0" or part == "0")


def is_ipv6(value: str) -> bool:
    """An IPv6 address of a host."""
    try:
        return not ipaddress.IPv6Address(value).is_loopback
    except ValueError:
        return False


def is_card(value: str) -> bool:
    """Digits of a payment card: their check digit (Luhn) is right."""
    digits = [int(char) for char in value if char.isdigit()]
    if len(set(digits)) < 3:
        return False
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_phone(value: str) -> bool:
    """A telephone number in international or grouped form: 8 to 15 digits, no run such as 555-5555."""
    digits = [char for char in value if char.isdigit()]
    return 8 <= len(digits) <= 15 and len(set(digits)) >= 4


def is_cased(value: str) -> bool:
    """Upper and lower case letters, and no reference."""
    return _is_mixed(value) and not _is_reference(value)


CHECKS: dict[str, Callable[[str], bool]] = {
    "ipv4": is_ipv4,
    "ipv6": is_ipv6,
    "token": is_token,
    "secret": is_secret,
    "key": is_key,
    "password": is_password,
    "cased": is_cased,
    "card": is_card,
    "phone": is_phone,
}
