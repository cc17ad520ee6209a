"""Answers to the same probe tasks at each evaluation are in the events, with their step."""

from __future__ import annotations

from afs.dashboard.run_index import RunIndex
from afs.workspace import Workspace


def test_the_same_tasks_are_answered_at_every_evaluation(real: Workspace) -> None:
    index = RunIndex(real)
    index.refresh()
    run = next(one for one in index.runs if one.track.samples)
    assert [noted.number("step") for noted in run.track.samples] == [
        noted.number("step") for noted in run.track.evaluations
    ]
    asked = []
    for noted in run.track.samples:
        answers = noted.fields["answers"]
        assert isinstance(answers, list) and 0 < len(answers) <= 4 and set(answers[0]) >= {"task", "ok", "answer"}
        asked.append([row["task"] for row in answers])
    assert len(asked) > 1 and all(tasks == asked[0] for tasks in asked)
