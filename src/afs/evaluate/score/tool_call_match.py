"""The scorer `calls`: the answer's tool calls fit the tools' schemas and equal the gold answer's.

The pack `tools` executes calls and judges their effect; this scorer is for a user's own tools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from afs.config import Config
from afs.domains.base import find_marked
from afs.types import Json, Task, Tool, ToolCall, Verdict

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


class Calls(Config, frozen=True, kw_only=True):
    """Calls against their schemas and the gold answer's calls."""

    id: ClassVar[str] = "calls"
    version: ClassVar[str] = "1"
    same_arguments: bool = True
    """Require the gold answer's arguments; false: the right tools with valid arguments suffice."""
    any_order: bool = False
    """Accept the calls in any order."""

    def score(self, task: Task, answer: str) -> Verdict:
        """The share of steps reached: written, valid, wanted."""

        def verdict(stage: str, score: float, reason: str = "") -> Verdict:
            return Verdict(task=task.id, ok=score == 1.0, score=score, stage=stage, reason=reason)

        try:
            calls = read_calls(answer)
        except msgspec.DecodeError as error:
            return verdict("parse", 0.1, str(error))
        if not calls:
            return verdict("extract", 0.0, "no tool call")
        tools = {tool.name: tool for tool in task.tools}
        for call in calls:
            if problem := problem_of(call, tools):
                return verdict("schema", 0.2, problem)
        got, want = [self._shown(c) for c in calls], [self._shown(c) for c in read_calls(task.reference)]
        if self.any_order:
            got, want = sorted(got), sorted(want)
        return verdict("match", 1.0) if got == want else verdict("match", 0.4, f"want {want}, got {got}"[:300])

    def _shown(self, call: ToolCall) -> str:
        arguments = call.arguments if self.same_arguments else {}
        return f"{call.name} {msgspec.json.encode(arguments, order='sorted').decode()}"


def read_calls(answer: str) -> list[ToolCall]:
    """The calls in an answer."""
    return [msgspec.json.decode(text, type=ToolCall) for text, _ in find_marked(answer, "<tool_call>", "</tool_call>")]


def problem_of(call: ToolCall, tools: Mapping[str, Tool]) -> str:
    """Why a call is not allowed by the tools' schemas, or nothing."""
    if call.name not in tools:
        return f"no tool is called {call.name!r}"
    schema = tools[call.name].parameters
    properties = schema.get("properties")
    known: Json = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else []:
        if name not in call.arguments:
            return f"{call.name}: the argument {name!r} is missing"
    for name, value in call.arguments.items():
        rule = known.get(name)
        if known and not isinstance(rule, dict):
            return f"{call.name}: no argument is called {name!r}"
        if isinstance(rule, dict) and not _fits(value, rule):
            return f"{call.name}: {name} is not {rule.get('type')}"
    return ""


def _fits(value: object, rule: Mapping[str, object]) -> bool:
    kind = rule.get("type")
    allowed = _TYPES.get(str(kind))
    if allowed and (not isinstance(value, allowed) or (isinstance(value, bool) and kind != "boolean")):
        return False
    choices = rule.get("enum")
    return value in choices if isinstance(choices, Sequence) and not isinstance(choices, str) else True
