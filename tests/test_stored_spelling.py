"""A workspace written before the spelling became American (commit 340f1bf) is read, listed, verified and curated."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from afs import datasets, jsonl
from afs.cli.main import main
from afs.types import Origin
from afs.workspace import Workspace

OLD = Path(__file__).parent / "fixtures" / "workspace-340f1bf.tar.xz"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with tarfile.open(OLD) as archive:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.2 has no filters
        archive.extractall(tmp_path / "old", **safe)
    return tmp_path / "old"


def test_licenses_of_old_records_and_manifests_are_read(old: Path) -> None:
    workspace = Workspace.find(old)
    stored = datasets.load(workspace, "rows", "records")
    assert stored.licenses == {"MIT": 4}
    assert {r.origin.license for r in datasets.read(workspace, stored)} == {"MIT"}


@pytest.mark.parametrize(
    "command",
    ["data list", "data stats data", "data validate data", "models list", "models verify", "models trace tiny-copy"],
)
def test_commands_that_look_at_an_old_workspace(old: Path, command: str) -> None:
    assert main([*command.split(), "--workspace", str(old)]) == 0


def test_an_old_set_is_curated_again(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["curate", "--sources", "samples", "--name", "renewed", "--workspace", str(old), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["licenses"] == {"CC0-1.0": 40}


def test_keys_inside_a_text_are_left_alone(old: Path) -> None:
    line = b'{"source": "a \\"licence\\": b", "licence": "MIT"}'
    assert jsonl.decoder(Origin)(line) == Origin(source='a "licence": b', license="MIT")
