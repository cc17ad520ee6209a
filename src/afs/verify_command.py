"""The command `afs verify`: answers judged by their pack's check, here, in shards or by Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from afs import jsonl, sealed_files, work_division
from afs.answer_verifier import Verifier
from afs.checks.check_parser import build_task, read_check, require_check
from afs.errors import ConfigError, DataError, UsageError, boundary
from afs.types import Task, Value, Verdict, digest
from afs.work_division import DividedWork, ShardNumber, ShardReport

_PIECE = 1000
"""Answers judged as one piece of divided work."""
_TIMEOUT_S = 3600.0

_Pairs = Sequence[tuple[Task, str]]
_decode_pairs = msgspec.msgpack.Decoder(list[tuple[Task, str]]).decode
_decode_verdicts = msgspec.msgpack.Decoder(list[Verdict]).decode


class VerifyConfig(DividedWork, frozen=True, kw_only=True):
    """Judge answers by their pack's check."""

    positional: ClassVar[tuple[str, ...]] = ("task", "answer")
    task: Path | None = None
    """A task as JSON, or a file with one task per line."""
    check: str = ""
    """In place of a task: your own check, such as `pytest -q {file}`; the answer is a text file."""
    answer: Path | None = None
    """The answer as a text file, or a JSONL file with one text per task; none: the tasks' own references."""
    jobs: int = 1
    """Worker processes."""
    results: Path | None = None
    """Folder in which shards leave their verdicts; needed with `shards`."""


class VerifyResult(Value, frozen=True, kw_only=True):
    """The verdicts of `afs verify`; the exit code is 3 when an answer fails and 1 when one could not be judged."""

    verdicts: tuple[Verdict, ...]

    @property
    def exit_code(self) -> int:
        """3: an answer fails; 1: an answer could not be judged."""
        if any(v.ok is False for v in self.verdicts):
            return 3
        return 1 if any(v.ok is None for v in self.verdicts) else 0

    def text(self) -> str:
        """One line per verdict, then the count."""
        words = {True: "ok", False: "WRONG", None: "unknown"}
        rows = [f"{words[v.ok]:<8}{v.task}  {v.stage}  {v.reason}".rstrip() for v in self.verdicts]
        right = sum(v.ok is True for v in self.verdicts)
        return "\n".join([*rows, f"{right} of {len(self.verdicts)} pass"])


def verify_answers(config: VerifyConfig) -> VerifyResult | ShardReport:
    """Judge each answer in a worker process."""
    share = work_division.parse_shards(config)
    if config.check:
        return _verify_by_check(config)
    if config.task is None:
        raise UsageError("nothing to verify: give a task, or --check with --answer")
    tasks = list(jsonl.read(config.task, Task)) if config.task.suffix != ".json" else [_read_task(config.task)]
    if config.answer is None:
        answers = [task.reference for task in tasks]
    elif config.answer.suffix in (".jsonl", ".zst", ".gz"):
        answers = list(jsonl.read(config.answer, str))
    else:
        with boundary(DataError, str(config.answer)):
            answers = [config.answer.read_text(encoding="utf-8")]
    if len(tasks) != len(answers):
        raise DataError(f"{len(tasks)} tasks but {len(answers)} answers")
    pairs = list(zip(tasks, answers, strict=True))
    if share is not None:
        return _do_share(config, share, pairs)
    if config.engine != "embedded":
        return _verify_pieces(config, pairs)
    with Verifier(jobs=config.jobs) as verifier:
        return VerifyResult(verdicts=tuple(verifier.verify_all(pairs)))


def verify_piece(payload: bytes) -> bytes:
    """A worker's entry: pairs in, verdicts out; each answer is judged in a limited process of its own."""
    with Verifier() as verifier:
        return msgspec.msgpack.encode(list(verifier.verify_all(_decode_pairs(payload))))


def _cut_pieces(pairs: _Pairs) -> list[_Pairs]:
    return [pairs[at : at + _PIECE] for at in range(0, len(pairs), _PIECE)]


def _verify_pieces(config: VerifyConfig, pairs: _Pairs) -> VerifyResult:
    """All pieces by the workers of another engine."""
    target = f"{__name__}:{verify_piece.__name__}"
    found: list[Verdict] = []
    with work_division.open_workers(config, target, jobs=config.jobs, timeout_s=_TIMEOUT_S) as workers:
        for outcome in workers.map(msgspec.msgpack.encode(piece) for piece in _cut_pieces(pairs)):
            if outcome.problem:
                raise DataError(f"a worker failed while it judged answers: {outcome.problem}")
            found += _decode_verdicts(outcome.value)
    return VerifyResult(verdicts=tuple(found))


def _do_share(config: VerifyConfig, share: ShardNumber, pairs: _Pairs) -> VerifyResult | ShardReport:
    """The verdicts of one shard go into files; joined, they are the result."""
    if config.results is None:
        raise ConfigError("results", "with --shards, give the folder where the shards leave their verdicts")
    folder = config.results
    pieces = _cut_pieces(pairs)
    files = [folder / f"{n:06d}-{digest(piece)[:16]}.json" for n, piece in enumerate(pieces)]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    if share.is_join:
        work_division.require_pieces(missing, share, "pieces")
        decode = msgspec.json.Decoder(list[Verdict]).decode
        return VerifyResult(verdicts=tuple(v for file in files for v in decode(sealed_files.read_sealed(file))))
    own = [number for number in missing if share.takes(number)]
    with Verifier(jobs=config.jobs) as verifier:
        for number in own:
            sealed_files.replace_sealed(files[number], msgspec.json.encode(list(verifier.verify_all(pieces[number]))))
    return ShardReport(
        shards=str(share),
        pieces=sum(share.takes(number) for number in range(len(pieces))),
        done=len(own),
        unit=f"pieces of up to {_PIECE} answers",
        join=f"the same command with --shards all/{share.total}",
    )


def _verify_by_check(config: VerifyConfig) -> VerifyResult:
    """One answer by a check that is given on the command line."""
    if config.answer is None or config.task is not None:
        raise UsageError("with --check: give --answer FILE, and no task")
    table = read_check(config.check, Path.cwd())
    require_check(table)
    with boundary(DataError, str(config.answer)):
        answer = config.answer.read_text(encoding="utf-8")
    with Verifier() as verifier:
        return VerifyResult(verdicts=(verifier.verify(build_task(table, ""), answer),))


def _read_task(path: Path) -> Task:
    with boundary(DataError, str(path)):
        return msgspec.json.decode(path.read_bytes(), type=Task)
