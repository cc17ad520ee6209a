"""`afs init`: create a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from afs import jsonl
from afs.config import Config
from afs.workspace import Workspace

__all__ = ["InitConfig", "init"]

_PROVIDERS = """# Models by tier, in the order they are tried. Keys come from the environment and are never stored here.
# [tiers]
# fast = ["google:gemini-3-flash-preview", "ollama:qwen3:14b"]
# coding = ["openai:gpt-5.2", "anthropic:claude-opus-4-5"]
"""


class InitConfig(Config, frozen=True, kw_only=True):
    """Create a workspace."""

    positional: ClassVar[tuple[str, ...]] = ("folder",)
    workspace_field: ClassVar[str] = "folder"
    folder: Path = Path(".")
    """Folder of the workspace; an existing workspace is left unchanged."""


def init(config: InitConfig) -> str:
    """Create the folder with its settings files."""
    workspace = Workspace.create(config.folder)
    if not (workspace.root / "providers.toml").exists():
        jsonl.replace(workspace.root / "providers.toml", _PROVIDERS.encode())
    return f"workspace at {workspace.root}"
