"""The worst first: torn, hostile and changing input, and a reader that is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from tests.ingest.test_ingest import PAIR, rows, take

from afs import datasets
from afs.ingest.unit import Job, outcome, read_unit
from afs.workspace import Workspace

ROWS = [{"instruction": f"question {i}", "output": f"answer {i} {'x' * 400}"} for i in range(3000)]


def test_parquet_whole_and_torn(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    assert take(workspace, "jsonl", path).splits[0].count == 3000
    for keep in (0, 100, path.stat().st_size // 2):
        torn = tmp_path / f"torn{keep}.parquet"
        torn.write_bytes(path.read_bytes()[:keep])
        made = take(workspace, "jsonl", torn, name=f"torn{keep}")
        assert made.counts["unreadable"] == made.counts["found"] == 1


def test_a_parquet_file_spoilt_inside(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3 : len(raw) // 3 + 64] = b"\xff" * 64
    path.write_bytes(raw)
    made = take(workspace, "jsonl", path)
    assert made.counts["found"] == made.splits[0].count + made.counts.get("unreadable", 0) + made.counts.get(
        "dropped:duplicate", 0
    )


def test_broken_lines_in_the_middle_are_named_and_the_rest_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(
        tmp_path / "a.jsonl", *ROWS[:5], '{"instruction": "x", "outp', *ROWS[5:10], "\x00\x00\x00", *ROWS[10:12]
    )
    made = take(workspace, "jsonl", path)
    assert made.splits[0].count == 12
    aside = (datasets.folder_of(workspace, made) / "unreadable.jsonl").read_text()
    assert "#L6" in aside and "#L12" in aside


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_other_encodings_do_not_vanish(workspace: Workspace, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.jsonl"
    line = json.dumps({"instruction": "größe?", "output": "groß"}, ensure_ascii=False) + "\n"
    path.write_bytes(line.encode(encoding))
    made = take(workspace, "jsonl", path)
    assert made.counts["found"] == made.splits[0].count + made.counts.get("unreadable", 0) >= 1


def test_a_very_long_line_is_a_record_like_any_other(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", {"instruction": "q", "output": "y" * (5 << 20)}, PAIR)
    assert take(workspace, "jsonl", path).splits[0].count == 2


def test_deep_nesting_is_unreadable_not_a_crash(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", '{"a":' * 50_000 + "1" + "}" * 50_000, PAIR)
    made = take(workspace, "jsonl", path)
    assert (made.splits[0].count, made.counts["unreadable"]) == (1, 1)


def test_a_zip_that_lies_and_one_that_is_locked(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.jsonl", "".join(json.dumps(r) + "\n" for r in ROWS[:200]))
    raw = bytearray(path.read_bytes())
    at = raw.index(b"x.jsonl") + 40
    raw[at : at + 200] = os.urandom(200)
    path.write_bytes(raw)
    made = take(workspace, "jsonl", path)
    assert made.counts["unreadable"] >= 1
    assert made.counts["found"] == made.splits[0].count + made.counts["unreadable"]


def test_a_hostile_database_is_unreadable(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "state.vscdb"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE Other (a)")
    db.execute(
        "CREATE VIEW ItemTable AS SELECT 'unifiedStateSync.trajectorySummaries' AS key, randomblob(900) AS value"
    )
    db.commit()
    db.close()
    made = take(workspace, "antigravity", path)
    assert made.splits[0].count == 0
    raw = bytearray(path.read_bytes())
    raw[100:3000] = os.urandom(2900)
    path.write_bytes(raw)
    assert take(workspace, "antigravity", path, name="b").counts.get("unreadable", 0) == 1


def test_a_file_that_grows_while_it_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rows(tmp_path / "a.jsonl", PAIR)
    from afs.ingest import unit

    stamps = iter(range(100))
    monkeypatch.setattr(unit, "_stamp", lambda _: (next(stamps), 0))
    target = tmp_path / "out.jsonl.zst"
    read_unit(
        Job(kind="jsonl", options={}, path=str(path), label="a.jsonl", source="s", domain="d", target=str(target))
    )
    counts = [line.value for line in outcome(target) if line.kind == "C"]
    assert isinstance(counts[0], dict) and counts[0]["files:changed while read"] == 1


SCRIPT = """
import sys
from pathlib import Path
from afs import runs
from afs.ingest import IngestConfig, ingest
from afs.workspace import Workspace
config = IngestConfig(kind="jsonl", paths=(Path(sys.argv[2]),), name="raw")
with runs.running(Workspace(Path(sys.argv[1])), "ingest", config) as run:
    ingest(config, run)
"""


def test_killed_in_the_middle_and_again_is_as_if_never_killed(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(30):
        rows(folder / f"{i:02d}.jsonl", *ROWS[i * 100 : i * 100 + 100])
    child = subprocess.Popen([sys.executable, "-c", SCRIPT, str(workspace.root), str(folder)])
    kept = workspace.root / "cache" / "ingest"
    deadline = time.monotonic() + 20
    while len(list(kept.glob("*.zst"))) < 3 and time.monotonic() < deadline and child.poll() is None:
        os.sched_yield()
    child.send_signal(signal.SIGKILL)
    child.wait()
    made = take(workspace, "jsonl", folder)
    other = Workspace.create(tmp_path / "other")
    assert made.splits[0].count == 3000
    assert made.digest == take(other, "jsonl", folder).digest
