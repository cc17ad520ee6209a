"""`afs init`: create a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import tomlkit

from afs import jsonl
from afs.checks.check_parser import read_check, require_check
from afs.config import Config
from afs.errors import ConfigError
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
    """Folder of the workspace; an existing workspace is left unchanged, but for `check`."""
    check: str = ""
    """Your own check of answers, stored as `default`: `pytest -q {file}`, `schema:FILE`, `regex:…`,
    `python:FILE:FUNCTION`."""


def init(config: InitConfig) -> str:
    """Create the folder with its settings files."""
    if config.check:
        require_check(read_check(config.check, config.folder))
    workspace = Workspace.create(config.folder)
    if not (workspace.root / "providers.toml").exists():
        jsonl.replace(workspace.root / "providers.toml", _PROVIDERS.encode())
    if not (workspace.root / "nodes.toml").exists():
        jsonl.replace(workspace.root / "nodes.toml", _NODES.encode())
    if config.check:
        _store_check(workspace.root / "afs.toml", config.check)
    return f"workspace at {workspace.root}" + ("; its check is called `default`" if config.check else "")


def _store_check(path: Path, check: str) -> None:
    """Write the check as `[checks] default`; another one that stands there is not overwritten."""
    settings = tomlkit.parse(path.read_text("utf-8"))
    table = settings.setdefault("checks", tomlkit.table())
    if table.get("default", check) != check:
        raise ConfigError("check", f"{path} has another check called `default`; change it there")
    table["default"] = check
    jsonl.replace(path, tomlkit.dumps(settings).encode())
