"""`afs ask` and `afs route explain`: one question to the council, and why it goes to which expert."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import msgspec

from afs import datasets
from afs.config import Config
from afs.council import open_council, open_router
from afs.council.answer import Reply
from afs.council.reply_check import verdict_words
from afs.errors import DataError, UsageError, WorkspaceError
from afs.types import Task, Value
from afs.workspace import Workspace

__all__ = ["AskConfig", "RouteExplainConfig", "ask", "route_explain"]


class AskConfig(Config, frozen=True, kw_only=True):
    """Ask the council one question."""

    positional: ClassVar[tuple[str, ...]] = ("question",)
    question: str = ""
    """The question; empty with `task`: the task's prompt."""
    expert: str = ""
    """Ask this expert instead of the router's choice."""
    task: Path | None = None
    """A task as JSON; its pack checks the answer."""


class AskResult(Value, frozen=True, kw_only=True):
    """Result of `afs ask`."""

    reply: Reply

    def text(self) -> str:
        """The answer, with the expert and the check below it."""
        reply = self.reply
        who = reply.expert or "the fallback"
        chance = f", {reply.route[reply.expert]:.0%}" if reply.expert in reply.route else ""
        unsure = "; no expert was likely enough" if reply.abstained else ""
        checked = verdict_words(reply.verdict) if reply.verdict else "not checked"
        repaired = f"; {reply.attempts} attempts" if reply.attempts > 1 else ""
        return f"{reply.text}\n\n— {who}{chance}{unsure}; {checked}{repaired}; {reply.completion.seconds:.2f} s"


class Explained(Value, frozen=True, kw_only=True):
    """Why a question goes to an expert."""

    expert: str
    probability: float
    abstains: bool
    words: dict[str, float]
    others: dict[str, float]


def ask(config: AskConfig, workspace: Workspace) -> AskResult:
    """Ask, check, answer."""
    task = _read_task(config.task) if config.task else None
    question = config.question or (task.prompt if task else "")
    if not question:
        raise UsageError('no question; usage: afs ask "…"')
    council = open_council(workspace)
    return AskResult(reply=council.ask(datasets.task_messages(question), task=task, expert=config.expert))


def _read_task(path: Path) -> Task:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Task)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from error


class RouteExplainConfig(Config, frozen=True, kw_only=True):
    """Show why a question goes to which expert."""

    positional: ClassVar[tuple[str, ...]] = ("question",)
    question: str
    """The question."""
    router: str = ""
    """Router; empty: the newest."""


def route_explain(config: RouteExplainConfig, workspace: Workspace) -> Explained:
    """The chosen expert, its probability, and the words that decided it."""
    router = open_router(workspace, config.router or workspace.settings.council.router)
    if router is None:
        raise WorkspaceError("no router yet; train one with `afs route train`")
    choices = router.choose(config.question)
    return Explained(
        expert=choices[0].label,
        probability=round(choices[0].probability, 4),
        abstains=router.abstains(choices),
        words={word: round(weight, 3) for word, weight in router.explain(config.question)},
        others={choice.label: round(choice.probability, 4) for choice in choices[1:]},
    )
