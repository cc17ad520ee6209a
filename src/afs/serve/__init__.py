"""The council at work: train the router, ask one question, talk, serve the gateway and agents, learn from feedback."""

from afs.serve.ask_command import AskConfig, ask
from afs.serve.chat_command import ChatConfig, chat
from afs.serve.council_store_command import CouncilStoreConfig, council_store
from afs.serve.feedback_commands import (
    FeedbackConfig,
    FeedbackRateConfig,
    FeedbackRecordsConfig,
    FeedbackTargetsConfig,
    feedback,
    feedback_rate,
    feedback_records,
    feedback_targets,
)
from afs.serve.mcp_command import McpConfig, mcp
from afs.serve.router_commands import (
    RouteEvalConfig,
    RouteExplainConfig,
    RouteTrainConfig,
    route_eval,
    route_explain,
    route_train,
)
from afs.serve.serve_command import ServeConfig, serve

__all__ = [
    "AskConfig",
    "ChatConfig",
    "CouncilStoreConfig",
    "FeedbackConfig",
    "FeedbackRateConfig",
    "FeedbackRecordsConfig",
    "FeedbackTargetsConfig",
    "McpConfig",
    "RouteEvalConfig",
    "RouteExplainConfig",
    "RouteTrainConfig",
    "ServeConfig",
    "ask",
    "chat",
    "council_store",
    "feedback",
    "feedback_rate",
    "feedback_records",
    "feedback_targets",
    "mcp",
    "route_eval",
    "route_explain",
    "route_train",
    "serve",
]
