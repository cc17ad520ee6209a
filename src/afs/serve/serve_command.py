"""`afs serve`: the gateway on a port."""

from __future__ import annotations

import socket
from collections.abc import Callable

from afs import plugins
from afs.config import Config, Positive
from afs.council import Council, open_council
from afs.council.reply_log import ReplyLog
from afs.errors import WorkspaceError
from afs.serve.access import Tokens, add_token, collect_tokens, demand_token, hashes_of
from afs.serve.token_quotas import Spending
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
    daily_tokens: Positive | None = None
    """Model tokens that the token of `add_token` may use a day (UTC); none: no limit."""
    concurrency: int = 64
    """Requests answered at the same time."""


def serve(config: ServeConfig, workspace: Workspace) -> str:
    """Open the council and serve it until stopped."""
    if config.add_token:
        return add_token(workspace.root, config.add_token, config.daily_tokens)
    stored = collect_tokens(workspace.root, config.token_env)
    tokens = Tokens(hashes_of(stored))
    demand_token(config.host, tokens)
    council = open_council(workspace)
    refuse_faulty(council, workspace)
    start = plugins.Late[Callable[..., None]]("afs.serve.gateway:run_server").load()
    listener = socket.create_server((config.host, config.port), reuse_port=False)
    address = f"http://{config.host}:{listener.getsockname()[1]}"
    workspace.log.event("notice", text=f"chat at {address}/, API at {address}/v1 (model `council`); Ctrl-C stops it")
    log = ReplyLog(workspace)
    spending = Spending({name: one.daily_tokens for name, one in stored.items() if one.daily_tokens is not None})
    spending.restore(log.routes())
    start(council, listener, (tokens, config.host, config.concurrency), log, spending)
    return "stopped"


def refuse_faulty(council: Council, workspace: Workspace) -> None:
    """Ask each expert something small before it is offered; one that answers as another model is named."""
    refused = council.check_members()
    for name, reason in refused.items():
        workspace.log.event("notice", text=f"{name or 'the fallback'} is refused: {reason}")
    if len(refused) == len(council.members()):
        raise WorkspaceError("no expert may serve: " + "; ".join(refused.values()))
