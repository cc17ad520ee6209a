"""`afs dashboard`: the pages on a port of this machine, until stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable

from afs import plugins
from afs.config import Config
from afs.serve.access import Tokens, collect_tokens, demand_token, hashes_of
from afs.workspace import Workspace

PORT = 8090


class DashboardConfig(Config, frozen=True, kw_only=True):
    """Show the workspace in a browser: what runs, what it costs, what is wrong."""

    host: str = "127.0.0.1"
    """Address to listen on; any other than this machine's own needs a token (`afs serve --add-token NAME`)."""
    port: int = PORT
    """Port to listen on; 0: any free one."""
    token_env: str = ""
    """Environment variable with a token that opens the pages, beside those added by name."""
    webhook: str = ""
    """Address that gets each new alert as JSON, once."""


def serve_dashboard(config: DashboardConfig, workspace: Workspace) -> str:
    """Serve until stopped."""
    tokens = Tokens(hashes_of(collect_tokens(workspace.root, config.token_env)))
    demand_token(config.host, tokens)
    start = plugins.Late[Callable[..., None]]("afs.dashboard.web_server:run_dashboard").load()
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.create_server((config.host, config.port), family=family, reuse_port=False)
    name = f"[{config.host}]" if ":" in config.host else config.host
    port = listener.getsockname()[1]
    workspace.log.event("notice", text=f"dashboard at http://{name}:{port}/; Ctrl-C stops it")
    start(workspace, listener, tokens, config.host, config.webhook)
    return "stopped"
