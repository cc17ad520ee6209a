"""The council at work: train the router, ask one question, serve the gateway."""

from afs.serve.ask_command import AskConfig, RouteExplainConfig, ask, route_explain
from afs.serve.mcp_command import McpConfig, mcp
from afs.serve.route_commands import RouteEvalConfig, RouteTrainConfig, route_eval, route_train
from afs.serve.serve_command import ServeConfig, serve

__all__ = [
    "AskConfig",
    "McpConfig",
    "RouteEvalConfig",
    "RouteExplainConfig",
    "RouteTrainConfig",
    "ServeConfig",
    "ask",
    "mcp",
    "route_eval",
    "route_explain",
    "route_train",
    "serve",
]
