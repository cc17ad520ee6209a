"""A few-shot expert: another model with worked examples before every question; nothing of the model changes.

The examples are the file that `method = "fewshot"` of training stores: turns of users and assistants, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from afs.errors import ProviderError, boundary
from afs.providers.base import GREEDY, BatchProvider, Provider, Sampling
from afs.types import Completion, Message, Tool

FILE = "examples.json"


def read_examples(folder: Path) -> list[Message]:
    """The turns stored in a folder."""
    with boundary(ProviderError, str(folder / FILE)):
        return msgspec.json.decode((folder / FILE).read_bytes(), type=list[Message])


def as_text(examples: Sequence[Message]) -> str:
    """The examples as part of a system prompt, for hosts that keep only that; empty without any."""
    worked = "\n".join(f"{turn.role.capitalize()}: {turn.text}" for turn in examples)
    return f"Examples:\n{worked}" if worked else ""


class FewShotModel:
    """The model behind, asked with the examples between the system prompt and the question."""

    def __init__(self, behind: Provider, examples: Sequence[Message], name: str) -> None:
        self.behind, self.name, self.examples = behind, name, tuple(examples)

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer."""
        answer = self.behind.complete(self.conversation(messages), sampling, tools)
        return msgspec.structs.replace(answer, model=self.name)

    def conversation(self, messages: Sequence[Message]) -> list[Message]:
        """What the model behind is asked."""
        lead = [message for message in messages[:1] if message.role == "system"]
        return [*lead, *self.examples, *messages[len(lead) :]]


class FewShotBatchModel(FewShotModel):
    """The same for a model that answers many at once."""

    def complete_many(
        self, conversations: Sequence[Sequence[Message]], sampling: Sampling = GREEDY
    ) -> list[Completion]:
        """Answers in the order of the conversations."""
        assert isinstance(self.behind, BatchProvider)
        answers = self.behind.complete_many([self.conversation(turns) for turns in conversations], sampling)
        return [msgspec.structs.replace(answer, model=self.name) for answer in answers]


def put_examples(behind: Provider, examples: Sequence[Message], name: str) -> FewShotModel:
    """A model with examples before every question."""
    made = FewShotBatchModel if isinstance(behind, BatchProvider) else FewShotModel
    return made(behind, examples, name)
