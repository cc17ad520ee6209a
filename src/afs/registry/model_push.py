"""`afs models push`: an adapter, merged weights or a GGUF with its model card to a Hugging Face-compatible hub."""

from __future__ import annotations

from typing import ClassVar

from afs import artifacts, hub_upload
from afs.config import Config
from afs.registry import Registry
from afs.registry.model_card import CardConfig, card
from afs.scratch_folder import open_scratch_folder
from afs.types import Value
from afs.workspace import Workspace


class ModelsPushConfig(Config, frozen=True, kw_only=True):
    """Upload a model to a hub."""

    positional: ClassVar[tuple[str, ...]] = ("name", "repo")
    name: str
    """Registered name or artifact."""
    repo: str
    """Repository, as `owner/name`; created if it is not there."""
    private: bool = True
    """Make a new repository private."""
    endpoint: str = ""
    """Address of the hub; empty: the client's own (`HF_ENDPOINT`). The token comes from `HF_TOKEN` or its login."""
    dry_run: bool = False
    """List the files, upload nothing."""


class ModelPushed(Value, frozen=True, kw_only=True):
    """What was uploaded, and where; `url` is empty for a dry run."""

    model: str
    repo: str
    files: tuple[str, ...]
    url: str


def push_model(config: ModelsPushConfig, workspace: Workspace) -> ModelPushed:
    """Upload the files of an artifact beside its card."""
    artifact = Registry(workspace).resolve(config.name)
    source = artifacts.folder_of(workspace, artifact)
    with open_scratch_folder("afs-push-") as target:
        for entry in artifact.files:
            path = target / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(source / entry.path)
        readme = target / "README.md"
        readme.unlink(missing_ok=True)
        readme.write_text(card(CardConfig(name=config.name), workspace), "utf-8")
        files = tuple(sorted({*(entry.path for entry in artifact.files), "README.md"}))
        url = ""
        if not config.dry_run:
            message = f"{artifact.ref} by afs"
            url = hub_upload.upload_folder(
                target, config.repo, "model", message, private=config.private, endpoint=config.endpoint
            )
    return ModelPushed(model=artifact.ref, repo=config.repo, files=files, url=url)
