"""The seam to language models: one call, one struct of sampling settings, and how a provider is named."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import msgspec

from afs import plugins
from afs.errors import ProviderError, UsageError
from afs.types import Completion, Json, Message, Tool, Value

if TYPE_CHECKING:  # most users of this seam need no numpy, and start faster without it
    import numpy as np
    import numpy.typing as npt

Vectors: TypeAlias = "npt.NDArray[np.float32]"
"""Rows of single-precision numbers."""


class Sampling(Value, frozen=True, kw_only=True):
    """How to sample; a part of every cache key and results table."""

    temperature: float | None = 0.0
    """None leaves it to the provider: some reasoning models refuse any value. Models run here then decode greedily."""
    max_tokens: int = 512
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    effort: Literal["", "none", "minimal", "low", "medium", "high"] = ""
    """How much a reasoning model should think; empty: its default."""
    schema: Json | None = None
    """JSON schema the answer must follow."""


GREEDY = Sampling()
"""The settings of every comparison unless said otherwise."""


class Provider(Protocol):
    """A language model."""

    name: str
    """What results are filed under: `openai:gpt-5.2`, `din@3`."""

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer; an outage raises ProviderError, never a made-up answer."""


class Wire(NamedTuple):
    """Where a model's own HTTP interface is, for requests that are passed on as they came."""

    url: str
    headers: Mapping[str, str]
    fields: Mapping[str, object]
    """What every request must carry."""
    dialects: frozenset[str] = frozenset({"chat/completions"})
    """Paths it serves below its address."""
    slots: int = 0
    """Requests it answers at once; 0: unknown."""
    model: str = ""
    """The model that its answers must name; empty: whichever."""
    timeout_s: float = 600.0
    """Longest wait for a piece of an answer."""


class LentWire(NamedTuple):
    """An address for one request."""

    wire: Wire
    name: str
    """What is excluded when it fails: the machine, at this start."""
    settle: Callable[[ProviderError | None], None]
    """Says that the request has ended, and what went wrong."""


@runtime_checkable
class WireProvider(Protocol):
    """A model behind HTTP whose requests may be passed on."""

    name: str

    def wire(self) -> Wire:
        """Its address now; it may change when the server is started again."""


@runtime_checkable
class WireLender(Protocol):
    """A model whose address is lent for one request at a time: several machines, or one that is loaded on demand."""

    name: str

    def lend_wire(self, excluded: Container[str] = ()) -> tuple[LentWire | None, float]:
        """An address, or the seconds until there may be one; raises when nobody can answer soon."""


@runtime_checkable
class BatchProvider(Protocol):
    """A model that answers many at once faster than one by one."""

    name: str

    def complete_many(
        self, conversations: Sequence[Sequence[Message]], sampling: Sampling = GREEDY
    ) -> list[Completion]:
        """Answers in the order of the conversations."""


@runtime_checkable
class Teller(Protocol):
    """A model that can say how likely it finds an answer."""

    name: str

    def losses(self, conversations: Sequence[tuple[Sequence[Message], str]]) -> list[tuple[float, int]]:
        """(negative log-likelihood in nats, tokens) of each answer after its conversation."""


class Embedder(Protocol):
    """A model that turns texts into unit vectors."""

    name: str

    def embed(self, texts: Sequence[str]) -> Vectors:
        """A vector per text, in order."""


def chat_message(message: Message) -> Json:
    """One turn in OpenAI's form, which most hosts and chat templates read."""
    turn: Json = {"role": message.role, "content": message.text}
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": msgspec.json.encode(call.arguments).decode()},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    if message.name:
        turn["name"] = message.name
    return turn


Factory = Callable[[str, Mapping[str, object]], Provider]
"""What a provider plug-in is: (model, options) -> Provider."""
PROVIDERS = plugins.PluginTable[Factory]("provider")
EMBEDDERS = plugins.PluginTable[Callable[[str, Mapping[str, object]], Embedder]]("embedder")


def provider(spec: str, options: Mapping[str, object] = {}) -> Provider:
    """The provider written `kind:model`."""
    kind, colon, model = spec.partition(":")
    if not colon:
        raise UsageError(f"want a model such as `openai:gpt-5.2` or `echo:`, got {spec!r}")
    return PROVIDERS.find(kind)(model, options)


def embedder(spec: str, options: Mapping[str, object] = {}) -> Embedder:
    """The embedder written `kind:model`; a folder alone is one of the kind `bert`."""
    kind, colon, model = spec.partition(":")
    if not colon or kind not in plugins.list_names("embedder"):
        kind, model = "bert", spec
    return EMBEDDERS.find(kind)(model, options)
