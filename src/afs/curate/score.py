"""The step `score`: measures every record, judges it by a profile, and keeps those that pass, with their scores."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sized
from fnmatch import fnmatch
from itertools import islice

import msgspec

from afs import answer_verifier, plugins
from afs.checks.check_parser import require_checks
from afs.config import Config
from afs.curate.quality_measures import STORED, VERSION, measure_record
from afs.curate.score_profiles import CHECKED, Profile, choose_profile, judge_scores, load_profile
from afs.curate.step_context import RecordStream, StepContext
from afs.datasets import answer_text
from afs.errors import AfsError, RefusedError
from afs.process import Workers
from afs.types import Dropped, Record, Score, Verdict

TOTAL = "total"
DIALECT = "dialect:"
"""Tag of a record that says in which dialect its code is written."""
_BATCH = 512
_MANY = 20_000
"""Least number of records for which starting worker processes pays off."""
_TIMEOUT = 300.0

Wanted = tuple[str, ...]
_Scores = list[list[Score]]
_encode = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(tuple[list[Record], list[Wanted]]).decode
_decode_scores = msgspec.msgpack.Decoder(_Scores).decode


def call(payload: bytes) -> bytes:
    """A worker's entry: records and what to measure of each in, their scores out."""
    batch, wanted = _decode_batch(payload)
    return _encode(_measure_batch(batch, wanted))


def _measure_batch(batch: list[Record], wanted: list[Wanted]) -> _Scores:
    return [measure_record(record, names) for record, names in zip(batch, wanted, strict=True)]


class ScoreStep(Config, frozen=True, kw_only=True):
    """Measure and judge."""

    profile: str = "auto"
    """A profile's name or file; `auto` chooses by what each record is."""

    def __call__(self, records: RecordStream, context: StepContext) -> Iterator[Record | Dropped]:
        """Every record with its scores, or dropped with the measure that failed."""
        totals: Counter[str] = Counter()
        for item in Gate(self.profile, context).judge(records):
            count_total(item.record if isinstance(item, Dropped) else item, totals)
            yield item
        context.note("score", profile=self.profile, totals=dict(sorted(totals.items())))


def count_total(scored: Record, totals: Counter[str]) -> None:
    """Count a record by the tenth in which its total lies."""
    for score in scored.scores:
        if score.id == TOTAL and score.value is not None:
            totals[f"{min(9, int(score.value * 10)) / 10:.1f}"] += 1


class Gate:
    """A profile applied to records; planted controls go through the same gate."""

    def __init__(self, profile: str, context: StepContext) -> None:
        self.profile = profile
        self.context = context
        self._packs: dict[str, bool] = {}
        self._measures: dict[int, tuple[str, ...]] = {}

    def judge(self, records: Iterable[Record]) -> Iterator[Record | Dropped]:
        """Records in their order, scored; or dropped with the reason."""
        jobs = self.context.workspace.jobs if isinstance(records, Sized) and len(records) >= _MANY else 1
        for batch, profiles, scores in self._measure_all(records, jobs):
            verdicts = self._verdicts(batch, profiles)
            for record, profile, found in zip(batch, profiles, scores, strict=True):
                yield self._judge_record(record, profile, found, verdicts.get(record.id))

    def _measure_all(
        self, records: Iterable[Record], jobs: int
    ) -> Iterator[tuple[list[Record], list[Profile], _Scores]]:
        """Batches with what each record measures by itself; many are measured by worker processes."""
        batches = self._batches(records)
        if jobs == 1:
            yield from ((batch, profiles, _measure_batch(batch, wanted)) for batch, profiles, wanted in batches)
            return
        waiting: deque[tuple[list[Record], list[Profile], list[Wanted]]] = deque()

        def payloads() -> Iterator[bytes]:
            for batch, profiles, wanted in batches:
                waiting.append((batch, profiles, wanted))
                yield _encode((batch, wanted))

        with Workers(f"{__name__}:call", jobs=jobs, timeout_s=_TIMEOUT) as workers:
            for outcome in workers.map(payloads()):
                batch, profiles, wanted = waiting.popleft()
                if outcome.problem:
                    self.context.run.event("curate.worker", problem=outcome.problem)
                    yield batch, profiles, _measure_batch(batch, wanted)
                else:
                    yield batch, profiles, _decode_scores(outcome.value)

    def _batches(self, records: Iterable[Record]) -> Iterator[tuple[list[Record], list[Profile], list[Wanted]]]:
        source = iter(records)
        while batch := list(islice(source, _BATCH)):
            profiles = [load_profile(self._profile_of(r)) for r in batch]
            yield batch, profiles, [self._measures_of(profile) for profile in profiles]

    def _profile_of(self, record: Record) -> str:
        """The profile that judges a record; assembly in a dialect its pack does not read is judged by form."""
        name = choose_profile(record) if self.profile == "auto" else self.profile
        return "code" if name == "asm" and not self._reads_dialect(record) else name

    def _reads_dialect(self, record: Record) -> bool:
        dialect = next((tag.removeprefix(DIALECT) for tag in record.tags if tag.startswith(DIALECT)), "")
        if not dialect or not self._has_pack(record.domain):
            return True
        known = answer_verifier.load_pack(record.domain).dialects
        return not known or dialect in known

    def _verdicts(self, batch: list[Record], profiles: list[Profile]) -> dict[str, Verdict]:
        wanted = [
            record
            for record, profile in zip(batch, profiles, strict=True)
            if record.task is not None and "verdict" in self._measures_of(profile)
        ]
        require_checks(record.task for record in wanted if record.task is not None)
        pairs = [(record.task, answer_text(record)) for record in wanted if record.task is not None]
        found = self.context.verifier.verify_all(pairs) if pairs else iter(())
        return {record.id: verdict for record, verdict in zip(wanted, found, strict=True)}

    def _judge_record(
        self, record: Record, profile: Profile, scores: list[Score], verdict: Verdict | None
    ) -> Record | Dropped:
        wanted = self._measures_of(profile)
        scores += [s for s in record.scores if s.id in STORED]
        for name in CHECKED:
            if name in wanted:
                scores.append(_score_verdict(verdict) if name == "verdict" else self._score_lint(record, profile))
        if profile.requires:
            self._check_required(profile, record, scores)
        total, reason = judge_scores(profile, record, scores)
        rounded = round(total, 4) if total is not None else None
        scores.append(Score(id=TOTAL, version=VERSION, value=rounded, reason=reason))
        kept = (verdict,) if verdict is not None else record.verdicts
        scored = msgspec.structs.replace(record, scores=tuple(scores), verdicts=kept)
        if not reason:
            return scored
        return Dropped(record=scored, reason=f"score: {reason}", detail=_explain(scores, reason, verdict))

    def _measures_of(self, profile: Profile) -> tuple[str, ...]:
        """The profile's measures, cached by object: `load_profile` returns one object per name."""
        found = self._measures.get(id(profile))
        if found is None:
            found = self._measures[id(profile)] = profile.measures()
        return found

    def _check_required(self, profile: Profile, record: Record, scores: list[Score]) -> None:
        """Refuse if a required checker is missing: a missing checker is not a low score."""
        known = {score.id: score for score in scores}
        for name in profile.requires:
            score = known.get(name)
            if name == "lint" and score is not None and score.value is None and not self._has_pack(record.domain):
                raise RefusedError(
                    f"the profile needs {name}, and no pack is called {record.domain!r}; set the domain "
                    "when ingesting, or choose a profile without it"
                )
            if name == "verdict" and record.task is None:
                raise RefusedError(
                    f"the profile needs verdicts, and record {record.id} has no task; use profile `auto`"
                )
            if name in STORED and score is None:
                raise RefusedError(
                    f"the profile needs {name} scores, and record {record.id} has none: put the step `{STORED[name]}` "
                    "before `score`"
                )

    def _has_pack(self, name: str) -> bool:
        if name not in self._packs:
            try:
                self._packs[name] = name in plugins.list_names("domain") and answer_verifier.load_pack(name) is not None
            except (AfsError, ImportError):
                self._packs[name] = False
        return self._packs[name]

    def _score_lint(self, record: Record, profile: Profile) -> Score:
        if not self._has_pack(record.domain):
            return Score(id="lint", version=VERSION, reason=f"no pack is called {record.domain!r}")
        pack = answer_verifier.load_pack(record.domain)
        blocks = pack.extract(answer_text(record))
        if not blocks:
            return Score(id="lint", version=VERSION, value=0.0, reason="nothing in the answer to check")
        errors = (f for b in blocks for f in pack.lint(b.text) if f.severity == "error")
        counted = (f for f in errors if not any(fnmatch(f.rule, p) for p in profile.overlook))
        worst = max(counted, key=lambda f: f.sure, default=None)
        version = f"{pack.name}/{pack.version}"
        if worst is None:
            return Score(id="lint", version=version, value=1.0)
        return Score(
            id="lint", version=version, value=round(1.0 - worst.sure, 4), reason=f"{worst.rule}: {worst.message}"
        )


def _explain(scores: list[Score], reason: str, verdict: Verdict | None) -> str:
    """What the failed measure says, else the total."""
    if verdict is not None and not verdict.ok:
        return verdict.reason
    failed = next((s for s in scores if reason.startswith(f"{s.id} ") and s.id != TOTAL), None)
    if failed is not None and failed.reason:
        return failed.reason
    return f"total {next((s.value for s in scores if s.id == TOTAL), None)}"


def _score_verdict(verdict: Verdict | None) -> Score:
    if verdict is None:
        return Score(id="verdict", version="", reason="no task")
    if verdict.ok is None:
        return Score(id="verdict", version=verdict.checker, reason=verdict.reason or "could not be decided")
    value = verdict.score if verdict.score is not None else float(verdict.ok)
    return Score(
        id="verdict", version=verdict.checker, value=value if verdict.ok else min(value, 0.99), reason=verdict.reason
    )
