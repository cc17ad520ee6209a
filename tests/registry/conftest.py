"""Small stored artifacts for the tests of the registry."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from afs import artifacts
from afs.types import Artifact
from afs.workspace import Workspace


@pytest.fixture
def store(workspace: Workspace) -> Callable[..., Artifact]:
    """Stores an artifact with one small file."""

    def make(name: str, content: str = "weights", **fields: object) -> Artifact:
        with artifacts.store_artifact(workspace, name, **{"form": "adapter", **fields}) as pending:
            (pending.folder / "data.bin").write_text(content)
        return pending.artifact

    return make
