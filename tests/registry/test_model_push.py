"""`afs models push` against a local server that speaks the hub's API."""

from __future__ import annotations

from collections.abc import Callable

from tests.hub_server import Hub, hub

from afs.registry.model_push import ModelsPushConfig, push_model
from afs.types import Artifact
from afs.workspace import Workspace

__all__ = ["hub"]


def test_a_model_and_its_card_are_uploaded(workspace: Workspace, store: Callable[..., Artifact], hub: str) -> None:
    artifact = store("din-lora")
    dry = push_model(ModelsPushConfig(name="din-lora", repo="me/din", endpoint=hub, dry_run=True), workspace)
    assert dry.files == ("README.md", "data.bin") and not dry.url and not Hub.calls
    done = push_model(ModelsPushConfig(name="din-lora", repo="me/din", endpoint=hub), workspace)
    assert done.model == artifact.ref and "commit" in done.url
    assert Hub.files["data.bin"] == "weights" and "# din-lora@1" in Hub.files["README.md"]
