"""Checkpoints without a model: what stays, what is set aside, what a full disk leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from afs.errors import RefusedError
from afs.events import EventLog
from afs.train.checkpoints import Best, State, Store, differences, read, refuse_drift
from afs.workspace import MANIFEST


class Learner:
    """Saves one small file; fails as often as it is asked to."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures

    def save(self, folder: Path) -> None:
        (folder / "state.bin").write_bytes(b"weights")
        if self.failures:
            self.failures -= 1
            raise OSError("no space left")


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "events.jsonl", {})


def store(tmp_path: Path, log: EventLog, keep: int = 2) -> Store:
    return Store(tmp_path / "checkpoints", log, keep=keep, config="c")


def write(into: Store, batch: int, best: int = 0, learner: Learner | None = None) -> bool:
    state = State(batch=batch, best=Best(batch=best, value=1.0) if best else None)
    return into.write(learner or Learner(), state, {"data": "d"}, {"torch": "1"}) and into.settle()  # type: ignore[arg-type]


def names(one: Store) -> list[int]:
    return [int(path.name.partition("-")[2]) for path in one.all()]


def test_the_newest_ones_and_the_best_one_stay(tmp_path: Path, log: EventLog) -> None:
    one = store(tmp_path, log)
    for batch in range(1, 6):
        assert write(one, batch, best=2 if batch >= 2 else 1)
    assert names(one) == [2, 4, 5]
    found = one.newest()
    assert found is not None and found.manifest.state.batch == 5 and found.manifest.identity == {"data": "d"}
    assert found.manifest.config == "c" and [file.path for file in found.manifest.files] == ["state.bin"]


def test_a_state_begins_with_nothing_done_at_the_planned_rate() -> None:
    state = State()
    assert (state.batch, state.steps, state.tokens, state.samples, state.micro, state.evaluations) == (0,) * 6
    assert (state.rate_scale, state.seconds, state.elapsed, state.loss, state.best) == (1.0, 0.0, 0.0, None, None)


def test_a_damaged_newest_one_is_set_aside_and_the_one_before_is_used(tmp_path: Path, log: EventLog) -> None:
    one = store(tmp_path, log)
    write(one, 1), write(one, 2)
    (one.place(2) / "state.bin").write_bytes(b"weightz")
    found = one.newest()
    assert found is not None and found.manifest.state.batch == 1
    assert (one.folder / "torn-batch-00000002").is_dir() and names(one) == [1]
    (one.place(1) / MANIFEST).write_bytes(b"{")
    assert one.newest() is None


def test_the_sound_one_before_a_batch(tmp_path: Path, log: EventLog) -> None:
    one = store(tmp_path, log, keep=9)
    for batch in (3, 6, 9):
        write(one, batch)
    for batch, wanted in ((9, 9), (8, 6), (6, 6), (5, 3), (1, 3)):
        found = one.good_before(batch)
        assert found is not None and found.manifest.state.batch == wanted


def test_a_full_disk_is_cleaned_up_once_and_then_the_state_is_kept(tmp_path: Path, log: EventLog) -> None:
    one = store(tmp_path, log, keep=3)
    for batch in (1, 2, 3):
        write(one, batch)
    assert write(one, 4, learner=Learner(failures=1))
    assert names(one) == [3, 4], "all but the newest one made room"
    assert not write(one, 5, learner=Learner(failures=2))
    failed = [row for row in map(json.loads, log.path.read_text().splitlines()) if row["event"].endswith("failed")]
    assert [(row["batch"], row["attempt"]) for row in failed] == [(4, 1), (5, 1), (5, 2)]
    assert names(one) == [4] and [path.name for path in one.folder.iterdir()] == ["batch-00000004"]


def test_what_a_killed_writer_left_is_removed(tmp_path: Path, log: EventLog) -> None:
    (tmp_path / "checkpoints" / ".writing-7-99").mkdir(parents=True)
    assert list(store(tmp_path, log).folder.iterdir()) == []


def test_a_checkpoint_replaces_one_of_the_same_batch(tmp_path: Path, log: EventLog) -> None:
    one = store(tmp_path, log)
    assert write(one, 1, best=1) and write(one, 1)
    assert read(one.place(1)).state.best is None


def test_what_differs_is_named_and_refused(log: EventLog) -> None:
    then, now = {"data": "a", "base": "b"}, {"data": "c", "rate": "1"}
    found = differences(then, now)
    assert found == ["base: b then, nothing now", "data: a then, c now", "rate: nothing then, 1 now"]
    refuse_drift(then, then, allowed=False, log=log)
    refuse_drift(then, now, allowed=True, log=log)
    assert "train.drift" in log.path.read_text()
    with pytest.raises(RefusedError, match="belongs to another run: base: b then"):
        refuse_drift(then, now, allowed=False, log=log)
