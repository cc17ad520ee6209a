"""One tiny dataset and one tiny base per session; every test trains in a workspace of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from afs import artifacts, datasets, events, runs
from afs.config import decode, merge
from afs.domains.sums import DOMAIN
from afs.train import TrainConfig, train
from afs.types import Artifact, Message, Origin, Record, record_id
from afs.workspace import Workspace

settings.register_profile("any speed", deadline=None)
settings.load_profile("any speed")

SHAPE = {"hidden": 64, "layers": 2, "intermediate": 128, "heads": 2, "kv_heads": 1, "vocabulary": 300}
TINY = {
    "dataset": "small",
    "name": "made",
    "method": "scratch",
    "shape": SHAPE,
    "learning_rate": 3e-3,
    "batch_size": 8,
    "epochs": 2,
    "max_length": 128,
    "tensorboard": False,
    "checkpoints": {"every": 5},
}
LORA = {"method": "lora", "base": "base", "lora": {"rank": 4, "alpha": 8}}


def record(question: str, answer: str, group: str = "", system: str = "") -> Record:
    """A record of one question and its answer."""
    messages = datasets.task_messages(question, system, answer)
    origin = Origin(source="test", license="CC0-1.0", group=group)
    return Record(id=record_id("sums", messages), domain="sums", kind="copy", messages=messages, origin=origin)


def sums(family: str, count: int, seed: int = 0) -> Iterator[Record]:
    """Verified records of the pack `sums`."""
    for task in DOMAIN.tasks(family, seed, count):
        messages = datasets.task_messages(task.prompt, task.system, task.reference)
        origin = Origin(source="sums", license="CC0-1.0", group=f"{family}#{task.group}")
        key = record_id("sums", messages)
        yield Record(id=key, domain="sums", kind=family, messages=messages, origin=origin, task=task)


def store(workspace: Workspace, name: str, records: Iterable[Record], held_out: Iterable[Record] = ()) -> None:
    """A dataset with the splits train and val."""
    with datasets.write_dataset(workspace, name, "dataset", splits=("train", "val")) as pending:
        for one in records:
            pending.add("train", one)
        for one in held_out:
            pending.add("val", one)


def split(records: Iterable[Record]) -> tuple[list[Record], list[Record]]:
    """By group, as curation does."""
    train_side: list[Record] = []
    held_out: list[Record] = []
    for one in records:
        assert one.task is not None
        (held_out if int(one.task.group) % 5 == 0 else train_side).append(one)
    return train_side, held_out


@pytest.fixture(scope="session")
def _ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the dataset `small` and the model `base` trained on it."""
    root = tmp_path_factory.mktemp("train") / "workspace"
    workspace = Workspace.create(root)
    store(workspace, "small", *split([*sums("first", 30), *sums("say", 30)]))
    store(workspace, "other", *split(sums("largest", 40)))
    run_train(workspace, name="base", epochs=1)
    return root


@pytest.fixture
def place(_ready: Path, tmp_path: Path) -> Workspace:
    """A copy of the prepared workspace."""
    shutil.copytree(_ready, tmp_path / "place")
    return Workspace(tmp_path / "place")


def config(**changes: object) -> TrainConfig:
    """The tiny config with changes."""
    return decode(TrainConfig, merge(TINY, changes))


def run_train(workspace: Workspace, *, allow_drift: bool = False, **changes: object) -> Artifact:
    """Train the tiny config with changes."""
    chosen = config(**changes)
    with runs.open_run(workspace, "train", chosen) as run:
        return train(chosen, run, allow_drift=allow_drift)


def stopping_at(
    workspace: Workspace,
    step: int,
    *,
    preempted: bool = False,
    event: str = "train.step",
    field: str = "step",
    **changes: object,
) -> runs.Run:
    """Train until a step, and be asked to stop there; the run."""
    chosen = config(**changes)
    held: list[runs.Run] = []

    def ask(told: object) -> None:
        assert isinstance(told, dict)
        if told["event"] == event and told[field] == step:
            held[0].stop(preempted=preempted)

    events.add_listener(ask)
    try:
        with runs.open_run(workspace, "train", chosen) as run:
            held.append(run)
            train(chosen, run)
    except runs.StoppedError:
        pass
    finally:
        events.remove_listener(ask)
    return held[0]


@pytest.fixture
def heard() -> Iterator[Callable[[str], list[dict[str, object]]]]:
    """The events of this process by name."""
    rows: list[dict[str, object]] = []

    def hear(event: object) -> None:
        assert isinstance(event, dict)
        rows.append(event)

    events.add_listener(hear)
    yield lambda name: [row for row in rows if row["event"] == name]
    events.remove_listener(hear)


def weights(workspace: Workspace, artifact: Artifact) -> str:
    """The digest of a stored model's tensors."""
    return artifacts.tensors_digest(artifacts.folder_of(workspace, artifact))


def user(text: str) -> Message:
    """A question."""
    return Message(role="user", text=text)
