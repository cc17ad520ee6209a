"""Claude Code sessions: a graph of entries per file; the branch that ends in the newest entry is what happened.

Other branches are drops; notices, output of local commands and API errors are no turns; a message spread over lines is
one; results are joined to their calls by id, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from afs.ingest import file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, text_of
from afs.ingest.claude_entries import SPOKEN, ApiMessage, SessionEntry, SessionLine, classify_user, queued_text
from afs.ingest.session_insertions import is_compaction, is_notice
from afs.ingest.session_records import build_records
from afs.ingest.session_turns import SessionOptions, Turn
from afs.types import Dropped, Json, Message, Record, ToolCall

_TALK = SPOKEN | {"system"}
_SILENT = frozenset(
    "summary attachment progress queue-operation file-history-snapshot custom-title ai-title agent-name"  # noqa: SIM905
    " agent-setting mode permission-mode pr-link last-prompt bridge-session tag saved_hook_context".split()
)
"""Known entries without conversation; queued prompts are taken out of two of them."""


class ClaudeCode(SessionOptions, frozen=True, kw_only=True):
    """Session files below `.claude/projects`."""

    version = "4"

    sidechains: bool = True
    """Read sub-agents' conversations too; their prompts, written by a model, are tagged `author:model`."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every session file."""
        return file_walk.list_units(place, (".jsonl", ".jsonl.gz", ".jsonl.zst"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per typed turn of each conversation."""
        session = _Session(self, reading)
        for place, line, raw in row_files.read_typed(unit, reading, SessionLine):
            session.add(place, line, raw)
        for chain, drop in session.list_conversations():
            origin = {"group": session.id, "maker": session.model}
            yield from build_records(session.list_turns(chain), reading, self, origin=origin, drop=drop)


class _Session:
    """The entries of one file, and the conversations in them."""

    def __init__(self, options: ClaudeCode, reading: Reading) -> None:
        self.options, self.reading = options, reading
        self.id = self.model = ""
        self._entries: list[SessionEntry] = []
        self._by_id: dict[str, SessionEntry] = {}
        self._results: dict[str, Message] = {}
        self._blocks: dict[str, list[Json]] = {}
        self._call_ids: set[str] = set()
        self._queued: list[tuple[int, SessionEntry]] = []
        """Prompts of the queue, each with the number of entries before it."""
        self._done: set[str] = set()
        """API messages that stand in a conversation already."""

    def add(self, place: str, line: SessionLine, raw: bytes) -> None:
        """One line of the file."""
        entry = SessionEntry(place, line)
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
        if not isinstance(message, ApiMessage):
            if message and kind in SPOKEN:
                self.reading.add_unknown("shape", place, msgspec.Raw(raw))
            self._add_queued(entry, line)
        elif kind == "user":
            self._add_user(entry, line, message.content)
        elif kind == "assistant":
            self._add_answer(entry, line, message)

    def _add_queued(self, entry: SessionEntry, line: SessionLine) -> None:
        """A prompt typed while the agent worked: an attachment, or in older files an operation on the queue."""
        if entry.type == "attachment" and (text := queued_text(line)):
            entry.text, entry.author = text, "queued"
            self.reading.counts["typed turns found"] += 1
        elif entry.type == "queue-operation" and line.operation == "enqueue":
            text = text_of(line.content).strip()
            if text and not is_notice(text):
                entry.text, entry.author = text, "queued"
                self._entries.pop()
                self._queued.append((len(self._entries), entry))

    def _add_user(self, entry: SessionEntry, line: SessionLine, content: object) -> None:
        """What a person typed, and results, kept by the id of their call."""
        blocks = [as_dict(item) for item in content] if isinstance(content, list) else []
        results = [block for block in blocks if block.get("type") == "tool_result"]
        for block in results:
            key = text_of(block.get("tool_use_id"))
            self._results[key] = Message(role="tool", text=_result_text(block), tool_call_id=key)
        if results:
            return
        entry.text, entry.author, entry.command = classify_user(line, content)
        if entry.author == "person":
            self.reading.counts["typed turns found"] += 1
        elif entry.author == "notice":
            self.reading.counts["entries:notice"] += 1

    def _add_answer(self, entry: SessionEntry, line: SessionLine, message: ApiMessage) -> None:
        """Blocks of one API message together, wherever they hang in the graph."""
        self.model = self.model or _maker_name(text_of(message.model))
        if line.is_api_error_message is True or message.model == "<synthetic>":
            self.reading.counts["entries:api error"] += 1
            return
        entry.key = text_of(message.id) or entry.place
        content = message.content
        blocks: list[Json] = [as_dict(item) for item in content] if isinstance(content, list) else []
        blocks = blocks or [{"type": "text", "text": text_of(content)}]
        known = self._blocks.setdefault(entry.key, [])
        for number, block in enumerate(blocks):
            if block.get("type") == "tool_use":
                key = text_of(block.get("id"))
                if key and key in self._call_ids:
                    continue
                block = block if key else block | {"id": f"{entry.place}.{number}"}
                self._call_ids.add(text_of(block["id"]))
                self.reading.counts["calls found"] += 1
            known.append(block)

    def list_conversations(self) -> Iterator[tuple[list[SessionEntry], str]]:
        """(entries, drop reason) of the main conversation, those of sub-agents, and abandoned branches."""
        side = [e for e in self._entries if e.side]
        main = [e for e in self._entries if not e.side] if side else self._entries
        if not any(e.type in SPOKEN for e in main):
            main, side = side, []
        yield self._with_queued(self._trace_chain(main)), self._compaction(main)
        for group in self._group_by_root(side):
            drop = "" if self.options.sidechains else "sub-agent"
            yield self._trace_chain(group), self._compaction(group) or drop
        for entry in reversed(self._entries):
            is_new = (
                entry.author in ("person", "queued") if entry.text else bool(entry.key) and entry.key not in self._done
            )
            if is_new and not entry.used:
                is_hidden = entry.side and not self.options.sidechains
                yield self._trace_chain([entry]), "sub-agent" if is_hidden else "rewound branch"

    def _compaction(self, entries: list[SessionEntry]) -> str:
        """The drop reason of a conversation in which a model summarizes another one."""
        first = next((e for e in entries if e.type == "user" and e.author == "notice" and is_compaction(e.text)), None)
        return "compaction agent" if first and not any(e.author == "person" and e.text for e in entries) else ""

    def _trace_chain(self, entries: list[SessionEntry]) -> list[SessionEntry]:
        """From the newest entry back to the first; a parent that is not in the file is the entry before."""
        if not any(e.parent for e in entries):
            for entry in entries:
                entry.used = True
            return entries
        order: dict[int, int] | None = None
        at = next((e for e in reversed(entries) if e.type in SPOKEN or e.text), None)
        chain: list[SessionEntry] = []
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

    def _with_queued(self, chain: list[SessionEntry]) -> list[SessionEntry]:
        """The main conversation with queued prompts that were delivered and stand nowhere else."""
        written = {e.text for e in self._entries if e.text and e.author in ("person", "queued")}
        waiting = [(at, entry) for at, entry in self._queued if entry.text not in written]
        self.reading.counts["typed turns found"] += len(waiting)
        if not waiting:
            return chain
        if not chain:
            self.reading.counts["typed turns set aside: never delivered"] += len(waiting)
            return chain
        order = {id(e): i for i, e in enumerate(self._entries)}
        merged = [(order.get(id(e), 0), 0, e) for e in chain] + [(at, 1, e) for at, e in waiting]
        return [entry for *_, entry in sorted(merged, key=lambda item: item[:2])]

    def _group_by_root(self, entries: list[SessionEntry]) -> list[list[SessionEntry]]:
        groups: dict[str, list[SessionEntry]] = {}
        for entry in entries:
            root, seen = entry, set[str]()
            while (above := self._by_id.get(root.parent)) is not None and above.side and root.uuid not in seen:
                seen.add(root.uuid)
                root = above
            groups.setdefault(entry.agent or root.uuid, []).append(entry)
        return list(groups.values())

    def list_turns(self, chain: list[SessionEntry]) -> list[Turn]:
        """The turns of a conversation."""
        turns: list[Turn] = []
        for number, entry in enumerate(chain):
            if entry.command:
                turns += self._parse_command(chain, number)
            elif entry.author == "interruption" or (entry.text and entry.author != "notice"):
                turns.append(Turn(Message(role="user", text=entry.text), entry.place, entry.author))
            elif entry.key and entry.key not in self._done:
                self._done.add(entry.key)
                turns += self._parse_answer(entry.place, self._blocks[entry.key])
        return turns

    def _parse_command(self, chain: list[SessionEntry], at: int) -> Iterator[Turn]:
        """A slash command with the prompt it stands for; one that no model answered is a local command."""
        expansion: list[str] = []
        for entry in chain[at + 1 :]:
            if entry.key:
                text = "\n\n".join([chain[at].text, *expansion])
                yield Turn(Message(role="user", text=text), chain[at].place)
                return
            if entry.type == "user" and entry.text and entry.author != "notice":
                break
            if entry.is_meta and entry.text and (not is_notice(entry.text) or entry.text.startswith("Base directory")):
                expansion.append(entry.text)
        self.reading.counts["typed turns set aside: local command"] += 1

    def _parse_answer(self, place: str, blocks: list[Json]) -> list[Turn]:
        texts, thoughts, calls = [], [], []
        for block in blocks:
            kind = block.get("type")
            if kind == "text":
                texts.append(text_of(block.get("text")))
            elif kind == "thinking":
                thoughts.append(text_of(block.get("thinking")))
            elif kind == "tool_use":
                calls.append(
                    ToolCall(
                        id=text_of(block.get("id")),
                        name=text_of(block.get("name")) or "unnamed",
                        arguments=as_dict(block.get("input")),
                    )
                )
            elif kind != "redacted_thinking":
                self.reading.add_unknown(f"block {kind}", place, block)
        message = Message(
            role="assistant",
            text="\n\n".join([t for t in texts if t.strip()]),
            thinking="\n\n".join([t for t in thoughts if t.strip()]),
            tool_calls=tuple(calls),
        )
        return [Turn(message, place)] + [Turn(self._results[c.id], place) for c in calls if c.id in self._results]


def _maker_name(model: str) -> str:
    return f"anthropic:{model}" if model and not model.startswith("<") else ""


def _result_text(block: Json) -> str:
    """A result's text: a string, or the text of its blocks; images are named, not stored."""
    content = block.get("content")
    if isinstance(content, list):
        parts = [as_dict(part) for part in content]
        content = "\n".join(text_of(p.get("text")) or f"[{text_of(p.get('type')) or 'block'}]" for p in parts)
    text = text_of(content)
    return f"error: {text}" if block.get("is_error") is True and not text.lower().startswith("error") else text
