"""The inspect engine gives the very table the direct one gives. One contract test: inspect_ai changes often."""

from __future__ import annotations

import msgspec
import pytest
from inspect_ai.log import list_eval_logs, read_eval_log

from afs.evaluate import EvalRunConfig, eval_run, stored
from afs.evaluate.suites import open_suite
from afs.runs import Run
from afs.types import Completion
from afs.workspace import Workspace

from .conftest import Player


@pytest.mark.e2e
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning")
def test_both_engines_give_the_same_table(workspace: Workspace, run: Run, player: Player) -> None:
    items = open_suite(workspace, "sums:add", count=4).items
    said: list[str | Completion | None] = [
        items[0].task.reference,
        "no",
        None,
        Completion(text=items[3].task.reference, model="m", finish="length"),
    ]
    spec = player("m", items, lambda i, _: said[i])
    config = EvalRunConfig(suite="sums:add", model=(spec,), base="none", count=4, name="direct")
    direct = stored.table(workspace, eval_run(config, run))
    (run.folder / "answers.jsonl").unlink()
    config = msgspec.structs.replace(config, engine="inspect", name="inspect")
    other = stored.table(workspace, eval_run(config, run))
    untimed = [[msgspec.structs.replace(row, seconds=0.0) for row in table.rows] for table in (direct, other)]
    assert untimed[0] == untimed[1]
    assert [row.outcome for row in other.rows] == ["answered", "answered", "dead", "cut"]
    log = read_eval_log(list_eval_logs(str(run.folder / "inspect"))[0])
    assert log.status == "success" and log.samples is not None
    marks = {sample.id: sample.scores["afs"].value for sample in log.samples if sample.scores}
    assert marks == {items[0].id: 1.0, items[1].id: 0.0}, "what is no answer has no score in the log either"
