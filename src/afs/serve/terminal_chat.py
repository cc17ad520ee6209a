"""A conversation in a terminal: lines in, text out; knows no terminal itself.

A line that begins with `/` is a command; every other line is a question, answered with the conversation before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from afs import jsonl
from afs.council.reply_log import ReplyLog, Thumb
from afs.errors import AfsError, UsageError
from afs.serve.in_process_chat import LocalChat, summary
from afs.types import Message

HELP: Final = """/expert NAME   ask this expert; without a name the router decides
/verify MODE   hold: show code once it has run; after: at once, the verdict below; off
/save FILE     write the conversation as Markdown, or as JSON lines (.jsonl)
/up, /down     rate the last answer; words after it are kept as a note
/new           start a new conversation
/help, /quit"""
_MODES: Final = ("hold", "after", "off")


class ChatSession:
    """The state of a conversation."""

    def __init__(self, chat: LocalChat, log: ReplyLog) -> None:
        self.chat, self.log = chat, log
        self.messages: list[Message] = []
        self.expert, self.verify, self.is_over = "", "hold", False
        self._commands: dict[str, Callable[[str], str]] = {
            "expert": self._choose,
            "verify": self._set_verify,
            "save": self._save,
            "up": lambda note: self._rate("up", note),
            "down": lambda note: self._rate("down", note),
            "new": self._start_over,
            "help": lambda _: HELP,
            "quit": self._quit,
        }

    @property
    def prompt(self) -> str:
        """What stands before the next line."""
        return f"{self.expert or 'council'}> "

    def feed(self, line: str) -> Iterator[str]:
        """What to show for a line; a problem is shown, and the conversation stays as it was."""
        text = line.strip()
        if not text:
            return
        try:
            if text.startswith("/"):
                yield self._command(text) + "\n"
            else:
                yield from self._ask(text)
        except AfsError as error:
            yield f"{error}\n"

    def _command(self, text: str) -> str:
        name, _, rest = text[1:].partition(" ")
        if name not in self._commands:
            return f"there is no /{name}\n{HELP}"
        return self._commands[name](rest.strip())

    def _ask(self, question: str) -> Iterator[str]:
        turns = [*self.messages, Message(role="user", text=question)]
        yield from self.chat.ask(turns, expert=self.expert, verify=self.verify)
        reply = self.chat.reply
        if reply is not None:
            self.messages = [*turns, Message(role="assistant", text=reply.answer)]
            yield f"\n\n{summary(reply)}\n"

    def _choose(self, name: str) -> str:
        experts = self.chat.council.experts
        if name and name not in experts:
            raise UsageError(f"no expert is called {name!r}; there are: {', '.join(experts)}")
        self.expert = name
        return f"{name} answers" if name else f"the router decides among {', '.join(experts)}"

    def _set_verify(self, mode: str) -> str:
        if mode not in _MODES:
            raise UsageError(f"/verify: want one of {', '.join(_MODES)}")
        self.verify = mode
        return f"verify: {mode}"

    def _save(self, name: str) -> str:
        if not name:
            raise UsageError("/save: want a file")
        path = Path(name).expanduser()
        try:
            if path.suffix == ".jsonl":
                jsonl.write(path, self.messages)
            else:
                jsonl.replace(path, self._markdown().encode())
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
        return f"{path}: {len(self.messages)} turns"

    def _markdown(self) -> str:
        return "\n\n".join(f"## {'You' if m.role == 'user' else 'Council'}\n\n{m.text}" for m in self.messages) + "\n"

    def _rate(self, thumb: Thumb, note: str) -> str:
        if self.chat.reply is None:
            raise UsageError("there is no answer to rate yet")
        reply = self.log.rate(self.chat.reply.id, thumb, note)
        return f"rated {thumb}: {reply.expert or 'the base model'}"

    def _start_over(self, _: str) -> str:
        self.messages = []
        return "a new conversation"

    def _quit(self, _: str) -> str:
        self.is_over = True
        return "goodbye"
