"""A router that asks a language model: `council.router = "llm:fast"` names the tier, a chain or a model.

It answers as JSON, `{"experts": […], "confidence": 0.9}`. A model that is down, or says nothing usable, abstains.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Final

import msgspec

from afs.council.router import Choice
from afs.errors import ProviderError
from afs.providers.base import Provider, Sampling
from afs.types import Expert, Json, Message

PREFIX: Final = "llm:"
ABSTAIN_BELOW: Final = 0.6
_KEPT = 512
"""Questions whose answers are remembered: a conversation asks about its earlier turns again."""
_PROMPT = """Which expert should answer the question? The experts:
{experts}
Answer with one JSON object and nothing else: {{"experts": ["name", …], "confidence": 0.0 to 1.0}}
List one expert, or several that should answer together, or none for a question that is nobody's."""


class Classified(msgspec.Struct, frozen=True):
    """What the model is to answer."""

    experts: list[str]
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)]


class LlmRouter:
    """A language model as a chooser."""

    def __init__(self, model: Provider, experts: Sequence[Expert]) -> None:
        self._model, self._names = model, [expert.name for expert in experts]
        lines = [f"- {e.name}: {', '.join(e.tags) or e.domain}. {e.system}".rstrip() for e in experts]
        self._system = _PROMPT.format(experts="\n".join(lines))
        names: Json = {"type": "array", "items": {"type": "string", "enum": self._names}, "maxItems": 3}
        confidence: Json = {"type": "number", "minimum": 0, "maximum": 1}
        self._sampling = Sampling(
            max_tokens=96,
            schema={
                "type": "object",
                "properties": {"experts": names, "confidence": confidence},
                "required": ["experts", "confidence"],
                "additionalProperties": False,
            },
        )
        self.classify = lru_cache(_KEPT)(self._classify)

    def _classify(self, question: str) -> Classified:
        turns = [Message(role="system", text=self._system), Message(role="user", text=question)]
        try:
            said = self._model.complete(turns, self._sampling).text
        except ProviderError:
            return Classified([], 0.0)
        return read_classified(said, self._names)

    def choose(self, question: str) -> list[Choice]:
        """Every expert; those the model named have its confidence, the others share the rest."""
        found = self.classify(question)
        others = [name for name in self._names if name not in found.experts]
        rest = (1 - found.confidence) / max(1, len(others)) if found.experts else 1 / max(1, len(others))
        named = [Choice(name, found.confidence) for name in found.experts]
        return sorted([*named, *(Choice(name, rest) for name in others)], key=lambda choice: -choice.probability)

    def abstains(self, choices: Sequence[Choice]) -> bool:
        """Whether the model named nobody, or is not sure."""
        return not choices or choices[0].probability < ABSTAIN_BELOW

    def several(self, choices: Sequence[Choice]) -> list[str]:
        """Those it named together."""
        best = choices[0].probability
        return [choice.label for choice in choices if choice.probability == best >= ABSTAIN_BELOW]


def read_classified(said: str, names: Sequence[str]) -> Classified:
    """The object in an answer, with the experts that exist; nobody where there is none."""
    start, end = said.find("{"), said.rfind("}")
    try:
        found = msgspec.json.decode(said[start : end + 1] if start >= 0 else said, type=Classified)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return Classified([], 0.0)
    known = [name for name in dict.fromkeys(found.experts) if name in names]
    return Classified(known, found.confidence if known else 0.0)
