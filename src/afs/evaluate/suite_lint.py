"""`afs eval lint`: whether a suite's scorers can be trusted, before any model is evaluated.

Every item must score 1 for its gold answer, 0 for an empty one, and below 0.5 for an echo of the prompt, a list of
keywords, another item's gold answer, the gold answer without its code, and every wrong answer its pack supplies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import msgspec

from afs import answer_verifier, jsonl
from afs.config import Config
from afs.errors import RefusedError
from afs.evaluate import report_store
from afs.evaluate.compare import measure
from afs.evaluate.score import judge
from afs.evaluate.score.text_normalization import normalize, tokens
from afs.evaluate.suite_types import Suite, SuiteItem
from afs.evaluate.suites import open_suite
from afs.types import Value, Verdict, digest
from afs.workspace import Workspace

HALF = 0.5
HEDGES = 3
"""A keyword list must contain this many other answers to count as a hedge."""
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.S)
_CALL = re.compile(r"<tool_call>.*?</tool_call>", re.S)


class LintConfig(Config, frozen=True, kw_only=True):
    """Test a suite's scorers on answers whose score is known."""

    positional: ClassVar[tuple[str, ...]] = ("suite",)
    suite: str
    """The suite, as `afs eval run` takes it."""
    count: int = 0
    """Items per family; 0: all that are stored, 40 of what is generated."""
    seed: int = 0
    """Seed of generated items."""
    shown: int = 20
    """Problems printed in full."""


class FooledScorer(Value, frozen=True, kw_only=True):
    """An answer that got a score it must not get."""

    item: str
    category: str
    control: str
    """gold, empty, echo, keywords, other gold, without code, or a planted kind."""
    score: float | None
    reason: str


class LintReport(Value, frozen=True, kw_only=True):
    """Problems found; exit code 3 when the suite must not be used."""

    suite: str
    digest: str
    items: int
    tried: dict[str, int]
    """Control answers tested, by kind."""
    problems: tuple[FooledScorer, ...]
    silent: dict[str, int]
    """Items that every model solved, or none did, in the stored reports of this suite."""
    shown: int = 20

    @property
    def exit_code(self) -> int:
        """3 when there are problems."""
        return 3 if self.problems else 0

    def text(self) -> str:
        """The counts, then the problems."""
        tried = ", ".join(f"{count} {kind}" for kind, count in self.tried.items())
        head = f"{self.suite}: {self.items} items, tried {tried}"
        rows = [
            f"  {p.item}  {p.control}: {'not judged' if p.score is None else f'{p.score:.2f}'}  {p.reason}".rstrip()
            for p in self.problems[: self.shown]
        ]
        more = len(self.problems) - len(rows)
        tail = [f"  … and {more} more"] if more > 0 else []
        silent = [f"{count} items are {word}" for word, count in self.silent.items() if count]
        verdict = f"{len(self.problems)} problems: this suite must not be used" if self.problems else "no problems"
        return "\n".join([head, *rows, *tail, *silent, verdict])


def eval_lint(config: LintConfig, workspace: Workspace) -> LintReport:
    """Lint one suite."""
    suite = open_suite(workspace, config.suite, seed=config.seed, count=config.count)
    with answer_verifier.open_verifier(workspace.root, workspace.jobs) as verifier:
        return lint_suite(verifier, suite, silent_items(workspace, suite), config.shown)


def lint_suite(
    verifier: answer_verifier.Verifier, suite: Suite, silent: Mapping[str, int], shown: int = 20
) -> LintReport:
    """Test every control answer on every item."""
    controls = [(item, kind, answer) for item in suite.items for kind, answer in _controls(item, suite.items)]
    verdicts = judge(verifier, [(item, answer) for item, _, answer in controls])
    tried: dict[str, int] = {}
    problems = []
    for (item, kind, answer), verdict in zip(controls, verdicts, strict=True):
        tried[kind] = tried.get(kind, 0) + 1
        if not _as_wanted(kind, verdict) and not (kind == "other gold" and _same(verifier, suite, item, answer)):
            reason = verdict.reason or verdict.stage
            problems.append(
                FooledScorer(item=item.id, category=item.category, control=kind, score=verdict.score, reason=reason)
            )
    return LintReport(
        suite=suite.name,
        digest=suite.digest,
        items=len(suite.items),
        tried=tried,
        problems=tuple(problems),
        silent=dict(silent),
        shown=shown,
    )


def refuse_unlinted(verifier: answer_verifier.Verifier, suite: Suite, workspace: Workspace, *, only_gold: bool) -> None:
    """Refuse a suite with a wrong gold answer or a scorer that can be fooled; a clean suite is cached."""
    packs = sorted({item.task.domain for item in suite.items if item.task.domain})
    versions = [(name, answer_verifier.load_pack(name).version) for name in packs]
    stamp = workspace.root / "cache" / "linted" / f"{digest((suite.digest, versions))}.json"
    if stamp.exists():
        return
    found = lint_suite(verifier, suite, {})
    wrong = [p for p in found.problems if p.control == "gold"]
    if wrong:
        raise RefusedError(
            f"{suite.name}: the gold answer of {len(wrong)} of {len(suite.items)} items does not pass its own check, "
            f"such as {wrong[0].item} ({wrong[0].reason}); fix them; `afs eval lint` lists all"
        )
    if found.problems and not only_gold:
        first, items = found.problems[0], {p.item for p in found.problems}
        raise RefusedError(
            f"{suite.name}: {len(items)} items score an answer that deserves nothing, such as {first.item} to "
            f"{first.control} ({first.score}); `afs eval lint` lists all, --no-lint uses the suite anyway"
        )
    if not found.problems:
        jsonl.replace(stamp, msgspec.json.encode({"suite": suite.name, "tried": found.tried}))


def _same(verifier: answer_verifier.Verifier, suite: Suite, item: SuiteItem, answer: str) -> bool:
    """Whether two items ask for the same thing: each one's gold answer passes the other's check (`swap a and b`)."""
    others = [other for other in suite.items if other.task.reference == answer and not (item.scorer or other.scorer)]
    verdicts = judge(verifier, [(other, item.task.reference) for other in others])
    return any(verdict.ok for verdict in verdicts)


def _as_wanted(kind: str, verdict: Verdict) -> bool:
    if verdict.score is None:
        return False
    if kind == "gold":
        return verdict.score == 1.0
    return verdict.score == 0.0 if kind == "empty" else verdict.score < HALF and verdict.ok is not True


def _controls(item: SuiteItem, every: Sequence[SuiteItem]) -> Iterator[tuple[str, str]]:
    gold = item.task.reference
    yield "gold", gold
    yield "empty", ""
    yield "echo", item.task.prompt
    if list_of_words := keyword_hedge(item, every):
        yield "keywords", list_of_words
    other = other_gold(item, every)
    if other is not None:
        yield "other gold", other
    bare = without_code(gold)
    if bare not in (gold.strip(), ""):
        yield "without code", bare
    if not item.scorer:
        yield from (
            (f"planted {kind}", answer)
            for kind, answer in answer_verifier.load_pack(item.task.domain).wrong_answers(item.task)
        )


def keyword_hedge(item: SuiteItem, every: Sequence[SuiteItem]) -> str:
    """A bare list of everything a scorer might look for: its keywords, or the gold answers of several items.

    Empty with too few neighbors.
    """
    named = _texts(item.scorer.get("groups", []))
    if named:
        return ", ".join(named)
    own = item.task.reference
    near = [i.task.reference for i in every if i.task.family == item.task.family and i.task.reference != own]
    if len(near) < HEDGES:
        return ""
    words = dict.fromkeys(tokens(" ".join(near[:8])))
    mine = dict.fromkeys(tokens(own))
    return " ".join([*(word for word in sorted(words, reverse=True) if word not in mine), *sorted(mine)])


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for inner in value for text in _texts(inner)] if isinstance(value, list | tuple) else []


def other_gold(item: SuiteItem, every: Sequence[SuiteItem]) -> str | None:
    """The gold answer of another item of the category, preferably with another first word.

    A "yes" is right for every question whose answer is yes.
    """
    place = next(i for i, other in enumerate(every) if other.id == item.id)
    own = normalize(item.task.reference)
    accepted = {normalize(text) for text in _texts(item.scorer.get("accept", []))}
    others = (other for other in (*every[place + 1 :], *every[:place]) if other.category == item.category)
    found = [o.task.reference for o in others if normalize(o.task.reference) not in ({"", own} | accepted)]
    first = own.partition(" ")[0].rstrip(",")
    unlike = (text for text in found if normalize(text).partition(" ")[0].rstrip(",") != first)
    return next(unlike, None) or next(iter(found), None)


def without_code(text: str) -> str:
    """The answer without its code."""
    return _CALL.sub("", _FENCE.sub("", text)).strip()


def silent_items(workspace: Workspace, suite: Suite) -> dict[str, int]:
    """Uninformative items: solved by all models, or by none, in the stored results of this suite."""
    solved: dict[str, set[float]] = {}
    models: set[str] = set()
    for report in report_store.all_reports(workspace):
        if report.suite_digest != suite.digest or report.results.path != report_store.RESULTS:
            continue
        table = report_store.table(workspace, report)
        for model in table.models:
            models.add(model)
            for item, found in measure(table.of(model)).items():
                if found.value is not None:
                    solved.setdefault(item, set()).add(found.value)
    if len(models) < 2:
        return {}
    return {
        "solved by every model": sum(values == {1.0} for values in solved.values()),
        "solved by none": sum(values == {0.0} for values in solved.values()),
    }
