"""A fake cloud, a workspace with a dataset, and a training job of seconds."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import afs
from afs.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parent))
from fake_clouds import FakeCloud

JOB = """dataset = "data"
name = "tiny"
method = "scratch"
trainer = "toy"
max_steps = {steps}
batch_size = 4
"""


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloud]:
    fake = FakeCloud(tmp_path / "cloud")
    monkeypatch.setenv("PATH", f"{fake.root / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("VAST_API_KEY", "account-key-of-vast")
    monkeypatch.setenv("RUNPOD_API_KEY", "account-key-of-runpod")
    monkeypatch.setattr("afs.cloud.rest_client._PAUSE_S", 0.02)
    yield fake
    fake.close()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a small dataset, copied for each test."""
    factory = afs.open_workspace(tmp_path_factory.mktemp("prepared") / "ws", create=True)
    factory.generate("sums", name="raw", families=[{"family": "copy", "count": 60}])
    factory.curate("raw", name="data")
    return factory.workspace.root


@pytest.fixture
def place(cloud: FakeCloud, prepared: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(prepared, tmp_path / "ws")
    (tmp_path / "ws" / "cloud.toml").write_text(f'[vast]\nurl = "{cloud.url}"\n[runpod]\nurl = "{cloud.url}"\n')
    (tmp_path / "job.toml").write_text(JOB.format(steps=3))
    return Workspace(tmp_path / "ws")
