"""Reading what is broken, appending after a crash, replacing whole files."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import msgspec
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from afs import jsonl, sealed_files
from afs.errors import DataError
from afs.types import Message


def test_a_bad_line_is_named_and_can_be_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(
        b'{"role":"user"}\nnonsense\n{"role":"king"}\n\xff\n{"role":"user","extra":1}\n\n{"role":"tool"}\n'
    )
    with pytest.raises(DataError, match=r"m\.jsonl:2"):
        list(jsonl.read(path, Message))
    told: list[int] = []
    rows = list(jsonl.read(path, Message, lambda number, _problem, _line: told.append(number)))
    assert [row.role for row in rows] == ["user", "tool"]
    assert told == [2, 3, 4, 5]


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_truncated_archive_gives_what_is_whole_and_says_so(tmp_path: Path, ending: str) -> None:
    content = b"".join(msgspec.json.encode({"n": n, "pad": os.urandom(40).hex()}) + b"\n" for n in range(3000))
    packed = gzip.compress(content) if ending == ".gz" else zstd.compress(content)
    path = tmp_path / f"rows.jsonl{ending}"
    path.write_bytes(packed[: len(packed) // 2])
    problems: list[str] = []
    rows = list(jsonl.read(path, None, lambda _n, problem, _line: problems.append(problem)))
    assert 0 < len(rows) < 3000
    assert problems
    with pytest.raises(DataError, match="rows"):
        list(jsonl.read(path))


def test_a_line_beyond_the_limit_is_refused_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE", 100)
    path = tmp_path / "long.jsonl"
    path.write_bytes(b'"' + b"x" * 350 + b'"\n{"ok":1}\n')
    told: list[str] = []
    assert list(jsonl.read(path, None, lambda _n, problem, _line: told.append(problem))) == [{"ok": 1}]
    assert len(told) == 1 and "longer" in told[0]


@given(st.lists(st.text(), max_size=5), st.integers(min_value=0, max_value=400))
def test_appending_after_a_crash_at_any_byte_keeps_every_whole_line(
    tmp_path_factory, rows: list[str], cut: int
) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("append") / "log.jsonl"
    jsonl.append(path, rows)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    survivors = whole[: min(cut, len(whole))].count(b"\n")
    jsonl.append(path, ["after"])
    assert list(jsonl.read(path, str)) == [*rows[:survivors], "after"]


def test_replacing_leaves_the_old_file_when_the_writer_fails(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    with pytest.raises(RuntimeError), jsonl.open_replacement(path) as target:
        target.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("line", [b'{"a":1,"a":2}', b"[" * 100_000, b"NaN", b"{'a':1}", b"\xff"])
def test_strict_reading_refuses(line: bytes) -> None:
    with pytest.raises(DataError):
        jsonl.loads_strict(line)


def test_what_a_killed_writer_left_is_reused_and_a_live_writer_keeps_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    (tmp_path / ".a.json.tmp").write_bytes(b"left by a killed process, and longer")
    jsonl.replace(path, b"new")
    assert path.read_bytes() == b"new" and [p.name for p in tmp_path.iterdir()] == ["a.json"]
    with jsonl.open_replacement(path) as first:
        first.write(b"first")
        jsonl.replace(path, b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first" and [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_writer_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError), jsonl.open_replacement(tmp_path / "a.json") as target:
        target.write(b"half")
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_the_place_where_a_cut_file_ends_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.zst"
    whole = jsonl.compress(b"".join(b'"%d"\n' % number for number in range(3)))
    path.write_bytes(whole + jsonl.compress(b'"more"\n' * 9999)[:-20])
    found: list[tuple[int, str]] = []
    rows = list(jsonl.read(path, str, on_bad=lambda number, problem, _: found.append((number, problem))))
    assert rows[:3] == ["0", "1", "2"] and found[0][0] == len(rows) + 1
    with pytest.raises(DataError, match=rf"zst:{len(rows) + 1}: cannot be read further"):
        list(jsonl.read(path, str))


def test_the_key_that_appears_twice_is_named() -> None:
    with pytest.raises(DataError, match="key 'b' appears twice"):
        jsonl.loads_strict(b'{"a": 1, "b": 2, "c": 3, "b": 4}')


def test_a_sealed_file_is_read_only_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "x"
    sealed_files.replace_sealed(path, b"two\nlines")
    assert sealed_files.read_sealed(path) == b"two\nlines"
    for content in (path.read_bytes()[:-1], path.read_bytes() + b"x", b"two\nlines", b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match="its seal does not match"):
            sealed_files.read_sealed(path)
    with pytest.raises(DataError, match="No such file"):
        sealed_files.read_sealed(tmp_path / "nothing")


def test_the_suffix_says_how_a_file_is_packed(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"1\n"))
    (tmp_path / "a.zst").write_bytes(jsonl.compress(b"2\n"))
    (tmp_path / "a.jsonl").write_bytes(b"3\n")
    for number, name in enumerate(("a.gz", "a.zst", "a.jsonl"), 1):
        with jsonl.open_bytes(tmp_path / name) as source:
            assert source.read() == b"%d\n" % number
