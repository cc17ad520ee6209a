"""`afs mcp`: the packs' checks and the council as tools for agents, by the Model Context Protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from afs import plugins
from afs.config import Config
from afs.council.toolbox import Toolbox
from afs.errors import WorkspaceError
from afs.serve.access import Tokens, collect_tokens, demand_token, hashes_of
from afs.workspace import Workspace

__all__ = ["McpConfig", "mcp"]

_SERVER = "afs.serve.mcp_server"


class McpConfig(Config, frozen=True, kw_only=True):
    """Offer the checking tools and the council to agents by MCP, over standard input and output."""

    workspace_field: ClassVar[str] = "folder"

    folder: Path | None = None
    """Workspace whose council `ask` asks; none: that of this folder, if any."""
    http: bool = False
    """Serve HTTP at /mcp instead of standard input and output."""
    host: str = "127.0.0.1"
    """Address to listen on; the default is this machine only."""
    port: int = 8081
    """Port to listen on; 0: any free one."""
    token_env: str = ""
    """Environment variable with a token that requests may carry, beside those of `afs serve --add-token`."""
    jobs: int = 2
    """Tool calls that run at the same time."""

    def late_needs(self) -> Iterator[tuple[str, str]]:
        """The extra `[mcp]`."""
        yield "target", f"{_SERVER}:serve_stdio"


def mcp(config: McpConfig) -> str | None:
    """Serve until the client leaves, or until stopped."""
    workspace = _find_workspace(config.folder)
    box = Toolbox(jobs=config.jobs)
    try:
        if not config.http:
            plugins.Late[Callable[[Toolbox, Workspace | None], None]](f"{_SERVER}:serve_stdio").load()(box, workspace)
            return None
        tokens = Tokens(hashes_of(collect_tokens(workspace.root if workspace else None, config.token_env)))
        demand_token(config.host, tokens)
        serve = plugins.Late[Callable[..., None]](f"{_SERVER}:serve_http").load()
        serve(box, workspace, tokens, config.host, config.port)
        return "stopped"
    finally:
        box.close()


def _find_workspace(folder: Path | None) -> Workspace | None:
    try:
        return Workspace.find(folder)
    except WorkspaceError:
        if folder is not None:
            raise
        return None
