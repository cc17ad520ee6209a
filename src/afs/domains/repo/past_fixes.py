"""Faults that were fixed once: commits that change one function, and whose tests fail without that change."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

import msgspec

from afs.domains.repo.coverage_survey import TESTS_KEPT, Survey, find_python
from afs.domains.repo.families import CODE_RULE, build_task, fence, show_context, show_tests, start_spec
from afs.domains.repo.functions import PythonFunction, is_source, list_functions
from afs.domains.repo.options import RepoOptions
from afs.domains.repo.test_runs import Project, TestJob, TestRow
from afs.domains.repository_snapshot import cache_folder, snapshot_of_commit
from afs.errors import DataError, UsageError
from afs.git_objects import GitObjects
from afs.types import Task

_LIMIT_S = 60.0


class _Fix(NamedTuple):
    """A commit that may have fixed a function."""

    commit: str
    day: str
    subject: str
    source: str
    tests: tuple[str, ...]


def iterate_fixes(options: RepoOptions, name: str, n: int) -> Iterator[Task]:
    """At most `n` tasks from the newest commits that qualify."""
    try:
        git = GitObjects(options.path.expanduser().resolve())
    except DataError as error:
        raise UsageError(f"the family history needs a git repository: {error}") from error
    with git:
        found = (task for fix in _list_fixes(git, options) if (task := _build(git, fix, options, name)))
        yield from islice(found, n)


def _list_fixes(git: GitObjects, options: RepoOptions) -> Iterator[_Fix]:
    """Commits that touch one module and at least one test file, the newest first."""
    command = [
        "log",
        "--no-merges",
        f"-{options.commits}",
        "--format=%x01%H%x02%ct%x02%s",
        "--name-only",
        "--no-renames",
    ]
    for entry in git.run(*command, options.commit or git.head).decode("utf-8", "replace").split("\x01")[1:]:
        head, _, rest = entry.partition("\n")
        commit, stamp, subject = head.split("\x02", 2)
        day = datetime.fromtimestamp(int(stamp), UTC).date().isoformat()
        paths = [line for line in rest.splitlines() if line]
        sources = [path for path in paths if is_source(path)]
        tests = tuple(path for path in paths if path.endswith(".py") and not is_source(path) and "test" in path)
        is_dated = (not options.since or day >= options.since) and (not options.before or day < options.before)
        if len(sources) == 1 and tests and is_dated:
            yield _Fix(commit, day, subject, sources[0], tests)


def _build(git: GitObjects, fix: _Fix, options: RepoOptions, name: str) -> Task | None:
    """The task, when the commit changed one function and its tests flip with it."""
    try:
        new = snapshot_of_commit(git, fix.commit, name, options.license)
        old = git.run("show", f"{fix.commit}^:{fix.source}").decode("utf-8")
    except (DataError, UnicodeDecodeError):
        return None
    pair = find_changed_function(fix.source, old, new.text(fix.source))
    if pair is None:
        return None
    before, after = pair
    project = Project(name=new.digest, python=find_python(options), memory_mb=options.memory_mb)
    tests = tuple(path for path in fix.tests if path in new.files)
    cache = cache_folder() / f"{new.digest}.runs.jsonl"
    jobs = [
        TestJob(files=files, tests=tests, test_s=options.test_s, limit_s=_LIMIT_S) for files in ({}, {fix.source: old})
    ]
    if not tests:
        return None
    good, bad = project.run(new.files, jobs, cache)
    if not good.is_whole:
        return None
    passed = {row.test for row in good.tests if row.ok}
    flips = [row for row in bad.failures() if row.test in passed]
    if not flips:
        return None
    found = Survey(new, project, options, (), 0, len(passed), 0, 0, cache)
    kept = [row.test for row in flips][:TESTS_KEPT]
    kept += sorted(row.test for row in bad.tests if row.ok and row.test in passed)[: TESTS_KEPT - len(kept)]
    new.store()
    return _task(found, fix, (before, after), old, flips, kept)


def _task(
    found: Survey,
    fix: _Fix,
    pair: tuple[PythonFunction, PythonFunction],
    old: str,
    flips: Sequence[TestRow],
    kept: Sequence[str],
) -> Task | None:
    """The question; None when the tests that flip are too long to be shown."""
    before, after = pair
    spec = msgspec.structs.replace(
        start_spec(found, before, kept), date=fix.day, kind="history", fault=before.source, old=old
    )
    shown = show_tests(found, [row.test for row in flips[:8]])
    if not shown:
        return None
    prompt = "\n\n".join(
        part
        for part in (
            f"Change `{before.name}` in `{before.path}` so that the project's tests pass.",
            show_context(old, after, shown),
            f"The function:\n{fence(before.source)}",
            f"`{flips[0].test}` fails:\n{fence(flips[0].message[:800])}",
            f"Tests that must pass:\n{fence(shown)}",
            "Answer with the whole changed function, its decorators included.",
            CODE_RULE,
        )
        if part
    )
    return build_task("history", found, before, prompt, fence(after.source), spec)


def find_changed_function(path: str, old: str, new: str) -> tuple[PythonFunction, PythonFunction] | None:
    """The one function that differs between two versions of a module, when nothing else does."""
    before = {function.name: function for function in list_functions(path, old)}
    after = {function.name: function for function in list_functions(path, new)}
    changed = [
        name for name in before.keys() & after.keys() if _shape(before[name].source) != _shape(after[name].source)
    ]
    if len(changed) != 1:
        return None
    pair = before[changed[0]], after[changed[0]]
    rest = [_without(text, function) for text, function in zip((old, new), pair, strict=True)]
    return pair if _shape(rest[0]) == _shape(rest[1]) else None


def _without(text: str, function: PythonFunction) -> str:
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: function.first - 1], f"{function.indent}pass\n", *lines[function.last :]])


def _shape(source: str) -> str:
    """Code without its comments, layout and docstrings; the source itself where it does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.dump(tree)
