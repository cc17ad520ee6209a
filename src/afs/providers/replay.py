"""The provider `replay:FILE`: answers recorded in a JSONL file, found by the digest of the conversation.

What was not recorded is a ProviderError, so a test or an offline run never gets an invented answer. `Recorder` wraps
any provider and writes such a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from afs import jsonl
from afs.errors import ProviderError
from afs.providers.base import GREEDY, Provider, Sampling
from afs.types import Completion, Message, Tool, Value, digest


class Recorded(Value, frozen=True, kw_only=True):
    """One line of a replay file."""

    key: str
    completion: Completion


def conversation_key(messages: Sequence[Message], sampling: Sampling) -> str:
    """What a recorded answer is found by."""
    return digest((list(messages), sampling))


class Replay:
    """Answers from a file."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        self.name = f"replay:{Path(model).stem}"
        self._answers = {row.key: row.completion for row in jsonl.read(Path(model), Recorded)}

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """The recorded answer."""
        found = self._answers.get(conversation_key(messages, sampling))
        if found is None:
            raise ProviderError(f"{self.name}: no answer is recorded for {messages[-1].text[:60]!r}")
        return found


class Recorder:
    """Passes calls through and records the answers."""

    def __init__(self, inner: Provider, path: Path) -> None:
        self.name, self._inner, self._path = inner.name, inner, path

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """The inner provider's answer, recorded."""
        completion = self._inner.complete(messages, sampling, tools)
        jsonl.append(self._path, [Recorded(key=conversation_key(messages, sampling), completion=completion)])
        return completion
