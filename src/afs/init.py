"""`afs init`: create a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from afs import jsonl
from afs.config import Config
from afs.workspace import Workspace

__all__ = ["InitConfig", "init"]

_PROVIDERS = """# Models by tier, in the order they are tried. Keys come from the environment and are never stored here.
# Every table and key: docs/how-to/campaigns.md. A tier may stand wherever a model is named: --teacher coding
# [tiers]
# fast = ["google:gemini-3-flash-preview", "ollama:qwen3:14b"]
# coding = ["openai:gpt-5.2", "anthropic:claude-opus-5"]
# reasoning = ["anthropic:claude-opus-5", "openai-responses:gpt-5.2"]
# cheap = ["openrouter:meta-llama/llama-3.3-70b-instruct"]
"""
_NODES = """# Machines of your own that serve models; named NAME:model, or nodes:model for every node that has it.
# [nodes.box]
# url = "http://192.168.1.20:11434"
# kind = "ollama"
# models = ["qwen3:14b"]
# prefer = ["cheap"]
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
    if not (workspace.root / "nodes.toml").exists():
        jsonl.replace(workspace.root / "nodes.toml", _NODES.encode())
    return f"workspace at {workspace.root}"
