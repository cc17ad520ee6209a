"""Steps beside each other: the same results as in turn, one error that names its step, and a stop that loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from afs import artifacts, events, pipeline, runs
from afs.errors import ConfigError, DataError, ProcessError, UsageError, WorkspaceError
from afs.pipeline import RunConfig, run_recipe
from afs.step_process import StepProcess
from afs.workspace import Workspace

SAMPLES = """
[samples]
verb = "generate"
domain = "sums"
name = "raw"
count = 60
families = [{ family = "copy", count = 60 }]

[first]
verb = "train"
method = "scratch"
trainer = "toy"
dataset = "raw"
name = "first"
max_steps = 20

[second]
verb = "train"
beside = {beside}
method = "scratch"
trainer = "toy"
dataset = "raw"
name = "second"
max_steps = {steps}
epochs = {epochs}
seed = 7
"""


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def write(folder: Path, beside: str, steps: int = 30) -> Path:
    path = folder / "r.toml"
    path.write_text(
        SAMPLES.replace("{beside}", beside)
        .replace("{steps}", str(steps))
        .replace("{epochs}", "3" if steps else "30000")
    )
    return path


def test_steps_beside_each_other_give_what_they_give_in_turn(tmp_path: Path) -> None:
    digests, seen = [], []
    for beside in ("false", "true"):
        workspace = Workspace.create(tmp_path / beside)
        recipe = write(workspace.root, beside)
        events.add_listener(seen.append)
        try:
            done = run_recipe(RunConfig(recipe=recipe), workspace)
        finally:
            events.remove_listener(seen.append)
        assert [row.outcome for row in done] == ["done"] * 3
        assert [row.outcome for row in run_recipe(RunConfig(recipe=recipe), workspace)] == ["skipped"] * 3
        digests.append([artifacts.load(workspace, name).digest for name in ("first", "second")])
    assert digests[0] == digests[1]
    assert [row["phase"] for row in seen if row["event"] == "phase.end"].count("second") == 2
    assert len([row for row in seen if row.get("verb") == "train" and row["event"] == "run.end"]) == 4


def test_one_processor_runs_them_in_turn(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(StepProcess, "run", None)
    assert [row.outcome for row in run_recipe(RunConfig(recipe=write(tmp_path, "true")), workspace)] == ["done"] * 3


def test_a_step_that_fails_is_named_and_the_other_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    path = write(tmp_path, "true")
    path.write_text(path.read_text().replace('dataset = "raw"\nname = "second"', 'dataset = "none"\nname = "second"'))
    with pytest.raises((UsageError, WorkspaceError, DataError, ProcessError), match=r"^second: .*none"):
        run_recipe(RunConfig(recipe=path), workspace)
    assert workspace.names("artifact") == ["first"]
    path.write_text(path.read_text().replace('"none"', '"raw"'))
    assert [row.outcome for row in run_recipe(RunConfig(recipe=path), workspace)] == ["skipped", "skipped", "done"]


def test_when_the_recipe_fails_the_step_beside_stops_and_resumes(workspace: Workspace, tmp_path: Path) -> None:
    path = write(tmp_path, "true", steps=0)
    steps = pipeline.read_recipe(path)
    pipeline.run_steps(steps[:1], workspace)
    broken = path.read_text().replace('dataset = "raw"\nname = "first"', 'dataset = "none"\nname = "first"')
    path.write_text(broken)
    with pytest.raises((UsageError, WorkspaceError, DataError), match="none"):
        run_recipe(RunConfig(recipe=path), workspace)
    left = [run.state.status for run in runs.list_runs(workspace) if run.state.verb == "train"]
    assert "done" not in left  # how far it came before it stopped depends on the machine


@pytest.mark.fault_long
def test_a_step_whose_recipe_is_killed_stops(workspace: Workspace, tmp_path: Path) -> None:
    path = write(tmp_path, "true", steps=0)
    path.write_text(path.read_text().replace("max_steps = 20", "epochs = 30000"))
    code = (
        "import os; os.sched_getaffinity = lambda _: {0, 1}\n"
        f"from afs.cli.main import main; main(['run', '@{path}', '--workspace', '{workspace.root}'])"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        _wait_until(lambda: len(_training(workspace)) == 2, "two trainings")
        parent.send_signal(signal.SIGKILL)
    finally:
        parent.kill()
        parent.wait()
    _wait_until(lambda: sorted(_training(workspace)) == ["running", "stopped"], "the step beside to stop")


def _training(workspace: Workspace) -> list[str]:
    return [run.state.status for run in runs.list_runs(workspace) if run.state.verb == "train"]


def _wait_until(condition: object, what: str) -> None:
    assert callable(condition)
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}")


def test_a_step_cannot_read_what_is_made_beside_it(workspace: Workspace, tmp_path: Path) -> None:
    path = write(tmp_path, "true")
    path.write_text(path.read_text() + 'base = "first"\n')
    with pytest.raises(UsageError, match=r"second\.base: no artifact 'first' is stored, and no step before makes it"):
        run_recipe(RunConfig(recipe=path, dry_run=True), workspace)


def test_beside_is_true_or_false(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"second\.beside: want true or false, got 'first'"):
        run_recipe(RunConfig(recipe=write(tmp_path, '"first"')), workspace)
