"""The provider `echo:`: answers with the last user turn. Deterministic, offline, and always wrong on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from afs.providers.base import GREEDY, Sampling
from afs.types import Completion, Message, Tool, Usage


class Echo:
    """Repeats the last user message."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        self.name = f"echo:{model}"

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """The last user turn, cut at the token limit (a word a token)."""
        last = next((m.text for m in reversed(messages) if m.role == "user"), "")
        words = last.split()
        cut = len(words) > sampling.max_tokens
        text = " ".join(words[: sampling.max_tokens]) if cut else last
        read = sum(len(m.text.split()) for m in messages)
        used = Usage(input_tokens=read, output_tokens=len(text.split()), cost_usd=0.0)
        return Completion(text=text, model=self.name, usage=used, finish="length" if cut else "stop")
