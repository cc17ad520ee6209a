"""The loop, its checkpoints and its gate on the smallest learner, in milliseconds; choosing examples; the recipes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.train.conftest import record, run_train, split, stopping_at, store, sums

from afs import artifacts, runs
from afs.config import decode, load_toml
from afs.domains.sums import DOMAIN
from afs.errors import ConfigError, RefusedError, UsageError
from afs.providers.base import GREEDY, Sampling
from afs.train import few_shot_search
from afs.train.resume_and_compare_commands import CompareConfig, ResumeConfig, compare, resume
from afs.train.settings import TrainConfig
from afs.types import Artifact, Completion, Message, Tool
from afs.workspace import Workspace

TOY = {"trainer": "toy", "learning_rate": 2.0, "epochs": 4}
Heard = Callable[[str], list[dict[str, object]]]


@pytest.fixture
def toys(workspace: Workspace) -> Workspace:
    """A workspace with the dataset `small`."""
    store(workspace, "small", *split([*sums("first", 40), *sums("largest", 40)]))
    return workspace


def table(workspace: Workspace, made: Artifact) -> bytes:
    return (artifacts.folder_of(workspace, made) / "table.npy").read_bytes()


def test_it_learns_and_stores(toys: Workspace, heard: Heard) -> None:
    made = run_train(toys, **TOY)
    losses = [float(str(row["loss"])) for row in heard("train.step")]
    assert losses[-1] < losses[0] - 0.5
    assert made.form == "base"


@pytest.mark.parametrize("step", [1, 5, 8, 20])
def test_resumed_equals_uninterrupted(toys: Workspace, step: int) -> None:
    whole = run_train(toys, **TOY, name="whole")
    stopping_at(toys, step, **TOY, name="halves")
    assert table(toys, run_train(toys, **TOY, name="halves")) == table(toys, whole)


def test_resume_by_name_and_compare(toys: Workspace) -> None:
    first = stopping_at(toys, 5, **TOY)
    with pytest.raises(UsageError, match="needs --allow-drift"):
        resume(ResumeConfig(run=first.id, changes={"learning_rate": 1.0}), toys)
    other = resume(ResumeConfig(run=first.id, changes={"learning_rate": 1.0}, allow_drift=True), toys)
    assert other.run != first.id
    made = resume(ResumeConfig(run=first.id), toys)
    assert made.run == first.id
    rows = compare(CompareConfig(runs=(first.id, other.run)), toys)
    assert [row.differs for row in rows] == ["", "learning_rate"]
    assert all(row.last_loss is not None and row.held_out_loss is not None for row in rows)
    assert rows[0].verified is None, "no probes were asked: unknown, not 0"


def test_a_gate_stops_between_stages(toys: Workspace) -> None:
    stages = [
        {"name": "main", "learning_rate": 1.0, "gate": 0.9},
        {"name": "cool-down", "learning_rate": 0.1},
    ]
    with pytest.raises(RefusedError, match="its gate needs probes"):
        run_train(toys, **TOY, stages=stages)
    with pytest.raises(RefusedError, match=r"stage main ended with .* its gate requires 90%"):
        run_train(toys, **TOY, stages=stages, evaluate={"probes": 4}, name="probed")


def test_patience_ends_a_run_that_gets_no_better(toys: Workspace, heard: Heard) -> None:
    made = run_train(
        toys, **{**TOY, "learning_rate": 1e-30, "epochs": 9}, evaluate={"patience": 2}, guard={"spike": 1e9}
    )
    assert [row["rule"] for row in heard("train.guard") if row["action"] == "stop"] == ["plateau"]
    assert len(heard("train.eval")) < 9
    assert made.facts["best"]["batch"] <= made.facts["steps"]  # type: ignore[index,operator]


def test_tensorboard_files_hold_the_figures(toys: Workspace) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    made = run_train(toys, **TOY, tensorboard=True)
    folder = runs.get(toys, made.run).folder / "tensorboard"
    found = [v.tag for e in loader.RawEventFileLoader(str(next(folder.iterdir()))).Load() for v in _values(e)]
    assert {"train/loss", "train/lr", "train/grad_norm", "train/tokens_s", "eval/loss"} <= set(found)


def _values(raw: bytes) -> Sequence[object]:
    from tensorboard.compat.proto.event_pb2 import Event

    return list(Event.FromString(raw).summary.value)


def test_poison_leaves_no_trace_in_the_table(toys: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from afs.train.backends import toy

    true, count = toy.pair_loss, iter(range(10_000))

    def poisoned(*given: object) -> tuple[float, toy.Table]:
        loss, gradient = true(*given)  # type: ignore[arg-type]
        return (float("nan"), gradient * np.nan) if next(count) == 4 else (loss, gradient)

    monkeypatch.setattr(toy, "pair_loss", poisoned)
    made = run_train(toys, **TOY, evaluate={"split": "none"})
    assert np.isfinite(np.load(artifacts.folder_of(toys, made) / "table.npy")).all()


class Copycat:
    """Answers right only when an example was shown before the question."""

    name = "copycat"

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        shown = any(m.text.startswith("largest") for m in messages[:-1] if m.role == "user")
        words = messages[-1].text.split()
        family = words[0]
        task = next(t for t in DOMAIN.tasks(family, 0, 40) if t.prompt == messages[-1].text)
        return Completion(text=task.reference if shown else "?", model=self.name)


def test_examples_are_chosen_by_what_they_do(toys: Workspace, monkeypatch: pytest.MonkeyPatch, heard: Heard) -> None:
    monkeypatch.setattr(few_shot_search.models, "open_model", lambda *_: Copycat())
    made = run_train(toys, method="fewshot", base="copycat:", fewshot={"examples": 2, "trials": 3, "tasks": 6})
    assert made.form == "fewshot"
    assert (made.facts["passed_without"], made.facts["passed"]) == (0.0, 1.0)
    stored = json.loads((artifacts.folder_of(toys, made) / few_shot_search.EXAMPLES).read_bytes())
    assert [turn["role"] for turn in stored] == ["user", "assistant"] * 2
    assert len(heard("train.fewshot")) == 4


RECIPES = [Path(__file__).parents[2] / "recipes" / f"{name}.toml" for name in ("from-verdicts", "tiny")]


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_recipe_decodes(path: Path) -> None:
    chosen = decode(TrainConfig, load_toml(path)["train"], file=path.name)
    assert chosen.name and chosen.dataset
    assert sum(part.share for part in chosen.rehearsal) < 1


def test_a_time_limit_ends_the_run_with_its_best_model(toys: Workspace, heard: Heard) -> None:
    made = run_train(toys, **TOY, max_hours=1e-9)
    assert made.facts["steps"] == 1
    assert [row["rule"] for row in heard("train.guard")] == ["time limit"]


def test_verified_without_answers_to_judge_is_refused(toys: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"evaluate.best: verified needs answers to judge, but evaluate.probes is 0"):
        run_train(toys, **TOY, evaluate={"best": "verified"})
    store(toys, "small", [record("a", "b", "1")], [record("c", "d", "2")])
    with pytest.raises(ConfigError, match="no held-out record has a task"):
        run_train(toys, **TOY, evaluate={"best": "verified", "probes": 4})


def test_a_stopped_phase_is_not_called_failed(toys: Workspace, heard: Heard) -> None:
    stopping_at(toys, 3, **TOY)
    assert [row["outcome"] for row in heard("phase.end") if str(row["phase"]).startswith("train ")] == ["stopped"]
