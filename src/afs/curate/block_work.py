"""Which blocks a curation has, who prepares them, and the steps that take up what was prepared.

The outcome of a block lies in `cache/blocks/NAME/KEY`, where KEY is a digest of all it depends on. The joined curation
runs the same steps over the same records; what a block has computed is looked up instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import msgspec
import numpy as np

import afs
from afs import datasets, jsonl, sealed_files, work_division
from afs.config import Plugin
from afs.curate.block_preparation import BlockFiles, BlockJob, Outcome, block_stem, prepare_block, split_steps
from afs.curate.cross_block_duplicates import (
    COPY,
    COUNTED,
    REPEATED,
    STANDING,
    PairJob,
    StoredTexts,
    find_pairs,
    list_jobs,
    pair_file,
)
from afs.curate.score import count_total
from afs.curate.shingles import U8
from afs.curate.step_context import Records, RecordStream, Step, StepContext, read_frames
from afs.curate.step_runner import NamedStep, parse_steps
from afs.errors import ConfigError, DataError
from afs.manifests import refuse_changed
from afs.redaction import load_salt
from afs.runs import Run
from afs.types import Dataset, Dropped, Json, Record, digest
from afs.work_division import DividedWork, ShardNumber, ShardReport

_TIMEOUT_S = 3600.0
_SCHEMA = 1
_REDACTIONS = "redactions.jsonl"
_LookUp = Callable[[Records, StepContext], Iterator[Record | Dropped]]


class BlockWork:
    """The blocks of one curation."""

    def __init__(self, run: Run, name: str, sources: Sequence[Dataset], specs: Sequence[Plugin], profile: str) -> None:
        self.run, self.steps = run, parse_steps(specs, profile)
        self.first, self.dedup, self.decontaminate = split_steps(self.steps)
        names = [named.name for named in self.first]
        if not names or len(set(names)) < len(names):
            raise ConfigError("steps", "divided work begins with `redact`, `validate` and `score`, each at most once")
        self.redact = names.index("redact") if "redact" in names else -1
        shards_of = [(s, part, shard) for s in sources for part in s.splits for shard in part.shards]
        used = [(s, shard) for s, part, shard in shards_of if s.kind == "records" or part.name == "train"]
        key = self._key(name, sources, specs, profile)
        self.folder = run.workspace.root / "cache" / "blocks" / name / key
        self.jobs = [
            BlockJob(
                root=str(run.workspace.root),
                name=name,
                steps=list(specs),
                profile=profile,
                folder=str(datasets.folder_of(run.workspace, source).relative_to(run.workspace.root)),
                shard=shard,
                tag="" if source.kind == "records" else source.ref,
                target=str(self.folder.relative_to(run.workspace.root)),
                number=number,
            )
            for number, (source, shard) in enumerate(used)
        ]

    def _key(self, name: str, sources: Sequence[Dataset], specs: Sequence[Plugin], profile: str) -> str:
        """A digest of everything that the outcome of a block depends on."""
        held = self.decontaminate.list_held_out(self.run.workspace, name) if self.decontaminate is not None else []
        salt = load_salt(self.run.workspace.root).hex()
        rows = [(source.ref, source.digest) for source in sources]
        return digest([_SCHEMA, afs.__version__, rows, list(specs), profile, held, salt])[:32]

    def is_prepared(self, number: int) -> bool:
        """Whether a block is finished."""
        return (self.folder / f"{block_stem(number)}.json").exists()

    def pair_jobs(self) -> list[PairJob]:
        """The searches for near duplicates; all blocks must be finished."""
        if self.dedup is None or not self.dedup.similar:
            return []
        self._settle()
        return list_jobs(self.folder, len(self.jobs), self.dedup.group)

    def _settle(self) -> None:
        """Decide which records of the blocks count: the first of equal ones."""
        path = self.folder / STANDING
        if path.exists():
            return
        seen, clean = set[bytes](), set[bytes]()
        standing: list[int] = []
        for number in range(len(self.jobs)):
            ids, steps = (np.load(self.folder / f"{block_stem(number)}.{name}.npy") for name in ("ids", "steps"))
            for (raw, left), (step, has_hits) in zip(ids.tolist(), steps.tolist(), strict=True):
                if raw in seen:
                    standing.append(REPEATED)
                    continue
                seen.add(raw)
                reached = self.redact >= 0 and (step < 0 or step > self.redact)
                standing.append(COPY if reached and has_hits and left in clean else COUNTED)
                if reached:
                    clean.add(left)
        with jsonl.open_replacement(path) as file:
            np.save(file, np.array(standing, np.uint8))

    def prepare(self, config: DividedWork) -> None:
        """Do what is missing, by the workers of the config's engine."""
        self._run_jobs(config, prepare_block, [job for job in self.jobs if not self.is_prepared(job.number)], "blocks")
        self.require()
        self._run_jobs(
            config, find_pairs, [job for job in self.pair_jobs() if not _has_pairs(job)], "searches for near duplicates"
        )

    def _run_jobs(
        self, config: DividedWork, function: Callable[[bytes], bytes], jobs: Sequence[BlockJob | PairJob], what: str
    ) -> None:
        if not jobs:
            return
        target = f"{function.__module__}:{function.__name__}"
        run = self.run
        with (
            run.phase(f"prepare {what}"),
            work_division.open_workers(config, target, jobs=run.workspace.jobs, timeout_s=_TIMEOUT_S) as workers,
        ):
            outcomes = workers.map(msgspec.msgpack.encode(job) for job in jobs)
            for outcome in run.track(outcomes, what, len(jobs)):
                run.check_stop()
                if outcome.problem:
                    raise DataError(f"a worker failed on one of the {what}: {outcome.problem}")

    def do_share(self, config: DividedWork, share: ShardNumber) -> ShardReport:
        """Do the share's blocks and, when all shards have done theirs, its share of the search for near duplicates."""
        own = [job for job in self.jobs if share.takes(job.number)]
        waiting = [job for job in own if not self.is_prepared(job.number)]
        self._run_jobs(config, prepare_block, waiting, "blocks")
        join = f"afs curate … --shards all/{share.total}"
        if any(not self.is_prepared(job.number) for job in self.jobs):
            join = "the same commands once more, which search for near duplicates, then " + join
            return ShardReport(shards=str(share), pieces=len(own), done=len(waiting), unit="blocks", join=join)
        bands = [job for number, job in enumerate(self.pair_jobs()) if share.takes(number)]
        left = [job for job in bands if not _has_pairs(job)]
        self._run_jobs(config, find_pairs, left, "searches for near duplicates")
        return ShardReport(
            shards=str(share),
            pieces=len(own) + len(bands),
            done=len(waiting) + len(left),
            unit="blocks and searches",
            join=join,
        )

    def require(self, share: ShardNumber | None = None) -> None:
        """Raise when something is not prepared, naming the shards that did not do it."""
        missing = [job.number for job in self.jobs if not self.is_prepared(job.number)]
        if missing and share is None:
            raise DataError(
                f"{len(missing)} blocks are not in {self.folder} although workers wrote them: all machines must see "
                "the workspace under this same path"
            )
        if share is not None:
            work_division.require_pieces(missing, share, "blocks")
            bands = [number for number, job in enumerate(self.pair_jobs()) if not _has_pairs(job)]
            work_division.require_pieces(bands, share, "searches for near duplicates")

    def replace_steps(self) -> list[NamedStep]:
        """The steps, with those that were prepared looking up what a block has computed."""
        self._settle()
        replay = _Replay(self)
        steps = [NamedStep(named.name, _ReplayedStep(replay, n, named)) for n, named in enumerate(self.first)]
        after = list(self.steps[len(self.first) :])
        texts = StoredTexts(self.folder, len(self.jobs))
        for known in (self._known_copies(texts), self._known_leaks(texts)):
            if known is not None:
                steps.append(NamedStep(after.pop(0).name, cast(Step, known)))
        return steps + after

    def _known_copies(self, texts: StoredTexts) -> _LookUp | None:
        dedup = self.dedup
        return (lambda records, context: dedup.remove_copies(records, context, texts)) if dedup is not None else None

    def _known_leaks(self, texts: StoredTexts) -> _LookUp | None:
        step = self.decontaminate
        if step is None:
            return None
        return lambda records, context: step.remove_leaks(records, context, texts.shared_shingles)


def _has_pairs(job: PairJob) -> bool:
    return pair_file(job).exists()


class _Replay:
    """The outcomes of all blocks, one by one; each is for the next record that was collected."""

    def __init__(self, work: BlockWork) -> None:
        self._source = self._outcomes(work)
        self.standing, self.current = self._nothing()

    @staticmethod
    def _nothing() -> tuple[int, Outcome | None]:
        return REPEATED, None

    def advance(self, record: Record) -> tuple[int, Outcome]:
        """What became of a record."""
        self.standing, self.current = next(self._source, self._nothing())
        if self.current is None or self.current.raw != record.id:
            raise DataError(f"record {record.id} is not the one that was prepared; prepare the blocks again")
        return self.standing, self.current

    def _outcomes(self, work: BlockWork) -> Iterator[tuple[int, Outcome]]:
        decode = msgspec.msgpack.Decoder(Outcome).decode
        standing: U8 = np.load(work.folder / STANDING)
        at = 0
        for job in work.jobs:
            done = sealed_files.read_sealed(work.folder / f"{block_stem(job.number)}.json")
            block = msgspec.json.decode(done, type=BlockFiles)
            for entry in block.files:
                refuse_changed(work.folder / entry.path, entry)
            with (work.folder / f"{block_stem(job.number)}.outcomes").open("rb", buffering=0) as source:
                for frame in read_frames(source):
                    if standing[at] != REPEATED:
                        yield int(standing[at]), decode(frame[4:])
                    at += 1


class _ReplayedStep:
    """A step whose outcome is known: it keeps, drops, counts and notes what the step itself would."""

    def __init__(self, replay: _Replay, number: int, named: NamedStep) -> None:
        self.replay, self.number, self.named = replay, number, named

    def __call__(self, records: RecordStream, context: StepContext) -> Iterator[Record | Dropped]:
        """Every record as the step left it."""
        counts: Counter[str] = Counter()
        for record in records:
            standing, outcome = self._find(record)
            if self.named.name == "redact" and outcome.hits:
                context.keep(_REDACTIONS, outcome.hits)
                counts.update(str(cast(dict[str, Json], hit)["rule"]) for hit in outcome.hits)
                if standing == COPY and outcome.clean is not None:
                    yield Dropped(record=outcome.clean, reason="duplicate: equal after redaction")
                    continue
            if self.named.name == "score":
                count_total(outcome.record, counts)
            yield self._result(outcome)
        if self.named.name == "redact":
            context.note("redact", **counts)
        elif self.named.name == "score":
            profile = getattr(self.named.step, "profile", "")
            context.note("score", profile=profile, totals=dict(sorted(counts.items())))

    def _find(self, record: Record) -> tuple[int, Outcome]:
        if self.number == 0:
            return self.replay.advance(record)
        assert self.replay.current is not None
        return self.replay.standing, self.replay.current

    def _result(self, outcome: Outcome) -> Record | Dropped:
        if outcome.step != self.number:
            return outcome.record
        return Dropped(record=outcome.record, reason=outcome.reason, detail=outcome.detail)


def list_specs(steps: Iterable[Plugin]) -> list[Plugin]:
    """Steps as plain tables, which a worker can be sent."""
    return [dict(spec) for spec in steps]
