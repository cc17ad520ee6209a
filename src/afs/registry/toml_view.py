"""`registry.toml`: the registry in readable form, rendered from the events; comments and hand-written `notes` are kept.

Only the blocks of names that changed are rewritten, so a large registry stays quick to update.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from afs import jsonl
from afs.errors import DataError
from afs.registry.event_log import Event
from afs.registry.registry_state import Entry

_HEADER = """# Rendered from events/registry.jsonl. Your comments and `notes` are kept; everything else is overwritten.
"""
_BLOCK = re.compile(r"^(?=\[models\.(?:\"[^\"]+\"|[^.\]]+)\]\s*$)", re.M)
_TITLE = re.compile(r"^\[models\.(?:\"(?P<quoted>[^\"]+)\"|(?P<bare>[^.\]]+))\]\s*$", re.M)
_REMEDY = "fix the file, or delete it and it is rendered again"
OWN = ("notes",)
"""Keys that are never overwritten."""


def render_registry(path: Path, entries: Iterable[Entry], last: Event) -> None:
    """Update the blocks of these names."""
    text = _read(path) if path.is_file() else _HEADER
    head, *rest = _BLOCK.split(text)
    blocks = {_title(block): block for block in rest}
    for entry in entries:
        blocks[entry.name] = _block(entry, blocks.get(entry.name, ""), path)
    body = "".join(_ended(block) for block in blocks.values())
    jsonl.replace(path, (_head(head, last, path) + body).encode())


def read_head(path: Path) -> tuple[int, str]:
    """(number, hash) of the last event at the time the file was written."""
    table = _parse(_BLOCK.split(_read(path))[0], path)
    number, head = table.get("events", 0), table.get("head", "")
    if not isinstance(number, int) or not isinstance(head, str):
        raise DataError(f"{path}: `events` is not a number or `head` not a hash; {_REMEDY}")
    return int(number), str(head)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: {error}; {_REMEDY}") from error


def _title(block: str) -> str:
    match = _TITLE.match(block)
    assert match is not None
    return match["quoted"] or match["bare"]


def _ended(block: str) -> str:
    return block.rstrip("\n") + "\n\n"


def _parse(text: str, path: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise DataError(f"{path}: {error}; {_REMEDY}") from error


def _head(text: str, last: Event, path: Path) -> str:
    document = _parse(text, path)
    document["events"], document["head"] = last.number, last.hash
    return _ended(tomlkit.dumps(document))


def _block(entry: Entry, old: str, path: Path) -> str:
    """The block of one name: comments and notes kept, values updated."""
    if not old:
        return _fresh(entry)
    document = _parse(old, path)
    table = document["models"][entry.name]
    assert isinstance(table, Table)
    facts = _facts(entry)
    for key in [key for key in table if key not in facts and key not in OWN]:
        table.remove(key)
    for key, value in facts.items():
        if key not in table or table[key] != value:
            table[key] = value
    return tomlkit.dumps(document)


def _fresh(entry: Entry) -> str:
    """The block of a name that has none yet, without the parser: a restore writes thousands at once."""
    facts = _facts(entry)
    title = f'models."{entry.name}"'
    lines = [f"[{title}]", *(_line(key, value) for key, value in facts.items() if not isinstance(value, dict))]
    for key, value in facts.items():
        if isinstance(value, dict):
            lines += ["", f"[{title}.{key}]", *(_line(f'"{name}"', text) for name, text in value.items())]
    return "\n".join(lines)


def _line(key: str, value: object) -> str:
    """Strings and lists of strings: as JSON writes them, TOML reads them."""
    return f"{key} = {msgspec.json.encode(value).decode()}"


def _facts(entry: Entry) -> dict[str, object]:
    current = entry.version(entry.current)
    facts: dict[str, object] = {alias: entry.aliases[alias] for alias in sorted(entry.aliases)}
    facts["versions"] = [version.ref for version in entry.versions]
    if current:
        facts |= {"form": current.form, "base": current.base, "digest": current.digest}
        facts["registered"] = current.registered
    details = {version.detail: version.ref for version in entry.versions if version.detail}
    optional: dict[str, object] = {
        "tags": list(entry.expert.tags),
        "domain": entry.expert.domain,
        "details": details,
        "legacy": list(entry.legacy),
        "deprecated": {v.ref: v.deprecated for v in entry.versions if v.deprecated},
        "deployed": {host: str(row["ref"]) for host, row in entry.deployments.items()},
    }
    return {**facts, **{key: value for key, value in optional.items() if value}}
