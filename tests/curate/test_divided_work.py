"""Divided curation: shards and joined blocks give what one process gives, by digest; nothing is skipped silently."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from afs import datasets, runs
from afs.curate import CurateConfig, curate_share
from afs.curate.negative_controls import Controls
from afs.domains.sums import DOMAIN
from afs.errors import ConfigError, DataError
from afs.types import Curation, Dataset, Message, Origin, Record, Task, record_id
from afs.work_division import ShardReport
from afs.workspace import Workspace

KEY = "AKIAIOSFODNN7" + "EXAMPLQ"


def talk(question: str, answer: str, group: str = "", task: Task | None = None) -> Record:
    turns = (Message(role="user", text=question), Message(role="assistant", text=answer))
    domain = task.domain if task else "general"
    origin = Origin(source="test", license="MIT", group=group)
    return Record(id=record_id(domain, turns), domain=domain, kind="pair", messages=turns, origin=origin, task=task)


def corpus() -> list[Record]:
    """Solved tasks, wrong answers, near copies, secrets that become equal, leaks of a suite, and repeated records."""
    found = [talk(t.prompt, t.reference, f"s#{t.group}", t) for t in DOMAIN.tasks("sort", 1, 40)]
    found += [talk(r.messages[0].text, "1 2 99", r.origin.group, r.task) for r in found[:5]]
    for n in range(60):
        body = (
            f"Routine {n} reads port {n * 7} of the pad and stores the buttons that are newly pressed in word {n % 9}"
        )
        found += [talk(f"What does routine {n} do?", f"{body}. It waits for frame {n * 3} before it returns.", f"g{n}")]
        if n % 4 == 0:
            found += [talk(f"What does routine {n} do?", f"{body}. It waits for frame {n * 3} before  it returns!")]
        if n % 6 == 0:
            found += [
                talk(f"How is bucket {n} read?", f"With the key {KEY[:-1]}{c} and the region of it.") for c in "AB"
            ]
    found.append(talk("", "no question"))
    found.append(talk("Which word holds the lives of the player in the demo?", SUITE_ANSWER))
    return found + found[3:9]


SUITE_ANSWER = (
    "Word 1234 of the demo holds the lives of the player, and the byte behind it counts the rings that are left"
)


def store(workspace: Workspace, records: list[Record], parts: int) -> Dataset:
    """Records in several shards, as a large set has."""
    workspace.settings = msgspec.structs.replace(workspace.settings, jobs=1)
    with datasets.write_dataset(workspace, "raw", "records") as pending:
        for number, record in enumerate(records):
            pending.add("all", record)
            if number % (len(records) // parts) == 0:
                pending.writer._flush("all")
                pending.writer._close("all")
    return pending.dataset


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with records of several shards, a suite that they leak, and the undivided result."""
    workspace = Workspace.create(tmp_path_factory.mktemp("divided"))
    suite = workspace.root / "suites" / "own.jsonl"
    suite.parent.mkdir()
    item = {"prompt": "Which word holds the lives of the player in the demo?", "reference": SUITE_ANSWER}
    suite.write_bytes(msgspec.json.encode(item) + b"\n")
    store(workspace, corpus(), 4)
    do(workspace, name="whole")
    return workspace


def do(workspace: Workspace, **options: object) -> Dataset | ShardReport:
    config = CurateConfig(**{"sources": ("raw",), "name": "set"} | options)
    with runs.open_run(workspace, "curate", config) as run:
        return curate_share(config, run)


def outcome(workspace: Workspace, name: str) -> tuple[object, ...]:
    """All that a curation decides: content, drops with reason and detail, funnel, notes, files beside."""
    made = datasets.load(workspace, name, "dataset")
    curation = datasets.load_curation(workspace, made)
    assert isinstance(curation, Curation)
    drops = Counter(msgspec.json.encode(d) for d in datasets.read_dropped(workspace, made))
    folder = datasets.folder_of(workspace, made)
    aside = {p.name: sorted(p.read_bytes().splitlines()) for p in folder.glob("*.jsonl") if p.name != "dropped.jsonl"}
    notes = dict(curation.notes)
    return made.digest, dict(made.counts), drops, curation.funnel, notes, curation.sides, aside


def test_three_shards_joined_equal_one_process(stored: Workspace) -> None:
    for _ in range(2):  # blocks, then the search for near duplicates, which needs the blocks of all
        for number in (2, 3, 1):
            report = do(stored, shards=f"{number}/3")
            assert isinstance(report, ShardReport)
    joined = do(stored, shards="all/3")
    assert isinstance(joined, Dataset)
    whole = outcome(stored, "whole")
    assert outcome(stored, "set") == whole
    reasons = {str(reason).split(":")[0] for stage in whole[3] for reason in stage.dropped}
    assert {"invalid", "score", "duplicate", "contaminated"} <= reasons


def test_worker_processes_prepare_the_same(stored: Workspace) -> None:
    stored.settings = msgspec.structs.replace(stored.settings, jobs=2)
    try:
        do(stored, name="two", controls=Controls(sample=0), shards="1/1")
    finally:
        stored.settings = msgspec.structs.replace(stored.settings, jobs=1)
    do(stored, name="two", controls=Controls(sample=0), shards="all/1")
    assert outcome(stored, "two")[0] == outcome(stored, "whole")[0]


def test_a_missing_shard_is_named_and_a_finished_one_is_not_done_again(stored: Workspace) -> None:
    first = do(stored, name="part", shards="1/3")
    with pytest.raises(DataError, match=r"shards 2/3, 3/3 missing; run the same command with --shards 2/3"):
        do(stored, name="part", shards="all/3")
    again = do(stored, name="part", shards="1/3")
    assert isinstance(first, ShardReport) and isinstance(again, ShardReport)
    assert first.done == first.pieces > again.done == 0


def test_a_block_cut_off_by_a_kill_is_prepared_again_and_a_changed_one_is_refused(stored: Workspace) -> None:
    options = {"name": "torn", "controls": Controls(sample=0)}
    do(stored, **options, shards="1/1")
    marker = next((stored.root / "cache/blocks/torn").glob("*/000002.json"))
    outcomes = marker.parent / "000002.outcomes"
    marker.unlink()  # what a killed worker leaves: files without the one that is written last
    outcomes.write_bytes(b"torn")
    report = do(stored, **options, shards="1/1")
    assert isinstance(report, ShardReport) and report.done == 1
    do(stored, **options, shards="all/1")
    assert outcome(stored, "torn")[0] == outcome(stored, "whole")[0]
    content = bytearray(outcomes.read_bytes())
    content[len(content) // 2] ^= 1
    outcomes.write_bytes(bytes(content))
    with pytest.raises(DataError, match="content changed"):
        do(stored, **options, shards="all/1")


def test_steps_without_near_duplicates_and_a_dataset_as_source(stored: Workspace) -> None:
    steps = ({"use": "validate"}, {"use": "redact"}, {"use": "decontaminate"})
    options = {"sources": ("raw", "whole"), "steps": steps}
    do(stored, name="few", **options)
    for shards in ("1/2", "2/2", "all/2"):
        do(stored, name="few-2", **options, shards=shards)
    assert outcome(stored, "few-2") == outcome(stored, "few")


@pytest.mark.parametrize("text", ["0/3", "4/3", "x", "1", "all/0", "1/-2"])
def test_a_wrong_share_is_a_usage_error(stored: Workspace, text: str) -> None:
    with pytest.raises(ConfigError, match="shards: want 3/8"):
        do(stored, shards=text)


def test_steps_that_look_at_all_records_cannot_come_first(stored: Workspace) -> None:
    with pytest.raises(ConfigError, match="divided work begins with"):
        do(stored, name="odd", steps=({"use": "dedup"},), shards="1/2")


def test_a_changed_source_is_prepared_again(workspace: Workspace) -> None:
    store(workspace, corpus()[50:60], 1)
    do(workspace, shards="1/1")
    store(workspace, corpus()[50:61], 1)
    with pytest.raises(DataError, match="shard 1/1 missing"):
        do(workspace, shards="all/1")
