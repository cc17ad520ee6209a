"""Stages: killed in the second one, past an evaluation and a gate, the run ends with the weights it would have had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import msgspec
import pytest
from tests.train.conftest import config, run_train, stopping_at, store, sums, weights

from afs import artifacts, runs
from afs.config import to_table
from afs.train.training_data import gather_material
from afs.types import Score
from afs.workspace import Workspace

STAGES = [
    {"name": "warm-up", "samples": 16, "learning_rate": 1e-3},
    {"name": "main", "epochs": 2, "learning_rate": 3e-3, "warmup": 0.2},
    {"name": "cool-down", "samples": 8, "learning_rate": 1e-4, "schedule": "constant"},
]
KILLED = """
import os, signal, sys
from pathlib import Path
from afs import events, runs
from afs.config import decode, load_toml
from afs.train import TrainConfig, train
from afs.workspace import Workspace
import json

def shoot(event):
    if event["event"] == "train.step" and event["stage"] == "main" and event["step"] == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

events.add_listener(shoot)
config = decode(TrainConfig, json.loads(sys.argv[2]))
with runs.open_run(Workspace(Path(sys.argv[1])), "train", config) as run:
    train(config, run)
"""


@pytest.mark.parametrize("step", [4, 9])
def test_killed_in_stage_two_it_ends_as_if_nothing_had_been(place: Workspace, step: int) -> None:
    toy = {"trainer": "toy", "stages": STAGES, "checkpoints": {"every": 3}, "learning_rate": 0.1}
    whole = run_train(place, **toy, name="made")
    table = (artifacts.folder_of(place, whole) / "table.npy").read_bytes()
    other = config(**toy, name="shot")
    words = [sys.executable, "-c", KILLED, str(place.root), msgspec.json.encode(to_table(other)).decode(), str(step)]
    died = subprocess.run(words, capture_output=True, env={**os.environ, "AFS_WORKSPACE": str(place.root)}, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-400:]
    again = run_train(place, **toy, name="shot")
    assert (artifacts.folder_of(place, again) / "table.npy").read_bytes() == table
    told = (runs.get(place, again.run).folder / "events.jsonl").read_text()
    assert told.count('"train.resume"') == 1


@pytest.mark.train
def test_stopped_in_stage_two_a_model_ends_with_the_same_weights(
    place: Workspace,
    heard: Callable[..., list],  # type: ignore[type-arg]
) -> None:
    whole = run_train(place, stages=STAGES, name="whole")
    assert {row["stage"] for row in heard("train.step")} == {"warm-up", "main", "cool-down"}
    assert len(heard("train.eval")) >= 3, "validated after every stage"
    stopping_at(place, 6, stages=STAGES, name="halves")
    halves = run_train(place, stages=STAGES, name="halves")
    assert weights(place, halves) == weights(place, whole)
    assert halves.facts["best"] == whole.facts["best"]


def test_rehearsal_draws_the_best_scored_records_and_exactly_the_share(place: Workspace) -> None:
    earlier = [
        msgspec.structs.replace(record, scores=(Score(id="s", version="1", value=number / 100),))
        for number, record in enumerate(sums("reverse", 40))
    ]
    store(place, "earlier", earlier)
    for share in (0.1, 0.25, 0.4):
        chosen = config(rehearsal=[{"dataset": "earlier", "share": share}])
        material = gather_material(chosen, place, lambda _: [])
        added = [record for record in material.train if record.kind == "reverse"]
        assert len(added) == material.rehearsed == round((len(material.train) - len(added)) * share / (1 - share))
        best = sorted((record.scores[0].value or 0 for record in earlier), reverse=True)[: len(added)]
        assert sorted((r.scores[0].value or 0 for r in added), reverse=True) == best
    two = [{"dataset": "earlier", "share": 0.2}, {"dataset": "other", "share": 0.2}]
    mixed = gather_material(config(rehearsal=two), place, lambda _: [])
    kinds = [record.kind for record in mixed.train]
    assert abs(kinds.count("reverse") / len(kinds) - 0.2) < 0.5 / len(kinds) + 1e-9
    assert abs(kinds.count("largest") / len(kinds) - 0.2) < 0.5 / len(kinds) + 1e-9
