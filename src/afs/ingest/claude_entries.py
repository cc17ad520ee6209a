"""Lines of a Claude Code session file: what is read of them, and who wrote what a line says."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from afs.ingest.base import as_dict, text_of
from afs.ingest.session_insertions import is_compaction, is_interruption, is_notice, strip_insertions
from afs.ingest.session_turns import Author

SPOKEN = frozenset(("user", "assistant"))
_NAME = re.compile(r"<command-name>\s*(/?[^<\n]*?)\s*</command-name>")
_ARGUMENTS = re.compile(r"<command-args>(.*?)</command-args>", re.S)
_SHELL = re.compile(r"^\s*<bash-input>(.*?)</bash-input>", re.S)


class ApiMessage(msgspec.Struct):
    """The API message in a line."""

    id: object = None
    model: object = None
    content: object = None


class SessionLine(msgspec.Struct, rename="camel"):
    """The fields that are read of a line; everything else, such as usage and copies of results, is skipped unparsed."""

    type: str | None = None
    uuid: str | None = None
    parent_uuid: str | None = None
    logical_parent_uuid: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    message: ApiMessage | str | None = None
    attachment: object = None
    operation: object = None
    content: object = None
    origin: object = None
    is_sidechain: object = None
    is_meta: object = None
    is_compact_summary: object = None
    is_visible_in_transcript_only: object = None
    is_api_error_message: object = None

    def is_typed(self) -> bool:
        """Whether a person wrote the line, as far as its marks say."""
        kind = as_dict(self.origin).get("kind") if self.origin is not None else None
        marks = (self.is_meta, self.is_compact_summary, self.is_visible_in_transcript_only)
        return (kind == "human" or not isinstance(kind, str) or kind[:1] == "[") and True not in marks


class SessionEntry:
    """What is kept of a line: its place in the graph, and its user text or the API message it belongs to."""

    __slots__ = (
        "agent",
        "author",
        "command",
        "is_meta",
        "key",
        "parent",
        "place",
        "side",
        "text",
        "type",
        "used",
        "uuid",
    )

    def __init__(self, place: str, line: SessionLine) -> None:
        self.place = place
        self.type = line.type or ""
        self.uuid = line.uuid or ""
        self.parent = line.parent_uuid or line.logical_parent_uuid or ""
        self.agent = line.agent_id or ""
        self.side = line.is_sidechain is True
        self.is_meta = line.is_meta is True
        self.used = False
        self.key = self.text = self.command = ""
        self.author: Author = "person"


class UserText(NamedTuple):
    """A user message: its text without insertions, its author, and the slash command it is."""

    text: str
    author: Author
    command: str = ""


def classify_user(line: SessionLine, content: object) -> UserText:
    """Who wrote a message of the role `user`, and what remains of it."""
    texts = [content] if isinstance(content, str) else []
    if isinstance(content, list):
        texts = [text_of(as_dict(block).get("text")) for block in content if as_dict(block).get("type") == "text"]
    raw = "\n\n".join(text for text in texts if text.strip())
    if is_interruption(raw):
        return UserText("", "interruption")
    if name := _NAME.search(raw):
        arguments = _ARGUMENTS.search(raw)
        command = name[1] if name[1].startswith("/") else f"/{name[1]}"
        typed = arguments[1].strip() if arguments else ""
        return UserText(f"{command} {typed}".strip(), "person", command)
    if shell := _SHELL.match(raw):
        return UserText(f"! {shell[1].strip()}", "notice")
    kept = [
        clean for text in texts if not is_notice(text) and (clean := strip_insertions(text)) and not is_notice(clean)
    ]
    text = "\n\n".join(kept)
    if not line.is_typed() or not text or is_compaction(raw):
        return UserText(text or raw, "notice")
    human = as_dict(line.origin).get("kind") == "human"
    return UserText(text, "model" if line.is_sidechain is True and not human else "person")


def queued_text(line: SessionLine) -> str:
    """The prompt of a `queued_command` attachment, typed while the agent worked; empty for anything else."""
    attachment = as_dict(line.attachment)
    if attachment.get("type") != "queued_command" or attachment.get("commandMode") == "task-notification":
        return ""
    prompt = attachment.get("prompt")
    if isinstance(prompt, list):
        prompt = "\n".join(text_of(as_dict(part).get("text")) for part in prompt)
    text = strip_insertions(text_of(prompt))
    kind = as_dict(attachment.get("origin")).get("kind")
    program = isinstance(kind, str) and kind not in ("human", "") and kind[:1] != "["
    return "" if program or is_notice(text) else text
