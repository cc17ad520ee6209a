"""Broken model folders: nothing half-stored, and a message that says what to do."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from afs import artifacts, runs
from afs.errors import DataError, RefusedError, UsageError
from afs.export import ShipConfig, convert, ship, weights
from afs.export.adapter import open_adapter
from afs.export.convert import convert as to_file
from afs.types import Artifact
from afs.workspace import Workspace

Make = Callable[..., Path]


def keep(workspace: Workspace, name: str, folder: Path, **fields: object) -> Artifact:
    with artifacts.storing(workspace, name, **{"form": "base", **fields}) as pending:
        for path in folder.iterdir():
            (pending.folder / path.name).write_bytes(path.read_bytes())
    return pending.artifact


def shipped(workspace: Workspace, **fields: object) -> Artifact:
    config = msgspec.convert({"parity": False, "quant": "F16", **fields}, ShipConfig)
    with runs.running(workspace, "ship", config) as run:
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
    real = convert.pack

    def full(*args: object) -> object:
        nonlocal written
        written += 1
        if written > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args)

    monkeypatch.setattr(convert, "pack", full)
    with pytest.raises(DataError, match=r"No space left on device.*run the same command again"):
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

    monkeypatch.setattr(weights, "_put", full)
    with pytest.raises(DataError, match=r"No space left on device.*run the same command again"):
        shipped(workspace, artifact="din", to="merged")
    assert workspace.names("artifact") == ["base", "din"]
    monkeypatch.undo()
    assert shipped(workspace, artifact="din", to="merged").form == "merged"


def test_kill_at_any_step_then_again_goes_on(tiny: Path, workspace: Workspace, make_adapter: Make) -> None:
    base = keep(workspace, "base", tiny)
    folder = make_adapter("a", tiny)
    keep(workspace, "din", folder, form="adapter", base=base.ref, base_digest=artifacts.tensors_digest(tiny))
    code = (
        "import sys; from pathlib import Path; from afs import runs; from afs.workspace import Workspace\n"
        "from afs.export import ShipConfig, ship\n"
        "w = Workspace(Path(sys.argv[1])); c = ShipConfig(artifact='din', adapter='merged', quant='F16', parity=False)\n"
        "print('go', flush=True)\n"
        "with runs.running(w, 'ship', c) as run: ship(c, run)\n"
    )
    for wait in (0.0, 0.12, 0.2):
        child = subprocess.Popen([sys.executable, "-c", code, str(workspace.root)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        for name in workspace.names("artifact"):
            for version in workspace.versions("artifact", name):
                assert artifacts.load(workspace, f"{name}@{version}").files
    made = shipped(workspace, artifact="din", adapter="merged")
    assert made.form == "gguf"
    versions = [workspace.versions("artifact", name) for name in workspace.names("artifact")]
    assert versions == [[1]] * len(versions), "no step was done twice"


def test_a_form_that_cannot_be_shipped_says_which_can(workspace: Workspace, tiny: Path) -> None:
    keep(workspace, "router", tiny, form="router")
    with pytest.raises(UsageError, match="is a router; this ships base, merged, adapter"):
        shipped(workspace, artifact="router@1")
