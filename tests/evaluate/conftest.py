"""A workspace, and models with known answers: a replay file written for the items of a suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from afs import datasets, jsonl
from afs.evaluate.items import SuiteItem
from afs.providers.base import Sampling
from afs.providers.replay import Recorded, conversation_key
from afs.runs import Run, RunState
from afs.types import Completion, Usage
from afs.workspace import Workspace

SAMPLING = Sampling(max_tokens=1024)
Answer = Callable[[int, SuiteItem], str | Completion | None]
Player = Callable[[str, tuple[SuiteItem, ...], Answer], str]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.create(tmp_path / "w")
    (made.root / "afs.toml").write_text("schema = 1\njobs = 1\n")
    return Workspace(made.root)


@pytest.fixture
def run(workspace: Workspace) -> Iterator[Run]:
    folder = workspace.root / "runs" / "r"
    folder.mkdir(parents=True)
    yield Run(workspace, folder, RunState(id="r", verb="eval run", digest="d", status="running", started=0.0))


@pytest.fixture
def player(tmp_path: Path) -> Player:
    """Write a model: `player(name, items, answer)` gives its spec; an answer of None was not recorded."""

    def write(name: str, items: tuple[SuiteItem, ...], answer: Answer) -> str:
        rows = []
        for number, item in enumerate(items):
            said = answer(number, item)
            if said is None:
                continue
            used = Usage(input_tokens=5, output_tokens=7, cost_usd=0.001)
            completion = said if isinstance(said, Completion) else Completion(text=said, model=name, usage=used)
            messages = datasets.task_messages(item.task.prompt, item.task.system)
            rows.append(Recorded(key=conversation_key(messages, SAMPLING), completion=completion))
        path = tmp_path / f"{name}.jsonl"
        jsonl.write(path, rows)
        return f"replay:{path}"

    return write
