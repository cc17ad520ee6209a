"""`afs ask`: one question to the council; and how the council is put together from the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import msgspec

from afs import artifacts, datasets, verify
from afs.config import Config
from afs.errors import DataError, UsageError, WorkspaceError
from afs.registry import Registry
from afs.routing import open_router
from afs.serve.council import Council, Reply
from afs.types import Task, Value
from afs.workspace import Workspace

__all__ = ["AskConfig", "RouteExplainConfig", "ask", "open_council", "route_explain"]


class AskConfig(Config, frozen=True, kw_only=True):
    """Ask the council one question."""

    positional: ClassVar[tuple[str, ...]] = ("question",)
    question: str = ""
    """What to ask; with `task` the task's own prompt."""
    expert: str = ""
    """Ask this expert, whatever the router says."""
    task: Path | None = None
    """A task as JSON: the answer is checked by its pack."""


class Answer(Value, frozen=True, kw_only=True):
    """What `afs ask` prints."""

    reply: Reply

    def text(self) -> str:
        """The answer, and below it who gave it and how it was checked."""
        reply = self.reply
        who = reply.expert or "the fallback (the router abstained)"
        chance = f", {reply.route[reply.expert]:.0%}" if reply.expert in reply.route else ""
        verdict = reply.verdict
        if verdict is None or verdict.ok is None:
            checked = "not checked" + (f" ({verdict.reason})" if verdict else "; --task FILE gives it a check")
        else:
            checked = f"{'passes' if verdict.ok else 'FAILS'} its check ({verdict.checker}, {verdict.stage})"
        return f"{reply.text}\n\n— {who}{chance}; {checked}; {reply.completion.seconds:.2f} s"


class Explained(Value, frozen=True, kw_only=True):
    """Why a question goes where it goes."""

    expert: str
    probability: float
    abstains: bool
    words: dict[str, float]
    others: dict[str, float]


def ask(config: AskConfig, workspace: Workspace) -> Answer:
    """Ask, check, answer."""
    task = _read_task(config.task) if config.task else None
    question = config.question or (task.prompt if task else "")
    if not question:
        raise UsageError('nothing was asked; afs ask "…"')
    council = open_council(workspace)
    return Answer(reply=council.ask(datasets.task_messages(question), task=task, expert=config.expert))


def _read_task(path: Path) -> Task:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Task)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{path}: {error}") from error


def open_council(workspace: Workspace) -> Council:
    """The council of the registry's experts, with the newest router."""
    settings = workspace.settings.council
    registry = Registry(workspace)
    experts = [e for e in registry.experts() if not settings.experts or e.name in settings.experts]
    if not experts:
        raise WorkspaceError("no expert is registered; `afs quickstart` makes two, `afs models register` adds one")
    opened = {expert.name: (expert, registry.open(expert.name)) for expert in experts}
    fallback = artifacts.open_model(workspace, settings.fallback) if settings.fallback else None
    return Council(opened, open_router(workspace, settings.router), fallback, verify.check)


class RouteExplainConfig(Config, frozen=True, kw_only=True):
    """Say why a question goes to whom."""

    positional: ClassVar[tuple[str, ...]] = ("question",)
    question: str
    """The question."""
    router: str = ""
    """Router artifact; empty: the newest."""


def route_explain(config: RouteExplainConfig, workspace: Workspace) -> Explained:
    """The choice, its probability, and the words that made it."""
    router = open_router(workspace, config.router or workspace.settings.council.router)
    if router is None:
        raise WorkspaceError("no router yet; `afs route train` makes one")
    choices = router.choose(config.question)
    return Explained(
        expert=choices[0].label,
        probability=round(choices[0].probability, 4),
        abstains=router.abstains(choices),
        words={word: round(weight, 3) for word, weight in router.explain(config.question)},
        others={choice.label: round(choice.probability, 4) for choice in choices[1:]},
    )
