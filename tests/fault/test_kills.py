"""`kill -9` at any moment of any verb, then the same command again: the result equals the uninterrupted run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from afs import artifacts
from afs.workspace import Workspace

from ..export.conftest import write_adapter, write_model
from .harness import Afs, Case, differences, serving

RECIPE = """
[samples]
verb = "generate"
domain = "sums"
name = "raw"
families = [{ family = "add", count = 120 }]

[data]
verb = "curate"
sources = ["raw"]
name = "set"

[model]
verb = "train"
method = "scratch"
trainer = "toy"
dataset = "set"
name = "toy"
epochs = 2
batch_size = 8
tensorboard = false
"""
GENERATE = ["generate", "--domain", "sums", "--name", "raw", "--families", '[{ family = "add", count = 120 }]']
CURATE = ["curate", "raw", "--name", "set"]
TRAIN = [
    "train", "--method", "scratch", "--trainer", "toy", "--dataset", "set", "--name", "toy", "--epochs", "4",
    "--batch-size", "8", "--tensorboard", "false",
]  # fmt: skip


def place(folder: Path) -> list[str]:
    return ["--quiet", "--workspace", str(folder / "w")]


class States:
    """Folders with what a verb needs before it; each is made once, from the one below it."""

    def __init__(self, afs: Afs, root: Path) -> None:
        self.afs, self.root = afs, root

    def folder(self, name: str) -> Path:
        folder = self.root / name
        if not folder.exists():
            below, make = STATES[name]
            shutil.copytree(self.folder(below), folder) if below else folder.mkdir()
            make(self.afs, folder)
        return folder


def write_rows(_: Afs, folder: Path) -> None:
    rows = [{"instruction": f"what is {n} plus 1?", "output": f"it is {n + 1}, of course"} for n in range(1000)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_recipe(_: Afs, folder: Path) -> None:
    (folder / "recipe.toml").write_text(RECIPE)


def train_three(afs: Afs, folder: Path) -> None:
    for seed in "123":
        afs.must(*TRAIN, "--seed", seed, *place(folder))


def register_three(afs: Afs, folder: Path) -> None:
    for ref in ("toy@1", "toy@2", "toy@3"):
        afs.must("models", "register", "toy", ref, *place(folder))


def back_up(afs: Afs, folder: Path) -> None:
    afs.must("models", "backup", str(folder / "copy"), *place(folder))
    afs.must("init", str(folder / "new"))


def store_adapter(_: Afs, folder: Path) -> None:
    workspace, model = Workspace(folder / "w"), write_model(folder / "model")
    adapter = write_adapter(folder / "adapter", model)
    known = {"base": "base@1", "base_digest": artifacts.tensors_digest(model)}
    for name, source, fields in (("base", model, {"form": "base"}), ("lora", adapter, {"form": "adapter", **known})):
        with artifacts.store_artifact(workspace, name, **fields) as pending:
            shutil.copytree(source, pending.folder, dirs_exist_ok=True)


STATES: dict[str, tuple[str, Callable[[Afs, Path], None]]] = {
    "empty": ("", lambda afs, f: afs.must("init", str(f / "w"))),
    "rows": ("empty", write_rows),
    "recipe": ("empty", write_recipe),
    "adapter": ("empty", store_adapter),
    "records": ("empty", lambda afs, f: afs.must(*GENERATE, *place(f))),
    "dataset": ("records", lambda afs, f: afs.must(*CURATE, *place(f))),
    "models": ("dataset", train_three),
    "names": ("models", register_three),
    "backup": ("names", back_up),
}

CASES = (
    Case("ingest", "rows", lambda f: ["ingest", "jsonl", str(f / "rows.jsonl"), "--name", "rows", *place(f)]),
    Case("generate", "empty", lambda f: [*GENERATE, *place(f)]),
    Case("curate", "records", lambda f: [*CURATE, *place(f)]),
    Case("train", "dataset", lambda f: [*TRAIN, *place(f)]),
    Case("eval", "dataset", lambda f: [
        "eval", "run", "sums:add", "--model", "echo:", "--base", "none", "--count", "40", "--name", "r", *place(f)]),
    Case("ship", "adapter", lambda f: ["ship", "lora", "--to", "merged", "--parity", "false", *place(f)]),
    Case("register", "models", lambda f: ["models", "register", "toy", "toy@1", *place(f)]),
    Case("promote", "names", lambda f: ["models", "promote", "toy", "--reason", "a test", *place(f)]),
    Case("gc", "names", lambda f: ["models", "gc", "--keep", "1", "--unregistered", *place(f)]),
    Case("backup", "names", lambda f: ["models", "backup", str(f / "copy"), *place(f)]),
    Case("restore", "backup", lambda f: ["models", "restore", str(f / "copy"), "--workspace", str(f / "new")]),
    Case("run", "recipe", lambda f: ["run", str(f / "recipe.toml"), *place(f)]),
)  # fmt: skip


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    with serving(tmp_path_factory.mktemp("afs")) as server:
        yield States(server, tmp_path_factory.mktemp("states"))


def lost(case: Case, states: States, folder: Path, kills: int, seed: int) -> list[str]:
    return differences(case, states.afs, states.folder(case.before), folder, kills, seed)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_three_kills(case: Case, states: States, tmp_path: Path) -> None:
    assert lost(case, states, tmp_path, kills=3, seed=1) == []


@pytest.mark.fault_long
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_thirty_kills(case: Case, states: States, tmp_path: Path) -> None:
    assert lost(case, states, tmp_path, kills=30, seed=2) == []
