"""Claude Code sessions: a graph of entries per file; the branch that ends in the newest entry is what happened.

Rewound branches, notices, wrappers of local commands and API errors are not talk; a message spread over lines is one;
results are joined to their calls by id, in whatever order they came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from afs.config import Config
from afs.ingest import file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, text_of
from afs.ingest.session_records import Turn, build_records
from afs.types import Dropped, Json, Message, Record, ToolCall

_SPOKEN = frozenset(("user", "assistant"))
_TALK = _SPOKEN | {"system"}
_SILENT = frozenset(
    "summary attachment progress queue-operation file-history-snapshot custom-title ai-title agent-name"  # noqa: SIM905
    " agent-setting mode permission-mode pr-link last-prompt bridge-session tag saved_hook_context".split()
)
"""Entries that are known and say nothing of the conversation."""
_WRAPPER = re.compile(
    r"^\s*(<command-(?:name|message|args)>|<local-command-std(?:out|err)>|<bash-(?:input|stdout|stderr)>"
    r"|Caveat: The messages below|\[Request interrupted)"
)
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>\s*", re.S)


class ClaudeCode(Config, frozen=True, kw_only=True):
    """Session files below `.claude/projects`."""

    version = "3"

    narration: bool = False
    """Keep what the agent says between its tool calls."""
    thinking: bool = True
    """Keep thinking beside the answers."""
    sidechains: bool = True
    """Read sub-agents' conversations too."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every session file."""
        return file_walk.list_units(place, (".jsonl", ".jsonl.gz", ".jsonl.zst"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per human turn of each conversation."""
        session = _Session(self, reading)
        for place, line, raw in row_files.read_typed(unit, reading, _Line):
            session.add(place, line, raw)
        for chain in session.list_chains():
            origin = {"group": session.id, "maker": session.model}
            yield from build_records(session.list_turns(chain), reading, origin=origin, narration=self.narration)
        yield from session.list_rewound()


class _Message(msgspec.Struct):
    """The API message in a line."""

    id: object = None
    model: object = None
    content: object = None


class _Line(msgspec.Struct, rename="camel"):
    """What is read of a line; all else in it, usage and copies of results above all, is passed over unbuilt."""

    type: str | None = None
    uuid: str | None = None
    parent_uuid: str | None = None
    logical_parent_uuid: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    message: _Message | str | None = None
    origin: object = None
    is_sidechain: object = None
    is_meta: object = None
    is_compact_summary: object = None
    is_visible_in_transcript_only: object = None
    is_api_error_message: object = None

    def is_typed(self) -> bool:
        """Whether a person's fingers wrote it."""
        kind = as_dict(self.origin).get("kind") if self.origin is not None else None
        made = (self.is_meta, self.is_compact_summary, self.is_visible_in_transcript_only)
        return (kind == "human" or not isinstance(kind, str)) and True not in made


class _Entry:
    """What is kept of a line: where it hangs, what a person said in it, or the API message it is a part of."""

    __slots__ = ("agent", "key", "parent", "place", "said", "side", "type", "used", "uuid")

    def __init__(self, place: str, line: _Line) -> None:
        self.place = place
        self.type = line.type or ""
        self.uuid = line.uuid or ""
        self.parent = line.parent_uuid or line.logical_parent_uuid or ""
        self.agent = line.agent_id or ""
        self.side = line.is_sidechain is True
        self.used = False
        self.key = self.said = ""


class _Session:
    """The entries of one file, and the conversations in them."""

    def __init__(self, options: ClaudeCode, reading: Reading) -> None:
        self.options, self.reading = options, reading
        self.id = self.model = ""
        self._entries: list[_Entry] = []
        self._by_id: dict[str, _Entry] = {}
        self._results: dict[str, Message] = {}
        self._blocks: dict[str, list[Json]] = {}

    def add(self, place: str, line: _Line, raw: bytes) -> None:
        """One line of the file."""
        entry = _Entry(place, line)
        kind, uuid = entry.type, entry.uuid
        if kind not in _TALK:
            if kind in _SILENT:
                self.reading.counts[f"entries:{kind}"] += 1
            else:
                self.reading.add_unknown(kind or "no type", place, msgspec.Raw(raw))
        if uuid:
            if uuid in self._by_id:
                self.reading.counts["entries:repeated"] += 1
                return
            self._by_id[uuid] = entry
        self._entries.append(entry)
        self.id = self.id or line.session_id or ""
        message = line.message
        if not isinstance(message, _Message):
            if message and kind in _SPOKEN:
                self.reading.add_unknown("shape", place, msgspec.Raw(raw))
        elif kind == "user":
            entry.said = self._typed_text(line, message.content)
        elif kind == "assistant":
            self._add_answer(entry, line, message)

    def _typed_text(self, line: _Line, content: object) -> str:
        """What a person wrote; nothing for everything else that has the role user. Results are kept by their call."""
        texts = [content] if isinstance(content, str) else []
        if isinstance(content, list):
            blocks = [as_dict(item) for item in content]
            if results := [block for block in blocks if block.get("type") == "tool_result"]:
                for block in results:
                    key = text_of(block.get("tool_use_id"))
                    self._results[key] = Message(role="tool", text=_result_text(block), tool_call_id=key)
                return ""
            texts = [text_of(block.get("text")) for block in blocks if block.get("type") == "text"]
        if not line.is_typed():
            self.reading.counts["entries:meta"] += 1
            return ""
        kept = [_REMINDER.sub("", text).strip() for text in texts if not _WRAPPER.match(text)]
        return "\n\n".join([text for text in kept if text])

    def _add_answer(self, entry: _Entry, line: _Line, message: _Message) -> None:
        """Blocks of one API message together, wherever they hang."""
        self.model = self.model or _maker_name(text_of(message.model))
        if line.is_api_error_message is True or message.model == "<synthetic>":
            self.reading.counts["entries:api error"] += 1
            return
        entry.key = text_of(message.id) or entry.place
        content = message.content
        blocks: list[Json] = [as_dict(item) for item in content] if isinstance(content, list) else []
        blocks = blocks or [{"type": "text", "text": text_of(content)}]
        if (known := self._blocks.setdefault(entry.key, blocks)) is not blocks:
            known += blocks

    def list_chains(self) -> Iterator[list[_Entry]]:
        """The main conversation, then those of sub-agents kept in the same file."""
        side = [e for e in self._entries if e.side]
        main = [e for e in self._entries if not e.side] if side else self._entries
        if not any(e.type in _SPOKEN for e in main):
            main, side = side, []
        yield self._trace_chain(main)
        if self.options.sidechains:
            for group in self._group_by_root(side):
                yield self._trace_chain(group)

    def _trace_chain(self, entries: list[_Entry]) -> list[_Entry]:
        """From the newest entry back to the first; a parent that is not in the file is the entry before."""
        if not any(e.uuid for e in entries):
            for entry in entries:
                entry.used = True
            return entries
        order: dict[int, int] | None = None
        at = next((e for e in reversed(entries) if e.type in _SPOKEN), None)
        chain: list[_Entry] = []
        while at is not None and not at.used:
            at.used = True
            chain.append(at)
            parent = self._by_id.get(at.parent) if at.parent else None
            if parent is None and at.parent:
                order = order or {id(e): i for i, e in enumerate(entries)}
                if id(at) in order:
                    self.reading.counts["repaired:parent"] += 1
                    parent = entries[order[id(at)] - 1] if order[id(at)] else None
            at = parent
        return chain[::-1]

    def _group_by_root(self, entries: list[_Entry]) -> list[list[_Entry]]:
        groups: dict[str, list[_Entry]] = {}
        for entry in entries:
            root, seen = entry, set[str]()
            while (above := self._by_id.get(root.parent)) is not None and above.side and root.uuid not in seen:
                seen.add(root.uuid)
                root = above
            groups.setdefault(entry.agent or root.uuid, []).append(entry)
        return list(groups.values())

    def list_turns(self, chain: list[_Entry]) -> list[Turn]:
        """The talk on a chain."""
        turns: list[Turn] = []
        done: set[str] = set()
        for entry in chain:
            if entry.said:
                turns.append(Turn(Message(role="user", text=entry.said), entry.place))
            elif entry.key and entry.key not in done:
                done.add(entry.key)
                turns += self._parse_answer(entry.place, self._blocks[entry.key])
        return turns

    def _parse_answer(self, place: str, blocks: list[Json]) -> list[Turn]:
        texts, thoughts, calls = [], [], []
        for block in blocks:
            kind = block.get("type")
            if kind == "text":
                texts.append(text_of(block.get("text")))
            elif kind == "thinking" and self.options.thinking:
                thoughts.append(text_of(block.get("thinking")))
            elif kind == "tool_use":
                calls.append(
                    ToolCall(
                        id=text_of(block.get("id")),
                        name=text_of(block.get("name")),
                        arguments=as_dict(block.get("input")),
                    )
                )
            elif kind not in ("thinking", "redacted_thinking"):
                self.reading.add_unknown(f"block {kind}", place, block)
        message = Message(
            role="assistant",
            text="\n\n".join([t for t in texts if t.strip()]),
            thinking="\n\n".join([t for t in thoughts if t.strip()]),
            tool_calls=tuple(calls),
        )
        found = [Turn(message, place)]
        return found + [Turn(self._results[c.id], place) for c in calls if c.id in self._results]

    def list_rewound(self) -> Iterator[Dropped]:
        """Human turns that were taken back."""
        for entry in self._entries:
            if entry.said and not entry.used and (self.options.sidechains or not entry.side):
                self.reading.count_found()
                turns = [Message(role="user", text=entry.said)]
                made = self.reading.build_record("chat", turns, place=entry.place, origin={"group": self.id})
                yield Dropped(record=made, reason="rewound branch")


def _maker_name(model: str) -> str:
    return f"anthropic:{model}" if model and not model.startswith("<") else ""


def _result_text(block: Json) -> str:
    """A result's text: a string, or the text of its blocks; pictures are named, not stored."""
    content = block.get("content")
    if isinstance(content, list):
        parts = [as_dict(part) for part in content]
        content = "\n".join(text_of(p.get("text")) or f"[{text_of(p.get('type')) or 'block'}]" for p in parts)
    text = text_of(content)
    return f"error: {text}" if block.get("is_error") is True and not text.lower().startswith("error") else text
