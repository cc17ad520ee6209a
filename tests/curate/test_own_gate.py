"""A curated dataset passes the gate's own search for contamination, on code that others wrote."""

from __future__ import annotations

import email
import json
import random
import re
from pathlib import Path

import msgspec
from tests.curate.test_curate import store, take, talk

from afs import datasets, runs
from afs.curate.split import Sides, SplitRule
from afs.evaluate import contamination
from afs.evaluate.suites import open_suite
from afs.ingest import IngestConfig, ingest
from afs.types import Dataset
from afs.workspace import Workspace


def hits(workspace: Workspace, made: Dataset) -> list[contamination.Hit]:
    found: list[contamination.Hit] = []
    for side in ("val", "test"):
        items = open_suite(workspace, f"{made.ref}:{side}").items
        found += contamination.search_dataset(workspace, str(made.ref), items).hits
    return found


def test_the_library_of_python_curated_by_default_passes_the_gate(workspace: Workspace) -> None:
    workspace.settings = msgspec.structs.replace(workspace.settings, jobs=1)
    places = tuple(Path(module.__file__ or "").parent for module in (json, email))
    config = IngestConfig(kind="code", paths=places, name="raw", license="PSF-2.0")
    with runs.open_run(workspace, "ingest", config) as run:
        ingest(config, run)
    made = take(workspace)
    assert {split.name for split in made.splits} == {"train", "val", "test"}
    assert not hits(workspace, made)


def test_a_held_out_answer_inside_a_training_record_leaves_the_held_out_side(workspace: Workspace) -> None:
    chance = random.Random(1)
    words = re.findall(r"[a-z]{4,}", (email.__doc__ or "") + (json.__doc__ or ""))
    texts = [" ".join(chance.choices(words, k=40)) for _ in range(36)]
    records = [talk(f"What does number {n} do?", text, f"g{n}") for n, text in enumerate(texts)]
    sides = Sides(SplitRule())
    held = next(record for record in records if sides(record) == "test")
    trained = next(f"h{n}" for n in range(99) if sides(talk("", "", f"h{n}")) == "train")
    whole = "Notes of a walk in autumn, with all that was seen. " * 3 + held.messages[1].text + " Then it rained. " * 30
    store(workspace, [*records, talk("Tell me of the walk.", whole, trained)])
    made = take(workspace, steps=({"use": "decontaminate"},))
    [lost] = [d for d in datasets.read_dropped(workspace, made) if d.reason == "contaminated"]
    assert (
        lost.record.id == held.id
        and held.messages[1].text[:40] in lost.detail
        and "of the training side" in lost.detail
    )
    assert not hits(workspace, made)
