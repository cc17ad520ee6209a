"""Source trees: documented functions, with the documentation as question and the body without it as answer.

Python is parsed; of JavaScript, TypeScript, Go, Java, C#, Rust, C, C++, Ruby and PHP the functions are found by
`function_scanner`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from afs import licenses
from afs.config import Config
from afs.ingest import file_walk, function_scanner
from afs.ingest.base import Reading, Unit, assistant, user
from afs.ingest.codesearchnet import remove_docstring
from afs.types import Dropped, Record

_SPOKEN = {
    "c": "C",
    "cpp": "C++",
    "java": "Java",
    "javascript": "JavaScript",
    "typescript": "TypeScript",
    "go": "Go",
    "rust": "Rust",
    "php": "PHP",
    "ruby": "Ruby",
    "csharp": "C#",
}
_PACKED = 500
"""Average characters per line above which a file counts as minified."""


class Code(Config, frozen=True, kw_only=True):
    """A tree of sources."""

    version = "6"

    least_words: int = 4
    """Shortest first paragraph of a docstring, in words."""
    least_lines: int = 3
    """Shortest function, in lines."""
    most_lines: int = 120
    """Longest function, in lines."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every source file in a supported language."""
        return file_walk.list_units(place, (".py", *function_scanner.ENDINGS))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per function and method; a file that does not parse is unreadable."""
        text = file_walk.read_text(unit, reading)
        language = function_scanner.ENDINGS.get(Path(unit.member or unit.path.name).suffix.lower(), "python")
        if language != "python":
            yield from self._read_scanned(text, language, reading)
            return
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reading.add_unreadable("", f"does not parse: {error}", text)
            return
        license = licenses.find_tag(text) or reading.license
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                reading.count_found()
                yield self._build_record(node, text, license, reading)

    def _read_scanned(self, text: str, language: str, reading: Reading) -> Iterator[Record | Dropped]:
        """The functions of a language other than Python."""
        if len(text) > _PACKED * (text.count("\n") + 1):
            reading.add_unreadable("", "minified: too few line breaks for source code", text)
            return
        license = licenses.find_tag(text) or reading.license
        for found in function_scanner.find_functions(text, language):
            reading.count_found()
            record = reading.build_record(
                "code",
                [
                    user(f"Write a {_SPOKEN[language]} function `{found.name}`: {found.doc}"),
                    assistant(f"```{language}\n{found.code}\n```"),
                ],
                place=f"L{found.first}-{found.last}",
                origin={"license": license, "group": reading.uri()},
                extra={"tags": (f"language:{language}", f"symbol:{found.name}")},
            )
            reason = self._drop_reason(found.doc, found.last - found.first + 1)
            yield Dropped(record=record, reason=reason) if reason else record

    def _drop_reason(self, asked: str, lines: int) -> str:
        """Why a function is dropped; empty when it is kept."""
        if len(asked.split()) < self.least_words:
            return "no documentation"
        return "" if self.least_lines <= lines <= self.most_lines else "too short or too long"

    def _build_record(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, text: str, license: str, reading: Reading
    ) -> Record | Dropped:
        doc = ast.get_docstring(node) or ""
        asked = " ".join(doc.partition("\n\n")[0].split())
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        last = node.end_lineno or node.lineno
        code = _dedent_lines([f"{line}\n" for line in text.split("\n")[first - 1 : last]])
        body = remove_docstring(code, doc)
        record = reading.build_record(
            "code",
            [user(f"Write a Python function `{node.name}`: {asked}"), assistant(f"```python\n{body.rstrip()}\n```")],
            place=f"L{first}-{last}",
            origin={"license": license, "group": reading.uri()},
            extra={"tags": ("language:python", f"symbol:{node.name}")},
        )
        if reason := self._drop_reason(asked, last - first + 1):
            return Dropped(record=record, reason=reason)
        if body is code:
            return Dropped(record=record, reason="docstring could not be removed")
        return record


def _dedent_lines(lines: list[str]) -> str:
    """Lines without their common indentation."""
    edge = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "".join(line[edge:] if line.strip() else line for line in lines)
