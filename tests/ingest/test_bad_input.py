"""The worst first: torn, hostile and changing input, and a reader that is killed in the middle."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ingest.test_ingest import PAIR, rows, take

from afs import datasets
from afs.ingest.base import Reading, Unit
from afs.ingest.read_unit import UnitJob, make_source, read_outcome, read_unit
from afs.ingest.table_rows import PairRows
from afs.types import Dropped, Record
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


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"instruction": "late", "output": "a"}\n{"instruction": "torn')


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_text(json.dumps(PAIR) + "\n")
    other.replace(path)


@pytest.mark.parametrize("change", [_append, _truncate, _replace])
@pytest.mark.parametrize("times", [1, 99])
def test_a_file_that_changes_while_it_is_read_adds_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], times: int
) -> None:
    """The file is changed from within the reading of it, between two of its rows: once, or at every reading."""
    path = rows(tmp_path / "a.jsonl", *ROWS)
    left = [times]
    reading_of = PairRows.read

    def changing(self: PairRows, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        for number, item in enumerate(reading_of(self, unit, reading)):
            if number == 0 and left[0]:
                left[0] -= 1
                change(path)
            yield item

    monkeypatch.setattr(PairRows, "read", changing)
    target = tmp_path / "out.jsonl.zst"
    read_unit(
        UnitJob(
            kind="jsonl",
            options={},
            path=os.fsencode(path),
            label="a.jsonl",
            source="s",
            domain="d",
            target=str(target),
        )
    )
    lines = list(read_outcome(target))
    (counts,) = (line.value for line in lines if line.kind == "C")
    assert isinstance(counts, dict)
    assert counts["found"] == sum(line.kind in "RDU" for line in lines) > 0
    assert counts.get("files:changed while read", 0) == (times > 1)
    if times == 1:  # read again: the outcome is what the file holds now
        whole = [line for line in path.read_bytes().splitlines() if line.endswith(b"}")]
        assert sum(line.kind == "R" for line in lines) == len(whole)


SOURCES = {
    "a.cpp": b"/// Adds two numbers, and no more.\nint add(int a, int b) {\n  if (a) { return b; }\n  return a + b;\n}\n"
    * 9,
    "a.rb": b"# Adds two numbers, and no more.\ndef add(a, b)\n  c = a + b\n  c\nend\n" * 9,
    "a.py": b'def add(a, b):\n    """Adds two numbers, and no more."""\n    c = a + b\n    return c\n' * 9,
    "a.h": b"namespace n {\n/// Adds two numbers.\nint add(int a, int b);\nclass C { C(); ~C() { } };\n}\n" * 9,
    "a.asm": b"; Adds one.\nAdd:\n  clc\n  adc #1\n  rts\n" * 9,
    "a.md": b"# Adding\n\n" + b"one word after the other " * 20 + b"\n\n```\n# no head\n```\n",
}
SOURCE_KINDS = {"a.cpp": "code", "a.rb": "code", "a.py": "code", "a.h": "cpp", "a.asm": "asm", "a.md": "docs"}


def containers(folder: Path) -> dict[str, tuple[str, bytes]]:
    """A whole file of every container, with the reader it is for."""
    lines = "".join(json.dumps(row) + "\n" for row in ROWS[:40]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/x.jsonl", lines)
        archive.writestr("y.csv", "instruction,output\nq,a\n")
    table = io.BytesIO()
    said = {"from": ["user", "assistant"], "value": ["q", "Thought: x\nAction: Finish\nAction Input: {}"]}
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([{"id": f"t{i}", "conversations": said} for i in range(50)]), table
    )
    state = sqlite3.connect(folder / "s.vscdb")
    state.execute("CREATE TABLE ItemTable (key, value)")
    talk = b'{"TaskName":"t"}', b'{"Message":"m"}'
    blob = b"".join(b"\x0a" + bytes([len(part)]) + part for part in talk)
    state.execute(
        "INSERT INTO ItemTable VALUES ('unifiedStateSync.trajectorySummaries', ?)", (base64.b64encode(blob * 9),)
    )
    state.commit()
    state.close()
    return {
        "a.jsonl": ("jsonl", lines), "a.jsonl.gz": ("jsonl", gzip.compress(lines)), "a.zip": ("jsonl", packed.getvalue()),
        "a.jsonl.zst": ("jsonl", zstd.compress(lines)), "a.json": ("jsonl", json.dumps(ROWS[:40]).encode()),
        "a.csv": ("jsonl", b'instruction,output\n"q ""1""",a\n' * 30), "a.parquet": ("toolbench", table.getvalue()),
        "s.vscdb": ("antigravity", (folder / "s.vscdb").read_bytes()),
    } | {name: (SOURCE_KINDS[name], content) for name, content in SOURCES.items()}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, bytes]]:
    return containers(tmp_path_factory.mktemp("whole"))


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(["a.jsonl", "a.jsonl.gz", "a.zip", "a.jsonl.zst", "a.json", "a.csv", "a.parquet", "s.vscdb", *SOURCES]),
    st.floats(0, 1), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=3),
)  # fmt: skip
def test_any_container_cut_and_spoilt_anywhere_adds_up(
    whole: dict[str, tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory, name: str, cut: float,
    spoilt: list[tuple[float, int]],
) -> None:  # fmt: skip
    kind, content = whole[name]
    raw = bytearray(content[: int(len(content) * cut)])
    for at, value in spoilt:
        if raw:
            raw[int(at * (len(raw) - 1))] = value
    folder = tmp_path_factory.mktemp("cut")
    (folder / name).write_bytes(raw)
    target = folder / "out.zst"
    for unit in make_source(kind, {}).units(folder / name):
        read_unit(
            UnitJob(
                kind=kind,
                options={},
                path=os.fsencode(unit.path),
                member=unit.member,
                label=name,
                source="s",
                domain="d",
                target=str(target),
            )
        )
        lines = list(read_outcome(target))
        (counts,) = (line.value for line in lines if line.kind == "C")
        assert isinstance(counts, dict)
        assert counts.get("found", 0) == sum(line.kind in "RDU" for line in lines)


def test_whole_containers_give_all_they_hold(
    whole: dict[str, tuple[str, bytes]], workspace: Workspace, tmp_path: Path
) -> None:
    found = {}
    for name, (kind, content) in whole.items():
        (tmp_path / name).write_bytes(content)
        found[name] = take(workspace, kind, tmp_path / name, name=f"n-{name}").counts["found"]
    assert found == {
        "a.jsonl": 40, "a.jsonl.gz": 40, "a.zip": 41, "a.jsonl.zst": 40, "a.json": 40, "a.csv": 59, "a.parquet": 50, "s.vscdb": 9,
        "a.cpp": 9, "a.rb": 9, "a.py": 9, "a.h": 27, "a.asm": 9, "a.md": 1,
    }  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(SOURCES)),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=3),
    st.sampled_from(["fix a bug", "faster", "more"]),
)
def test_a_repository_of_spoilt_files_adds_up(
    tmp_path_factory: pytest.TempPathFactory, name: str, cut: float, spoilt: list[tuple[float, int]], subject: str
) -> None:
    folder = tmp_path_factory.mktemp("repo")
    raw = bytearray(SOURCES[name][: int(len(SOURCES[name]) * cut)])
    for at, value in spoilt:
        if raw:
            raw[int(at * (len(raw) - 1))] = value
    who = ("-c", "user.name=n", "-c", "user.email=e@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    for message, content in (("begin", SOURCES[name]), (subject, bytes(raw))):
        (folder / name).write_bytes(content)
        subprocess.run(["git", "-C", str(folder), "add", "-A"], check=True)
        subprocess.run(["git", "-C", str(folder), *who, "commit", "-q", "--allow-empty", "-m", message], check=True)
    (unit,) = make_source("git", {}).units(folder)
    target = folder / "out.zst"
    read_unit(
        UnitJob(
            kind="git",
            options={},
            path=os.fsencode(unit.path),
            label=unit.label,
            source="s",
            domain="d",
            target=str(target),
        )
    )
    lines = list(read_outcome(target))
    (counts,) = (line.value for line in lines if line.kind == "C")
    assert isinstance(counts, dict) and counts["files in the repository"] == 1
    assert counts.get("found", 0) == sum(line.kind in "RDU" for line in lines)


SCRIPT = """
import sys
from pathlib import Path
from afs import runs
from afs.ingest import IngestConfig, ingest
from afs.workspace import Workspace
config = IngestConfig(kind="jsonl", paths=(Path(sys.argv[2]),), name="raw")
with runs.open_run(Workspace(Path(sys.argv[1])), "ingest", config) as run:
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


def test_a_zip_bomb_stops_at_a_limit_and_a_huge_member_is_named(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afs.ingest.file_walk.LEAST_EXPANDED", 1 << 20)
    monkeypatch.setattr("afs.ingest.file_walk.MEMBER_BYTES", 400_000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("huge.jsonl", json.dumps({"instruction": "q", "output": "x" * 500_000}))
        for number in range(8):
            archive.writestr(f"{number}.jsonl", json.dumps({"instruction": f"q{number}", "output": "x" * 250_000}))
    made = take(workspace, "jsonl", path)
    problems = (datasets.folder_of(workspace, made) / "unreadable.jsonl").read_text()
    assert made.splits[0].count == 2
    assert "expands to more than 1 MiB; the rest is not read" in problems and "a member of more than" in problems
