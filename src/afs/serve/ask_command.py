"""`afs ask`: one question to the council."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from afs import datasets
from afs.config import Config
from afs.council import open_council
from afs.council.file_and_command_tools import FileTools
from afs.council.passages import PassageIndex, read_documents
from afs.council.reply_log import LoggedReply, ReplyLog
from afs.errors import DataError, ProviderError, UsageError
from afs.registry import Registry
from afs.serve.cited_answer import CitedStream
from afs.serve.in_process_chat import LocalChat, summary
from afs.types import Task
from afs.workspace import Workspace


class AskConfig(Config, frozen=True, kw_only=True):
    """Ask the council one question."""

    positional: ClassVar[tuple[str, ...]] = ("question",)
    question: str = ""
    """The question; empty with `task`: the task's prompt."""
    expert: str = ""
    """Ask this expert instead of the router's choice."""
    task: str = ""
    """A task as JSON, or `DATASET:SPLIT:N`, the Nth task of a stored dataset; its pack checks the answer."""
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


def ask(config: AskConfig, workspace: Workspace) -> AskStream | CitedStream:
    """Ask, check, answer."""
    task = read_task(config.task, workspace) if config.task else None
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


def read_task(text: str, workspace: Workspace) -> Task:
    """The task of a file or of a stored dataset."""
    name, _, rest = text.partition(":")
    split, _, number = rest.partition(":")
    path = Path(text)
    if number.isdigit() and not path.exists():
        return _stored_task(workspace, name, split, int(number))
    try:
        return msgspec.json.decode(path.read_bytes(), type=Task)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from error


def _stored_task(workspace: Workspace, name: str, split: str, number: int) -> Task:
    dataset = datasets.load(workspace, name)
    rows = datasets.read(workspace, dataset, datasets.find_split(dataset, split).name if split else "")
    tasks = [record.task for record in rows if record.task is not None]
    if not 1 <= number <= len(tasks):
        raise DataError(f"{name}:{split} has {len(tasks)} tasks; want a number from 1")
    return tasks[number - 1]
