"""The verbs that the fault tests kill, bound and starve, and the states they start from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from afs import artifacts, jsonl
from afs.domains.base import DOMAINS
from afs.evaluate.suites import open_suite
from afs.workspace import Workspace

from ..export.conftest import write_adapter, write_model
from .harness import Afs, Case

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


def write_answers(_: Afs, folder: Path) -> None:
    """Answers of two models, collected elsewhere."""
    items = open_suite(Workspace(folder / "w"), "sums:add", count=120).items
    for name, wrong_every in (("good", 12), ("base", 2)):
        rows = [(item, n % wrong_every) for n, item in enumerate(items)]
        said = [{"id": item.id, "output": item.task.reference if is_right else "none"} for item, is_right in rows]
        jsonl.write(folder / f"{name}.jsonl", said)


def import_answers(folder: Path) -> list[str]:
    files = [str(folder / "good.jsonl"), str(folder / "base.jsonl")]
    return ["eval", "import", *files, "--model", "good,base", "--base", "base", "--name", "r",
            "--suite", "sums:add", "--count", "120", *place(folder)]  # fmt: skip


def write_tasks(_: Afs, folder: Path) -> None:
    tasks = list(DOMAINS.find("sums").tasks("add", seed=3, n=2500))
    jsonl.write(folder / "tasks.jsonl", tasks)


def promote_two(afs: Afs, folder: Path) -> None:
    for ref in ("toy@1", "toy@2"):
        afs.must("models", "promote", "toy", ref, "--reason", "a test", *place(folder))


def write_teacher(_: Afs, folder: Path) -> None:
    """The address of the teacher that runs beside the tests."""
    text = f'[providers.box]\nkind = "openai"\nbase_url = "{os.environ["FAULT_TEACHER"]}"\n'
    text += "price = { input = 1.0, output = 1.0 }\n"
    (folder / "w" / "providers.toml").write_text(text)


def write_stages(_: Afs, folder: Path) -> None:
    """A recipe whose samples are bought from a teacher."""
    (folder / "recipe.toml").write_text(RECIPE.replace('name = "raw"\n', 'name = "raw"\nteacher = "box:m"\n', 1))


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
    "model": ("empty", lambda _, f: write_model(f / "model")),
    "answers": ("empty", write_answers),
    "report": ("answers", lambda afs, f: afs.must(*import_answers(f))),
    "tasks": ("empty", write_tasks),
    "rolled": ("names", promote_two),
    "exported": ("dataset", lambda afs, f: afs.must("data", "export", "set", *place(f))),
    "teacher": ("empty", write_teacher),
    "stages": ("teacher", write_stages),
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

OTHERS = (
    Case("deprecate", "names", lambda f: ["models", "deprecate", "toy", "toy@2", "--reason", "a test", *place(f)]),
    Case("rollback", "rolled", lambda f: ["models", "rollback", "toy", "--reason", "a test", *place(f)]),
    Case("backup of all", "names", lambda f: ["models", "backup", str(f / "copy"), "--also", "all", *place(f)]),
    Case("models import", "model", lambda f: ["models", "import", str(f / "model"), "--name", "mine", "--license", "MIT", *place(f)]),
    Case("ship gguf", "adapter", lambda f: ["ship", "lora", "--to", "gguf", "--parity", "false", *place(f)]),
    Case("import", "answers", import_answers),
    Case("rescore", "report", lambda f: ["eval", "rescore", "r", *place(f)]),
    Case("gate", "report", lambda f: ["eval", "gate", "r", "--contamination", "false", *place(f)], ends=3),
    Case("verify", "tasks", lambda f: [
        "verify", str(f / "tasks.jsonl"), "--shards", "1/1", "--results", str(f / "results"), *place(f)]),
    Case("export", "dataset", lambda f: ["data", "export", "set", *place(f)]),
    Case("export over another", "exported", lambda f: ["data", "export", "set", *place(f)]),
    Case("push", "dataset", lambda f: [
        "data", "push", "set", f"me/{f.name}", "--endpoint", os.environ["FAULT_HUB"], *place(f)]),
    Case("route", "dataset", lambda f: [
        "route", "train", "--duties", '[{ expert = "a", source = "raw" }, { expert = "b", source = "set" }]', *place(f)]),
    Case("campaign", "teacher", lambda f: [*GENERATE, "--teacher", "box:m", *place(f)]),
    Case("recipe with a teacher", "stages", lambda f: ["run", str(f / "recipe.toml"), *place(f)]),
)  # fmt: skip
"""Verbs that run overnight too; only `make faults` kills these."""
