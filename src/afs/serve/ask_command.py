"""`afs ask` and `afs route explain`: one question to the council, and why it goes to which expert."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from afs import datasets
from afs.config import Config
from afs.council import open_council, open_router
from afs.council.file_and_command_tools import FileTools
from afs.council.passages import PassageIndex, read_documents
from afs.council.reply_log import LoggedReply, ReplyLog
from afs.errors import DataError, ProviderError, UsageError, WorkspaceError
from afs.registry import Registry
from afs.serve.cited_answer import CitedStream
from afs.serve.in_process_chat import LocalChat, summary
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
    verify: Literal["hold", "after", "off"] = "hold"
    """Show code once it has run, show it at once with the verdict below, or check nothing."""
    docs: tuple[str, ...] = ()
    """Answer from these files, folders, records or datasets, with citations; works without any expert too."""
    tools: Literal["", "off", "prefetch", "steps"] = ""
    """prefetch: look facts up for the model; steps: let it call tools too; empty: as `council.tools` says."""
    root: Path | None = None
    """Folder whose files the model may read by tools (with `--tools steps`)."""
    allow: tuple[Literal["write", "run"], ...] = ()
    """What it may do in `root` without asking: write files, run commands in the sandbox."""


class AskStream:
    """Result of `afs ask`: the answer's pieces as they come, then the reply."""

    def __init__(self, chat: LocalChat, pieces: Iterator[str]) -> None:
        self._chat, self._pieces = chat, pieces

    def pieces(self) -> Iterator[str]:
        """The answer as it comes, then a line with expert, verdict and costs."""
        yield from self._pieces
        yield f"\n\n{summary(self.reply())}\n"

    def reply(self) -> LoggedReply:
        """The whole reply."""
        deque(self._pieces, maxlen=0)
        if self._chat.reply is None:
            raise ProviderError("the model's answer ended before it was whole")
        return self._chat.reply


class Explained(Value, frozen=True, kw_only=True):
    """Why a question goes to an expert."""

    expert: str
    probability: float
    abstains: bool
    words: dict[str, float]
    others: dict[str, float]


def ask(config: AskConfig, workspace: Workspace) -> AskStream | CitedStream:
    """Ask, check, answer."""
    task = _read_task(config.task) if config.task else None
    question = config.question or (task.prompt if task else "")
    if not question:
        raise UsageError('no question; usage: afs ask "…"')
    if config.docs:
        index = PassageIndex(read_documents(config.docs, workspace))
        return CitedStream(question, index, _chat_if_any(workspace), config.expert)
    council = open_council(workspace)
    council.tools = config.tools or council.tools
    council.own_tools = FileTools(config.root, allowed=config.allow) if config.root else None
    chat = LocalChat(council, ReplyLog(workspace), keeps_last=True)
    chat.watch = lambda step: workspace.log.event("notice", text=f"{step.tool}: {step.result.splitlines()[0][:100]}")
    turns = datasets.task_messages(question)
    return AskStream(chat, chat.ask(turns, expert=config.expert, verify=config.verify, task=task))


def _chat_if_any(workspace: Workspace) -> LocalChat | None:
    """The council, where an expert is registered."""
    if not Registry(workspace).experts() and not workspace.settings.council.served_by:
        return None
    return LocalChat(open_council(workspace), ReplyLog(workspace), keeps_last=True)


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
