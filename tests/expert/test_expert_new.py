"""`afs expert new`: what it finds, what it writes, what it says it could not verify; and the recipe runs."""

from __future__ import annotations

import calendar
import colorsys
import difflib
import fnmatch
import heapq
import html
import inspect
import shlex
import statistics
import string
import subprocess
import textwrap
import tokenize
from pathlib import Path
from typing import cast

import pytest

from afs import artifacts, jsonl, pipeline
from afs.config import decode, load_toml
from afs.errors import ConfigError, DataError, MissingError
from afs.expert import ExpertDraft, ExpertNewConfig, expert_new, suggest_check
from afs.expert.draft import RecipeDraft, divide_mixture, write_system
from afs.expert.machine_options import Machine
from afs.expert.survey import SourceSurvey, survey_path
from afs.expert.toml_text import write_value
from afs.expert.training_budget import RunSize, format_minutes
from afs.workspace import Workspace

CODE = '''
def area_{n}(width, height):
    """The area of a rectangle number {n}, in square units."""
    size = width * height
    return size + {n} - {n}
'''
LICENSE = "Permission is hereby granted, free of charge, the above copyright notice and this permission notice"
COUNTING = '''
def count_long(words, least):
    """How many words have at least this many letters, blanks left out."""
    found = 0
    for word in words:
        if len(word.strip()) >= least:
            found += 1
    return found
'''
COUNTING_TEST = """
from counting import count_long

def test_count_long():
    assert count_long(["a", "bb", "ccc"], 2) == 2
    assert count_long(["  a  "], 2) == 0
    assert count_long([], 1) == 0
    assert count_long(["dddd"], 4) == 1
"""
PAGE = (
    "# Chapter {n}\n\n" + "The rectangle of chapter {n} has a width and a height, and its area follows from both. " * 4
)


FUNCTIONS = (
    calendar.monthrange, colorsys.rgb_to_hsv, difflib.unified_diff, fnmatch.filter, heapq.nsmallest, html.escape,
    shlex.quote, statistics.median, string.capwords, textwrap.dedent, textwrap.shorten, tokenize.untokenize,
)  # fmt: skip
"""Code that is in every Python: each unlike the rest, so that no side of a split repeats another."""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "work")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shapes"
    for name in ("tests", "docs"):
        (folder / name).mkdir(parents=True)
    (folder / "LICENSE").write_text(LICENSE)
    (folder / "tests" / "test_shapes.py").write_text("def test_nothing():\n    assert True\n")
    for n in range(12):
        (folder / f"shape_{n}.py").write_text(CODE.format(n=n))
        (folder / "docs" / f"page_{n}.md").write_text(PAGE.format(n=n))
    return folder


@pytest.fixture
def varied(tmp_path: Path) -> Path:
    """A project whose files are unlike each other."""
    folder = tmp_path / "varied"
    folder.mkdir()
    (folder / "LICENSE").write_text(LICENSE)
    for n, function in enumerate(FUNCTIONS):
        (folder / f"part_{n}.py").write_text(inspect.getsource(function))
    return folder


def draft(workspace: Workspace, out: Path, *paths: Path, **more: object) -> ExpertDraft:
    more = {"tests": False, **more}
    table = {"name": "shapes", "from": [str(path) for path in paths], "out": str(out), **more}
    return expert_new(decode(ExpertNewConfig, table), workspace)


def test_it_finds_languages_tests_license_and_records(project: Path) -> None:
    found = survey_path(project)
    assert found.kinds == {"code": 12, "docs": 12}
    assert (found.languages, found.tests, found.license) == ({"Python": 13}, "pytest", "MIT")


def commit(folder: Path) -> None:
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "One"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)


def test_files_that_no_reader_reads_are_counted_and_name_the_project(
    workspace: Workspace, project: Path, tmp_path: Path
) -> None:
    for n in range(40):
        (project / f"case_{n}.json").write_text("{}")
    found = survey_path(project)
    assert (found.languages, found.unread) == ({"JSON": 40, "Python": 13}, {"JSON": 40})
    made = draft(workspace, tmp_path / "shapes.toml", project)
    assert "files that give no record: JSON 40 of 40" in made.text()
    assert "--check 'python -m json.tool {file}'" in made.text()


def test_of_a_partial_clone_the_files_are_read(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    commit(project)
    (project / ".git" / "objects" / "pack" / "x.promisor").touch()
    found = survey_path(project)
    assert (found.reader, found.kinds) == ("auto", {"code": 12, "docs": 12})
    assert "left out: its commits: a partial clone" in draft(workspace, tmp_path / "shapes.toml", project).text()


@pytest.mark.parametrize(("minutes", "text"), [(0.2, "less than a minute"), (1.2, "1 minute"), (7.6, "8 minutes")])
def test_a_time_is_written_in_words(minutes: float, text: str) -> None:
    assert format_minutes(minutes) == text


def test_a_repository_is_read_with_its_commits(project: Path) -> None:
    commit(project)
    found = survey_path(project)
    assert (found.reader, found.commits, found.tests, found.license) == ("git", 1, "pytest", "MIT")
    assert found.kinds["code"] == 12


def test_the_recipe_is_valid_and_says_what_it_could_not_verify(
    workspace: Workspace, project: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shapes.toml"
    made = draft(workspace, out, project, check="python -m py_compile {file}")
    text = out.read_text()
    assert "# plan: time: less than a minute" in text
    assert any(line.startswith("12 docs:") for line in made.unverified)
    assert any("usefulness" in line for line in made.unverified), "no base is stored here"
    assert "afs run @" in made.text() and "afs ask" in made.text()
    steps = {step.name: step.verb for step in pipeline.read_recipe(out)}
    assert list(steps.values())[:3] == ["ingest", "curate", "train"]
    table = load_toml(out)
    assert table["shapes-records"]["check_kinds"] == ["code", "pair", "dialogue"]
    assert table["shapes-register"]["system"] == "You are an expert on shapes, a project in Python. Answer briefly."


def test_a_stored_base_is_kept_in_service_until_the_gate_passes(
    workspace: Workspace, project: Path, tmp_path: Path
) -> None:
    with artifacts.store_artifact(workspace, "tiny", form="base", facts={"imported": True, "parameters": 5}) as pending:
        jsonl.replace(pending.folder / "config.json", b"{}")
    made = draft(workspace, tmp_path / "shapes.toml", project)
    assert made.machine.base == "tiny@1"
    verbs = [step.verb for step in pipeline.read_recipe(tmp_path / "shapes.toml")]
    assert verbs[-6:] == [
        "models register", "models promote", "models register", "expert report", "eval gate", "models promote"
    ]  # fmt: skip


def test_a_projects_own_tests_become_tasks_that_they_judge(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "counting"
    folder.mkdir()
    (folder / "LICENSE").write_text(LICENSE)
    (folder / "counting.py").write_text(COUNTING)
    (folder / "test_counting.py").write_text(COUNTING_TEST)
    out = tmp_path / "counting.toml"
    made = draft(workspace, out, folder, tests=True)
    assert made.tests[0].usable, made.tests[0].problem
    assert not any(line.startswith("pytest") for line in made.unverified)
    table = load_toml(out)
    assert table["shapes-tasks-1"]["domain"] == "repo"
    assert table["shapes-data"]["sources"] == ["shapes-records", "shapes-tasks-1"]
    assert "own tests" in out.read_text()


def test_bad_input_is_one_line(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.toml"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing to learn from"):
        draft(workspace, out, tmp_path / "empty")
    with pytest.raises(DataError, match="no such file"):
        draft(workspace, out, tmp_path / "missing")
    with pytest.raises(ConfigError, match="lower-case"):
        draft(workspace, out, project, name="My Expert")
    with pytest.raises(MissingError, match="no-such-checker"):
        draft(workspace, out, project, check="no-such-checker {file}")
    assert not out.exists()


def test_values_are_written_as_toml(tmp_path: Path) -> None:
    value = {"text": 'a "b" \\ \n é \x7f', "list": ["x", 1, 2.5, True], "tables": [{"a b": 1}]}
    path = tmp_path / "v.toml"
    path.write_text(f"v = {write_value(value)}\n")
    assert load_toml(path)["v"] == value
    assert write_value([{"inner": [{"x": 1}]}]) == "[\n  { inner = [\n    { x = 1 },\n  ] },\n]"


@pytest.mark.e2e
def test_the_recipe_runs_and_the_expert_answers(workspace: Workspace, varied: Path, tmp_path: Path) -> None:
    out = tmp_path / "shapes.toml"
    draft(workspace, out, varied)
    done = pipeline.run_steps(pipeline.read_recipe(out), workspace)
    assert [step.outcome for step in done] == ["done"] * len(done)
    page = (workspace.root / "reports" / "shapes-expert.html").read_text()
    assert "no base to compare with" in page or "the exam measured nothing" in page  # its few answers may all be cut
    assert "are compared with the source" in page


def test_a_mixture_takes_at_most_what_a_kind_has_and_the_others_fill_up() -> None:
    source = SourceSurvey(
        path="p",
        reader="git",
        kinds={"code": 383, "change": 169, "debug": 39, "docs": 13},
        languages={"Go": 74, "shell": 3},
    )
    budget = RunSize(samples=484, steps=1, batch_size=1, max_length=1, epochs=1, lines=())
    plan = RecipeDraft("p", [source], cast(Machine, None), budget, "", "")
    assert divide_mixture(plan, 564) == {"code": 383, "change": 129, "debug": 39, "docs": 13}
    assert divide_mixture(plan, 60) == {"code": 31, "change": 6, "debug": 9, "docs": 13}
    assert divide_mixture(plan, 9000) == source.kinds
    assert "gofmt -e" in suggest_check(plan)
    rust = plan._replace(sources=[SourceSurvey(path="p", reader="git", languages={"Rust": 9, "shell": 3})])
    assert suggest_check(rust) == " (--check)", "a check of another language is no start"


def test_pages_with_a_script_beside_them_are_no_project_in_a_language() -> None:
    pages = SourceSurvey(path="p", reader="git", kinds={"docs": 900, "code": 2}, languages={"JSON": 3, "Python": 1})
    budget = RunSize(samples=9, steps=1, batch_size=1, max_length=1, epochs=1, lines=())
    assert suggest_check(RecipeDraft("p", [pages], cast(Machine, None), budget, "", "")) == " (--check)"
    assert write_system("manual", [pages]) == "You are an expert on manual. Answer briefly."
    code = SourceSurvey(path="p", reader="git", kinds={"docs": 90, "code": 40}, languages={"Go": 30})
    assert write_system("tool", [code]) == "You are an expert on tool, a project in Go. Answer briefly."
