"""`afs serve`: the gateway on a port."""

from __future__ import annotations

import socket
from collections.abc import Callable

from afs import plugins
from afs.config import Config
from afs.council import open_council
from afs.council.reply_log import ReplyLog
from afs.providers.endpoint import find_secret
from afs.serve.access import Tokens, add_token, demand_token, hash_token, read_tokens
from afs.workspace import Workspace

__all__ = ["ServeConfig", "serve"]


class ServeConfig(Config, frozen=True, kw_only=True):
    """Serve the council as one OpenAI-compatible model."""

    host: str = "127.0.0.1"
    """Address to listen on; the default is this machine only."""
    port: int = 8080
    """Port to listen on; 0: any free one."""
    token_env: str = ""
    """Environment variable with a token that requests may carry, beside those added by name."""
    add_token: str = ""
    """Draw a token for this name, store its hash in the workspace, show it once, and serve nothing."""
    concurrency: int = 64
    """Requests answered at the same time."""


def serve(config: ServeConfig, workspace: Workspace) -> str:
    """Open the council and serve it until stopped."""
    if config.add_token:
        return add_token(workspace.root, config.add_token)
    stored = read_tokens(workspace.root)
    if config.token_env and (value := find_secret(config.token_env)):
        stored[config.token_env] = hash_token(value)
    tokens = Tokens(stored)
    demand_token(config.host, tokens)
    council = open_council(workspace)
    start = plugins.Late[Callable[..., None]]("afs.serve.gateway:run_server").load()
    listener = socket.create_server((config.host, config.port), reuse_port=False)
    address = f"http://{config.host}:{listener.getsockname()[1]}"
    workspace.log.event("notice", text=f"chat at {address}/, API at {address}/v1 (model `council`); Ctrl-C stops it")
    start(council, listener, (tokens, config.host, config.concurrency), ReplyLog(workspace))
    return "stopped"
