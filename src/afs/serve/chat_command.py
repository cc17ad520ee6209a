"""`afs chat`: the council in a terminal, with the lines typed before at hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

from afs.config import Config
from afs.council import open_council
from afs.council.file_and_command_tools import FileTools
from afs.council.reply_log import ReplyLog
from afs.council.tool_steps import ToolStep
from afs.printable import show_controls
from afs.serve.in_process_chat import LocalChat
from afs.serve.terminal_chat import ChatSession
from afs.workspace import Workspace

__all__ = ["ChatConfig", "chat"]


class ChatConfig(Config, frozen=True, kw_only=True):
    """Talk with the council in a terminal; `/help` lists the commands."""

    expert: str = ""
    """Ask this expert; empty: the router decides."""
    verify: Literal["hold", "after", "off"] = "hold"
    """Show code once it has run, show it at once with the verdict below, or check nothing."""
    tools: Literal["", "off", "prefetch", "steps"] = ""
    """prefetch: look facts up for the model; steps: let it call tools too; empty: as `council.tools` says."""
    root: Path | None = None
    """Folder whose files the model may read by tools; before it writes or runs anything, you are asked."""
    allow: tuple[Literal["write", "run"], ...] = ()
    """What it may do in `root` without asking."""


def chat(config: ChatConfig, workspace: Workspace) -> None:
    """Talk until the end of the input, or `/quit`."""
    log = ReplyLog(workspace)
    council = open_council(workspace)
    council.tools = config.tools or council.tools
    if config.root:
        council.own_tools = FileTools(config.root, allowed=config.allow, consent=ask_consent)
    session = ChatSession(LocalChat(council, log), log)
    session.chat.watch = lambda step: print_step(sys.stdout, step)
    session.expert, session.verify = config.expert, config.verify
    with _line_history(log.folder / "history"):
        talk(session, sys.stdin, sys.stdout)


def ask_consent(what: str, thing: str) -> bool:
    """Ask the user at the terminal; where nobody sits at one, nothing is allowed."""
    if not sys.stdin.isatty():
        return False
    return input(f"allow to {what} {show_controls(thing)}? [y/N] ").strip().lower() in ("y", "yes")


def print_step(target: TextIO, step: ToolStep) -> None:
    """One call of a tool, as it happens."""
    target.write(show_controls(f"· {step.tool}: {step.result.splitlines()[0][:100]}") + "\n")


def talk(session: ChatSession, source: TextIO, target: TextIO) -> None:
    """Read lines and show what the session says."""
    lines = _typed(session) if source.isatty() else iter(source)
    for line in lines:
        try:
            for piece in session.feed(line):
                target.write(show_controls(piece))
                target.flush()
        except KeyboardInterrupt:
            target.write("\n[stopped]\n")
        if session.is_over:
            return


def _typed(session: ChatSession) -> Iterator[str]:
    while True:
        try:
            yield input(session.prompt)
        except EOFError:
            return


@contextmanager
def _line_history(path: Path) -> Iterator[None]:
    """Arrow keys find the lines of earlier conversations."""
    if not sys.stdin.isatty():
        yield
        return
    import readline  # changes how input() works, so only where somebody types

    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.is_file():
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_history_length(1000)
        readline.write_history_file(path)
        path.chmod(0o600)
