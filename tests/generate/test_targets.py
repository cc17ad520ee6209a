"""What is made: families an expert fails, thirds of a family, and nothing that nearly repeats what exists."""

from __future__ import annotations

import msgspec
import pytest

from afs import datasets, verbs
from afs.errors import AfsError, ConfigError
from afs.evaluate import EvalRunConfig, report_store
from afs.generate import GenerateConfig
from afs.generate.failure_targets import failed_families
from afs.generate.low_acceptance_words import sparse_regions
from afs.generate.status import StatusConfig, campaign_status
from afs.model_calls.store import Piece
from afs.types import Completion, Dataset, Task, Usage
from afs.workspace import Workspace

from .conftest import right


def make(workspace: Workspace, **fields: object) -> Dataset:
    config = msgspec.convert({"domain": "sums", "name": "c", "seed": 0, **fields}, GenerateConfig)
    found = verbs.do("generate", config, workspace)
    assert isinstance(found, Dataset)
    return found


@pytest.fixture
def report(workspace: Workspace, script) -> str:
    """An expert that solves `add`, half of `copy`, and nothing of `reverse`."""

    def say(text: str, sampling, number: int) -> str:
        words = text.partition("|")[2].split()
        is_right = words[0] == "add" or (words[0] == "copy" and int(words[-1]) % 2)
        return right(text) if is_right else "wrong"

    script.say = say
    config = EvalRunConfig(
        suite="sums:add,copy,reverse", model=("pupil:x",), base="none", count=20, name="r", lint=False
    )
    made = verbs.do("eval run", config, workspace)
    assert isinstance(made, report_store.StoredReport)
    script.__init__()
    return made.ref


def test_families_that_an_expert_fails_become_targets_and_its_items_are_never_asked(
    workspace: Workspace, script, report: str
) -> None:
    targets = failed_families(workspace, report)
    assert set(targets.shares) == {("sums", "copy"), ("sums", "reverse")} and targets.shares["sums", "reverse"] == 1.0
    made = make(workspace, failures_of=report, count=60, teacher="pupil:y")
    rows = list(datasets.read(workspace, made))
    kinds = {kind: sum(row.kind == kind for row in rows) for kind in ("copy", "reverse", "add")}
    assert sum(kinds.values()) == 60 and kinds["reverse"] > kinds["copy"] > 0 == kinds["add"]
    items = {item.task.prompt for item in report_store.items(workspace, report_store.load(workspace, report))}
    asked = {text.partition("|")[2] for text in script.asked}
    assert len(items) == 60 and not asked & items, "the same seed would have asked them"
    before = len(script.asked)
    assert make(workspace, failures_of=report, count=60, teacher="pupil:y").ref == made.ref
    assert len(script.asked) == before
    with pytest.raises(ConfigError, match="chooses the families itself"):
        make(workspace, failures_of=report, families=[{"family": "add", "count": 1}])


def test_an_expert_that_fails_nothing_is_no_target(workspace: Workspace, script) -> None:
    config = EvalRunConfig(suite="sums:add", model=("pupil:x",), base="none", count=5, name="r")
    verbs.do("eval run", config, workspace)
    with pytest.raises(AfsError, match="solved all of 5 items"):
        make(workspace, failures_of="r", count=5)


def test_difficulty_is_a_third_of_the_family(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="all have 5 characters"):
        make(workspace, cells=[{"family": "sort", "count": 1, "difficulty": "easy"}])
    cells = [{"family": "say", "count": 15, "difficulty": word} for word in ("easy", "medium", "hard")]
    rows = list(datasets.read(workspace, make(workspace, cells=cells)))
    sizes = [len(row.messages[-1].text) for row in rows]
    easy, medium, hard = sizes[:15], sizes[15:30], sizes[30:]
    assert max(easy) <= min(medium) and max(medium) <= min(hard) and sum(easy) < sum(medium) < sum(hard)


def test_near_copies_of_what_exists_are_rejected_and_replaced(workspace: Workspace, script) -> None:
    first = make(workspace, name="old", families=[{"family": "add", "count": 10}], teacher="pupil:x")
    script.say = lambda text, sampling, number: Completion(
        text=right(text), model="y", usage=Usage(output_tokens=1, cost_usd=0.25)
    )
    again = make(workspace, families=[{"family": "add", "count": 10}], teacher="pupil:y", distinct_from=[first.ref])
    old = {row.messages[0].text for row in datasets.read(workspace, first)}
    new = {row.messages[0].text for row in datasets.read(workspace, again)}
    assert len(new) == 10 and not new & old, "the same tasks of the same seed were rejected, and ten others accepted"
    assert again.counts["dropped:near duplicate"] == 10


def test_kinds_of_questions_that_are_nearly_missing_are_named(workspace: Workspace, script) -> None:
    script.say = lambda text, sampling, number: "wrong" if text.split()[0].endswith("|copy") else right(text)
    families = [{"family": "add", "count": 60}, {"family": "copy", "count": 20}]
    make(workspace, families=families, teacher="pupil:x", candidates=1.5)
    (status,) = campaign_status(StatusConfig(name="c", coverage=True), workspace).campaigns
    assert not any(cell.sparse for cell in status.cells), "a whole cell that fails is no region of it"
    tasks = [(f"{'swap' if n % 3 == 0 else 'plain'} task {n}", n % 3 != 0 or n == 0) for n in range(90)]
    pieces = (
        (Piece(n, str(n), "c", msgspec.msgpack.encode(Task(id=str(n), domain="d", family="f", prompt=text))), state, "")
        for n, (text, good) in enumerate(tasks)
        for state in ["accepted" if good else "rejected"]
    )
    (region,) = sparse_regions(pieces)
    assert (region.word, region.tried, region.accepted, region.example) == ("swap", 30, 1, "swap task 3")
