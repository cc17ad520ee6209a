"""Ingest: the account adds up, reading is incremental, redaction comes first, bad input is kept aside."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from pathlib import Path

import msgspec
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs import datasets, runs
from afs.errors import ConfigError, DataError, UsageError
from afs.ingest import IngestConfig, ingest
from afs.types import Dataset, Record
from afs.workspace import Workspace


def take(workspace: Workspace, kind: str, *paths: Path, name: str = "raw", **more: object) -> Dataset:
    config = IngestConfig(kind=kind, paths=paths, name=name, **more)
    try:
        with runs.open_run(workspace, "ingest", config) as run:
            return ingest(config, run)
    except DataError as error:
        if "holds no record" not in str(error):
            raise
        return datasets.load(workspace, name, "records")


def rows(path: Path, *values: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((v if isinstance(v, str) else json.dumps(v)) + "\n" for v in values), "utf-8")
    return path


def records(workspace: Workspace, made: Dataset) -> list[Record]:
    return list(datasets.read(workspace, made))


PAIR = {"instruction": "what is the accumulator?", "output": "a register"}


def test_every_line_is_a_record_a_drop_or_unreadable(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(
        tmp_path / "a.jsonl", PAIR, PAIR, {"instruction": "", "output": "x"}, "{broken", "[1]", {"instruction": "q"}
    )
    made = take(workspace, "jsonl", path)
    assert made.counts["found"] == 6
    assert made.splits[0].count == 1
    assert (
        made.counts["dropped:duplicate"] == made.counts["dropped:no question"] == made.counts["dropped:no answer"] == 1
    )
    assert made.counts["unreadable"] == 2
    aside = (datasets.folder_of(workspace, made) / "unreadable.jsonl").read_text()
    assert "a.jsonl#L4" in aside and "a.jsonl#L5" in aside


def test_an_ingest_without_a_record_says_what_became_of_its_input(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", {"instruction": "", "output": "x"}, "{broken")
    config = IngestConfig(kind="jsonl", paths=(path,), name="raw")
    for _ in range(2):
        with (
            pytest.raises(DataError, match=r"raw@1 holds no record.*no question 1.*unreadable entries 1"),
            runs.open_run(workspace, "ingest", config) as run,
        ):
            ingest(config, run)


def test_the_same_input_again_makes_no_new_version(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", PAIR)
    assert take(workspace, "jsonl", path).ref == take(workspace, "jsonl", path).ref == "raw@1"


def test_other_redaction_rules_read_the_same_input_again(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", {"instruction": "what is ACME-1234?", "output": "a part of ACME"})
    rules = tmp_path / "gitleaks.toml"
    rules.write_text('[[rules]]\nid = "part"\nregex = "XXXX-[0-9]{4}"\n')
    first = take(workspace, "jsonl", path, rules=str(rules))
    assert take(workspace, "jsonl", path, rules=str(rules)).ref == first.ref == "raw@1"
    rules.write_text('[[rules]]\nid = "part"\nregex = "ACME-[0-9]{4}"\n')
    made = take(workspace, "jsonl", path, rules=str(rules))
    assert (made.ref, made.counts["redacted:part"]) == ("raw@2", 1)
    assert "ACME-1234" not in str(list(datasets.read(workspace, made)))


def test_new_rows_make_a_version_without_duplicates(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", PAIR)
    take(workspace, "jsonl", path)
    rows(path, PAIR, {"instruction": "and X?", "output": "an index"})
    made = take(workspace, "jsonl", path)
    assert (made.ref, made.splits[0].count) == ("raw@2", 2)


def test_what_a_file_gave_stays_when_the_file_is_gone(workspace: Workspace, tmp_path: Path) -> None:
    first = rows(tmp_path / "a.jsonl", PAIR)
    take(workspace, "jsonl", first)
    first.unlink()
    second = rows(tmp_path / "b.jsonl", {"instruction": "and X?", "output": "an index"})
    assert take(workspace, "jsonl", second).splits[0].count == 2
    assert take(workspace, "jsonl", second, keep_gone=False).splits[0].count == 1


def test_secrets_are_written_nowhere(workspace: Workspace, tmp_path: Path) -> None:
    key = "ghp_" + "a1B2c3D4e5" * 4
    path = rows(tmp_path / "a.jsonl", {"instruction": f"use {key}", "output": "done"}, '{"broken": "' + key + '"')
    made = take(workspace, "jsonl", path)
    assert made.counts["redacted:github-token"] == 2
    for file in workspace.root.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert key.encode() not in content, file
    assert all(key not in str(record) for record in records(workspace, made))


def test_lone_surrogates_and_stray_bytes_are_repaired_and_counted(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"instruction":"q \\ud83d","output":"a"}\n{"instruction":"caf\xe9","output":"a"}\n')
    made = take(workspace, "jsonl", path)
    assert made.counts["repaired:encoding"] == 2
    assert [datasets.question_text(r) for r in records(workspace, made)] == ["q �", "caf�"]


@pytest.mark.parametrize("cut", [10, 40, 200])
def test_a_torn_gzip_keeps_what_can_be_read(workspace: Workspace, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl.gz"
    lines = "".join(json.dumps({"instruction": f"q{os.urandom(9).hex()}", "output": "a"}) + "\n" for _ in range(50))
    path.write_bytes(gzip.compress(lines.encode())[:-cut])
    made = take(workspace, "jsonl", path)
    assert made.counts["unreadable"] == 1
    assert made.counts["found"] == made.splits[0].count + 1


def test_zip_members_are_read_in_place_whatever_their_names(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.jsonl", json.dumps(PAIR) + "\n")
        archive.writestr("/abs.csv", "instruction,output\nq2,a2\n")
    made = take(workspace, "jsonl", tmp_path, name="raw")
    assert made.splits[0].count == 2
    assert not (tmp_path.parent / "evil.jsonl").exists()


def test_a_file_that_is_no_zip_is_unreadable(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 garbage")
    made = take(workspace, "jsonl", tmp_path / "a.zip")
    assert made.counts["unreadable"] == 1


def test_entries_of_unknown_type_are_counted_and_kept_aside_without_their_secrets(
    workspace: Workspace, tmp_path: Path
) -> None:
    key = "ghp_" + "a1B2c3D4e5" * 4
    path = rows(
        tmp_path / "s.jsonl", {"type": "hologram", "beam": [1, f"{'x ' * 1985} {key}"]},
        {"type": "user", "uuid": "1", "message": {"role": "user", "content": "hi"}},
        {"type": "assistant", "uuid": "2", "parentUuid": "1", "message": {"role": "assistant", "content": "ho"}},
    )  # fmt: skip
    made = take(workspace, "claude-code", path)
    assert made.counts["unknown:hologram"] == 1 and made.splits[0].count == 1
    (line,) = (datasets.folder_of(workspace, made) / "unknown.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert entry["uri"] == "s.jsonl#L1" and "beam" in entry["entry"]
    assert "ghp_" not in line, "a secret across the cut is hidden whole"


def test_preference_rows_of_any_form(workspace: Workspace, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "q"}]
    path = rows(
        tmp_path / "a.jsonl", {"prompt": "q1", "chosen": "good", "rejected": "bad"},
        {"chosen": [*turns, {"role": "assistant", "content": "good"}], "rejected": [*turns, {"role": "assistant", "content": "bad"}]},
        {"prompt": turns, "chosen": [{"role": "assistant", "content": ""}], "rejected": []},
    )  # fmt: skip
    made = take(workspace, "jsonl", path)
    assert [r.messages[-1].text for r in records(workspace, made)] == ["good", "good"]
    assert made.counts["found"] == 6
    assert made.counts["dropped:score: rejected in a preference pair"] == 2


def test_links_in_circles_end(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "again").symlink_to(folder)
    rows(folder / "a.jsonl", PAIR)
    os.mkfifo(folder / "pipe.jsonl")
    assert take(workspace, "jsonl", folder).splits[0].count == 1


def test_csv_with_a_mapping(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("frage,antwort,lic\nwas?,das,MIT\nkaputt\n", "utf-8")
    options = {"mapping": {"instruction": "frage", "output": "antwort", "license": "lic"}}
    made = take(workspace, "jsonl", path, options=options)
    assert made.licenses == {"MIT": 1}
    assert made.counts["unreadable"] == 1


def test_the_license_of_the_tree_is_found(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "LICENSE").write_text("SPDX-License-Identifier: BSD-3-Clause\n")
    rows(folder / "a.jsonl", PAIR)
    assert take(workspace, "jsonl", folder).licenses == {"BSD-3-Clause": 1}


def test_bad_options_name_the_field(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", PAIR)
    with pytest.raises(UsageError, match=r"options\.maping.*mapping"):
        take(workspace, "jsonl", path, options={"maping": {}})
    with pytest.raises(UsageError, match="did you mean 'jsonl'"):
        take(workspace, "jsonll", path)
    with pytest.raises(UsageError, match="name: want letters"):
        take(workspace, "jsonl", path, name="a+b@1")
    with pytest.raises(DataError, match="no such file"):
        take(workspace, "jsonl", tmp_path / "gone.jsonl")


def test_records_of_ours_come_back_as_they_were(workspace: Workspace, tmp_path: Path) -> None:
    made = take(workspace, "jsonl", rows(tmp_path / "a.jsonl", PAIR))
    first = records(workspace, made)
    again = rows(tmp_path / "b.jsonl", *[msgspec.to_builtins(r) for r in first])
    assert records(workspace, take(workspace, "jsonl", again, name="back")) == first


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8), st.binary(max_size=30))
def test_garbage_never_crashes_and_never_vanishes(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], end: bytes
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    workspace = Workspace.create(folder / "ws")
    path = folder / "a.jsonl"
    path.write_bytes(b"\n".join([json.dumps(PAIR).encode(), *lines]) + end)
    made = take(workspace, "jsonl", path)
    dropped = sum(n for key, n in made.counts.items() if key.startswith("dropped:"))
    assert made.counts["found"] == made.splits[0].count + dropped + made.counts.get("unreadable", 0)


def test_what_is_kept_aside_names_nobody(workspace: Workspace, tmp_path: Path) -> None:
    key = "ghp_" + "a1B2c3D4e5F6" * 3
    path = rows(
        tmp_path / "-home-zelenka-src" / "a.jsonl", f'{{"instruction": "x {key}', "[1]", {"output": "no question"}
    )
    made = take(workspace, "jsonl", path.parent.parent)
    kept = b"".join(p.read_bytes() for p in datasets.folder_of(workspace, made).glob("*.json*"))
    assert key.encode() not in kept and b"zelenka" not in kept
    assert made.counts["redacted:github-token"] == 1 and made.counts["redacted:home-path-encoded"] >= 2


def test_a_license_is_named_as_spdx_does(workspace: Workspace, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", PAIR)
    with pytest.raises(ConfigError, match="LicenseRef"):
        take(workspace, "jsonl", path, license="My License")
    for name in ("GPL-2.0-only WITH Classpath-exception-2.0", "(MIT OR Apache-2.0)", "LicenseRef-mine"):
        assert take(workspace, "jsonl", path, license=name).licenses == {name: 1}


def test_links_out_of_a_named_folder_are_not_followed(workspace: Workspace, tmp_path: Path) -> None:
    rows(tmp_path / "secret.jsonl", {"instruction": "outside?", "output": "outside"})
    inside = rows(tmp_path / "named" / "a.jsonl", PAIR)
    (inside.parent / "out.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (inside.parent / "in.jsonl").symlink_to(inside)
    made = take(workspace, "jsonl", inside.parent)
    assert "outside" not in str(records(workspace, made)) and made.splits[0].count == 1
    assert made.counts["unreadable"] == 1
    assert take(workspace, "jsonl", inside.parent / "out.jsonl", name="named").splits[0].count == 1


def test_a_file_name_that_is_not_text_is_read(workspace: Workspace, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    for name, number in ((b"caf\xe9.jsonl", 1), (b"caf\xe8.jsonl", 2)):
        with open(folder + b"/" + name, "w") as file:
            file.write(json.dumps(PAIR | {"output": f"answer {number}"}) + "\n")
    made = take(workspace, "jsonl", tmp_path)
    assert [r.origin.uri.split("/")[-1] for r in records(workspace, made)] == ["caf\\xe8.jsonl#L1", "caf\\xe9.jsonl#L1"]


def test_the_license_is_looked_for_upward_of_the_named_folder(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "LICENSE").write_text("SPDX-License-Identifier: Zlib\n")
    rows(tmp_path / "a" / "b" / "x.jsonl", PAIR)
    made = take(workspace, "jsonl", tmp_path / "a" / "b")
    assert records(workspace, made)[0].origin.license == "Zlib"


def test_a_parquet_bomb_stops_at_a_limit(workspace: Workspace, tmp_path: Path) -> None:
    values = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0] * 400, pyarrow.int32()), pyarrow.array(["x" * (4 << 20)])
    )
    path = tmp_path / "bomb.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"instruction": values, "output": values}), path, compression="zstd")
    made = take(workspace, "jsonl", path)
    assert "expands to more than" in (datasets.folder_of(workspace, made) / "unreadable.jsonl").read_text()


def test_much_input_is_read_by_workers(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afs.ingest._INLINE_BYTES", 0)
    monkeypatch.setattr(Workspace, "jobs", 2)
    paths = [rows(tmp_path / f"{n}.jsonl", {"instruction": f"q{n}", "output": f"a{n}"}) for n in range(2)]
    assert take(workspace, "jsonl", *paths).splits[0].count == 2
