"""The quick start's page: what is unknown stays unknown, what users wrote cannot become markup."""

from __future__ import annotations

from afs.quickstart.quickstart_page import render
from afs.quickstart.results import BeforeAfter, CouncilAnswer, QuickstartResults
from afs.types import Interval
from afs.workspace import Workspace

EXAM = BeforeAfter(
    title="a on s",
    model="<b>a</b>",
    suite="s",
    before=Interval(value=None),
    after=Interval(value=0.9, low=0.8, high=0.95, n=50),
    items=50,
    report="r@1",
)
ANSWER = CouncilAnswer(
    question="<script>x</script>", answer="1", expert="a", probability=0.5, checked="fails its check", seconds=0.1
)


def story(**changes: object) -> QuickstartResults:
    fields: dict[str, object] = {"pack": "sums", "steps": (), "exams": (EXAM,), "answers": (ANSWER,), "losses": {}}
    return QuickstartResults(**{**fields, **changes})  # type: ignore[arg-type]


def test_foreign_text_is_escaped(workspace: Workspace) -> None:
    page = render(workspace, story())
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "<b>a</b>" not in page


def test_unknown_is_shown_as_unknown(workspace: Workspace) -> None:
    assert "unknown" in render(workspace, story())
    assert "0 of 1 experts" in render(workspace, story()), "nothing is better than an unknown"


def test_a_story_without_training_says_so(workspace: Workspace) -> None:
    assert "No training run recorded its steps" in render(workspace, story())
    drawn = render(workspace, story(losses={"base": [(1, 2.0), (2, 1.0), (3, 0.5)]}))
    assert "3 steps, loss 2.00 → 0.500" in drawn
    assert "Nothing was measured" in render(workspace, story(exams=()))
