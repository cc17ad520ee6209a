"""A few-shot expert: another model with instructions and worked examples before every question; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from afs.errors import ProviderError, boundary
from afs.providers.base import GREEDY, Provider, Sampling
from afs.types import Completion, Message, Tool, Value

FILE = "fewshot.json"


class FewShotPrompt(Value, frozen=True, kw_only=True):
    """The file `fewshot.json`."""

    schema: int = 1
    system: str = ""
    examples: tuple[tuple[Message, ...], ...] = ()
    """Worked conversations, each a question with its answer."""
    records: tuple[str, ...] = ()
    """Ids of the records they come from."""

    def text(self) -> str:
        """Instructions and examples as one system prompt, for hosts that keep only that."""
        worked = ["\n".join(f"{m.role.capitalize()}: {m.text}" for m in example) for example in self.examples]
        return "\n\n".join(part for part in (self.system, *(f"Example:\n{one}" for one in worked)) if part)


def read_prompt(folder: Path) -> FewShotPrompt:
    """The prompt stored in a folder."""
    with boundary(ProviderError, str(folder / FILE)):
        return msgspec.json.decode((folder / FILE).read_bytes(), type=FewShotPrompt)


class FewShot:
    """The model behind, asked with the examples in front."""

    def __init__(self, behind: Provider, folder: Path, name: str) -> None:
        self.behind, self.name = behind, name
        self.prompt = read_prompt(folder)

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer."""
        own = [message for message in messages if message.role == "system"]
        rest = [message for message in messages if message.role != "system"]
        system = "\n\n".join(text for text in (self.prompt.system, *(message.text for message in own)) if text)
        front = [Message(role="system", text=system)] if system else []
        worked = [message for example in self.prompt.examples for message in example]
        answer = self.behind.complete([*front, *worked, *rest], sampling, tools)
        return msgspec.structs.replace(answer, model=self.name)
