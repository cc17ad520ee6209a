"""The redaction rules as data, ours and those of a user's `gitleaks.toml`, and the checks on each match."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Collection
from importlib.resources import files
from pathlib import Path
from typing import Any

import re2

from afs.config import Config, decode, load_toml
from afs.errors import ConfigError
from afs.redaction.value_checks import CHECKS, has_entropy
from afs.types import digest

_DIGIT, _LETTER = re.compile(r"\d"), re.compile(r"[^\W\d_]")
_DIGEST = 12
RULES = files("afs.redaction") / "rules.toml"


class Rule(Config, frozen=True, kw_only=True):
    """One kind of value to replace."""

    id: str
    """Name of the rule in counts and placeholders."""
    kind: str = "SECRET"
    """First word of the placeholder."""
    pattern: str
    """Pattern in Python's syntax; in RE2's where there are no needles or a Unicode class is in it."""
    groups: bool = False
    """Replace the capture groups instead of the whole match."""
    needles: tuple[str, ...] = ()
    """Literals one of which begins every match: the pattern is tried only there."""
    any_case: bool = False
    """The needles stand for any case."""
    left: str = ""
    """The match begins before its needle, with a run of these characters (`candidates`)."""
    least: int = 0
    """Characters that run must have."""
    back: int = 0
    """The match begins so many characters before its needle."""
    tail: str = ""
    """What must follow the match, by name (`tails`); its groups are replaced."""
    unless: str = ""
    """Pattern of names whose value is no secret, such as `credentialsId` (with the tail `assignment`)."""
    entropy: float = 0.0
    """Least entropy in bits per character."""
    mixed: bool = False
    """The value must contain a digit and a letter."""
    learn: bool = False
    """The value is a name: replace it in the rest of the record too."""
    optional: bool = False
    """Applied only when asked for by its id."""
    keep: tuple[str, ...] = ()
    """Values that are not replaced."""
    published: tuple[str, ...] = ()
    """Beginnings of the SHA-256 of values that everybody can look up: they are not replaced."""
    keywords: tuple[str, ...] = ()
    """The text must contain one of these, in any case (gitleaks' form)."""
    stopwords: tuple[str, ...] = ()
    """Values with one of these in them are not replaced (gitleaks' form)."""
    allowed: tuple[str, ...] = ()
    """Values that one of these RE2 patterns matches are not replaced (gitleaks' form)."""
    check: str = ""
    """An additional check: ipv4, ipv6, token, secret, key or password."""


def list_checks(rule: Rule) -> tuple[Callable[[str], bool], ...]:
    """What a value must pass under a rule, cheapest first."""
    found: list[Callable[[str], bool]] = []
    if rule.keep:
        found.append(lambda value: value.lower() not in rule.keep)
    if rule.stopwords:
        found.append(lambda value: not any(word in value.lower() for word in rule.stopwords))
    if rule.allowed:
        patterns = [re2.compile(pattern) for pattern in rule.allowed]
        found.append(lambda value: not any(pattern.search(value) for pattern in patterns))
    if rule.mixed:
        found.append(lambda value: bool(_DIGIT.search(value) and _LETTER.search(value)))
    if rule.entropy:
        found.append(lambda value: has_entropy(value, rule.entropy))
    if rule.check:
        found.append(CHECKS[rule.check])
    if rule.published:
        found.append(lambda value: hashlib.sha256(value.encode()).hexdigest()[:_DIGEST] not in rule.published)
    return tuple(found)


class RuleFile(Config, frozen=True, kw_only=True):
    """The file `rules.toml`."""

    schema: int
    rule: tuple[Rule, ...]


def load_rules(extra: Path | None = None, also: Collection[str] = ()) -> tuple[Rule, ...]:
    """Our rules with the optional ones asked for, followed by those of a gitleaks file."""
    own = _load_own_rules()
    if unknown := sorted(set(also) - {rule.id for rule in own if rule.optional}):
        optional = ", ".join(rule.id for rule in own if rule.optional)
        raise ConfigError("also", f"no optional rule {', '.join(unknown)}; there are {optional}")
    chosen = tuple(rule for rule in own if not rule.optional or rule.id in also)
    return chosen + (_load_gitleaks(extra) if extra is not None else ())


def rules_digest(extra: str = "", also: Collection[str] = ()) -> str:
    """A digest of the rules: after a change, every file is read again."""
    return digest(load_rules(Path(extra) if extra else None, also))


@functools.cache
def _load_own_rules() -> tuple[Rule, ...]:
    return decode(RuleFile, load_toml(Path(str(RULES))), file="rules.toml").rule


def _load_gitleaks(path: Path) -> tuple[Rule, ...]:
    """The rules of a gitleaks configuration; rules for paths only are skipped."""
    table = load_toml(path)
    found = []
    for number, row in enumerate(table.get("rules", [])):
        if "regex" in row:
            found.append(_from_gitleaks(row, path, number, _list_allowlists(table)))
    if not found:
        raise ConfigError("rules", "no rule with a regex in it", file=str(path))
    return tuple(found)


def _list_allowlists(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The allow-lists of a rule or of a whole file that look at the secret itself."""
    found = [*table.get("allowlists", []), *([table["allowlist"]] if "allowlist" in table else [])]
    return [row for row in found if row.get("regexTarget", "secret") == "secret" and not row.get("targetRules")]


def _from_gitleaks(row: dict[str, Any], path: Path, number: int, shared: list[dict[str, Any]]) -> Rule:
    pattern = str(row["regex"])
    try:
        compiled = re2.compile(pattern)
    except re2.error as error:
        raise ConfigError(f"rules[{number}].regex", f"not RE2: {error}", file=str(path)) from error
    allowlists = [*shared, *_list_allowlists(row)]
    return Rule(
        id=str(row.get("id", f"gitleaks-{number}")),
        pattern=pattern,
        groups=compiled.groups > 0,
        entropy=float(row.get("entropy", 0.0)),
        keywords=tuple(word.lower() for word in row.get("keywords", [])),
        stopwords=tuple(word.lower() for allowed in allowlists for word in allowed.get("stopwords", [])),
        allowed=tuple(str(regex) for allowed in allowlists for regex in allowed.get("regexes", [])),
    )


Match = tuple[int, int, str, str]
"""(start, end, rule, kind): a span of text to replace. A plain tuple, since a text may hold a hundred thousand."""
