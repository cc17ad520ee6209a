"""The MCP server: tools of the packs, `verify`, and `ask` where there is a workspace; stdio and streamable HTTP.

It keeps no session: every request stands for itself, as the protocol of 2026 has it; older clients are served too.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from functools import cached_property

import mcp_types as types
import uvicorn
from mcp.server import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from starlette.types import ASGIApp

import afs
from afs import datasets
from afs.council import Council, open_council
from afs.council.reply_check import footer
from afs.council.toolbox import Toolbox, ToolOutcome
from afs.errors import AfsError
from afs.serve.access import Access, Tokens
from afs.serve.guarded_app import GuardedApp
from afs.types import Json, Tool
from afs.workspace import Workspace

_INSTRUCTIONS = (
    "Tools that check code by running it. Call verify with the user's question and your whole answer before you show"
    " code; use the others to find out rather than to guess."
)
ASK = Tool(
    name="ask",
    description="Ask the council of local experts; code in its answer has been run, and a last line says the verdict.",
    parameters={
        "type": "object",
        "properties": {
            "question": {"type": "string", "description": "The question, with all code it is about."},
            "expert": {"type": "string", "description": "An expert's name; empty: the router decides."},
        },
        "required": ["question"],
        "additionalProperties": False,
    },
)


class AgentTools:
    """What an agent may call; the council is opened at the first question."""

    def __init__(self, box: Toolbox, workspace: Workspace | None) -> None:
        self.box, self.workspace = box, workspace

    @cached_property
    def _council(self) -> Council:
        assert self.workspace is not None, "ask is not offered without a workspace"
        return open_council(self.workspace)

    def tools(self) -> list[Tool]:
        """The packs' tools, and `ask` where there is a workspace."""
        return [*self.box.tools(), *([ASK] if self.workspace else [])]

    def call(self, name: str, arguments: Json) -> ToolOutcome:
        """One call."""
        if name != "ask" or self.workspace is None:
            return self.box.call(name, arguments)
        try:
            return ToolOutcome(self._ask(arguments))
        except AfsError as error:
            return ToolOutcome(str(error), True)

    def _ask(self, arguments: Json) -> str:
        question, expert = (str(arguments.get(field) or "") for field in ("question", "expert"))
        reply = self._council.ask(datasets.task_messages(question), expert=expert)
        line = footer(reply.verdict) if reply.verdict else ""
        return "\n\n".join(filter(None, (reply.text, line, f"— {reply.expert or 'the base model'}")))


def make_server(tools: AgentTools) -> Server[object]:
    """The server of some tools."""

    async def list_tools(
        _: ServerRequestContext[object], __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        listed = [
            types.Tool(name=tool.name, description=tool.description, input_schema=tool.parameters)
            for tool in tools.tools()
        ]
        return types.ListToolsResult(tools=listed)

    async def call_tool(_: ServerRequestContext[object], params: types.CallToolRequestParams) -> types.CallToolResult:
        outcome = await asyncio.to_thread(tools.call, params.name, dict(params.arguments or {}))
        content: list[types.ContentBlock] = [types.TextContent(type="text", text=outcome.text)]
        return types.CallToolResult(content=content, is_error=outcome.is_problem)

    return Server(
        "afs",
        version=afs.__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def serve_stdio(box: Toolbox, workspace: Workspace | None) -> None:
    """Serve one client on standard input and output until it closes them."""
    server = make_server(AgentTools(box, workspace))

    async def serve() -> None:
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    asyncio.run(serve())


def http_app(box: Toolbox, workspace: Workspace | None, tokens: Tokens, host: str) -> ASGIApp:
    """The application that answers at `/mcp`, behind the same rules as the gateway."""
    server = make_server(AgentTools(box, workspace))
    app = server.streamable_http_app(stateless_http=True, json_response=True, host=host)
    return GuardedApp(app, Access(tokens, host=host), wants_token=True)


def serve_http(box: Toolbox, workspace: Workspace | None, tokens: Tokens, host: str, port: int) -> None:
    """Serve on a port until a signal stops it."""
    listener = socket.create_server((host, port), reuse_port=False)
    address = f"http://{host}:{listener.getsockname()[1]}/mcp"
    sys.stderr.write(f"MCP at {address}; Ctrl-C stops it\n")
    settings = uvicorn.Config(http_app(box, workspace, tokens, host), log_level="warning", timeout_keep_alive=30)
    uvicorn.Server(settings).run(sockets=[listener])
