"""Claude Code sessions: a graph of entries per file; the branch that ends in the newest entry is what happened.

Rewound branches, notices, wrappers of local commands and API errors are not talk; a message spread over lines is one;
results are joined to their calls by id, in whatever order they came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from afs.config import Config
from afs.ingest import files, rows
from afs.ingest.base import Reading, Unit, as_dict, as_list, text_of
from afs.ingest.exchanges import Turn, exchanges
from afs.types import Dropped, Json, Message, Record, ToolCall

_TALK = ("user", "assistant", "system")
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

    version = "2"

    narration: bool = False
    """Keep what the agent says between its tool calls."""
    thinking: bool = True
    """Keep thinking beside the answers."""
    sidechains: bool = True
    """Read sub-agents' conversations too."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every session file."""
        return files.units(place, (".jsonl", ".jsonl.gz", ".jsonl.zst"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per human turn of each conversation."""
        session = _Session(self, reading)
        for place, row in rows.objects(unit, reading):
            session.add(place, row)
        for chain in session.chains():
            origin = {"group": session.id, "maker": session.model}
            yield from exchanges(session.turns(chain), reading, origin=origin, narration=self.narration)
        yield from session.rewound()


class _Entry:
    __slots__ = ("parent", "place", "row", "side", "type", "uuid")

    def __init__(self, place: str, row: Json) -> None:
        self.place, self.row = place, row
        kind, uuid = row.get("type"), row.get("uuid")
        parent = row.get("parentUuid") or row.get("logicalParentUuid")
        self.type = kind if isinstance(kind, str) else ""
        self.uuid = uuid if isinstance(uuid, str) else ""
        self.parent = parent if isinstance(parent, str) else ""
        self.side = row.get("isSidechain") is True


class _Session:
    """The entries of one file, and the conversations in them."""

    def __init__(self, options: ClaudeCode, reading: Reading) -> None:
        self.options, self.reading = options, reading
        self.id = self.model = ""
        self._entries: list[_Entry] = []
        self._by_id: dict[str, _Entry] = {}
        self._used: set[int] = set()
        self._results: dict[str, Message] = {}
        self._blocks: dict[str, list[Json]] = {}

    def add(self, place: str, row: Json) -> None:
        """One line of the file."""
        entry = _Entry(place, row)
        if entry.type not in _TALK:
            if entry.type in _SILENT:
                self.reading.counts[f"entries:{entry.type}"] += 1
            else:
                self.reading.unknown(entry.type or "no type", place, row)
        if entry.uuid and entry.uuid in self._by_id:
            self.reading.counts["entries:repeated"] += 1
            return
        self._entries.append(entry)
        if entry.uuid:
            self._by_id[entry.uuid] = entry
        self.id = self.id or text_of(row.get("sessionId"))
        if entry.type in ("user", "assistant"):
            self._collect(entry)

    def _collect(self, entry: _Entry) -> None:
        """Results by the call they answer; blocks of one API message together, wherever they hang."""
        message = as_dict(entry.row.get("message"))
        content = message.get("content")
        blocks: list[Json] = list(map(as_dict, content)) if isinstance(content, list) else []
        for block in blocks:
            if block.get("type") == "tool_result":
                key = text_of(block.get("tool_use_id"))
                self._results[key] = Message(role="tool", text=_result(block), tool_call_id=key)
        if entry.type == "assistant":
            self.model = self.model or _maker(message)
            self._blocks.setdefault(text_of(message.get("id")) or entry.place, []).extend(
                blocks or [{"type": "text", "text": text_of(message.get("content"))}]
            )

    def chains(self) -> Iterator[list[_Entry]]:
        """The main conversation, then those of sub-agents kept in the same file."""
        main = [e for e in self._entries if not e.side]
        side = [e for e in self._entries if e.side]
        if not any(e.type in ("user", "assistant") for e in main):
            main, side = side, []
        yield self._chain(main)
        if self.options.sidechains:
            for group in self._by_root(side):
                yield self._chain(group)

    def _chain(self, entries: list[_Entry]) -> list[_Entry]:
        """From the newest entry back to the first; a parent that is not in the file is the entry before."""
        if not any(e.uuid for e in entries):
            self._used |= {id(e) for e in entries}
            return entries
        order: dict[int, int] | None = None
        at = next((e for e in reversed(entries) if e.type in ("user", "assistant")), None)
        chain: list[_Entry] = []
        while at is not None and id(at) not in self._used:
            self._used.add(id(at))
            chain.append(at)
            parent = self._by_id.get(at.parent) if at.parent else None
            if parent is None and at.parent:
                order = order or {id(e): i for i, e in enumerate(entries)}
            if parent is None and order and at.parent and id(at) in order:
                self.reading.counts["repaired:parent"] += 1
                parent = entries[order[id(at)] - 1] if order[id(at)] else None
            at = parent
        return chain[::-1]

    def _by_root(self, entries: list[_Entry]) -> list[list[_Entry]]:
        groups: dict[str, list[_Entry]] = {}
        for entry in entries:
            root, seen = entry, set[str]()
            while (above := self._by_id.get(root.parent)) is not None and above.side and root.uuid not in seen:
                seen.add(root.uuid)
                root = above
            groups.setdefault(text_of(entry.row.get("agentId")) or root.uuid, []).append(entry)
        return list(groups.values())

    def turns(self, chain: list[_Entry]) -> list[Turn]:
        """The talk on a chain."""
        turns: list[Turn] = []
        done: set[str] = set()
        for entry in chain:
            if entry.type == "user" and (text := self._human(entry)):
                turns.append(Turn(Message(role="user", text=text), entry.place))
            elif entry.type == "assistant":
                key = text_of(as_dict(entry.row.get("message")).get("id")) or entry.place
                if key not in done:
                    done.add(key)
                    turns += self._assistant(entry, self._blocks.get(key, []))
        return turns

    def _human(self, entry: _Entry) -> str:
        """What a person wrote; nothing for everything else that has the role user."""
        row = entry.row
        if True in (row.get("isMeta"), row.get("isCompactSummary"), row.get("isVisibleInTranscriptOnly")):
            self.reading.counts["entries:meta"] += 1
            return ""
        kind = as_dict(row.get("origin")).get("kind")
        if isinstance(kind, str) and kind != "human":
            self.reading.counts["entries:meta"] += 1
            return ""
        content = as_dict(row.get("message")).get("content")
        if isinstance(content, str):
            texts = [content]
        else:
            blocks = [(block.get("type"), block) for block in map(as_dict, as_list(content))]
            if "tool_result" in [kind for kind, _ in blocks]:
                return ""
            texts = [text_of(block.get("text")) for kind, block in blocks if kind == "text"]
        kept = [_REMINDER.sub("", text).strip() for text in texts if not _WRAPPER.match(text)]
        return "\n\n".join(text for text in kept if text)

    def _assistant(self, entry: _Entry, blocks: list[Json]) -> list[Turn]:
        row = entry.row
        if row.get("isApiErrorMessage") is True or as_dict(row.get("message")).get("model") == "<synthetic>":
            self.reading.counts["entries:api error"] += 1
            return []
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
                self.reading.unknown(f"block {kind}", entry.place, block)
        message = Message(
            role="assistant",
            text="\n\n".join(t for t in texts if t.strip()),
            thinking="\n\n".join(t for t in thoughts if t.strip()),
            tool_calls=tuple(calls),
        )
        found = [Turn(message, entry.place)]
        return found + [Turn(self._results[c.id], entry.place) for c in calls if c.id in self._results]

    def rewound(self) -> Iterator[Dropped]:
        """Human turns that were taken back."""
        for entry in self._entries:
            if entry.type == "user" and id(entry) not in self._used and (text := self._human(entry)):
                if entry.side and not self.options.sidechains:
                    continue
                self.reading.found()
                turns = [Message(role="user", text=text)]
                made = self.reading.record("chat", turns, place=entry.place, origin={"group": self.id})
                yield Dropped(record=made, reason="rewound branch")


def _maker(message: Json) -> str:
    model = text_of(message.get("model"))
    return f"anthropic:{model}" if model and not model.startswith("<") else ""


def _result(block: Json) -> str:
    """A result's text: a string, or the text of its blocks; pictures are named, not stored."""
    content = block.get("content")
    if isinstance(content, list):
        parts = [as_dict(part) for part in content]
        content = "\n".join(text_of(p.get("text")) or f"[{text_of(p.get('type')) or 'block'}]" for p in parts)
    text = text_of(content)
    return f"error: {text}" if block.get("is_error") is True and not text.lower().startswith("error") else text
