"""Tools that a weak model cannot get wrong: one step is one object, `{tool, arguments}` or `{final}`.

The object's JSON schema constrains the model where its server can; what others write is read too (`<tool_call>`, a
fenced or bare object). At most `MOST_STEPS` calls, none twice; at the end a final answer is forced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, cast

import msgspec

from afs.council.toolbox import ToolOutcome
from afs.providers.base import Provider, Sampling
from afs.types import Completion, Json, Message, Tool, Usage, Value

MOST_STEPS: Final = 6
_RULE: Final = """You may call tools, one at a time. Answer with one JSON object and nothing else:
{{"tool": NAME, "arguments": {{…}}}} to call a tool, or {{"final": TEXT}} to answer the user.
Put code into TEXT as a fenced block. Tools:
{tools}"""
_TAGGED: Final = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.S)
_FENCED: Final = re.compile(r"```(?:json)?[ \t]*\n(\s*\{.*?\})\s*```", re.S)
_NAMES: Final = ("tool", "name", "tool_name", "function")
_ARGUMENTS: Final = ("arguments", "args", "parameters")
_FINALS: Final = ("final", "text_response", "answer")


class ToolSet(Protocol):
    """Tools that can be called: those of the packs, of a root of files, of both."""

    def tools(self) -> list[Tool]:
        """What may be called."""

    def call(self, name: str, arguments: Json) -> ToolOutcome:
        """One call."""


class ToolStep(Value, frozen=True, kw_only=True):
    """One call and what came back."""

    tool: str
    arguments: Json
    result: str
    is_problem: bool = False


class ToolAnswer(NamedTuple):
    """The final answer, and the steps that led to it."""

    completion: Completion
    steps: tuple[ToolStep, ...]


class JoinedTools:
    """Several sets of tools as one."""

    def __init__(self, *parts: ToolSet) -> None:
        self._parts = parts

    def tools(self) -> list[Tool]:
        """All of them."""
        return [tool for part in self._parts for tool in part.tools()]

    def call(self, name: str, arguments: Json) -> ToolOutcome:
        """A call of the part that has the tool; the last part names what there is."""
        for part in self._parts[:-1]:
            if any(tool.name == name for tool in part.tools()):
                return part.call(name, arguments)
        return self._parts[-1].call(name, arguments)


def step_schema(tools: Sequence[Tool], *, may_call: bool = True) -> Json:
    """The schema of a step: a call of one of the tools with its own arguments, or a final answer."""
    final = _object({"final": {"type": "string"}})
    calls = [_object({"tool": {"const": tool.name}, "arguments": tool.parameters}) for tool in tools]
    return {"anyOf": [*calls, final]} if may_call and calls else final


def _object(properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def answer_with_tools(
    model: Provider,
    messages: Sequence[Message],
    sampling: Sampling,
    tools: ToolSet,
    watch: Callable[[ToolStep], None] = lambda _: None,
) -> ToolAnswer:
    """Ask, call what the model wants, and give its final answer."""
    listed = tools.tools()
    rule = _RULE.format(tools="\n".join(_describe(tool) for tool in listed))
    turns = _with_system(messages, rule)
    steps: list[ToolStep] = []
    used = Usage()
    for number in range(MOST_STEPS + 1):
        may_call = number < MOST_STEPS
        schema = step_schema(listed, may_call=may_call)
        completion = model.complete(turns, msgspec.structs.replace(sampling, schema=schema))
        used = _sum(used, completion.usage)
        call = read_call(completion)
        if call is None or not may_call:
            text = read_final(completion.text)
            return ToolAnswer(msgspec.structs.replace(completion, text=text, usage=used, tool_calls=()), tuple(steps))
        step = _take(call, tools, steps)
        steps.append(step)
        watch(step)
        asked = msgspec.json.encode({"tool": step.tool, "arguments": step.arguments}).decode()
        left = MOST_STEPS - number - 1
        rest = f"{left} calls are left." if left else "No call is left: answer now."
        result = f"Result of {step.tool}:\n{step.result}\n\n{rest}"
        turns += [Message(role="assistant", text=asked), Message(role="user", text=result)]
    raise AssertionError("the last round returns")


def _take(call: tuple[str, Json], tools: ToolSet, before: Sequence[ToolStep]) -> ToolStep:
    name, arguments = call
    if any((step.tool, step.arguments) == call for step in before):
        text = "this call was made already; use its result or answer"
        return ToolStep(tool=name, arguments=arguments, result=text, is_problem=True)
    outcome = tools.call(name, arguments)
    return ToolStep(tool=name, arguments=arguments, result=outcome.text, is_problem=outcome.is_problem)


def _describe(tool: Tool) -> str:
    fields = cast(Mapping[str, Json], tool.parameters.get("properties", {}))
    return f"- {tool.name}({', '.join(fields)}): {tool.description}"


def _with_system(messages: Sequence[Message], rule: str) -> list[Message]:
    if messages and messages[0].role == "system":
        first = msgspec.structs.replace(messages[0], text=f"{messages[0].text}\n\n{rule}")
        return [first, *messages[1:]]
    return [Message(role="system", text=rule), *messages]


def _sum(one: Usage, two: Usage) -> Usage:
    costs = [usage.cost_usd for usage in (one, two) if usage.cost_usd is not None]
    return Usage(
        input_tokens=one.input_tokens + two.input_tokens,
        output_tokens=one.output_tokens + two.output_tokens,
        cached_tokens=one.cached_tokens + two.cached_tokens,
        thinking_tokens=one.thinking_tokens + two.thinking_tokens,
        cost_usd=sum(costs) if costs else None,
    )


# --- reading what models write -----------------------------------------------------------------------------------


def read_call(completion: Completion) -> tuple[str, Json] | None:
    """The call a model asks for, in whichever form; None when it answers."""
    if completion.tool_calls:
        first = completion.tool_calls[0]
        return first.name, first.arguments
    for found in _objects(completion.text):
        if call := _call_in(found):
            return call
    return None


def _call_in(found: Json) -> tuple[str, Json] | None:
    listed = found.get("tool_calls")
    if isinstance(listed, list) and listed and isinstance(listed[0], dict):
        return _call_in(listed[0])
    name = next((found[key] for key in _NAMES if found.get(key)), None)
    if isinstance(name, dict):
        return _call_in(name)
    if not isinstance(name, str) or any(isinstance(found.get(key), str) for key in _FINALS):
        return None
    arguments = next((found[key] for key in _ARGUMENTS if key in found), {})
    if isinstance(arguments, str):
        arguments = _decode(arguments) or {}
    return (name, cast(Json, arguments)) if isinstance(arguments, dict) else None


def read_final(text: str) -> str:
    """The answer in an object, or the text itself."""
    for found in _objects(text):
        for key in _FINALS:
            if isinstance(found.get(key), str):
                return str(found[key])
    return text


def _objects(text: str) -> Iterator[Json]:
    whole = _decode(text.strip())
    if whole is not None:
        yield whole
        return
    for pattern in (_TAGGED, _FENCED):
        for match in pattern.finditer(text):
            if (found := _decode(match[1])) is not None:
                yield found
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end and (found := _decode(text[start : end + 1])) is not None:
        yield found


def _decode(text: str) -> Json | None:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
