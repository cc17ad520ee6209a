"""`afs serve`: the gateway on a port."""

from __future__ import annotations

import socket
from collections.abc import Callable

from afs import plugins
from afs.config import Config
from afs.council import open_council
from afs.workspace import Workspace

__all__ = ["ServeConfig", "serve"]


class ServeConfig(Config, frozen=True, kw_only=True):
    """Serve the council as one OpenAI-compatible model."""

    host: str = "127.0.0.1"
    """Address to listen on; the default is this machine only."""
    port: int = 8080
    """Port to listen on; 0: any free one."""
    token_env: str = ""
    """Environment variable that holds the token every request must carry; empty: no token."""
    concurrency: int = 4
    """Requests answered at the same time."""


_RUN_SERVER = plugins.Late[Callable[..., None]]("afs.serve.gateway:run_server")


def serve(config: ServeConfig, workspace: Workspace) -> str:
    """Open the council and serve it until stopped."""
    start = _RUN_SERVER.load()  # first, so that a missing extra is noticed before models are loaded
    council = open_council(workspace)
    listener = socket.create_server((config.host, config.port), reuse_port=False)
    address = f"http://{config.host}:{listener.getsockname()[1]}/v1"
    workspace.log.event("notice", text=f"serving the council at {address} as model `council`; press Ctrl-C to stop")
    start(council, listener, config)
    return "stopped"
