"""What the council answered: every route by the hash of its question, conversations once they are rated or saved.

The folder `council` of the workspace holds `routes.jsonl` (no text), `replies.jsonl` and `ratings.jsonl`; only its
owner may read them. `council.log = "all"` keeps every conversation, `"off"` writes nothing.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, Literal, TypeVar

import msgspec

from afs import jsonl
from afs.council.router import question_hash
from afs.errors import UsageError
from afs.types import Message, Task, Usage, Value, Verdict
from afs.workspace import Workspace

FOLDER: Final = "council"
_RECENT: Final = 500
"""Conversations remembered, so that they can be rated."""
Thumb = Literal["up", "down"]
T = TypeVar("T")


class LoggedReply(Value, frozen=True, kw_only=True):
    """One answer with all that is known of it."""

    id: str
    at: float
    messages: tuple[Message, ...]
    answer: str
    expert: str = ""
    """Empty: the base."""
    route: dict[str, float] = {}
    abstained: bool = False
    override: str = ""
    """The expert that the user chose instead of the router."""
    artifact: str = ""
    """The exact artifact that answered, `name@version sha256:…`."""
    verdict: Verdict | None = None
    attempts: int = 1
    usage: Usage = Usage()
    seconds: float = 0.0
    task: Task | None = None
    owner: str = ""
    """Name of the token that asked."""

    @property
    def question(self) -> str:
        """The last user turn."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")


class RouteRow(Value, frozen=True, kw_only=True):
    """A route without its question."""

    id: str
    at: float
    question: str
    """Hash of the question."""
    route: dict[str, float] = {}
    expert: str = ""
    abstained: bool = False
    override: str = ""
    verdict: str = ""
    """Stage of the verdict."""
    artifact: str = ""
    seconds: float = 0.0
    owner: str = ""
    tokens: int = 0
    """Model tokens read and written."""


class Rating(Value, frozen=True, kw_only=True):
    """A user's opinion of a reply; the last one of a reply counts."""

    reply: str
    at: float
    thumb: Thumb
    note: str = ""


def new_reply_id() -> str:
    """An id for an answer, in the form of OpenAI's."""
    return f"chatcmpl-{secrets.token_hex(12)}"


class ReplyLog:
    """The log of a workspace; safe to use from several threads and processes."""

    def __init__(self, workspace: Workspace) -> None:
        self.folder = workspace.root / FOLDER
        self.mode = workspace.settings.council.log
        self._recent: OrderedDict[str, LoggedReply] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, reply: LoggedReply, *, keep: bool = False) -> None:
        """Log an answer; `keep` writes its conversation for a later process to rate."""
        with self._lock:
            self._recent[reply.id] = reply
            while len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        if self.mode != "off":
            with suppress(OSError):  # an answer is worth more than its log
                self._write(reply, keep)

    def _write(self, reply: LoggedReply, keep: bool) -> None:
        row = RouteRow(
            id=reply.id,
            at=reply.at,
            question=f"{question_hash(reply.question):016x}",
            route=reply.route,
            expert=reply.expert,
            abstained=reply.abstained,
            override=reply.override,
            verdict=reply.verdict.stage if reply.verdict else "",
            artifact=reply.artifact,
            seconds=round(reply.seconds, 3),
            owner=reply.owner,
            tokens=reply.usage.input_tokens + reply.usage.output_tokens,
        )
        self._append("routes.jsonl", row)
        if self.mode == "all":
            self._append("replies.jsonl", reply)
        elif keep:
            self._open_folder()
            jsonl.replace(self.folder / "last.json", msgspec.json.encode(reply))
            (self.folder / "last.json").chmod(0o600)

    def add_route(self, row: RouteRow) -> None:
        """Log a route of which nothing else is known: another dialect, passed on."""
        if self.mode != "off":
            with suppress(OSError):
                self._append("routes.jsonl", row)

    def rate(self, reply_id: str, thumb: Thumb, note: str = "") -> LoggedReply:
        """Store a user's opinion, and the conversation it is about; `last` is the newest kept reply."""
        reply = self.find(reply_id)
        if reply is None:
            raise UsageError(f"no reply is called {reply_id!r}: only recent or kept replies can be rated")
        if not any(known.id == reply.id for known in self.replies()):
            self._append("replies.jsonl", reply)
        self._append("ratings.jsonl", Rating(reply=reply.id, at=time.time(), thumb=thumb, note=note))
        return reply

    def find(self, reply_id: str) -> LoggedReply | None:
        """A reply by its id, from memory or from the files."""
        with self._lock:
            if reply_id in self._recent:
                return self._recent[reply_id]
            if reply_id == "last" and self._recent:
                return next(reversed(self._recent.values()))
        last = self._last()
        if last is not None and reply_id in ("last", last.id):
            return last
        stored = list(self.replies())
        if reply_id == "last":
            return stored[-1] if stored else None
        return next((reply for reply in stored if reply.id == reply_id), None)

    def _last(self) -> LoggedReply | None:
        path = self.folder / "last.json"
        return msgspec.json.decode(path.read_bytes(), type=LoggedReply) if path.is_file() else None

    def replies(self) -> Iterator[LoggedReply]:
        """The stored conversations, each once."""
        seen: set[str] = set()
        for reply in self._read("replies.jsonl", LoggedReply):
            if reply.id not in seen:
                seen.add(reply.id)
                yield reply

    def routes(self) -> Iterator[RouteRow]:
        """Every logged route."""
        return self._read("routes.jsonl", RouteRow)

    def ratings(self) -> dict[str, Rating]:
        """The last rating of each reply."""
        return {rating.reply: rating for rating in self._read("ratings.jsonl", Rating)}

    def _read(self, name: str, type_: type[T]) -> Iterator[T]:
        path = self.folder / name
        return jsonl.read(path, type_) if path.is_file() else iter(())

    def _open_folder(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def _append(self, name: str, value: LoggedReply | RouteRow | Rating) -> None:
        """One line, in one write, so that two processes never mix theirs."""
        self._open_folder()
        with open(self.folder / name, "ab", opener=_open_private) as target:
            target.write(msgspec.json.encode(value) + b"\n")


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
