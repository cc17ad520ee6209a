"""A base need not be stored here: a folder or a hub id trains, opens, evaluates and ships like a stored base."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.train.conftest import LORA, run_train, user

from afs import artifacts, models, runs
from afs.config import decode
from afs.errors import ConfigError, DataError, RefusedError, UsageError
from afs.evaluate.models_under_test import base_of, find_subject
from afs.export import ShipConfig, ship
from afs.registry import Registry
from afs.registry.lineage import trace_origins
from afs.types import Artifact
from afs.workspace import Workspace

pytestmark = pytest.mark.train


@pytest.fixture
def outside(place: Workspace, tmp_path: Path) -> Path:
    """The base as a folder outside the workspace, which holds no base any more."""
    folder = tmp_path / "somewhere" / "TinyBase"
    shutil.copytree(artifacts.folder_of(place, artifacts.load(place, "base")), folder)
    (folder / "manifest.json").unlink()
    shutil.rmtree(place.root / "models" / "base")
    return folder


def shipped(place: Workspace, artifact: Artifact, **options: object) -> Artifact:
    """The artifact that shipping makes."""
    chosen = decode(ShipConfig, {"artifact": artifact.ref, **options})
    with runs.open_run(place, "ship", chosen) as run:
        return ship(chosen, run)


def test_an_adapter_on_a_folder_is_opened_evaluated_and_shipped(place: Workspace, outside: Path) -> None:
    made = run_train(place, **{**LORA, "base": str(outside)})
    assert (made.base, made.base_digest) == ("TinyBase", artifacts.tensors_digest(outside))
    assert made.parents == ("dataset:small@1",)
    assert models.open_model(place, made.ref).complete([user("first of 4 5 6")]).model == made.ref
    beside = base_of(place, find_subject(place, made.ref), "")
    assert beside is not None
    assert (beside.name, beside.digest) == ("TinyBase", made.base_digest)
    assert trace_origins(place, made).missing == ("TinyBase",)
    merged = shipped(place, made, to="merged")
    assert merged.base == "TinyBase"
    assert shipped(place, made, quant="F16").form == "adapter"
    assert shipped(place, merged, quant="F16").form == "gguf"
    again = run_train(place, **{**LORA, "base": made.ref, "name": "more", "max_steps": 2})
    assert (again.base, again.base_digest) == ("TinyBase", made.base_digest)


def test_a_base_that_is_gone_is_named_with_the_command_that_brings_it_back(place: Workspace, outside: Path) -> None:
    made = run_train(place, **{**LORA, "base": str(outside), "max_steps": 2})
    shutil.rmtree(outside)
    with pytest.raises(DataError, match=r"not on this machine; import it: afs models import FOLDER-OR-HUB-ID"):
        models.open_model(place, made.ref)


def test_other_tensors_under_the_same_name_are_refused(place: Workspace, outside: Path) -> None:
    made = run_train(place, **{**LORA, "base": str(outside), "max_steps": 2})
    other = artifacts.folder_of(place, run_train(place, name="other-base", seed=5, max_steps=1))
    shutil.copy(other / "model.safetensors", outside / "model.safetensors")
    with pytest.raises(RefusedError, match="changed since, or another base"):
        models.open_model(place, made.ref)


def test_a_folder_opens_like_a_stored_model_and_is_shipped_after_its_import(place: Workspace, outside: Path) -> None:
    assert Registry(place).open(str(outside)).complete([user("first of 4 5 6")]).model == "TinyBase"
    assert find_subject(place, str(outside)).digest == artifacts.tensors_digest(outside)
    with pytest.raises(UsageError, match="import it first: afs models import"):
        chosen = decode(ShipConfig, {"artifact": str(outside)})
        with runs.open_run(place, "ship", chosen) as run:
            ship(chosen, run)


def test_a_gguf_as_base_says_how_to_import_it(place: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"import it first: afs models import x.gguf"):
        run_train(place, **{**LORA, "base": "x.gguf"})


class _Hub(BaseHTTPRequestHandler):
    """As much of the Hub's API as a download asks for: the repository's files and each file by its commit."""

    folder: Path
    commit = "0123456789abcdef0123456789abcdef01234567"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        names = sorted(one.name for one in self.folder.iterdir())
        if path.startswith("/api/models/acme/tiny/tree/"):
            rows = [
                {"type": "file", "path": n, "size": (self.folder / n).stat().st_size, "oid": "0" * 40} for n in names
            ]
            self._reply(json.dumps(rows).encode(), "application/json")
        elif path.startswith("/api/models/acme/tiny"):
            body = {"id": "acme/tiny", "sha": self.commit, "siblings": [{"rfilename": name} for name in names]}
            self._reply(json.dumps(body).encode(), "application/json")
        elif path.startswith(f"/acme/tiny/resolve/{self.commit}/") and path.rpartition("/")[2] in names:
            self._reply((self.folder / path.rpartition("/")[2]).read_bytes(), "application/octet-stream")
        else:
            self.send_error(404)

    def _reply(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.commit)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def hub(outside: Path) -> Iterator[str]:
    """The address of a server that offers the base as `acme/tiny`."""
    handler = type("Hub", (_Hub,), {"folder": outside})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


_ON_A_HUB_ID = """
import sys
from pathlib import Path
from tests.train.conftest import LORA, run_train, user
from afs import models
from afs.workspace import Workspace
place = Workspace(Path(sys.argv[1]))
made = run_train(place, **{**LORA, "base": "acme/tiny", "max_steps": 2})
print(made.base, models.open_model(place, made.ref).complete([user("first of 4 5 6")]).model)
"""


def test_a_hub_id_is_fetched_trained_on_and_opened(place: Workspace, hub: str, tmp_path: Path) -> None:
    """In a process of its own: the Hub's library reads the address when it is imported."""
    settings = {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    made = subprocess.run(
        [sys.executable, "-c", _ON_A_HUB_ID, str(place.root)],
        env={**os.environ, **settings, "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), os.getcwd()])},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert made.stdout.split() == ["acme/tiny", "made@1"], made.stderr
