"""Python sources: documented functions, the documentation as the question and the body without it as the answer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from afs.config import Config
from afs.ingest import files, licences, rows
from afs.ingest.base import Reading, Unit, assistant, user
from afs.ingest.codesearchnet import without_docstring
from afs.types import Dropped, Record


class Code(Config, frozen=True, kw_only=True):
    """A tree of Python files."""

    version = "1"

    least_words: int = 4
    """Shortest first paragraph of a docstring, in words."""
    least_lines: int = 3
    """Shortest function, in lines."""
    most_lines: int = 120
    """Longest function, in lines."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every Python file."""
        return files.units(place, (".py",))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per function and method; a file that does not parse is unreadable."""
        with rows.opened(unit) as source:
            text = source.read().decode("utf-8", "replace")
        reading.counts["lines"] += text.count("\n") + 1
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reading.bad("", f"does not parse: {error}", text)
            return
        licence = licences.tag_in(text) or reading.licence
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                reading.found()
                yield self._record(node, text, licence, reading)

    def _record(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, text: str, licence: str, reading: Reading
    ) -> Record | Dropped:
        doc = ast.get_docstring(node) or ""
        asked = " ".join(doc.partition("\n\n")[0].split())
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        last = node.end_lineno or node.lineno
        code = _dedented(text.splitlines(keepends=True)[first - 1 : last])
        body = without_docstring(code, doc)
        made = reading.record(
            "code",
            [user(f"Write a Python function `{node.name}`: {asked}"), assistant(f"```python\n{body.rstrip()}\n```")],
            place=f"L{first}-{last}",
            origin={"licence": licence, "group": reading.uri()},
            extra={"tags": ("language:python", f"symbol:{node.name}")},
        )
        if len(asked.split()) < self.least_words:
            return Dropped(record=made, reason="no documentation")
        if not self.least_lines <= last - first + 1 <= self.most_lines:
            return Dropped(record=made, reason="too short or too long", detail=f"{last - first + 1} lines")
        if body is code:
            return Dropped(record=made, reason="docstring could not be taken out")
        return made


def _dedented(lines: list[str]) -> str:
    """A method at the margin."""
    edge = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "".join(line[edge:] if line.strip() else line for line in lines)
