"""Steps in one pass: each keeps its own account, and what was kept is what separate passes keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from afs import runs
from afs.curate import CurateConfig
from afs.curate.split import Sides
from afs.curate.step_context import Records, RecordStream, Spill, StepContext
from afs.curate.step_runner import NamedStep, group_passes, run_pass
from afs.errors import DataError
from afs.types import Dropped, FunnelStage, Message, Origin, Record, record_id
from afs.workspace import Workspace


def record(number: int) -> Record:
    turns = (Message(role="user", text=str(number)), Message(role="assistant", text="x"))
    return Record(id=record_id("d", turns), domain="d", kind="pair", messages=turns, origin=Origin(source="t"))


def without(divisor: int) -> NamedStep:
    def step(records: RecordStream, context: StepContext) -> Iterator[Record | Dropped]:
        for one in records:
            if int(one.messages[0].text) % divisor == 0:
                yield Dropped(record=one, reason=f"by {divisor}")
            else:
                yield one

    return NamedStep(f"without-{divisor}", step)


def forgetful(records: RecordStream, context: StepContext) -> Iterator[Record | Dropped]:
    yield from list(records)[1:]


@pytest.fixture
def context(workspace: Workspace) -> Iterator[StepContext]:
    config = CurateConfig(sources=("raw",), name="set")
    with (
        runs.open_run(workspace, "curate", config) as run,
        closing(StepContext(run, "set", Sides(config.split))) as context,
    ):
        yield context


def filled(folder: Path, limit: int) -> Records:
    records: Records = Spill(folder / "in.bin", Record, limit=limit)
    for number in range(1, 31):
        records.add(record(number))
    return records


@pytest.mark.parametrize("limit", [0, 100])
def test_each_step_of_a_pass_has_its_own_line_of_the_funnel(context: StepContext, tmp_path: Path, limit: int) -> None:
    dropped: Spill[Dropped] = Spill(tmp_path / "dropped.bin", Dropped)
    with closing(Spill(tmp_path / "out.bin", Record, limit=limit)) as out:
        stages = run_pass([without(2), without(3)], filled(tmp_path, limit), dropped, out, context)
        assert list(out) == [record(n) for n in range(1, 31) if n % 2 and n % 3]
    assert stages == [
        FunnelStage(step="without-2", records=15, dropped={"by 2": 15}),
        FunnelStage(step="without-3", records=10, dropped={"by 3": 5}),
    ]
    assert len(dropped) == 20


def test_a_step_that_loses_a_record_is_named(context: StepContext, tmp_path: Path) -> None:
    dropped: Spill[Dropped] = Spill(tmp_path / "dropped.bin", Dropped)
    out: Records = Spill(tmp_path / "out.bin", Record)
    steps = [without(2), NamedStep("forgetful", forgetful)]
    with pytest.raises(DataError, match="step forgetful: 15 in"):
        run_pass(steps, filled(tmp_path, 100), dropped, out, context)


def test_steps_that_need_the_whole_set_have_a_pass_of_their_own() -> None:
    named = [NamedStep(name, forgetful) for name in ("redact", "validate", "dedup", "mix", "score", "redact")]
    names = [[step.name for step in together] for together in group_passes(named)]
    assert names == [["redact", "validate"], ["dedup"], ["mix"], ["score", "redact"]]


def test_a_trial_leaves_no_notes(context: StepContext) -> None:
    trial = context.for_trial()
    trial.note("redact", email=3)
    trial.keep("redactions.jsonl", [{"where": "x"}])
    assert context.notes == {} and context.aside == {}
    assert not any(b"curate.redact" in path.read_bytes() for path in context.run.folder.glob("events.jsonl"))
