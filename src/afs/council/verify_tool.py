"""The tool `verify`: the verdict on an answer, as the council's own replies get it."""

from __future__ import annotations

import msgspec

from afs import answer_verifier
from afs.config import Config
from afs.council.reply_check import infer_verdict, verdict_words
from afs.domains.base import PackTool
from afs.errors import UsageError
from afs.types import Json, Task

VERIFY = PackTool(
    config=f"{__name__}:AnswerToVerify",
    function=f"{__name__}:verify_answer",
    help=(
        "Check code before you show it: it is assembled and run. Give the user's question in full, with the user's own"
        " code: where the same effect is asked for, both are compared on many start states."
    ),
)


class AnswerToVerify(Config, frozen=True, kw_only=True):
    """What to judge."""

    answer: str
    """The answer with its code in a fenced block."""
    question: str = ""
    """The user's question, with the user's own code and examples."""
    task: Json = {}
    """A task of a pack as JSON; it states its own check."""


def verify_answer(config: AnswerToVerify) -> str:
    """The verdict in words, its facts below."""
    if config.task:
        try:
            task = msgspec.convert(config.task, Task)
        except msgspec.ValidationError as error:
            raise UsageError(f"task: {error}") from error
        verdict = answer_verifier.check_answer(task, config.answer)
    else:
        verdict = infer_verdict(config.question, config.answer)
    facts = msgspec.json.encode(verdict.facts).decode() if verdict.facts else ""
    return "\n".join(filter(None, (verdict_words(verdict), facts)))
