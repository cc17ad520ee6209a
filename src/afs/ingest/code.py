"""Source trees: documented functions, with the documentation as question and the body without it as answer.

Python is parsed; of JavaScript, TypeScript, Go, Java, C#, Rust, C, C++, Ruby and PHP the functions are found by
`function_scanner`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from afs import licenses
from afs.config import Config
from afs.ingest import brace_language_context, docstring_questions, file_walk, python_context
from afs.ingest.base import Reading, Unit, assistant, user
from afs.ingest.codesearchnet import remove_docstring
from afs.source_code import function_scanner
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
_TEST_PATH = re.compile(
    r"(?:^|/)(?:t|tests?|testing|examples?|__tests__|specs?|fixtures|mocks?|bench(?:es|mark\w*)?)/"
    r"|(?:[_.-]|^)tests?\.\w+(?:#|$)|(?:^|/)(?:test_\w+|conftest)\.py(?:#|$)",
    re.I,
)
_EMPTY_BODY = re.compile(
    r"\{\s*(?:(?:unimplemented|todo|panic|unreachable)!\(.*\);?"
    r"|throw new \w*(?:NotImpl|Unsupported)\w*\(.*\);)?\s*\}\s*$"
)
_REMARK = re.compile(r"\s*(?://|#|/\*|\*)")
_SHORT = 40
"""Characters of a body in one line that says itself."""
_PACKED = 500
"""Average characters per line above which a file counts as minified."""


class Code(Config, frozen=True, kw_only=True):
    """A tree of sources."""

    version = "7"

    least_words: int = 4
    """Shortest first paragraph of a docstring, in words."""
    least_lines: int = 3
    """Shortest function, in lines."""
    most_lines: int = 120
    """Longest function, in lines."""
    tests: bool = False
    """Keep functions of tests: their documentation seldom says what is checked."""

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
        for place in python_context.list_functions(tree):
            reading.count_found()
            yield self._build_python(place, tree, text, license, reading)

    def _read_scanned(self, text: str, language: str, reading: Reading) -> Iterator[Record | Dropped]:
        """The functions of a language other than Python."""
        if len(text) > _PACKED * (text.count("\n") + 1):
            reading.add_unreadable("", "minified: too few line breaks for source code", text)
            return
        license = licenses.find_tag(text) or reading.license
        functions = list(function_scanner.find_functions(text, language))
        source = brace_language_context.open_file(text, functions)
        for found in functions:
            reading.count_found()
            context = brace_language_context.describe_context(found, source)
            asked = f"Write a {_SPOKEN[language]} function `{found.name}`: {found.doc}"
            record = reading.build_record(
                "code",
                [user(_ask(asked, language, context)), assistant(f"```{language}\n{found.code}\n```")],
                place=f"L{found.first}-{found.last}",
                origin={"license": license, "group": reading.uri()},
                extra={"tags": (f"language:{language}", f"symbol:{found.name}")},
            )
            detail = ""
            reason = self._drop_reason(found.doc, found.name, found.last - found.first + 1, reading)
            if not reason and _EMPTY_BODY.search(found.code):
                reason = "no body of its own"
            elif not reason and (missing := brace_language_context.list_unknown_names(found.code, context, language)):
                reason = "needs a name its file does not show"
                detail = ", ".join(missing)
            elif not reason and _is_one_line(found.code.removeprefix(brace_language_context.head_of(found.code))):
                reason = "one line"
            yield Dropped(record=record, reason=reason, detail=detail) if reason else record

    def _drop_reason(self, asked: str, name: str, lines: int, reading: Reading) -> str:
        """Why a function is dropped; empty when it is kept."""
        if len(asked.split()) < self.least_words:
            return "no documentation"
        if not self.least_lines <= lines <= self.most_lines:
            return "too short or too long"
        if not self.tests and _TEST_PATH.search(reading.uri()):
            return "a test or example"
        return "documentation asks for nothing" if docstring_questions.says_nothing(asked, name, lines) else ""

    def _build_python(
        self, place: python_context.Place, tree: ast.Module, text: str, license: str, reading: Reading
    ) -> Record | Dropped:
        node = place.node
        doc = ast.get_docstring(node) or ""
        asked = docstring_questions.extract_request(doc)
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        last = node.end_lineno or node.lineno
        code = _dedent_lines([f"{line}\n" for line in text.split("\n")[first - 1 : last]])
        body = remove_docstring(code, doc)
        question = f"Write a Python function `{node.name}`: {asked}"
        record = reading.build_record(
            "code",
            [
                user(_ask(question, "python", python_context.describe_context(place, tree))),
                assistant(f"```python\n{body.rstrip()}\n```"),
            ],
            place=f"L{first}-{last}",
            origin={"license": license, "group": reading.uri()},
            extra={"tags": ("language:python", f"symbol:{node.name}")},
        )
        if reason := self._drop_reason(asked, node.name, len(body.rstrip().splitlines()), reading):
            return Dropped(record=record, reason=reason)
        if python_context.is_stub(node):
            return Dropped(record=record, reason="no body of its own")
        if body is code:
            return Dropped(record=record, reason="docstring could not be removed")
        start = node.body[min(1, len(node.body) - 1)]
        if len(node.body) <= 2 and _is_one_line(ast.unparse(start)):
            return Dropped(record=record, reason="one line")
        return record


def _is_one_line(body: str) -> bool:
    """Whether a body is a single short line, which says itself."""
    lines = [line.strip() for line in body.strip().strip("{}").splitlines() if not _REMARK.match(line)]
    lines = [line for line in lines if line]
    return len(lines) <= 1 and len("".join(lines)) <= _SHORT


def _ask(question: str, language: str, context: str) -> str:
    """A question with what the function needs of its file."""
    return f"{question}\n\nThe code around it:\n\n```{language}\n{context}\n```"


def _dedent_lines(lines: list[str]) -> str:
    """Lines without their common indentation."""
    edge = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "".join(line[edge:] if line.strip() else line for line in lines)
