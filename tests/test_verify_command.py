"""`afs verify` in shards: the same verdicts in the same order, a missing shard is named, finished pieces stay."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from afs import verify_command
from afs.domains.sums import DOMAIN
from afs.errors import ConfigError, DataError
from afs.verify_command import VerifyConfig, VerifyResult, verify_answers
from afs.work_division import ShardReport


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Eleven tasks and answers, every third one wrong; pieces of two."""
    monkeypatch.setattr(verify_command, "_PIECE", 2)
    tasks = list(DOMAIN.tasks("add", 1, 11))
    answers = [t.reference if n % 3 else "-1" for n, t in enumerate(tasks)]
    for name, values in (("tasks", tasks), ("answers", answers)):
        (tmp_path / f"{name}.jsonl").write_bytes(b"".join(msgspec.json.encode(v) + b"\n" for v in values))
    return tmp_path / "tasks.jsonl", tmp_path / "answers.jsonl"


def test_shards_joined_equal_one_process(files: tuple[Path, Path], tmp_path: Path) -> None:
    task, answer = files
    whole = verify_answers(VerifyConfig(task=task, answer=answer))
    assert isinstance(whole, VerifyResult) and whole.exit_code == 3
    shared = {"task": task, "answer": answer, "results": tmp_path / "results"}
    first = verify_answers(VerifyConfig(**shared, shards="1/2"))
    assert isinstance(first, ShardReport) and (first.pieces, first.done) == (3, 3)
    with pytest.raises(DataError, match="3 pieces of shard 2/2 missing; run the same command with --shards 2/2"):
        verify_answers(VerifyConfig(**shared, shards="all/2"))
    verify_answers(VerifyConfig(**shared, shards="2/2"))
    next((tmp_path / "results").glob("000002*")).unlink()  # as if the shard had been killed there
    again = verify_answers(VerifyConfig(**shared, shards="1/2"))
    assert isinstance(again, ShardReport) and (again.pieces, again.done) == (3, 1)
    assert verify_answers(VerifyConfig(**shared, shards="all/2")) == whole


def test_shards_need_a_folder(files: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="results: with --shards"):
        verify_answers(VerifyConfig(task=files[0], answer=files[1], shards="1/2"))
