"""Markdown, HTML and plain documents: a question per section, answered by its text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from afs.config import Config
from afs.ingest import file_walk
from afs.ingest.base import Reading, Unit, assistant, user
from afs.types import Dropped, Record

ENDINGS = (".md", ".markdown", ".mdx", ".rst", ".txt", ".html", ".htm")
_HEAD = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(?:(?:[-*+>]|\d+[.)])\s+)*(`{3,}|~{3,})(?P<info>[^`]*)$")
_UNDERLINED = re.compile(r"^(=+|-{3,}|~{3,}|\^{3,})\s*$")


class Section(NamedTuple):
    """A piece of a document under its headings."""

    path: tuple[str, ...]
    first: int
    last: int
    text: str


class Docs(Config, frozen=True, kw_only=True):
    """Markdown, HTML and text documents."""

    version = "3"

    least_words: int = 30
    """Shortest section."""
    most_words: int = 1500
    """Longest section."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every document."""
        return file_walk.list_units(place, ENDINGS)

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per section."""
        text = file_walk.read_text(unit, reading)
        name = (unit.member or unit.path.name).lower()
        if name.endswith((".html", ".htm")):
            text = extract_html_text(text)
        for section in split_sections(text):
            reading.count_found()
            yield self._build_record(section, reading)

    def _build_record(self, section: Section, reading: Reading) -> Record | Dropped:
        title = " / ".join(section.path) or Path(reading.unit.label).stem
        record = reading.build_record(
            "docs",
            [user(f"Explain: {title}"), assistant(section.text)],
            place=f"L{section.first}-{section.last}",
            origin={"group": reading.uri()},
        )
        words = len(section.text.split())
        if words < self.least_words:
            return Dropped(record=record, reason="too short", detail=f"{words} words")
        if words > self.most_words:
            return Dropped(record=record, reason="too long", detail=f"{words} words")
        return record


def split_sections(text: str) -> Iterator[Section]:
    """The pieces between headings; fenced code is not searched for headings."""
    path: list[tuple[int, str]] = []
    body: list[str] = []
    first, fence = 1, ""
    lines = text.splitlines()
    number = 0
    for number, line in enumerate(lines, 1):
        mark = _FENCE.match(line)
        if mark and (not fence or (mark[1].startswith(fence) and not mark["info"].strip())):
            fence = "" if fence else mark[1]
        found = None if fence else _parse_heading(lines, number - 1)
        if found is None:
            body.append(line)
            continue
        yield from _make_section(path, first, number - 1, body)
        path = [item for item in path if item[0] < found[0]] + [found]
        body, first = [], number + 1
    yield from _make_section(path, first, number, body)


def _make_section(path: list[tuple[int, str]], first: int, last: int, body: list[str]) -> Iterator[Section]:
    text = "\n".join(line for line in body if not _UNDERLINED.match(line) or "|" in line).strip()
    if text:
        yield Section(tuple(title for _, title in path), first, last, text)


def _parse_heading(lines: list[str], at: int) -> tuple[int, str] | None:
    if match := _HEAD.match(lines[at]):
        return len(match[1]), match[2]
    after = lines[at + 1] if at + 1 < len(lines) else ""
    line = lines[at].strip()
    if line and _UNDERLINED.match(after) and len(after.strip()) >= len(line) - 2 and "|" not in line:
        return (1 if after.startswith("=") else 2), line
    return None


class _HtmlText(HTMLParser):
    """HTML as Markdown-like text: headings, paragraphs, code."""

    _SILENT = frozenset({"script", "style", "nav", "footer", "head", "template", "svg"})
    _BREAKS = frozenset({"p", "div", "li", "tr", "br", "section", "table", "ul", "ol", "dd", "dt", "blockquote"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = self._code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._SILENT:
            self._silent += 1
        elif len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.parts.append(f"\n\n{'#' * min(6, max(1, int(tag[1])))} ")
        elif tag == "pre":
            self._code += 1
            self.parts.append("\n```\n")
        elif tag in self._BREAKS:
            self.parts.append("\n- " if tag == "li" else "\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag == "pre" and self._code:
            self._code -= 1
            self.parts.append("\n```\n")
        elif tag in self._BREAKS or (len(tag) == 2 and tag[0] == "h" and tag[1].isdigit()):
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data if self._code else re.sub(r"\s+", " ", data))


def extract_html_text(text: str) -> str:
    """The readable text of an HTML page."""
    parser = _HtmlText()
    parser.feed(text)
    parser.close()
    return re.sub(r"\n{3,}", "\n\n", "".join(parser.parts))
