"""The base with solved examples stands beside the expert and its base, unless that says nothing."""

from __future__ import annotations

import msgspec
import pytest

from afs import artifacts, datasets
from afs.domains.base import DOMAINS
from afs.evaluate import EvalRunConfig, eval_run, models_under_test, report_store
from afs.evaluate.suites import open_suite
from afs.providers.base import Sampling
from afs.providers.few_shot import FILE
from afs.runs import Run
from afs.types import Message, Origin, Record, Task, record_id
from afs.workspace import Workspace


def build_record(task: Task) -> Record:
    messages = datasets.task_messages(task.prompt, "Be brief.", task.reference)
    task = msgspec.structs.replace(task, system="Be brief.")
    key = record_id("sums", messages)
    return Record(id=key, domain="sums", kind="k", messages=messages, origin=Origin(source="s"), task=task)


@pytest.fixture
def subject(workspace: Workspace) -> str:
    """A few-shot model on the echo, made from a stored dataset: its base is a model that no one trained here."""
    pack = DOMAINS.find("sums")
    with datasets.write_dataset(workspace, "sums-data", "dataset", splits=("train", "test")) as pending:
        for family in ("copy", "add"):
            for side, seed in (("train", 1), ("test", 2)):
                for task in pack.tasks(family, seed, 6):
                    pending.add(side, build_record(task))
    with artifacts.store_artifact(
        workspace, "sums-few", form="fewshot", base="echo:x", dataset=pending.dataset.ref
    ) as made:
        (made.folder / FILE).write_bytes(msgspec.json.encode([Message(role="user", text="q")]))
    return made.artifact.ref


def test_the_report_shows_the_base_with_examples(workspace: Workspace, run: Run, subject: str) -> None:
    config = EvalRunConfig(suite="sums-data:test", model=(subject,), name="r", contamination=False, lint=False)
    report = report_store.load(workspace, eval_run(config, run).ref)
    table = report_store.table(workspace, report)
    assert set(table.models) == {"sums-few@1", "echo:x", "echo:x+4-shot"}
    assert len(table.of("echo:x+4-shot")) == 12
    assert report.environment["base"] == "echo:x"
    page = (report_store.folder_of(workspace, report.ref) / "report.md").read_text()
    assert "echo:x+4-shot" in page


def test_examples_take_families_in_turn_and_never_an_item(workspace: Workspace, subject: str) -> None:
    suite = open_suite(workspace, "sums-data:train")
    assert models_under_test.draw_examples(workspace, "sums-data", {i.task.prompt for i in suite.items}, 4) == ()
    examples = models_under_test.draw_examples(workspace, "sums-data", (), 4)
    assert [m.role for m in examples] == ["user", "assistant"] * 4
    assert [m.text.split()[0] for m in examples[::2]] == ["add", "copy", "add", "copy"]


def test_no_such_baseline_when_it_is_switched_off(workspace: Workspace, run: Run, subject: str) -> None:
    config = EvalRunConfig(
        suite="sums-data:test", model=(subject,), name="r", contamination=False, lint=False, fewshot=0
    )
    report = report_store.load(workspace, eval_run(config, run).ref)
    assert set(report_store.table(workspace, report).models) == {"sums-few@1", "echo:x"}


def test_many_cut_answers_are_stated(workspace: Workspace, run: Run, subject: str) -> None:
    config = EvalRunConfig(
        suite="sums-data:test",
        model=(subject,),
        name="r",
        contamination=False,
        lint=False,
        fewshot=0,
        sampling=Sampling(max_tokens=1),
    )
    report = report_store.load(workspace, eval_run(config, run).ref)
    page = (report_store.folder_of(workspace, report.ref) / "report.md").read_text()
    assert "were cut at 1 tokens, so its result is a lower bound" in page
