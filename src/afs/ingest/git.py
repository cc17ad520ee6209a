"""Git repositories: commits that fix or speed up something, as before and after; and the files of the newest commit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from afs import licenses
from afs.config import Config
from afs.errors import DataError
from afs.git_objects import BLOB_BYTES, GitObjects
from afs.ingest import asm, repo_tree
from afs.ingest.base import Reading, Unit, assistant, user
from afs.ingest.commit_kinds import classify_change, classify_subject
from afs.ingest.source_domains import compare_change
from afs.types import Dropped, Record

_QUESTIONS = {
    "debug": "Find and fix the fault in this code.",
    "optimize": "Make this code faster or smaller.",
    "change": "Change this code as described: {subject}",
}
_TRAILER = re.compile(r"^(Signed-off-by|Co-authored-by|Reviewed-by|Change-Id|Acked-by|Tested-by|Cc):.*$", re.M | re.I)
_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


class Hunk(NamedTuple):
    """A changed place of a file."""

    path: str
    line: int
    before: str
    after: str
    changed: int


class Git(Config, frozen=True, kw_only=True):
    """A repository, with or without a work tree."""

    version = f"5 {repo_tree.VERSION}"

    files: bool = True
    """Read the files of the newest commit too: routines, functions, documents, by their endings."""
    endings: tuple[str, ...] = (
        ".asm",
        ".s",
        ".inc",
        ".c",
        ".cc",
        ".cpp",
        ".h",
        ".hpp",
        ".py",
        ".rs",
        ".go",
        ".js",
        ".ts",
        ".java",
        ".lua",
    )
    """Files to look at."""
    commits: int = 5000
    """Newest commits to look at."""
    most_lines: int = 80
    """Largest change, in lines."""
    context: int = 12
    """Lines around a change."""

    def units(self, place: Path) -> Iterator[Unit]:
        """The repository at a folder; its newest commit is part of its name."""
        repository = GitObjects(place)
        yield Unit(repository.folder / "HEAD", f"{_repository_name(place)}@{repository.head[:12]}")

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per change of a commit that fixes or optimizes, and per routine, function and section."""
        name = unit.label.partition("@")[0]
        with GitObjects(unit.path.parent) as repository:
            license = reading.license or _find_license(repository)
            if reading.is_domain_open:
                reading.domain = repo_tree.find_domain(repository) or reading.domain
            if self.files:
                yield from repo_tree.read_tree(repository, name, license, reading)
            log = repository.run("log", f"-n{self.commits}", "--no-merges", "--format=%H%x1f%B%x1e", repository.head)
            for entry in log.decode("utf-8", "replace").split("\x1e"):
                commit, _, message = entry.strip().partition("\x1f")
                if not message:
                    continue
                reading.counts["commits"] += 1
                subject = message.strip().partition("\n")[0]
                if classify_subject(subject):
                    yield from self._read_changes(repository, name, commit, (subject, message, license), reading)

    def _read_changes(
        self, repository: GitObjects, name: str, commit: str, about: tuple[str, str, str], reading: Reading
    ) -> Iterator[Record | Dropped]:
        subject, message, license = about
        try:
            diff = repository.run(
                "show", "--format=", f"-U{self.context}", "--no-ext-diff", "--no-textconv", "--no-color", commit
            )
        except DataError as error:
            reading.add_unreadable(commit, str(error))
            return
        for hunk in parse_hunks(diff.decode("utf-8", "replace")):
            if not hunk.path.lower().endswith(self.endings):
                reading.counts["changes of other files"] += 1
                continue
            reading.count_found()
            language = hunk.path.rpartition(".")[2].lower()
            is_assembly = hunk.path.lower().endswith(asm.ENDINGS)
            effect = compare_change(reading.domain, hunk.before, hunk.after) if is_assembly else ""
            kind = classify_change(message, hunk.path, hunk.before, hunk.after, effect)
            question = _QUESTIONS[kind].replace("{subject}", subject)
            why = _TRAILER.sub("", message).strip()
            record = reading.build_record(
                kind,
                [
                    user(f"{question}\n\n```{language}\n{hunk.before}\n```"),
                    assistant(f"{why}\n\n```{language}\n{hunk.after}\n```"),
                ],
                origin={
                    "uri": f"{name}/{hunk.path}#L{hunk.line}",
                    "commit": commit,
                    "license": license,
                    "group": f"{name}/{hunk.path}",
                },
                extra={"tags": ("commit", f"language:{language}", *([f"executed:{effect}"] if effect else []))},
            )
            if hunk.changed > self.most_lines:
                yield Dropped(record=record, reason="change too large", detail=f"{hunk.changed} lines")
            elif not hunk.before.strip() or not hunk.after.strip():
                yield Dropped(record=record, reason="nothing before or after")
            elif "".join(hunk.before.split()) == "".join(hunk.after.split()):
                yield Dropped(record=record, reason="only spacing changed")
            else:
                yield record


def parse_hunks(diff: str) -> Iterator[Hunk]:
    """The hunks of a unified diff."""
    path, line, before, after, changed = "", 0, list[str](), list[str](), 0
    for row in diff.split("\n"):
        match = _HUNK.match(row)
        if match or row.startswith("diff --git "):
            if changed:
                yield Hunk(path, line, "\n".join(before), "\n".join(after), changed)
            before, after, changed = [], [], 0
            line = int(match[2]) if match else 0
        elif not line:
            if row.startswith("+++ b/"):
                path = row[6:]
        elif row.startswith("-"):
            before.append(row[1:])
            changed += 1
        elif row.startswith("+"):
            after.append(row[1:])
            changed += 1
        elif row.startswith(" "):
            before.append(row[1:])
            after.append(row[1:])
    if changed:
        yield Hunk(path, line, "\n".join(before), "\n".join(after), changed)


def _find_license(repository: GitObjects) -> str:
    """The license in the newest commit's tree."""
    names = ("licen", "copying", "unlicen")
    blobs = [b for b in repository.list_files() if "/" not in b.path and b.path.lower().startswith(names)]
    for _, content in repository.read_blobs([blob for blob in blobs if blob.size <= BLOB_BYTES]):
        if found := licenses.classify_license(content[:16384].decode("utf-8", "replace")):
            return found
    return ""


def _repository_name(place: Path) -> str:
    full = place.resolve()
    return (full.parent if full.name == ".git" else full).name.removesuffix(".git")
