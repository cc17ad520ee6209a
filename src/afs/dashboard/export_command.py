"""`afs dashboard export`: the pages as files that open from disk, with the records they cite."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from afs import jsonl
from afs.config import Config
from afs.dashboard.dashboard_state import Views
from afs.dashboard.page_parts import STATIC, render_shell, static_file
from afs.dashboard.pages_by_name import build_page, list_pages
from afs.dashboard.raw_record_files import note_of_ledger, read_record
from afs.errors import UsageError
from afs.types import Value
from afs.workspace import Workspace

_CITED = re.compile(r'href="files/([^"?]+)(?:\?at=\d+)?"')
_MARKER = ".afs-dashboard-copy"


class CopyConfig(Config, frozen=True, kw_only=True):
    """Write a static copy of the dashboard: it opens from disk, and any web server can show it."""

    positional: ClassVar[tuple[str, ...]] = ("folder",)
    folder: Path
    """Folder to write; it must be empty, or hold an earlier copy."""


class CopiedPages(Value, frozen=True, kw_only=True):
    """What was written."""

    index: str
    pages: int
    records: int


def export_pages(config: CopyConfig, workspace: Workspace) -> CopiedPages:
    """Write every page, and each record that a page cites."""
    folder = config.folder.resolve()
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARKER).exists():
        raise UsageError(f"folder: {folder} is not empty, and is no earlier copy of a dashboard")
    views = Views(workspace)
    views.look()
    views.index.read_whole()
    views.look()
    jsonl.replace(folder / _MARKER, b"")
    for name in STATIC:
        jsonl.replace(folder / "static" / name, static_file(name))
    cited: set[str] = set()
    count = 0
    for name, text in _rendered(views):
        cited |= {unquote(path) for path in _CITED.findall(text)}
        jsonl.replace(folder / name, text.encode())
        count += 1
    records = sum(_copy_record(workspace.root, folder, path) for path in sorted(cited))
    return CopiedPages(index=str(folder / "index.html"), pages=count, records=records)


def _rendered(views: Views) -> Iterator[tuple[str, str]]:
    for name in list_pages(views):
        page = build_page(views, name)
        if page is not None:
            yield name, render_shell(page, views.workspace.root.name, is_live=False)


def _copy_record(root: Path, folder: Path, path: str) -> bool:
    """A cited record beside the pages; of a long log its end."""
    note = note_of_ledger(path)
    found = None if note else read_record(root, path)
    if not note and found is None:
        return False
    jsonl.replace(folder / "files" / path, note.encode() if note else found.content if found else b"")
    return True
