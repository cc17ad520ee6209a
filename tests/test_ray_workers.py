"""Ray as engine: the same output as the embedded engine by digest, and a worker that is killed loses nothing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from afs import datasets, plugins, runs, work_division
from afs.curate import CurateConfig, curate
from afs.domains.sums import DOMAIN
from afs.errors import MissingError
from afs.ingest import IngestConfig, ingest
from afs.types import Message, Origin, Record, record_id
from afs.verify_command import VerifyConfig, verify_answers
from afs.work_division import DividedWork
from afs.workspace import Workspace

RAY = DividedWork(engine="ray")


def die_once(payload: bytes) -> bytes:
    """A task whose worker process is killed when it runs first."""
    place, _, number = payload.decode().partition("|")
    marker = Path(place) / number
    if int(number) % 3 == 0 and not marker.exists():
        marker.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return number.encode()


def fail(payload: bytes) -> bytes:
    """A task that raises."""
    raise ValueError(f"cannot do {payload.decode()}")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One small cluster for all tests: starting it takes most of their time."""
    pytest.importorskip("ray", reason="needs the extra `ray`: pip install 'afs-factory[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        patch.setenv("ANY_API_KEY", "secret")
        with work_division.open_workers(RAY, "afs.ray_workers:run_task", jobs=2, timeout_s=60):
            yield


def read_key(payload: bytes) -> bytes:
    """What a task finds in its environment."""
    return os.environ.get(payload.decode(), "nothing").encode()


def test_a_killed_worker_loses_nothing_and_order_is_kept(cluster: None, tmp_path: Path) -> None:
    with work_division.open_workers(RAY, "test_ray_workers:die_once", jobs=2, timeout_s=120) as workers:
        outcomes = list(workers.map(f"{tmp_path}|{n}".encode() for n in range(10)))
    assert [o.value for o in outcomes] == [str(n).encode() for n in range(10)]
    killed = {int(path.read_text()) for path in tmp_path.iterdir()}
    assert len(killed) == 4 and os.getpid() not in killed


def test_a_task_that_raises_is_a_problem_of_its_own_and_tasks_see_no_keys(cluster: None) -> None:
    with work_division.open_workers(RAY, "test_ray_workers:fail", jobs=2, timeout_s=60) as workers:
        assert [o.problem for o in workers.map([b"a", b"b"])] == ["ValueError: cannot do a", "ValueError: cannot do b"]
    with work_division.open_workers(RAY, "test_ray_workers:read_key", jobs=2, timeout_s=60) as workers:
        assert [o.value for o in workers.map([b"ANY_API_KEY", b"OMP_NUM_THREADS"])] == [b"nothing", b"1"]


def test_ingest_curate_and_verify_give_what_the_embedded_engine_gives(cluster: None, tmp_path: Path) -> None:
    rows, found = tmp_path / "in", []
    rows.mkdir()
    tasks = list(DOMAIN.tasks("sort", 1, 30))
    for n in range(4):
        row = {"instruction": f"what is {n}?", "output": f"the number {n} of many"}
        (rows / f"{n}.jsonl").write_bytes(msgspec.json.encode(row) + b"\n")
    for task in [*tasks, *tasks[:4]]:
        turns = (Message(role="user", text=task.prompt), Message(role="assistant", text=task.reference))
        origin, id_ = Origin(source="t", license="MIT"), record_id("sums", turns)
        found.append(Record(id=id_, domain="sums", kind="pair", messages=turns, origin=origin, task=task))
    digests = []
    for engine in ("embedded", "ray"):
        workspace = Workspace.create(tmp_path / engine)
        config = IngestConfig(kind="jsonl", paths=(rows,), name="rows", source="s", engine=engine)
        with runs.open_run(workspace, "ingest", config) as run:
            read = ingest(config, run)
        with datasets.write_dataset(workspace, "raw", "records") as pending:
            for record in found:
                pending.add("all", record)
        steps = CurateConfig(sources=("raw", "rows"), name="set", engine=engine)
        with runs.open_run(workspace, "curate", steps) as run:
            digests.append((read.digest, curate(steps, run).digest))
    assert digests[0] == digests[1]
    (tmp_path / "tasks.jsonl").write_bytes(b"".join(msgspec.json.encode(task) + b"\n" for task in tasks))
    whole, divided = (
        verify_answers(VerifyConfig(task=tmp_path / "tasks.jsonl", engine=e)) for e in ("embedded", "ray")
    )
    assert whole == divided


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingError, match=r"pip install 'afs-factory\[ray\]'"),
        work_division.open_workers(RAY, "x:y", jobs=1, timeout_s=1),
    ):
        pass
    with pytest.raises(MissingError, match="this needs ray"):
        plugins.require(RAY.late_needs())
