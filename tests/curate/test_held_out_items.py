"""What evaluations ask: the packs' own suites too, by identity, and nothing that only shares their phrases."""

from __future__ import annotations

import msgspec
from tests.curate.test_curate import store, story, take, talk

from afs import answer_verifier, datasets
from afs.curate.held_out_items import DrawnTasks
from afs.types import Record
from afs.workspace import Workspace

FAMILY = "generate/clamp"
STEPS = ({"use": "decontaminate"},)


def solved(seed: int, n: int) -> list[Record]:
    return [
        talk(task.prompt, task.reference, task=task)
        for task in answer_verifier.load_pack("snes").tasks(FAMILY, seed, n)
    ]


def test_what_a_packs_suite_draws_is_not_trained_on(workspace: Workspace) -> None:
    records = solved(0, 40)
    drawn = {held.prompt for held in DrawnTasks({"snes": {FAMILY}}, workspace).items}
    asked = {r.id for r in records if r.messages[0].text in drawn}
    assert 0 < len(asked) < len(records)
    store(workspace, [*records, *solved(7, 40)])
    made = take(workspace, steps=STEPS)
    kept = {r.id for r in datasets.read(workspace, made, "train")}
    held = {r.id for s in ("val", "test") for r in datasets.read(workspace, made, s)}
    assert not kept & asked
    assert {d.record.id for d in datasets.read_dropped(workspace, made)} == asked - held, "fresh constants are no leak"
    found = [d for d in datasets.read_dropped(workspace, made) if d.reason == "contaminated"]
    assert found and all("100% of an item" in d.detail for d in found)
    leaked = story(workspace, made).notes["decontaminate"]["leaked"]
    assert sum(leaked.values()) == len(found)  # type: ignore[union-attr,arg-type,misc]
    assert "snes-core" in story(workspace, made).notes["decontaminate"]["suites"]  # type: ignore[operator]


def test_a_drawn_question_is_known_without_its_task(workspace: Workspace) -> None:
    drawn = DrawnTasks({"snes": {FAMILY}}, workspace)
    asked = talk(f"  {drawn.items[0].prompt.upper()}", "some answer")
    assert drawn.of(asked) == drawn.items[0]
    assert drawn.of(msgspec.structs.replace(asked, messages=talk("another question", "x").messages)) is None
    assert DrawnTasks({"snes": {FAMILY}}, workspace).items == drawn.items, "what was drawn is kept"
    assert not DrawnTasks({"general": {""}, "snes": {"tiny/add"}}, workspace).items
