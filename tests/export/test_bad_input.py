"""Broken model folders: nothing half-stored, and a message that says what to do."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from afs import artifacts, manifests, runs
from afs.errors import DataError, RefusedError, UsageError
from afs.export import ShipConfig, gguf_convert, safetensors_files, ship
from afs.export.adapter_files import open_adapter
from afs.export.gguf_convert import convert as to_file
from afs.types import Artifact
from afs.workspace import Workspace

Make = Callable[..., Path]


def keep(workspace: Workspace, name: str, folder: Path, **fields: object) -> Artifact:
    with artifacts.store_artifact(workspace, name, **{"form": "base", **fields}) as pending:
        for path in folder.iterdir():
            (pending.folder / path.name).write_bytes(path.read_bytes())
    return pending.artifact


def shipped(workspace: Workspace, **fields: object) -> Artifact:
    config = msgspec.convert({"parity": False, "quant": "F16", **fields}, ShipConfig)
    with runs.open_run(workspace, "ship", config) as run:
        return ship(config, run)


def damage(folder: Path, how: str) -> None:
    """Break a model folder in one way."""
    path = folder / "model.safetensors"
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    elif how == "garbage":
        path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not a header!!! at all")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "pickle":
        path.rename(folder / "pytorch_model.bin")
    elif how == "nan":
        table = load_file(path)
        table["model.norm.weight"][3] = np.nan
        save_file(table, str(path))
    elif how == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif how == "odd tensor":
        table = load_file(path)
        save_file({**table, "model.layers.0.mlp.experts.weight": np.zeros((2, 2), np.float32)}, str(path))
    elif how == "no end":
        (folder / "tokenizer_config.json").write_bytes(b"{}")
    else:
        config = msgspec.json.decode((folder / "config.json").read_bytes())
        config |= {"architectures": ["Qwen3ForCausalLn"]} if how == "architecture" else {"hidden_size": None}
        (folder / "config.json").write_bytes(msgspec.json.encode(config))


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("truncated", DataError, "truncated safetensors"),
        ("garbage", DataError, "not a safetensors file"),
        ("empty", DataError, "truncated safetensors"),
        ("pickle", RefusedError, "save the model as safetensors"),
        ("nan", DataError, r"norm\.weight holds NaN"),
        ("no tokenizer", DataError, r"tokenizer\.json is missing"),
        ("odd tensor", DataError, "has no place in this family"),
        ("no end", DataError, "set eos_token"),
        ("architecture", DataError, "did you mean 'Qwen3ForCausalLM'.*--converter"),
        ("shape", DataError, "config.json"),
    ],
)
def test_a_broken_folder_leaves_nothing(
    make_model: Make, workspace: Workspace, how: str, kind: type, message: str
) -> None:
    folder = make_model()
    damage(folder, how)
    keep(workspace, "base", folder)
    with pytest.raises(kind, match=message):
        shipped(workspace, artifact="base@1")
    assert workspace.names("artifact") == ["base"]
    assert not list(workspace.root.rglob("*.gguf"))


def test_a_pickled_adapter_is_refused(make_adapter: Make, tiny: Path) -> None:
    folder = make_adapter("a", tiny)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(RefusedError, match="pickle"):
        open_adapter(folder)


def test_half_a_lora_pair_is_refused(make_adapter: Make, tiny: Path) -> None:
    folder = make_adapter("a", tiny)
    table = load_file(folder / "adapter_model.safetensors")
    del table[next(name for name in table if "lora_B" in name)]
    save_file(table, str(folder / "adapter_model.safetensors"))
    with pytest.raises(DataError, match="only one half"):
        open_adapter(folder)


def test_an_unknown_split_pattern_is_refused(make_model: Make, tmp_path: Path) -> None:
    folder = make_model()
    text = (folder / "tokenizer.json").read_text().replace("(?i:'s|'t", "(?i:'x|'t")
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(DataError, match=r"copy tokenizer\.json from the base"):
        to_file(folder, tmp_path / "x.gguf", "F16", name="x")


def test_a_full_disk_leaves_nothing(tiny: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(workspace, "base", tiny)
    written = 0
    real = gguf_convert.pack

    def full(*args: object) -> object:
        nonlocal written
        written += 1
        if written > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args)

    monkeypatch.setattr(gguf_convert, "pack", full)
    with pytest.raises(DataError, match=r"No space left on device.*rerun the same command"):
        shipped(workspace, artifact="base@1")
    monkeypatch.undo()
    assert workspace.names("artifact") == ["base"]
    assert not list(workspace.root.rglob("*.gguf"))
    assert shipped(workspace, artifact="base@1").form == "gguf"


def test_too_little_disk_is_told_before_anything_is_written(
    tiny: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(workspace, "base", tiny)
    monkeypatch.setattr("shutil.disk_usage", lambda path: os.terminal_size((0, 0)) and type("U", (), {"free": 1000}))
    with pytest.raises(DataError, match="MiB of disk"):
        shipped(workspace, artifact="base@1")


def test_a_merge_whose_disk_fills_up_goes_on_later(
    tiny: Path, workspace: Workspace, make_adapter: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = keep(workspace, "base", tiny)
    folder = make_adapter("a", tiny)
    keep(workspace, "din", folder, form="adapter", base=base.ref, base_digest=artifacts.tensors_digest(tiny))

    def full(target: IO[bytes], part: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors_files, "put_tensor", full)
    with pytest.raises(DataError, match=r"No space left on device.*rerun the same command"):
        shipped(workspace, artifact="din", to="merged")
    assert workspace.names("artifact") == ["base", "din"]
    monkeypatch.undo()
    assert shipped(workspace, artifact="din", to="merged").form == "merged"


KILLER = """
import os, signal, sys
from pathlib import Path
from afs import runs
from afs.export import ShipConfig, ship
from afs.workspace import Workspace
import afs.export.ship_hf, afs.export.merge, afs.export.ship_to_workspace

CHANGES = ("fsync", "replace", "rename", "link", "mkdir", "unlink", "rmdir")

def shipped(root, to, adapter):
    workspace = Workspace(Path(root))
    config = ShipConfig(artifact="din", to=to, adapter=adapter, quant="F16", parity=False)
    with runs.open_run(workspace, "ship", config) as run:
        ship(config, run)

def dying(left):
    def counted(real):
        def call(*words, **more):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*words, **more)
        return call
    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))

root, to, adapter = sys.argv[1:]
deaths = 0
while True:
    child = os.fork()
    if not child:
        dying(deaths)
        shipped(root, to, adapter)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        break
    deaths += 1
print(deaths, os.waitstatus_to_exitcode(status))
"""


@pytest.fixture
def din(tiny: Path, workspace: Workspace, make_adapter: Make) -> Workspace:
    base = keep(workspace, "base", tiny)
    folder = make_adapter("a", tiny)
    keep(workspace, "din", folder, form="adapter", base=base.ref, base_digest=artifacts.tensors_digest(tiny))
    return workspace


@pytest.mark.parametrize(("to", "adapter"), [("gguf", "merged"), ("gguf", "lora"), ("hf", "merged")])
def test_killed_before_any_change_on_the_disk_the_same_command_goes_on(din: Workspace, to: str, adapter: str) -> None:
    """Each run dies one change later than the one before, on what that one left, until one lives."""
    words = [sys.executable, "-c", KILLER, str(din.root), to, adapter]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    deaths, code = (int(word) for word in ran.stdout.split())
    assert code == 0, ran.stderr
    assert deaths > 5
    for name in din.names("artifact"):
        assert din.versions("artifact", name) == [1], f"{name}: no step was done twice"
        stored = artifacts.load(din, name)
        assert not list(manifests.verify_files(artifacts.folder_of(din, stored), stored.files))
    assert shipped(din, artifact="din", to=to, adapter=adapter).form in ("gguf", "adapter", "merged")


@pytest.mark.parametrize(("to", "adapter"), [("merged", "auto"), ("gguf", "merged"), ("gguf", "lora")])
def test_a_disk_that_is_full_at_nine_tenths_leaves_nothing(din: Workspace, to: str, adapter: str) -> None:
    """The kernel's own limit on a file's size stops the largest file at 90 %."""
    largest = artifacts.load(din, "base").files
    limit = int(0.9 * max(entry.size for entry in largest) * (1 if to == "merged" else 0.5))
    code = (
        "import resource, sys; from afs.cli.main import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        f"words = ['ship', 'din', '--to', {to!r}, '--adapter', {adapter!r}, '--quant', 'F16', '--no-parity']\n"
        f"sys.exit(main([*words, '--workspace', {str(din.root)!r}]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert re.search(r"too large.*nothing was stored or deployed.*rerun the same command", ran.stderr, re.S)
    assert sorted(din.names("artifact")) == ["base", "din"]
    assert not list(din.root.rglob("*.gguf"))
    assert shipped(din, artifact="din", to=to, adapter=adapter).ref


def test_a_form_that_cannot_be_shipped_says_which_can(workspace: Workspace, tiny: Path) -> None:
    keep(workspace, "router", tiny, form="router")
    with pytest.raises(UsageError, match="is a router; this ships base, merged, adapter"):
        shipped(workspace, artifact="router@1")
