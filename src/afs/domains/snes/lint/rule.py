"""What a lint rule is: an id with a page, a wrong example and a right one; and how checks are written."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from afs.domains.base import Finding
from afs.domains.snes.flow import Belief, Insn, Visit
from afs.domains.snes.lint.linted_program import Program
from afs.types import Value

Check = Callable[[Program], Iterator["Spot"]]


class Spot(NamedTuple):
    """A violation of a rule; `sure` replaces the rule's own certainty."""

    insn: Insn
    message: str
    sure: float | None = None


class LintRule(Value, frozen=True, kw_only=True):
    """One rule of `rules.toml`; `bad` and `good` are examples on its page and fixtures of its test."""

    title: str
    sure: float
    why: str
    bad: str
    good: str
    severity: Literal["error", "warning", "info"] = "error"
    pedantic: bool = False
    """Reported on request only: less than 80 % of its alarms on public code were right."""


@cache
def rules() -> dict[str, LintRule]:
    """Every rule by its id."""
    table = tomllib.loads(Path(__file__).with_name("rules.toml").read_text("utf-8"))
    return msgspec.convert(table, dict[str, LintRule])


def page(name: str) -> str:
    """The page of a rule, in Markdown."""
    rule = rules()[name]
    wrong, right = (f"```asm\n{text.strip(chr(10))}\n```" for text in (rule.bad, rule.good))
    return (
        f"# {name}\n\n{rule.title}.\n\nSeverity {rule.severity}, sure {rule.sure:.2f}"
        f"{', with `--pedantic` only' if rule.pedantic else ''}.\n\n"
        f"## Why\n\n{rule.why.strip()}\n\n## Wrong\n\n{wrong}\n\n## Right\n\n{right}\n"
    )


def index() -> str:
    """The page that lists all rules."""
    rows = [
        f"| [{name}]({name}.md) | {one.title} | {one.severity} | {one.sure:.2f} |{' pedantic' * one.pedantic} |"
        for name, one in rules().items()
    ]
    head = (
        "# Lint rules\n\n`afs snes lint FILE` reports what they find; those marked pedantic, which are wrong more than "
        "once in five times on public code, with\n`--pedantic` only. `sure` is how certain a finding is at best.\n\n"
    )
    return head + "| rule | what it reports | severity | sure | |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n"


def each(test: Callable[[Program, Insn, Belief], Iterator[Spot]]) -> Check:
    """A check that looks at one instruction and one state at a time."""

    def check(program: Program) -> Iterator[Spot]:
        for insn, _, state in program.visits():
            yield from test(program, insn, state)

    return check


def each_return(test: Callable[[Program, Visit, Insn, Belief], Iterator[Spot]]) -> Check:
    """A check that looks at the returns of routines that are called or promise something."""

    def check(program: Program) -> Iterator[Spot]:
        for visit, ends in program.flow.exits.items():
            if visit.entry in program.routines:
                for address, state in ends.items():
                    yield from test(program, visit, program.insns[address], state)

    return check


def findings(name: str, check: Check, program: Program) -> Iterator[Finding]:
    """A rule's findings, one per instruction, the surest of several."""
    rule = rules()[name]
    best: dict[int, Finding] = {}
    for hit in check(program):
        sure = rule.sure if hit.sure is None else min(hit.sure, rule.sure)
        known = best.get(hit.insn.address)
        if sure > 0 and (known is None or known.sure < sure):
            best[hit.insn.address] = Finding(
                rule=name,
                message=hit.message,
                file=program.file_of(hit.insn),
                line=hit.insn.line,
                sure=sure,
                severity=rule.severity,
            )
    yield from best.values()
