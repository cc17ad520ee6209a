"""The step `judged`: votes stored by `afs eval judge` become a score of the records they judge.

A vote belongs to a record if its item is the record's task or the record itself, and its model wrote the answer. Judges
no better than chance are ignored; records without votes get no score.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import fmean

import msgspec

from afs import jsonl
from afs.config import Config
from afs.curate.step_context import Records, StepContext
from afs.errors import UsageError
from afs.manifests import read_manifest, refuse_changed
from afs.types import Dropped, Record, RefText, Report, Score
from afs.workspace import MANIFEST

JUDGE = "judge"
_LEAST_YOUDEN = 0.1
"""A judge whose sensitivity and specificity add up to less than 1 and this is no better than chance."""


class _StoredVote(msgspec.Struct, frozen=True):
    """The part of a stored vote that is read here."""

    item: str
    model: str
    judge: str
    criteria: tuple[bool, ...] = ()


class _JudgeHealth(msgspec.Struct, frozen=True):
    """The part of a judge's measured health that is read here."""

    judge: str
    sensitivity: float | None = None
    specificity: float | None = None

    @property
    def is_unfit(self) -> bool:
        """Whether the answers of known truth show a judge that guesses."""
        return (
            self.sensitivity is not None
            and self.specificity is not None
            and self.sensitivity + self.specificity < 1 + _LEAST_YOUDEN
        )


class JudgeVotes(Config, frozen=True, kw_only=True):
    """Use stored judge votes as scores."""

    report: RefText
    """The report that `afs eval judge` stored, e.g. `answers-judged@1`."""
    any_maker: bool = False
    """Take votes on an item whoever wrote the judged answer; only for reports about these very answers."""

    def __call__(self, records: Records, context: StepContext) -> Iterator[Record | Dropped]:
        """Every record; judged ones with the share of criteria they meet."""
        ref = context.workspace.resolve(self.report, "report")
        folder = context.workspace.path(ref)
        path = folder / "votes.jsonl"
        if not path.is_file():
            raise UsageError(f"{ref}: holds no votes; name a report that `afs eval judge` wrote")
        report = read_manifest(folder / MANIFEST, Report)
        refuse_changed(path, report.results)
        judges = msgspec.convert(report.environment.get("judges", []), list[_JudgeHealth])
        unfit = {judge.judge for judge in judges if judge.is_unfit}
        votes: dict[tuple[str, str], list[float]] = defaultdict(list)
        for vote in jsonl.read(path, _StoredVote):
            if vote.criteria and vote.judge not in unfit:
                votes[vote.item, "" if self.any_maker else vote.model].append(fmean(vote.criteria))
        judged = 0
        for record in records:
            found = self._find_votes(record, votes)
            judged += bool(found)
            yield _add_score(record, found, str(ref)) if found else record
        context.note("judged", report=str(ref), votes=sum(map(len, votes.values())), judged=judged, unfit=sorted(unfit))

    def _find_votes(self, record: Record, votes: dict[tuple[str, str], list[float]]) -> list[float]:
        items = (record.task.id if record.task is not None else "", record.id)
        maker = "" if self.any_maker else record.origin.maker
        return next((found for item in items if item and (found := votes.get((item, maker)))), [])


def _add_score(record: Record, found: list[float], version: str) -> Record:
    score = Score(id=JUDGE, version=version, value=round(fmean(found), 4), reason=f"{len(found)} votes")
    return msgspec.structs.replace(record, scores=(*(s for s in record.scores if s.id != JUDGE), score))
