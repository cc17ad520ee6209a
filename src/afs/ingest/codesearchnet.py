"""CodeSearchNet in both schemas: docstring -> function, without the docstring inside the function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from afs.config import Config
from afs.ingest import file_walk, row_files
from afs.ingest.base import Reading, Unit, assistant, first_text, text_of, user
from afs.types import Dropped, Json, Record

_CODE = ("whole_func_string", "func_code_string", "original_string", "code", "function")
_DOC = ("func_documentation_string", "docstring")
_REPO = ("repository_name", "repo")
_URL = ("func_code_url", "url")
_MARK = re.compile(r"^[ \t]*(?://+|/\*+)[ \t]?|[ \t]*\*+/[ \t]*$", re.M)
"""Comment markers, which Go's documentation still contains."""
_FIELD = re.compile(r"^[ \t]*(?:@[A-Za-z]|:(?:param|type|returns?|rtype|raises?)\b)", re.M)
"""The start of the description of parameters and results."""
_BLANK = re.compile(r"\n[ \t]*\n")
_COMMIT = re.compile(r"/blob/([0-9a-f]{40})/")


class CodeSearchNet(Config, frozen=True, kw_only=True):
    """Functions with their documentation."""

    version = "2"

    least_words: int = 3
    """Shortest first paragraph of a docstring, in words."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every JSON-lines and Parquet file."""
        return file_walk.list_units(place, (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per function."""
        for place, row in row_files.read_rows(unit, reading):
            reading.count_found()
            yield self._build_record(row, place, reading)

    def _build_record(self, row: Json, place: str, reading: Reading) -> Record | Dropped:
        code, doc = first_text(row, _CODE), first_text(row, _DOC)
        language = text_of(row.get("language")) or "code"
        asked = _extract_summary(doc)
        body = remove_docstring(code, doc) if language == "python" else code
        question = f"Write a {language} function `{_function_name(row)}`: {asked}"
        repository, url = first_text(row, _REPO), first_text(row, _URL)
        record = reading.build_record(
            "code",
            [user(question), assistant(f"```{language}\n{body.rstrip()}\n```")],
            place=place,
            origin={
                "uri": url or reading.uri(place),
                "commit": text_of(row.get("sha")) or (found[1] if (found := _COMMIT.search(url)) else ""),
                "group": repository or reading.uri(),
                "license": text_of(row.get("license")) or text_of(row.get("licence")) or reading.license,
            },
            extra={"tags": (f"language:{language}", f"given-split:{_given_split(row)}")},
        )
        if not body.strip():
            return Dropped(record=record, reason="no code")
        if len(asked.split()) < self.least_words:
            return Dropped(record=record, reason="no documentation")
        if body is code and language == "python" and doc.strip() and _collapse_spaces(doc) in _collapse_spaces(code):
            return Dropped(record=record, reason="docstring could not be removed")
        return record


def _extract_summary(doc: str) -> str:
    """The first paragraph, without comment markers and parameter descriptions."""
    summary = _FIELD.split(_MARK.sub("", doc), maxsplit=1)[0]
    return _collapse_spaces(_BLANK.split(summary.strip(), maxsplit=1)[0])


def _collapse_spaces(text: str) -> str:
    return " ".join(text.split())


def _function_name(row: Json) -> str:
    return text_of(row.get("func_name")).rpartition(".")[2] or "function"


def _given_split(row: Json) -> str:
    return first_text(row, ("split_name", "partition")) or "none"


def remove_docstring(code: str, doc: str) -> str:
    """Python code without its docstring, which would repeat the question; unchanged when it does not parse."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    body = getattr(tree.body[0], "body", []) if tree.body else []
    first = body[0] if body else None
    if not (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    ):
        return code
    lines = code.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(body) == 1 or first.end_lineno is None or body[1].lineno == first.end_lineno:
        return code
    return "\n".join(lines[: first.lineno - 1] + lines[first.end_lineno :])
