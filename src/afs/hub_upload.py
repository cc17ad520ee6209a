"""Upload of a folder to a Hugging Face-compatible hub, by its own client. The token comes from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from afs import plugins
from afs.errors import DataError, boundary

RepoType = Literal["dataset", "model"]


class _Client(Protocol):
    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> object: ...

    def upload_folder(self, *, repo_id: str, folder_path: str, repo_type: str, commit_message: str) -> object: ...


class _ClientType(Protocol):
    def __call__(self, *, endpoint: str | None) -> _Client: ...


def upload_folder(folder: Path, repo: str, kind: RepoType, message: str, *, private: bool, endpoint: str) -> str:
    """Create the repository if it is not there, and commit every file of the folder; where the commit is."""
    open_client = plugins.Late[_ClientType]("huggingface_hub:HfApi").load()
    with boundary(DataError, f"cannot upload to {repo!r}"):
        client = open_client(endpoint=endpoint or None)
        client.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        commit = client.upload_folder(repo_id=repo, folder_path=str(folder), repo_type=kind, commit_message=message)
    return str(commit)
