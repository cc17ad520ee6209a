"""`afs init`: make a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from afs import jsonl
from afs.config import Config
from afs.workspace import Workspace

__all__ = ["InitConfig", "init"]

_PROVIDERS = """# Models by tier, in the order they are tried. Keys come from the environment and never stand here.
# [tiers]
# fast = ["google:gemini-3-flash-preview", "ollama:qwen3:14b"]
# coding = ["openai:gpt-5.2", "anthropic:claude-opus-4-5"]
"""


class InitConfig(Config, frozen=True, kw_only=True):
    """Make a workspace."""

    positional: ClassVar[tuple[str, ...]] = ("folder",)
    folder: Path = Path(".")
    """Where; an existing workspace is left as it is."""


def init(config: InitConfig) -> str:
    """Make the folder with its settings files."""
    workspace = Workspace.create(config.folder)
    if not (workspace.root / "providers.toml").exists():
        jsonl.replace(workspace.root / "providers.toml", _PROVIDERS.encode())
    return f"workspace at {workspace.root}"
