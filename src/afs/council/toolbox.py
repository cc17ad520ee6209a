"""The tools of all packs for a model or an agent: their schemas, and calls in worker processes with limits.

A tool's answer is text, cut in the middle where it is long; what a tool refuses is text too, marked as a problem.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, cast

import msgspec

from afs import config as configs
from afs import plugins
from afs.config import Config
from afs.council.verify_tool import VERIFY
from afs.domains.base import DOMAINS, PackTool
from afs.errors import AfsError
from afs.plugins import list_names
from afs.process import Workers
from afs.types import Json, Tool, Value

TIMEOUT_S: Final = 20.0
MEMORY_MB: Final = 2048
LONGEST: Final = 6000
"""Characters of a result that a model gets to see."""


class ToolOutcome(NamedTuple):
    """What a tool said."""

    text: str
    is_problem: bool = False


class _Call(Value, frozen=True, kw_only=True):
    config: str
    function: str
    arguments: Json


def find_pack_tools() -> dict[str, PackTool]:
    """`verify`, and every pack's tools by their full name, `PACK_TOOL`."""
    found: dict[str, PackTool] = {"verify": VERIFY}
    for pack in list_names("domain"):
        tools = cast(Mapping[str, PackTool], getattr(DOMAINS.find(pack), "tools", {}))
        found |= {f"{pack}_{name}": tool for name, tool in tools.items()}
    return found


def describe_tool(name: str, tool: PackTool) -> Tool:
    """A tool as a model sees it."""
    return Tool(name=name, description=tool.help, parameters=config_schema(tool.config))


def config_schema(target: str) -> Json:
    """The JSON schema of a config class, described by its fields' docstrings."""
    cls = plugins.Late[type[Config]](target).load()
    (root,), parts = msgspec.json.schema_components((cls,), schema_hook=_any_value, ref_template="#/$defs/{name}")
    own = cast(Json, parts.pop(str(root["$ref"]).rpartition("/")[2]))
    properties = cast(dict[str, Json], own["properties"])
    for field in configs.fields(cls):
        properties[field.name]["description"] = field.doc.replace("\n", " ")
    own.pop("title", None)
    return {**own, **({"$defs": parts} if parts else {})}


def _any_value(_: type) -> Json:
    """The schema of a value that may be anything."""
    return {"description": "any value"}


def call_in_worker(payload: bytes) -> bytes:
    """A worker's entry: a call in, `=text` or `!problem` out."""
    asked = msgspec.msgpack.decode(payload, type=_Call)
    try:
        config = configs.decode(plugins.Late[type[Config]](asked.config).load(), asked.arguments)
        result = plugins.Late[Callable[[Config], object]](asked.function).load()(config)
    except AfsError as error:
        return b"!" + str(error).encode()
    text = getattr(result, "text", None)
    return b"=" + (str(text()) if callable(text) else str(result)).encode()


class _FactsQuery(Config, frozen=True, kw_only=True):
    question: str


def look_up(config: _FactsQuery) -> str:
    """The facts of all packs about a question."""
    found = []
    for name in list_names("domain"):
        facts = getattr(DOMAINS.find(name), "facts", None)
        if facts is not None:
            found.append(cast(Callable[[str], str], facts)(config.question))
    return "\n\n".join(filter(None, found))


class Toolbox:
    """The packs' tools, ready to be called from any thread."""

    def __init__(self, *, jobs: int = 1, timeout_s: float = TIMEOUT_S) -> None:
        self.packs = find_pack_tools()
        self._workers = Workers(f"{__name__}:call_in_worker", jobs=jobs, timeout_s=timeout_s, memory_mb=MEMORY_MB)
        self._end = weakref.finalize(self, self._workers.close)

    def tools(self) -> list[Tool]:
        """Every tool as a model sees it."""
        return [describe_tool(name, tool) for name, tool in self.packs.items()]

    def call(self, name: str, arguments: Json) -> ToolOutcome:
        """One call; a wrong name or argument is a problem that says what is wanted."""
        tool = self.packs.get(name)
        if tool is None:
            return ToolOutcome(f"no tool is called {name!r}{plugins.suggest_name(name, self.packs)}", True)
        return self._ask_worker(name, _Call(config=tool.config, function=tool.function, arguments=arguments))

    def facts(self, question: str) -> str:
        """What the packs can look up about a question; empty when nothing, or when looking it up fails."""
        call = _Call(config=f"{__name__}:_FactsQuery", function=f"{__name__}:look_up", arguments={"question": question})
        outcome = self._ask_worker("facts", call)
        return "" if outcome.is_problem else outcome.text

    def _ask_worker(self, name: str, call: _Call) -> ToolOutcome:
        outcome = self._workers.call(msgspec.msgpack.encode(call))
        if outcome.problem:
            return ToolOutcome(f"{name}: {outcome.problem}", True)
        return ToolOutcome(cut_middle(outcome.value[1:].decode()), outcome.value[:1] == b"!")

    def close(self) -> None:
        """End the workers."""
        self._end()


def cut_middle(text: str, longest: int = LONGEST) -> str:
    """Head and tail of a long text, and how much lies between."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
