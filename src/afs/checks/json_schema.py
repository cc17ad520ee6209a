"""The check `schema`: the answer is JSON that fits a JSON schema and, if asked, says what the reference says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import msgspec

from afs.checks.answer_code import extract_code
from afs.checks.schema_validator import list_problems, refuse_unknown_keywords
from afs.checks.verdicts import NO_ANSWER, judge_as, judge_unknown
from afs.config import Config
from afs.errors import ConfigError, DataError, boundary
from afs.types import Json, Task, Verdict


class SchemaCheck(Config, frozen=True, kw_only=True):
    """Validates JSON."""

    id: ClassVar[str] = "schema"
    version: ClassVar[str] = "1"
    longest_s: ClassVar[float] = 5.0
    schema: str | Json
    """A JSON schema: its file, relative to where the check is written, or a table."""
    match: bool = False
    """Whether the values must be those of the task's reference; the score is the share of equal ones."""

    def find_problem(self) -> str:
        """It runs everywhere."""
        return ""

    def pack_files(self, folder: Path) -> SchemaCheck:
        """The check with its schema inside itself."""
        schema: object = self.schema
        if isinstance(schema, str):
            path = folder / schema
            with boundary(DataError, f"check: {path}"):
                schema = json.loads(path.read_text("utf-8"))
        refuse_unknown_keywords(schema)
        if not isinstance(schema, dict):
            raise ConfigError("check.schema", "want a JSON object")
        return msgspec.structs.replace(self, schema=schema)

    def judge(self, task: Task, answer: str) -> Verdict:
        """Whether it parses, fits, and matches."""
        text = extract_code(answer, task.prompt)
        if not text:
            return judge_as(task, False, stage="extract", reason=NO_ANSWER)
        assert isinstance(self.schema, dict), "a check in a task holds its schema"
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            return judge_as(task, False, stage="parse", reason=f"no JSON: {error}")
        problem = next(list_problems(value, self.schema, self.schema), "")
        if problem:
            return judge_as(task, False, stage="schema", reason=problem[:240])
        return self._compare(task, value) if self.match else judge_as(task, True, stage="schema")

    def _compare(self, task: Task, value: object) -> Verdict:
        """The values against those of the reference."""
        try:
            wanted = dict(_leaves(json.loads(extract_code(task.reference))))
        except ValueError:
            return judge_unknown(task, "the task's reference is no JSON")
        got = dict(_leaves(value))
        wrong = [place for place in wanted if place not in got or got[place] != wanted[place]]
        extra = [place for place in got if place not in wanted]
        share = (len(wanted) - len(wrong)) / max(1, len(wanted) + len(extra))
        if not wrong and not extra:
            return judge_as(task, True, stage="match")
        place = (wrong or extra)[0]
        reason = f"{place}: want {wanted.get(place, 'nothing')}, got {got.get(place, 'nothing')}"
        return judge_as(task, False, stage="match", score=min(share, 0.99), reason=reason[:240])


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _leaves(value: object, place: str = "$") -> Iterator[tuple[str, str]]:
    """Every plain value as JSON text, by its place; numbers of equal value are equal."""
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from _leaves(one, f"{place}.{name}")
    elif isinstance(value, list) and value:
        for number, one in enumerate(value):
            yield from _leaves(one, f"{place}[{number}]")
    else:
        whole = isinstance(value, float) and value.is_integer()
        yield place, json.dumps(int(value) if whole else value)  # type: ignore[call-overload]
