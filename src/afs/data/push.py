"""`afs data push`: a dataset and its card to a Hugging Face-compatible hub; checked as an export is."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from afs import hub_upload
from afs.data.export import ExportConfig, ExportResult, export_dataset
from afs.scratch_folder import open_scratch_folder
from afs.types import Value
from afs.workspace import Workspace


class PushConfig(ExportConfig, frozen=True, kw_only=True):
    """Upload a dataset to a hub."""

    positional: ClassVar[tuple[str, ...]] = ("ref", "repo")
    repo: str
    """Repository, as `owner/name`; created if it is not there."""
    private: bool = True
    """Make a new repository private."""
    endpoint: str = ""
    """Address of the hub; empty: the client's own (`HF_ENDPOINT`). The token comes from `HF_TOKEN` or its login."""
    dry_run: bool = False
    """Check and write the files, upload nothing."""


class PushResult(Value, frozen=True, kw_only=True):
    """What was uploaded, and where; `url` is empty for a dry run."""

    ref: str
    repo: str
    rows: dict[str, int]
    url: str


def push_dataset(config: PushConfig, workspace: Workspace) -> PushResult:
    """Export to a temporary folder and upload it."""
    with open_scratch_folder("afs-push-") as folder:
        written = _export(config, workspace, folder / "out")
        url = ""
        if not config.dry_run:
            message = f"{written.ref} by afs"
            url = hub_upload.upload_folder(
                folder / "out", config.repo, "dataset", message, private=config.private, endpoint=config.endpoint
            )
    return PushResult(ref=written.ref, repo=config.repo, rows=written.rows, url=url)


def _export(config: PushConfig, workspace: Workspace, folder: Path) -> ExportResult:
    export = ExportConfig(
        ref=config.ref,
        format=config.format,
        to=folder,
        options=config.options,
        unfit=config.unfit,
        allow_unlicensed=config.allow_unlicensed,
    )
    return export_dataset(export, workspace)
