"""Generation: every answer judged, nothing asked twice, nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from afs import datasets, plugins, runs, verbs
from afs.errors import ConfigError, ProviderError
from afs.generate import FamilyCount, GenerateConfig, generate
from afs.providers.base import GREEDY, Sampling
from afs.types import Completion, Message, Tool, Usage
from afs.workspace import Workspace

asked: list[str] = []


class Pupil:
    """Copies what stands after the first word; fails on `say`."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        self.name = "pupil:"

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        text = messages[-1].text
        asked.append(text)
        if text.startswith("say"):
            raise ProviderError("pupil: no voice")
        answer = text.partition(" ")[2] if sampling.seed else "wrong 1"
        return Completion(text=answer, model="pupil", usage=Usage(output_tokens=1, cost_usd=0.25))


@pytest.fixture(autouse=True)
def _pupil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins.TABLES["provider"], "pupil", f"{__name__}:Pupil")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    asked.clear()


def test_a_pack_makes_verified_records(workspace: Workspace) -> None:
    config = GenerateConfig(domain="sums", name="raw", families=(FamilyCount(family="add", count=30),), seed=4)
    made = verbs.do("generate", config, workspace)
    assert isinstance(made, datasets.Dataset)
    rows = list(datasets.read(workspace, made))
    assert len(rows) == 30 == made.splits[0].count
    assert all(row.verdicts[0].ok and row.verdicts[0].checker == "sums/1" for row in rows)
    assert all(row.origin.license == "CC0-1.0" and row.origin.group.startswith("add#") for row in rows)
    again = verbs.do("generate", config, workspace)
    assert isinstance(again, datasets.Dataset) and again.digest != "" and again.splits[0].count == 30


def test_a_teacher_is_judged_and_its_failures_are_kept(workspace: Workspace) -> None:
    shares = (
        FamilyCount(family="copy", count=5),
        FamilyCount(family="reverse", count=4),
        FamilyCount(family="say", count=3),
    )
    config = GenerateConfig(domain="sums", name="taught", families=shares, teacher="pupil:", attempts=2, concurrency=1)
    made = verbs.do("generate", config, workspace)
    assert isinstance(made, datasets.Dataset)
    assert made.splits[0].count == 5
    assert made.counts == {"dropped:no answer": 3, "dropped:verdict:match": 5 + 2 * 4}
    assert len(asked) == 5 * 2 + 4 * 2 + 3
    assert {row.origin.maker for row in datasets.read(workspace, made)} == {"pupil:"}
    assert made.licenses == {"unknown": 5}, "a teacher's terms decide, so nothing is assumed"


def test_killed_and_started_again_equals_the_uninterrupted_run(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "afs", "generate", "--domain", "sums", "--name", "raw", "--count", "400", "--quiet"]
    code = (
        "import os, sys, threading\nfrom afs.work_queue import WorkQueue\n"
        "done, n = WorkQueue.complete, [0]\n"
        "def complete(self, results):\n"
        "    done(self, results); n[0] += 1\n"
        "    if n[0] == 7: os.kill(os.getpid(), 9)\n"
        "WorkQueue.complete = complete\n"
        "from afs.cli.main import main\nmain(sys.argv[1:])\n"
    )
    digests = []
    for name in ("straight", "killed"):
        workspace = Workspace.create(tmp_path / name)
        where = ["--workspace", str(workspace.root)]
        if name == "killed":
            broken = subprocess.run([sys.executable, "-c", code, *argv[3:], *where], check=False)
            assert broken.returncode == -9
            assert workspace.names("records") == []
        subprocess.run([*argv, *where], check=True)
        made = datasets.load(workspace, "raw")
        assert made.splits[0].count == 400 * 10
        digests.append([row.id for row in datasets.read(workspace, made)])
        assert len(os.listdir(workspace.root / "runs")) == 1
    assert digests[0] == digests[1]


def test_a_shortfall_is_said_and_counted(workspace: Workspace) -> None:
    config = GenerateConfig(domain="sums", name="raw", families=(FamilyCount(family="sort", count=5000),))
    made = verbs.do("generate", config, workspace)
    assert isinstance(made, datasets.Dataset)
    assert made.splits[0].count < 1000
    assert made.counts == {"short:sort": 5000 - made.splits[0].count}


def test_an_unknown_family_is_said(workspace: Workspace) -> None:
    config = GenerateConfig(domain="sums", name="raw", families=(FamilyCount(family="ad", count=1),))
    with pytest.raises(ConfigError, match="no family 'ad'; did you mean 'add'"):
        verbs.do("generate", config, workspace)


def test_a_teacher_asked_by_many_threads_is_judged_one_after_the_other(workspace: Workspace) -> None:
    config = GenerateConfig(
        domain="sums", name="taught", teacher="echo:", families=(FamilyCount(family="add", count=120),), concurrency=8
    )
    with runs.open_run(workspace, "generate", config) as run:
        made = generate(config, run)
    assert made.counts == {"dropped:verdict:match": 120}, made.counts
