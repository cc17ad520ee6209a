"""The step `judged`: the votes that `afs eval judge` stored become a score of the records they are about.

A vote belongs to a record when its item is the record's task, or the record itself, and its model made the answer.
Judges that the report found no better than chance are left out; a record nobody judged has no such score.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import fmean

import msgspec

from afs import jsonl
from afs.config import Config
from afs.curate.step_context import Records, Work
from afs.errors import UsageError
from afs.types import Dropped, Record, RefText, Report, Score
from afs.workspace import MANIFEST

JUDGE = "judge"
_UNFIT = "no better than chance"


class _Told(msgspec.Struct, frozen=True):
    """The part of a stored vote that is read here."""

    item: str
    model: str
    judge: str
    criteria: tuple[bool, ...] = ()


class _Judge(msgspec.Struct, frozen=True):
    judge: str
    note: str = ""


class JudgedStep(Config, frozen=True, kw_only=True):
    """Take over judges' votes."""

    report: RefText
    """The report that `afs eval judge` stored, e.g. `answers-judged@1`."""
    any_maker: bool = False
    """Take votes on an item whoever made the judged answer; only for reports about these very answers."""

    def __call__(self, records: Records, work: Work) -> Iterator[Record | Dropped]:
        """Every record; those that were judged with the share of criteria they meet."""
        ref = work.workspace.resolve(self.report, "report")
        folder = work.workspace.path(ref)
        path = folder / "votes.jsonl"
        if not path.is_file():
            raise UsageError(f"{ref}: holds no votes; name a report that `afs eval judge` wrote")
        report = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Report)
        judges = msgspec.convert(report.environment.get("judges", []), list[_Judge])
        unfit = {judge.judge for judge in judges if _UNFIT in judge.note}
        votes: dict[tuple[str, str], list[float]] = defaultdict(list)
        for vote in jsonl.read(path, _Told):
            if vote.criteria and vote.judge not in unfit:
                votes[vote.item, "" if self.any_maker else vote.model].append(fmean(vote.criteria))
        judged = 0
        for record in records:
            found = self._of(record, votes)
            judged += bool(found)
            yield _scored(record, found, str(ref)) if found else record
        work.note("judged", report=str(ref), votes=sum(map(len, votes.values())), judged=judged, unfit=sorted(unfit))

    def _of(self, record: Record, votes: dict[tuple[str, str], list[float]]) -> list[float]:
        items = (record.task.id if record.task is not None else "", record.id)
        maker = "" if self.any_maker else record.origin.maker
        return next((found for item in items if item and (found := votes.get((item, maker)))), [])


def _scored(record: Record, found: list[float], version: str) -> Record:
    score = Score(id=JUDGE, version=version, value=round(fmean(found), 4), reason=f"{len(found)} votes")
    return msgspec.structs.replace(record, scores=(*(s for s in record.scores if s.id != JUDGE), score))
