"""Tool dialogues: a teacher's calls are carried out by the pack, and what they answer goes back until it has finished.

What is judged is every call that could be carried out, in order; the record keeps the whole dialogue, failed calls with
what they answered included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import msgspec

from afs import datasets
from afs.domains.base import Domain
from afs.errors import ConfigError
from afs.types import Completion, Message, Task, ToolCall

OPEN = "open dialogue"
"""Problem of an attempt that is not finished."""
HINT = (
    "The results of your calls are shown to you, so you may look before you act. "
    "When everything is done, say so in one sentence without a call."
)
CarryOut = Callable[[Task, Sequence[ToolCall]], list[tuple[str, bool]]]
"""What each of several calls answers, and whether it could be carried out; a failed call changes nothing."""


class DialogueTurn(NamedTuple):
    """A dialogue after one more answer."""

    turns: tuple[Message, ...]
    text: str
    """What is judged when it ends here."""
    is_open: bool


def carry_out_of(pack: Domain) -> CarryOut:
    """The pack's sandbox for calls; most packs have none."""
    found = cast("CarryOut | None", getattr(pack, "carry_out", None))
    if found is None:
        raise ConfigError("dialogue_turns", f"the pack {pack.name} carries out no calls; it has single answers only")
    return found


def extend_dialogue(pack: Domain, task: Task, earlier: Sequence[Message], got: Completion, most: int) -> DialogueTurn:
    """Carry out the calls of an answer; without calls, or after `most` answers, the dialogue ends."""
    calls = got.tool_calls or tuple(_written_calls(pack, got.text))
    before = [call for message in earlier for call in message.tool_calls]
    named = tuple(
        call if call.id else msgspec.structs.replace(call, id=f"call_{len(before) + place}")
        for place, call in enumerate(calls)
    )
    answers = carry_out_of(pack)(task, [*before, *named])
    text = got.text if got.tool_calls or not calls else ""
    said = Message(
        role="assistant", text=text, thinking=got.thinking, tool_calls=named, provider_state=got.provider_state
    )
    results = [
        Message(role="tool", text=answer, tool_call_id=call.id, name=call.name)
        for call, (answer, _) in zip(named, answers[len(before) :], strict=True)
    ]
    turns = (*earlier, said, *results)
    done = tuple(call for call, (_, is_done) in zip([*before, *named], answers, strict=True) if is_done)
    judged = datasets.completion_text(Completion(text="" if calls else got.text, tool_calls=done, model=got.model))
    rounds = sum(message.role == "assistant" for message in turns)
    return DialogueTurn(turns, judged, bool(calls) and rounds < most)


def without_state(turns: Sequence[Message]) -> tuple[Message, ...]:
    """A dialogue as it is stored: what belongs to the provider lasts only as long as the process."""
    return tuple(msgspec.structs.replace(turn, provider_state={}) if turn.provider_state else turn for turn in turns)


def with_hint(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The question with the rules of a dialogue in its system prompt."""
    if messages and messages[0].role == "system":
        return (msgspec.structs.replace(messages[0], text=f"{messages[0].text}\n{HINT}"), *messages[1:])
    return (Message(role="system", text=HINT), *messages)


def _written_calls(pack: Domain, text: str) -> list[ToolCall]:
    """Calls that a model wrote into its text; one that cannot be read ends the dialogue and is judged as it is."""
    found = []
    for block in pack.extract(text):
        try:
            found.append(msgspec.json.decode(block.text, type=ToolCall))
        except msgspec.DecodeError:
            return []
    return found
