"""A scorer that can be fooled is found before a model is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from afs import jsonl
from afs.errors import DataError, RefusedError
from afs.evaluate import EvalRunConfig, eval_run
from afs.evaluate.suite_lint import LintConfig, eval_lint, without_code
from afs.evaluate.suites import open_suite
from afs.runs import Run
from afs.workspace import Workspace


@pytest.mark.parametrize("suite", ["sums", "tools"])
def test_the_packs_suites_are_clean(workspace: Workspace, suite: str) -> None:
    found = eval_lint(LintConfig(suite=suite, count=4), workspace)
    assert found.problems == () and found.exit_code == 0 and found.tried["gold"] == found.items


def test_a_scorer_that_takes_anything_is_caught(workspace: Workspace, tmp_path: Path, run: Run) -> None:
    lines = [
        {"id": "a", "prompt": "Which register is it?", "gold": "It is $2100", "scorer": {"use": "f1", "enough": 0.0}},
        {"id": "b", "prompt": "It is $4200", "gold": "It is $4200 .", "scorer": {"use": "exact"}},
    ]
    jsonl.write(tmp_path / "bad.jsonl", lines)
    found = eval_lint(LintConfig(suite=str(tmp_path / "bad.jsonl")), workspace)
    assert {(p.item, p.control) for p in found.problems} >= {("b", "echo"), ("a", "other gold")}
    assert found.exit_code == 3 and "must not be used" in found.text()
    with pytest.raises(RefusedError, match="deserves nothing"):
        eval_run(EvalRunConfig(suite=str(tmp_path / "bad.jsonl"), model=("echo:a",), base="none"), run)


def test_what_is_left_without_code() -> None:
    assert without_code("Do it:\n```asm\nlda #1\n```\nDone.") == "Do it:\n\nDone."
    assert without_code('<tool_call>\n{"name": "x"}\n</tool_call>') == ""


@pytest.mark.parametrize(
    "content, problem",
    [
        (b'{"id": "a"}', "has no prompt"),
        (b'{"id": "a", "prompt": "p", "gold": "g"}\n{"id": "a", "prompt": "q", "gold": "g"}', "more than once"),
        (b'{"prompt": "p", "wrong": 1}', "wrong"),
        (b'{"prompt": "p"', "q.jsonl:1"),
        (b"", "no items"),
    ],
)
def test_a_users_file_that_is_wrong(workspace: Workspace, tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "q.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=problem):
        open_suite(workspace, str(tmp_path / "q.jsonl"))
