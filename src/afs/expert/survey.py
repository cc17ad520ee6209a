"""What lies at the paths an expert is made from: records by kind, languages, tests, commits, licenses.

The readers of `afs ingest` do the looking, so that the survey counts what the recipe will read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from afs import git_objects, licenses
from afs.datasets import answer_text, question_text
from afs.errors import DataError
from afs.ingest import file_walk
from afs.ingest.base import Reading
from afs.ingest.read_unit import make_source
from afs.types import Json, Record, Value

COMMITS: Final = 500
"""Newest commits that are read: the older ones of most repositories are about code that is gone."""
_MOST_UNITS: Final = 4000
"""Files that are looked at; beyond that the counts are a lower bound, and say so."""
_TABLES: Final = (".jsonl", ".csv", ".tsv", ".parquet", ".json")
_LANGUAGES: Final[Mapping[str, str]] = {
    ".py": "Python", ".js": "JavaScript", ".ts": "TypeScript", ".go": "Go", ".rs": "Rust", ".java": "Java",
    ".c": "C", ".cc": "C++", ".cpp": "C++", ".cs": "C#", ".rb": "Ruby", ".php": "PHP", ".asm": "assembly",
    ".s": "assembly", ".lua": "Lua", ".swift": "Swift", ".kt": "Kotlin", ".sh": "shell", ".sql": "SQL", ".json": "JSON",
}  # fmt: skip
_TESTS: Final = (
    ("pytest", re.compile(r"(?:^|/)tests?/.*\.py$|(?:^|/)test_\w+\.py$")),
    ("cargo test", re.compile(r"(?:^|/)Cargo\.toml$")),
    ("go test ./...", re.compile(r"_test\.go$")),
    ("npm test", re.compile(r"\.(?:test|spec)\.[jt]sx?$|(?:^|/)test/.*\.js$")),
    ("ctest", re.compile(r"(?:^|/)tests?/.*\.(?:cc|cpp)$")),
)
_PARTIAL_CLONE: Final = (
    "its commits: a partial clone lacks some of them, so its files were read; "
    "`git fetch --refetch --no-filter` gets all"
)
_TOKENS_PER_WORD: Final = 1.6
"""Of code and English together; the tokenizer decides later."""


class SourceSurvey(Value, frozen=True, kw_only=True):
    """One path, and what its reader finds there."""

    path: str
    reader: str
    options: Json = {}
    kinds: dict[str, int] = {}
    """Kind of record -> how many."""
    dropped: dict[str, int] = {}
    """Why others are left out."""
    languages: dict[str, int] = {}
    """Language -> files."""
    tests: str = ""
    """The command that seems to run its tests."""
    commits: int = 0
    license: str = ""
    words: dict[str, float] = {}
    """Mean length by kind, question and answer."""
    unread: dict[str, int] = {}
    """Language -> files that give no record."""
    note: str = ""
    """What was left out of the source as a whole, and why."""
    is_partial: bool = False
    """Whether only the first files were looked at."""

    @property
    def records(self) -> int:
        """How many records it gives."""
        return sum(self.kinds.values())

    def mean_tokens(self, kind: str) -> int:
        """About how many tokens a record of this kind has."""
        return round(self.words.get(kind, 0.0) * _TOKENS_PER_WORD)


def survey_path(path: Path) -> SourceSurvey:
    """Look at one path."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    is_git = any((place / "objects").is_dir() and (place / "HEAD").is_file() for place in (path, path / ".git"))
    is_partial_clone = is_git and git_objects.is_partial_clone(path)
    if is_git and not (is_partial_clone and (path / ".git").is_dir()):
        found, read = _read(path, "git", {"commits": COMMITS})
        paths, commits = _list_committed(path)
        return msgspec.structs.replace(found, **_describe(paths, read), commits=commits)
    reader = "jsonl" if path.is_file() and path.name.lower().endswith(_TABLES) else "auto"
    found, read = _read(path, reader, {})
    paths = [file_walk.label_path(path, one) for one in file_walk.walk_files(path)]
    note = _PARTIAL_CLONE if is_partial_clone else ""
    found = msgspec.structs.replace(found, **_describe(paths, read), note=note)
    return found if found.license else msgspec.structs.replace(found, license=licenses.find_license(path.resolve()))


def _describe(paths: Iterable[str], read: Container[str]) -> dict[str, object]:
    """Languages, tests, and the languages most of whose files give no record."""
    names = list(paths)
    languages = Counter(filter(None, map(_language, names)))
    silent = Counter(_language(name) for name in names if name not in read)
    unread = {name: silent[name] for name, count in languages.most_common() if silent[name] > count / 2}
    tests = next((command for command, pattern in _TESTS if any(map(pattern.search, names))), "")
    return {"languages": dict(languages.most_common()), "tests": tests, "unread": unread}


def _language(path: str) -> str:
    return _LANGUAGES.get(Path(path).suffix.lower(), "")


def _list_committed(path: Path) -> tuple[list[str], int]:
    with git_objects.GitObjects(path) as repository:
        count = int(repository.run("rev-list", "--count", repository.head) or b"0")
        return [blob.path for blob in repository.list_files()], count


def _read(path: Path, reader: str, options: Json) -> tuple[SourceSurvey, set[str]]:
    """Everything the reader gives, counted; and the files it is from."""
    read: set[str] = set()
    kinds, dropped, words, found = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    is_partial = False
    for item, partial in _items(path, reader, options):
        is_partial = partial
        if isinstance(item, str):
            dropped[item] += 1
            continue
        kinds[item.kind] += 1
        words[item.kind] += len(f"{question_text(item)} {answer_text(item)}".split())
        found[item.origin.license] += 1
        file = item.origin.uri.partition("#")[0]
        read |= {file, file.partition("/")[2]}  # a repository's name stands before the path
    known = [name for name, _ in found.most_common() if name]
    survey = SourceSurvey(
        path=str(path.resolve()),
        reader=reader,
        options=options,
        kinds=dict(kinds.most_common()),
        dropped=dict(dropped.most_common()),
        words={kind: words[kind] / count for kind, count in kinds.items()},
        license=known[0] if known else "",
        is_partial=is_partial,
    )
    return survey, read


def _items(path: Path, reader: str, options: Json) -> Iterator[tuple[Record | str, bool]]:
    """Records, or why one was dropped; and whether files are left that nobody looked at."""
    source = make_source(reader, options)
    for number, unit in enumerate(source.units(path)):
        if number >= _MOST_UNITS:
            yield "not looked at", True
            return
        if unit.problem:
            continue
        reading = Reading(unit, source="survey", domain="general")
        reading.license = licenses.find_license(unit.path.parent.resolve()) if reader != "git" else ""
        for item in source.read(unit, reading):
            yield (item if isinstance(item, Record) else item.reason), False
