"""A flipped byte in any stored file is noticed with one line, or changes nothing that is read."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from afs import artifacts, datasets, runs
from afs.answer_verifier import VerdictCache
from afs.config import Config
from afs.curate.held_out_items import DrawnTasks
from afs.errors import AfsError
from afs.evaluate import report_store
from afs.evaluate.result_rows import ResultRow
from afs.evaluate.suite_types import Suite, SuiteItem
from afs.model_calls.ledger_reader import bills, reading
from afs.model_calls.store import CallStore, LedgerRow, piece_results
from afs.providers.base import Sampling
from afs.registry import Registry
from afs.registry.backup import BackupConfig, RestoreConfig, backup, restore
from afs.registry.event_log import chain_problems
from afs.registry.integrity import ModelsVerifyConfig, verify
from afs.train import throughput_cache
from afs.types import Completion, Curation, Dropped, Message, Origin, Record, Task, Usage, Verdict
from afs.workspace import MANIFEST, Workspace


class Kind(NamedTuple):
    """A stored file, what reads it, and what may be read: anything but an error."""

    path: Path
    read: Callable[[], object]
    is_harmless: Callable[[object, object], bool] = lambda got, whole: got == whole


class Work(Config, frozen=True, kw_only=True):
    """A config."""

    size: int = 1
    name: str = "a name"


def write_set(workspace: Workspace) -> Iterator[tuple[str, Kind]]:
    def record(number: int) -> Record:
        turns = (Message(role="user", text=f"what is {number}?"), Message(role="assistant", text=f"it is {number * 7}"))
        return Record(id=f"r{number}", domain="t", kind="qa", origin=Origin(source="t"), messages=turns)

    with datasets.write_dataset(workspace, "set", "dataset") as pending:
        for number in range(40):
            pending.add("train", record(number))
        pending.drop(Dropped(record=record(99), reason="short"))
        curation = Curation(
            config={"split": {"train": 1.0}},
            sources=("raw@1",),
            read=41,
            funnel=(),
            controls=(),
            notes={},
            sides={"a": "train", "b": "test"},
        )
        (pending.writer.folder / datasets.CURATION).write_bytes(msgspec.json.encode(curation))
    stored = pending.dataset
    folder = datasets.folder_of(workspace, stored)
    yield "shard", Kind(folder / stored.splits[0].shards[0].path, lambda: list(datasets.read(workspace, stored)))
    yield "manifest", Kind(folder / MANIFEST, lambda: datasets.load(workspace, "set"))
    yield "drops", Kind(folder / "dropped.jsonl", lambda: list(datasets.read_dropped(workspace, stored)))
    yield "curation", Kind(folder / datasets.CURATION, lambda: datasets.load_curation(workspace, stored))


def write_report(workspace: Workspace) -> Iterator[tuple[str, Kind]]:
    tasks = [Task(id=f"i{n}", domain="", family="f", prompt=f"1 + {n}", reference=str(n + 1)) for n in range(9)]
    suite = Suite(name="s", items=tuple(SuiteItem(category="c", task=task) for task in tasks))
    rows = [
        ResultRow(
            suite="d",
            item=f"i{n}",
            family="f",
            category="c",
            cluster=f"f/{n}",
            model=model,
            sampling=Sampling(),
            outcome="answered",
            score=1.0,
            ok=True,
            output=f"it is {n}",
        )
        for n in range(9)
        for model in ("a", "b")
    ]
    table = {"subject": "a", "suite": "s", "suite_digest": "d", "summary": {}, "environment": {"base": "b"}}
    report = report_store.store(workspace, "r", suite, rows, table, [("report.html", b"<p>98 %</p>" * 20)])
    folder = report_store.folder_of(workspace, report.ref)
    yield "rows", Kind(folder / report_store.RESULTS, lambda: report_store.table(workspace, report).rows)
    yield "items", Kind(folder / report_store.ITEMS, lambda: report_store.items(workspace, report))
    yield "report", Kind(folder / MANIFEST, lambda: report_store.load(workspace, "r"))
    yield "page", Kind(folder / report_store.PAGE, lambda: verify(ModelsVerifyConfig(), workspace))


def write_registry(workspace: Workspace, outside: Path) -> Iterator[tuple[str, Kind]]:
    for name in ("one", "two"):
        with artifacts.store_artifact(workspace, name, form="base") as pending:
            (pending.folder / "model.safetensors").write_bytes(random.Random(name).randbytes(3000))
    registry, artifact = Registry(workspace), pending.artifact
    registry.register("din", "one@1", tags=("a", "b"))
    registry.promote("din", reason="first")
    registry.register("din", "two@1")
    folder = artifacts.folder_of(workspace, artifact)
    yield "model", Kind(folder / MANIFEST, lambda: artifacts.load(workspace, "two"))
    tensors = folder / "model.safetensors"
    yield "tensors", Kind(tensors, lambda: artifacts.checked_folder(workspace, artifact))
    yield "log", Kind(registry.log.path, lambda: (registry.entries(), registry.resolve("din").ref))

    def change() -> object:
        before = registry.log.path.read_bytes()
        try:
            registry.describe("din", domain="snes")
            return chain_problems(registry.log.read())
        finally:
            registry.log.path.write_bytes(before)

    yield "head", Kind(workspace.root / "registry.toml", change)
    copy = outside / "copy"
    backup(BackupConfig(folder=copy), workspace)

    def restored(number: list[int] = []) -> object:  # noqa: B006  a new folder for every call
        number.append(0)
        target = Workspace.create(outside / f"restored{len(number)}")
        restore(RestoreConfig(folder=copy), target)
        found = Registry(target).entries(), verify(ModelsVerifyConfig(), target).models
        shutil.rmtree(target.root)
        return found

    yield "backup", Kind(copy / "backup.json", restored)


def write_databases(workspace: Workspace) -> Iterator[tuple[str, Kind]]:
    path = workspace.root / "cache" / "verdicts.db"
    verdicts = {f"key{n}": Verdict(task=str(n), ok=n % 2 == 0, score=0.5, stage="match") for n in range(60)}
    cache = VerdictCache(path)
    cache.put(verdicts)
    cache.close()

    def remembered() -> dict[str, Verdict]:
        again = VerdictCache(path)
        try:
            return again.get(list(verdicts))
        finally:
            again.close()

    yield "verdicts", Kind(path, remembered, lambda got, whole: got.items() <= whole.items())  # type: ignore[attr-defined]
    calls = workspace.root / "campaigns" / "c" / "calls.db"
    store = CallStore(calls)
    with store.transaction():
        store.add("cell", [(f"k{n}", b"payload %d" % n) for n in range(40)])
        for piece in store.claim("cell", 0, 30):
            number = store.ask(piece, "echo:", 7, 100)
            answer = Completion(text=f"it is {piece.id}", model="m", usage=Usage(input_tokens=3, output_tokens=4))
            store.enter(LedgerRow(number, "answered", 5, completion=answer))
            store.settle(piece, "accepted")
    store.close()

    def opened() -> object:
        again = CallStore(calls)
        try:
            return again.counts(), again.bills(), list(again.results("cell", ("accepted",))), again.last_answer(3)
        finally:
            again.close()

    def looked_at() -> object:
        with reading(calls) as database:
            return bills(database), list(piece_results(database, "cell", ("accepted",)))

    yield "calls", Kind(calls, opened)
    yield "calls of a report", Kind(calls, looked_at)


def write_run(workspace: Workspace) -> Iterator[tuple[str, Kind]]:
    with runs.open_run(workspace, "work", Work()) as run:
        run.mark("piece", ref="toy@1", size=7)

    def resumed() -> object:
        found = runs.get(workspace, run.id)
        return found.facts("piece") if found.done("piece") else "done again"

    yield "mark", Kind(run.folder / "marks" / "piece", resumed, lambda got, whole: got in (whole, "done again"))
    yield "config", Kind(run.folder / "config.json", lambda: runs.get(workspace, run.id).config)


def write_caches(workspace: Workspace, outside: Path) -> Iterator[tuple[str, Kind]]:
    def drawn() -> object:
        return DrawnTasks({"sums": ["add"]}, workspace).items

    drawn()
    yield "drawn tasks", Kind(next((workspace.root / "cache" / "drawn").iterdir()), drawn)
    throughput_cache.remember_speed(workspace, "cpu", "lora", 1e12)
    path = workspace.root / "cache" / "training-speed.json"
    yield "speed", Kind(path, lambda: throughput_cache.known_speed(workspace), lambda got, whole: got in (whole, {}))


def kinds(workspace: Workspace, outside: Path) -> dict[str, Kind]:
    return dict(
        [
            *write_set(workspace),
            *write_report(workspace),
            *write_registry(workspace, outside),
            *write_databases(workspace),
            *write_run(workspace),
            *write_caches(workspace, outside),
        ]
    )


def unnoticed(kind: Kind, count: int, seed: int) -> list[str]:
    """The flips that change what is read without an error of one line."""
    content, whole, chance = kind.path.read_bytes(), kind.read(), random.Random(seed)
    content, found = kind.path.read_bytes(), []
    beside = {path: path.read_bytes() for path in kind.path.parent.iterdir() if path.is_file()}
    for _ in range(count):
        place, bits = chance.randrange(len(content)), chance.randrange(1, 256)
        flipped = bytearray(content)
        flipped[place] ^= bits
        kind.path.write_bytes(flipped)
        try:
            got = kind.read()
            if not kind.is_harmless(got, whole):
                found.append(f"byte {place} of {len(content)} ^ {bits}: read as {str(got)[:300]}")
        except AfsError as error:
            if "\n" in str(error).partition(":\n  ")[0] or len(str(error)) > 2000:
                found.append(f"byte {place}: not one line: {error}")
        finally:
            for path, before in beside.items():
                path.write_bytes(before)
    return found


NAMES = (
    "shard", "manifest", "drops", "curation", "rows", "items", "report", "page", "model", "tensors", "log", "head",
    "backup", "verdicts", "calls", "calls of a report", "mark", "config", "drawn tasks", "speed",
)  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    outside = tmp_path_factory.mktemp("flips")
    return kinds(Workspace.create(outside / "w"), outside)


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_is_noticed_or_harmless(stored: dict[str, Kind], name: str) -> None:
    assert set(stored) == set(NAMES)
    assert unnoticed(stored[name], 20, seed=1) == []


@pytest.mark.fault_long
@pytest.mark.parametrize("name", NAMES)
def test_two_hundred_flipped_bytes(stored: dict[str, Kind], name: str) -> None:
    assert unnoticed(stored[name], 200, seed=2) == []
