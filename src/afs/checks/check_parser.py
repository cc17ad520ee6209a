"""Reads a check as users write it, and gives it to tasks.

pytest -q {file}                     a command; exit code 0 is right
schema:invoice.json                  a JSON schema
regex:^\\d+$                          a regular expression
exact                                the reference
python:checks.py:judge               a Python function
default                              a name of the table [checks] in afs.toml
{ use = "command", run = "…", … }    any of them with its options
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from afs.config import Plugin, to_table
from afs.domains.base import CHECKS, Check
from afs.errors import ConfigError, MissingError
from afs.types import Task, digest

DOMAIN: Final = "check"
"""The pack of tasks that carry their check."""
_SHORT: Final = {"schema": "schema", "regex": "pattern", "python": "function"}
"""Kind -> the option that stands after the colon."""


class NamedChecks(NamedTuple):
    """The checks of a workspace, and the folder that the files they name are in."""

    folder: Path
    checks: Mapping[str, str | Plugin]


NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
NONE: Final = NamedChecks(Path("."), {})


def read_check(value: str | Plugin, folder: Path, named: NamedChecks = NONE) -> Plugin:
    """The check as a table that needs no other file; what is wrong with it is said now."""
    if isinstance(value, str) and value in named.checks:
        return read_check(named.checks[value], named.folder)
    table = {"use": "exact"} if value == "exact" else _from_text(value) if isinstance(value, str) else dict(value)
    use = table.get("use")
    if not isinstance(use, str):
        raise ConfigError("check", 'want a command with {file}, or a table such as { use = "exact" }')
    check: Check = CHECKS.build(use, table, prefix="check").pack_files(folder)
    assert isinstance(check, msgspec.Struct)
    defaults = {field.name: field.default for field in msgspec.structs.fields(type(check))}
    rest = {key: one for key, one in to_table(check).items() if one and getattr(check, key) != defaults.get(key)}
    return {"use": use, **rest}


def _from_text(text: str) -> Plugin:
    kind, colon, rest = text.partition(":")
    if colon and kind in _SHORT:
        return {"use": kind, _SHORT[kind]: rest}
    if not text.strip():
        raise ConfigError("check", 'want a command with {file}, or a table such as { use = "exact" }, got nothing')
    return {"use": "command", "run": text}


def require_check(table: Plugin) -> None:
    """Raise when the check cannot run on this machine: before anything is read, asked or paid."""
    problem = CHECKS.build(str(table["use"]), table, prefix="check").find_problem()
    if problem:
        raise MissingError(problem)


def require_checks(tasks: Iterable[Task]) -> None:
    """The same for every check that these tasks carry."""
    seen: set[str] = set()
    for task in tasks:
        table = task.spec.get("check") if task.domain == DOMAIN else None
        if isinstance(table, dict) and (key := digest(table)) not in seen:
            seen.add(key)
            require_check(table)


def build_task(
    check: Plugin, prompt: str, *, reference: str = "", spec: Mapping[str, object] = NOTHING, **more: object
) -> Task:
    """A task that is judged by this check; `more` are other fields of the task."""
    whole = {**spec, "check": dict(check)}
    key = digest((DOMAIN, prompt, reference, whole))[:16]
    task = Task(id=key, domain=DOMAIN, family=DOMAIN, prompt=prompt, reference=reference, spec=whole)
    return msgspec.structs.replace(task, **more)


def holds_gold(check: Plugin) -> bool:
    """Whether the check compares with the reference: then a row's answer is the right one by definition."""
    return check["use"] == "exact" or bool(check.get("match"))
