"""One small call to a model before it serves anybody: it is the model it claims to be, and it ends where it should.

A machine that is down is no fault of the model: it is asked again when it is back. What is refused here answers as
another model, or shows the marks of its chat template, which means that template and stop tokens do not fit.
"""

from __future__ import annotations

from afs.errors import ProviderError
from afs.providers.base import Provider, Sampling
from afs.providers.failures import CallError
from afs.providers.model_lists import is_same_model
from afs.types import Completion, Message

QUESTION = (Message(role="user", text="Reply with the word ok."),)
SAMPLING = Sampling(max_tokens=24)
MARKS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end|>",
    "<|assistant|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
)
"""Of chat templates: never part of an answer."""


def find_fault(provider: Provider) -> str:
    """Why a model may not serve; empty when it may, or is only down."""
    try:
        answer = provider.complete(QUESTION, SAMPLING)
    except ProviderError as error:
        is_broken = isinstance(error, CallError) and error.kind in ("unusable", "task")
        return str(error) if is_broken else ""
    return fault_of(provider, answer)


def fault_of(provider: Provider, answer: Completion) -> str:
    """What is wrong with the answer to the small question; empty when nothing is."""
    asked = str(getattr(provider, "model", ""))
    if getattr(provider, "own_machine", False) and not is_same_model(asked, answer.answered_by):
        return f"{provider.name}: {WrongModelError(asked, answer.answered_by)}"
    if mark := next((mark for mark in MARKS if mark in answer.text), ""):
        return f"{provider.name}: its answer holds {mark}: its chat template or stop tokens do not fit the model"
    return ""


class WrongModelError(CallError):
    """A machine answers as another model than it was called for; that may change."""

    def __init__(self, asked: str, answered: str) -> None:
        super().__init__(
            "unusable", f"{answered} answered, not {asked}; name the model in nodes.toml as its server does"
        )
