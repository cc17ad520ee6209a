"""The checks of the gate: what each examines, and when it passes, fails or stays unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import ClassVar, NamedTuple, cast

import msgspec

from afs import artifacts, manifests
from afs.config import Config
from afs.errors import ConfigError, DataError, UsageError
from afs.evaluate import compare as comparing
from afs.evaluate import contamination, report_store, statistics
from afs.evaluate.compare import ALL, Comparison, Cut, Metric
from afs.evaluate.report.markdown import format_number
from afs.evaluate.report.report_facts import measure_speed
from afs.evaluate.report_store import StoredReport
from afs.evaluate.result_rows import LOST, UNUSABLE, ResultRow, Table
from afs.plugins import suggest_name
from afs.registry import alpha_spending
from afs.registry.alpha_spending import GateAllowance
from afs.registry.event_log import RegistryLog
from afs.registry.log_check import read_trusted
from afs.types import Artifact, Interval, Report, Value
from afs.workspace import Workspace

__all__ = ["CONDITIONS", "Case", "GateCheck", "GateConfig", "measured_digest", "open_case"]


class GateConfig(Config, frozen=True, kw_only=True):
    """Decide whether an evaluated model may be shipped."""

    positional: ClassVar[tuple[str, ...]] = ("report",)
    report: str
    """The report of the model, measured beside its base."""
    preset: str = ""
    """Named thresholds: `strict`, `founding`, or a TOML file; flags override them."""
    target: str = ALL
    """Category that must be better than the base; `all`: the whole suite."""
    superior: bool = True
    """Require the target to be better; false: at most the margin worse is enough."""
    guards: tuple[str, ...] = ()
    """Categories that together must be at most the margin worse; empty: all but the target."""
    general: tuple[str, ...] = ()
    """Reports of the same model on general suites, which must be at most the margin worse."""
    margin: float = 0.05
    """How much worse guarded categories may be at most."""
    level: float = 0.95
    """Confidence level; non-inferiority is tested one-sided at the same error rate."""
    dataset: str = ""
    """Training data to search for the suite's items; empty: the artifact's dataset."""
    contamination: bool = True
    """Search the training data; false: skip the check."""
    max_hits: int = 0
    """Items allowed in the training data."""
    max_lost: float = 0.02
    """Largest share of failed requests."""
    max_unusable: float = 0.05
    """Largest share of answers that are cut, empty or malformed."""
    max_length_ratio: float = 2.0
    """Largest mean answer length, relative to the base's."""
    at_least: dict[str, float] = {}
    """Minimum values of the report's metrics, such as `exact = 0.35`."""
    at_most: dict[str, float] = {}
    """Maximum values of the report's metrics, such as `perplexity = 3.5`."""


class GateCheck(Value, frozen=True, kw_only=True):
    """One condition: passed, failed, or unknown."""

    name: str
    passed: bool | None
    measured: str
    wanted: str


class Case(NamedTuple):
    """Everything the checks need."""

    config: GateConfig
    workspace: Workspace
    report: StoredReport
    table: Table
    base: str
    artifact: Artifact | None
    allowance: GateAllowance

    @property
    def own(self) -> list[ResultRow]:
        """The subject's rows."""
        return self.table.of(self.report.subject)


def open_case(config: GateConfig, workspace: Workspace) -> Case:
    """Load everything the checks need."""
    report = report_store.load(workspace, config.report)
    artifact = None
    with suppress(UsageError, DataError):
        artifact = artifacts.load(workspace, report.subject)
    base = str(report.environment.get("base", ""))
    events = read_trusted(RegistryLog(workspace))
    allowed = alpha_spending.allowance(events, report.suite_digest, report.results.sha256)
    return Case(config, workspace, report, report_store.table(workspace, report), base, artifact, allowed)


def check_base(case: Case) -> Iterator[GateCheck]:
    """The base was measured in the same table."""
    measured = bool(case.base) and case.base in case.table.models
    yield GateCheck(
        name="base", passed=measured, measured=case.base if measured else "not measured", wanted="the base measured"
    )


def _compare(case: Case, table: Table, base: str, level: float) -> dict[str, Comparison]:
    metric, cut = (case.report.environment.get(name, "") for name in ("metric", "cut"))
    found = comparing.compare(table, case.report.subject, base, cast(Metric, metric), cast(Cut, cut), level)
    return {comparison.scope: comparison for comparison in found}


def check_target(case: Case) -> Iterator[GateCheck]:
    """The target is better, or at least not worse, at the error rate left for this suite."""
    if case.base not in case.table.models:
        yield GateCheck(name="target", passed=None, measured="no base to compare with", wanted="a comparison")
        return
    level = case.config.level if case.config.superior else one_sided(case.config.level)
    level = 1 - (1 - level) * case.allowance.share
    found = _compare(case, case.table, case.base, level)
    check = _bound(
        f"target {case.config.target}",
        _scope(found, case.config.target),
        0.0 if case.config.superior else -case.config.margin,
    )
    yield msgspec.structs.replace(check, wanted=check.wanted + _series_note(case.allowance, level))


def _series_note(allowed: GateAllowance, level: float) -> str:
    if allowed.number == 1:
        return ""
    return (
        f" at {level:.2%}, as this is gate {allowed.number} on these items; {allowed.left:.0%} of the error rate is "
        f"left for later ones, and fresh items (--seed) start at the full rate"
    )


def one_sided(level: float) -> float:
    """The two-sided level whose lower bound errs as often as the whole two-sided interval of `level`."""
    return 1 - 2 * (1 - level)


def _scope(found: Mapping[str, Comparison], scope: str) -> Comparison:
    if scope not in found and len(found) == 1 and scope != ALL:
        raise ConfigError("target", "the suite has one category only; the target is `all`")
    if scope not in found:
        raise ConfigError("target", f"the suite has no category {scope!r}{suggest_name(scope, found)}")
    return found[scope]


def _bound(name: str, comparison: Comparison, least: float) -> GateCheck:
    d = comparison.difference
    known = d.low is not None
    measured = f"{comparing.format_difference(d)}, {d.n} items"
    return GateCheck(
        name=name,
        passed=d.low > least if d.low is not None else None,
        measured=measured if known else "unknown",
        wanted=f"lower bound above {100 * least:+.0f}",
    )


def check_guards(case: Case) -> Iterator[GateCheck]:
    """Guarded categories are at most the margin worse."""
    config = case.config
    if case.base not in case.table.models:
        return
    categories = {row.category for row in case.table.rows}
    for guard in config.guards:
        if guard not in categories:
            raise ConfigError("guards", f"the suite has no category {guard!r}{suggest_name(guard, categories)}")
    guarded = set(config.guards) or (categories - {config.target} if config.target != ALL else set())
    rows = [row for row in case.table.rows if row.category in guarded]
    if rows:
        found = _compare(case, Table(rows), case.base, one_sided(config.level))[ALL]
        name = f"guards {', '.join(config.guards)}" if config.guards else "guard: the other categories"
        yield _with_need(_bound(name, found, -config.margin), found, config.margin)
    for comparison in _compare(case, case.table, case.base, config.level).values():
        if comparison.scope != ALL and comparison.verdict == "worse":
            yield GateCheck(
                name=f"category {comparison.scope}",
                passed=False,
                measured=comparing.format_points(comparison.difference.value),
                wanted="not significantly worse",
            )


def _with_need(check: GateCheck, found: Comparison, margin: float) -> GateCheck:
    """A failed guard says how many items show that an equal model is within the margin."""
    if check.passed or not found.difference.n:
        return check
    discordant = max(found.better + found.worse, 1) / found.difference.n
    needed = statistics.needed_items(margin, discordant=discordant)
    if found.difference.n >= needed:
        return check
    more = f" ({found.difference.n} items; an equal model needs about {needed} to pass)"
    return msgspec.structs.replace(check, wanted=check.wanted + more)


def check_general(case: Case) -> Iterator[GateCheck]:
    """The same files are at most the margin worse on general suites."""
    for name in case.config.general:
        report = report_store.load(case.workspace, name)
        if report.subject != case.report.subject or measured_digest(report) != measured_digest(case.report):
            measured = f"{report.ref} is about {report.subject}"
            yield GateCheck(name=f"general {name}", passed=False, measured=measured, wanted="the same model's files")
            continue
        base = str(report.environment.get("base", ""))
        found = _compare(case, report_store.table(case.workspace, report), base, one_sided(case.config.level))
        check = _bound(f"general {report.suite}", found[ALL], -case.config.margin)
        yield _with_need(check, found[ALL], case.config.margin)


def measured_digest(report: Report) -> object:
    """Digest of the files a report measured."""
    return report.environment.get("subject_digest", "")


def check_contamination(case: Case) -> Iterator[GateCheck]:
    """No item of the suite is in the training data."""
    if not case.config.contamination:
        return
    name = case.config.dataset or (case.artifact.dataset if case.artifact else "")
    want = f"at most {case.config.max_hits} items in the training data"
    if not name:
        measured = "the model has no recorded training data; pass --dataset, or skip the check with --no-contamination"
        yield GateCheck(name="contamination", passed=None, measured=measured, wanted=want)
        return
    try:
        found = contamination.search_dataset(case.workspace, name, report_store.items(case.workspace, case.report))
    except UsageError as error:
        yield GateCheck(name="contamination", passed=None, measured=str(error), wanted=want)
        return
    hits = found.hits
    first = f", such as {hits[0].item} in {hits[0].record}: {hits[0].text[:60]!r}" if hits else ""
    measured = f"{len(hits)} items in {found.dataset}{first}"
    yield GateCheck(name="contamination", passed=len(hits) <= case.config.max_hits, measured=measured, wanted=want)


def check_form(case: Case) -> Iterator[GateCheck]:
    """Requests succeeded, answers are well-formed and not much longer than the base's."""
    own, config = case.own, case.config
    lost = sum(row.outcome in LOST for row in own)
    unusable = sum(row.outcome in UNUSABLE for row in own)
    yield _share("answered", lost, len(own), config.max_lost, "questions failed")
    yield _share("form", unusable, len(own) - lost, config.max_unusable, "answers unusable")
    base = measure_speed(case.table.of(case.base)).output_tokens if case.base in case.table.models else None
    length = measure_speed(own).output_tokens
    ratio = length / base if length and base else None
    if base is not None or length is not None:
        yield GateCheck(
            name="length",
            passed=None if ratio is None else ratio <= config.max_length_ratio,
            measured=f"{format_number(ratio)} times the base's",
            wanted=f"at most {config.max_length_ratio:g} times",
        )


def _share(name: str, count: int, total: int, limit: float, what: str) -> GateCheck:
    return GateCheck(
        name=name,
        passed=count <= limit * total if total else None,
        measured=f"{count} of {total} {what}",
        wanted=f"at most {100 * limit:g} %",
    )


def check_digest(case: Case) -> Iterator[GateCheck]:
    """The evaluated files are the stored files."""
    if case.artifact is None:
        measured = f"{case.report.subject} is not stored here"
        yield GateCheck(name="files", passed=None, measured=measured, wanted="a stored model")
        return
    same = case.artifact.digest == measured_digest(case.report)
    folder = artifacts.folder_of(case.workspace, case.artifact)
    changed = list(manifests.verify_files(folder, case.artifact.files))
    measured = "the evaluated files" if same else "the stored files are not the evaluated ones"
    yield GateCheck(
        name="files", passed=same and not changed, measured=changed[0] if changed else measured, wanted="the same"
    )


def check_numbers(case: Case) -> Iterator[GateCheck]:
    """The report's metrics meet their thresholds."""
    found = case.report.summary
    for sign, table in ((1, case.config.at_least), (-1, case.config.at_most)):
        for name, limit in table.items():
            interval = found.get(name, Interval(value=None))
            passed = None if interval.value is None else sign * interval.value > sign * limit
            word = "above" if sign > 0 else "below"
            yield GateCheck(
                name=name, passed=passed, measured=format_number(interval.value, "", 3), wanted=f"{word} {limit:g}"
            )


CONDITIONS: tuple[Callable[[Case], Iterator[GateCheck]], ...] = (
    check_base,
    check_target,
    check_guards,
    check_general,
    check_contamination,
    check_form,
    check_digest,
    check_numbers,
)
