"""The dry run of shipping: what it says is what then happens, and it changes nothing."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from afs import artifacts, runs
from afs.cli.main import main
from afs.errors import RefusedError, UsageError
from afs.export import ShipConfig, ship, ship_preview
from afs.export.ship_preview import ShipPreview
from afs.registry import Registry
from afs.types import Artifact
from afs.workspace import Workspace

Make = Callable[..., Path]


def keep(workspace: Workspace, name: str, folder: Path, **fields: object) -> Artifact:
    with artifacts.store_artifact(workspace, name, **{"form": "base", **fields}) as pending:
        for path in folder.iterdir():
            (pending.folder / path.name).write_bytes(path.read_bytes())
    return pending.artifact


@pytest.fixture
def din(workspace: Workspace, tiny: Path, make_adapter: Make) -> Workspace:
    base = keep(workspace, "base", tiny)
    known = artifacts.tensors_digest(tiny)
    stored = keep(workspace, "din-lora", make_adapter("a", tiny), form="adapter", base=base.ref, base_digest=known)
    Registry(workspace).register("din", stored.ref)
    return workspace


def told(workspace: Workspace, to: str, **fields: object) -> ShipPreview:
    return ship_preview.preview(ShipConfig(artifact="din", to=to, parity=False, quant="Q8_0", **fields), workspace)


def files(workspace: Workspace) -> dict[str, int]:
    """Every file but the cache, where the digests of hashed folders are kept."""
    paths = (path for path in workspace.root.rglob("*") if "cache" not in path.parts and path != workspace.root)
    return {str(path): path.stat().st_mtime_ns for path in paths}


@pytest.mark.parametrize("to", ["merged", "gguf", "ollama", "lmstudio", "llama", "mlx", "hf"])
def test_nothing_is_changed(din: Workspace, to: str) -> None:
    before = files(din)
    made = told(din, to)
    assert files(din) == before
    assert made.steps
    assert made.text().endswith("dry run only: nothing was changed")
    if to in ("ollama", "lmstudio"):
        assert "http://127.0.0.1:" in made.touches


@pytest.mark.parametrize(("to", "adapter"), [("merged", "auto"), ("gguf", "merged"), ("gguf", "lora")])
def test_the_sizes_are_those_of_what_is_made(din: Workspace, to: str, adapter: str) -> None:
    made = told(din, to, adapter=adapter)
    config = ShipConfig(artifact="din", to=to, parity=False, quant="Q8_0", adapter=adapter)
    before = set(din.names("artifact"))
    with runs.open_run(din, "ship", config) as run:
        ship(config, run)
    stored = [artifacts.load(din, name) for name in din.names("artifact") if name not in before]
    weights = [e.size for a in stored for e in a.files if e.path.endswith((".safetensors", ".gguf"))]
    planned = [step.bytes for step in made.steps if step.bytes]
    assert len(planned) == len(weights)
    assert sum(planned) <= sum(weights) <= 1.1 * sum(planned) + (64 << 10), "headers and vocabularies come on top"
    again = told(din, to, adapter=adapter)
    assert again.disk_needed == 0
    assert {step.done for step in again.steps if step.done} == {artifact.ref for artifact in stored}


def test_another_base_is_refused_before_anything_begins(din: Workspace, make_model: Make) -> None:
    with pytest.raises(RefusedError, match="another base, even of the same shape"):
        told(din, "ollama", base=str(make_model("other", seed=9)))


def test_an_unknown_target_names_the_nearest(din: Workspace) -> None:
    with pytest.raises(UsageError, match="did you mean 'ollama'"):
        told(din, "olama")


def test_a_full_disk_is_told_and_exits_with_3(
    din: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(1000, 900, 100))
    words = ["ship", "din", "--to", "ollama", "--dry-run", "--workspace", str(din.root)]
    assert main(words) == 3
    shown = capsys.readouterr().out
    assert "too little; make room" in shown
    assert "touches: Ollama at http://127.0.0.1:11434: model din" in shown
