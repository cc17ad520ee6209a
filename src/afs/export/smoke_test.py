"""The smoke test of a deployment: is it this model, does it keep the template, does it answer, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from afs.errors import RefusedError
from afs.types import Message, Value

PROBES = ("Say OK.", "What can you help me with?")
"""What every deployment is asked before the probes of its expert's pack."""
_LEAKS = ("<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|eot_id|>", "[INST]", "<|endoftext|>")


class HostReply(Value, frozen=True, kw_only=True):
    """What the deployed endpoint answered."""

    model: str
    text: str


class Smoke(Value, frozen=True, kw_only=True):
    """What the smoke test saw."""

    model: str
    answers: tuple[str, ...]
    seconds: tuple[float, ...]
    template: bool | None = None
    """Whether the host renders chats as in training; unknown when it does not tell."""


Ask = Callable[[Sequence[Message]], HostReply]


def smoke_test(
    where: str, ask: Ask, *, expected: str, system: str = "", template: bool | None = None, probes: Sequence[str] = ()
) -> Smoke:
    """Ask the probes; another model, a leaking template or nothing but empty answers fail."""
    answers, seconds = [], []
    for text in (*PROBES, *probes):
        messages = [Message(role="user", text=text)]
        if system:
            messages.insert(0, Message(role="system", text=system))
        started = time.monotonic()
        reply = ask(messages)
        seconds.append(round(time.monotonic() - started, 4))
        if plain_text(reply.model) != plain_text(expected):
            raise RefusedError(f"{where}: {reply.model!r} answered where {expected!r} was asked")
        leak = next((mark for mark in _LEAKS if mark in reply.text), None)
        if leak:
            raise RefusedError(f"{where}: the answer holds {leak}; the stop tokens or the template are wrong")
        answers.append(reply.text)
    if not any(answer.strip() for answer in answers):
        raise RefusedError(f"{where}: no probe got an answer")
    if template is False:
        raise RefusedError(f"{where}: it renders chats differently than in training")
    return Smoke(model=expected, answers=tuple(answers), seconds=tuple(seconds), template=template)


def plain_text(model: str) -> str:
    """A model's name without the tag that hosts add."""
    return model.removesuffix(":latest").lower()
