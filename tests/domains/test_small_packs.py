"""The packs `memory`, `sums` and `tools`: references pass, planted answers fail, the same seed gives the same tasks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afs import answer_verifier
from afs.domains.tools.file_tree import ToolError, execute_call
from afs.types import Task

FAMILIES = [
    (name, family) for name in ("memory", "sums", "tools") for family in answer_verifier.load_pack(name).families
]


def tasks(name: str, family: str, seed: int = 3, n: int = 60) -> list[Task]:
    return list(answer_verifier.load_pack(name).tasks(family, seed, n))


@pytest.mark.parametrize(("name", "family"), FAMILIES)
def test_every_reference_passes_its_own_check(name: str, family: str) -> None:
    made = tasks(name, family)
    assert len({task.id for task in made}) == len(made) == 60
    assert all(answer_verifier.check_answer(task, task.reference).ok for task in made)
    assert len({task.group for task in made}) > 10


@pytest.mark.parametrize(("name", "family"), FAMILIES)
def test_every_planted_answer_is_rejected(name: str, family: str) -> None:
    pack = answer_verifier.load_pack(name)
    accepted = [
        (kind, task.prompt)
        for task in tasks(name, family)
        for kind, bad in pack.wrong_answers(task)
        if answer_verifier.check_answer(task, bad).ok
    ]
    assert accepted == []


def test_the_same_seed_makes_the_same_tasks() -> None:
    assert tasks("sums", "sort", 1) == tasks("sums", "sort", 1) != tasks("sums", "sort", 2)


def test_verdicts_say_how_far_an_answer_came() -> None:
    (task,) = tasks("tools", "delete", n=1)
    path = task.reference.split('"path":"')[1].split('"')[0]

    def stage(text: str) -> str:
        return answer_verifier.check_answer(task, text).stage

    assert stage("sure, done") == "extract"
    assert stage("<tool_call>{broken</tool_call>") == "parse"
    assert stage('<tool_call>{"name":"delete_file","arguments":{}}</tool_call>') == "schema"
    assert stage('<tool_call>{"name":"delete_file","arguments":{"path":"../x"}}</tool_call>') == "execute"
    assert stage(f'<tool_call>{{"name":"read_file","arguments":{{"path":"{path}"}}}}</tool_call>') == "match"
    assert (
        "too many"
        in answer_verifier.check_answer(
            task, '<tool_call>{"name":"list_files","arguments":{"folder":"."}}</tool_call>'
        ).reason
    )


def check_reason(task: Task, answer: str) -> str:
    return answer_verifier.check_answer(task, answer).reason


def test_several_steps_are_judged_call_by_call() -> None:
    (task,) = tasks("tools", "steps/swap", n=1)
    calls = task.reference.split("\n<tool_call>")
    assert len(calls) == 3 and len(task.spec["before"]) >= 3  # type: ignore[arg-type]
    from_the_end = f"<tool_call>{calls[2]}\n{task.reference}"
    assert check_reason(task, from_the_end).startswith("call 1, move_file: ")
    (found,) = tasks("tools", "steps/mount", n=1)
    twice = found.reference + found.reference[found.reference.rindex("<tool_call>") :]
    assert "mounted already" in check_reason(found, twice)


@given(st.text(), st.text())
def test_no_path_leaves_the_tree_and_nothing_else_escapes(path: str, content: str) -> None:
    tree: dict[str, str] = {}
    try:
        execute_call(tree, "write_file", {"path": path, "content": content})
    except ToolError:
        assert tree == {}
    else:
        (name,) = tree
        assert not name.startswith("/") and ".." not in name.split("/")


@given(st.text())
def test_any_answer_gets_a_verdict(answer: str) -> None:
    for name, family in (("memory", "recall"), ("sums", "add"), ("tools", "move")):
        (task,) = tasks(name, family, n=1)
        verdict = answer_verifier.check_answer(task, answer)
        assert verdict.ok is not None and verdict.score is not None and 0 <= verdict.score <= 1
