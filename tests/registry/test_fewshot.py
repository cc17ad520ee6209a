"""Few-shot experts: chosen from verified records, asked like any other model."""

from __future__ import annotations

from afs import artifacts, datasets
from afs.providers.fewshot import read_prompt
from afs.registry import Registry
from afs.registry.fewshot import FewshotConfig, choose, fewshot
from afs.types import Message, Origin, Record, Verdict
from afs.workspace import Workspace


def record(number: int, kind: str = "qa", *, ok: bool | None = True, answer: str = "a") -> Record:
    verdict = Verdict(task="t", ok=ok, score=None, stage="match")
    chat = (Message(role="user", text=f"q{number}"), Message(role="assistant", text=answer))
    return Record(
        id=f"{number:032x}",
        domain="sums",
        kind=kind,
        messages=chat,
        origin=Origin(source="t", licence="MIT"),
        verdicts=(verdict,),
    )


def test_families_take_turns_and_refused_answers_are_never_shown() -> None:
    records = [record(1), record(2, ok=False), record(3), record(4, "debug"), record(5, answer="long " * 999)]
    assert [r.id[-1] for r in choose(records, 3, 500)] == ["4", "1", "3"]


def test_an_expert_made_of_examples_is_registered_and_asked(workspace: Workspace) -> None:
    with datasets.writing(workspace, "sft", "dataset") as pending:
        for number in range(5):
            pending.add("train", record(number))
        pending.add("test", record(9))
    config = FewshotConfig(name="din", base="echo:", dataset="sft", examples=2, system="Be Din.", tags=("optimize",))
    entry = fewshot(config, workspace)
    model = Registry(workspace).resolve("din")
    assert (model.form, model.base, model.dataset) == ("fewshot", "echo:", "sft@1")
    assert entry.expert.tags == ("optimize",)
    prompt = read_prompt(artifacts.folder_of(workspace, model))
    assert len(prompt.examples) == 2
    assert f"{9:032x}" not in prompt.records, "the other side of the split is not shown"
    assert prompt.text().startswith("Be Din.\n\nExample:\nUser: q")
    answer = Registry(workspace).open("din").complete([Message(role="user", text="What now?")])
    assert answer.model == model.ref
    assert "What now?" in answer.text
