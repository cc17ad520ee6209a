"""`afs data validate` on files that other programs wrote: every form is read, copies and faults are named with their place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from afs.curate.format_checks import ValidateConfig, validate
from afs.workspace import Workspace

PAIRS = [{"instruction": f"what is {n}?", "input": "", "output": f"the number {n}"} for n in range(5)]
TALKS = [
    {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"it is {n}"}]}
    for n in range(5)
]
SHARES = [
    {"conversations": [{"from": "human", "value": f"{n}?"}, {"from": "gpt", "value": f"it is {n}"}]} for n in range(5)
]


@pytest.mark.parametrize("rows", [PAIRS, TALKS, SHARES])
@pytest.mark.parametrize("as_list", [False, True])
def test_copies_in_an_ordinary_file_are_named(
    workspace: Workspace, tmp_path: Path, rows: list[object], as_list: bool
) -> None:
    every = [*rows, rows[1], rows[3]]
    path = tmp_path / ("a.json" if as_list else "a.jsonl")
    path.write_text(json.dumps(every) if as_list else "".join(json.dumps(row) + "\n" for row in every))
    found = validate(ValidateConfig(ref=str(path)), workspace)
    assert (found.records, found.found, found.exit_code) == (7, 2, 3)
    first = "a.json[1]" if as_list else "a.jsonl:2"
    assert found.problems[0].problem == f"duplicate: the same conversation as {first}"


def test_a_key_that_stands_twice_and_a_row_of_no_form_are_named(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "content": "c"}]}\n'
        '{"title": "x"}\n{"messages": [{"role": "user", "content": "a"}, {"role": "pirate", "content": "b"}]}\n'
        '{"instruction": "a", "output": ""}\n'
    )
    problems = [row.problem for row in validate(ValidateConfig(ref=str(path)), workspace).problems]
    assert problems[0] == "key 'content' appears twice in one object"
    assert problems[1].startswith("row: want a record") and problems[2] == "turn: unknown role 'pirate'"
    assert "answer: empty" in problems
