"""Single-step vectors: the public form is read in every packing, our cores pass the shared ones, wrong ones fail aloud."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pytest
from tests.skip_report import TEST_PARTS

from afs.config import Config
from afs.domains.snes import cpu_kernel
from afs.domains.snes.singlestep import Which, read_vectors, singlestep
from afs.domains.snes.singlestep_command import SinglestepConfig, run_singlestep
from afs.errors import DataError, UsageError

FETCHED = TEST_PARTS / "vectors.jsonl.xz"
needs_c = pytest.mark.skipif(cpu_kernel.core() is None, reason="no compiled core")
CORES = [
    pytest.param("c", marks=needs_c),
    pytest.param("c-fast", marks=needs_c),
    pytest.param("python"),
]


def vector(
    name: str, before: dict[str, object], after: dict[str, object], cycles: list[list[object]]
) -> dict[str, object]:
    """A vector from what differs from zero registers in native 8-bit mode at $00:8000."""
    zero = {"pc": 0x8000, "s": 0x1FF, "p": 0x30, "a": 0, "x": 0, "y": 0, "dbr": 0, "d": 0, "pbr": 0, "e": 0}
    initial = {**zero, **before}
    return {"name": name, "initial": initial, "final": {**initial, **after}, "cycles": cycles}


R, W, I, P = "d--r-mx-", "d--w-mx-", "---r-mx-", "-p-r-mx-"  # noqa: E741
OWN = [
    vector(
        "a9 own", {"ram": [[0x8000, 0xA9], [0x8001, 0x80]]}, {"pc": 0x8002, "a": 0x80, "p": 0xB0},
        [[0x8000, 0xA9, "dp-r-mx-"], [0x8001, 0x80, P]],
    ),
    vector(
        "e6 own", {"ram": [[0x8000, 0xE6], [0x8001, 0x10], [0x10, 0xFF], [0x11, 0x00]], "p": 0x10},
        {"ram": [[0x8000, 0xE6], [0x8001, 0x10], [0x10, 0x00], [0x11, 0x01]], "pc": 0x8002},
        [[0x8000, 0xE6, "dp-r----"], [0x8001, 0x10, P], [0x10, 0xFF, R], [0x11, 0x00, R], [0x11, None, I],
         [0x11, 0x01, W], [0x10, 0x00, W]],
    ),
    vector(
        "20 own", {"ram": [[0x8000, 0x20], [0x8001, 0x34], [0x8002, 0x12]]},
        {"ram": [[0x8000, 0x20], [0x8001, 0x34], [0x8002, 0x12], [0x1FF, 0x80], [0x1FE, 0x02]], "pc": 0x1234, "s": 0x1FD},
        [[0x8000, 0x20, "dp-r-mx-"], [0x8001, 0x34, P], [0x8002, 0x12, P], [0x8002, None, I], [0x1FF, 0x80, W],
         [0x1FE, 0x02, W]],
    ),
]  # fmt: skip


def write(path: Path, text: str) -> Path:
    data = text.encode()
    packed = {".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)(data)
    path.write_bytes(packed)
    return path


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.jsonl.xz", "a.jsonl"])
def test_own_vectors_in_every_packing(core: Which, name: str, tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(one) for one in OWN)
    path = write(tmp_path / name, lines if "jsonl" in name else f" {json.dumps(OWN)}\n")
    rows = singlestep(read_vectors(path), core)
    assert [(row.opcode, row.passed, row.failed) for row in rows] == [
        ("all", 3, 0), ("20", 1, 0), ("A9", 1, 0), ("E6", 1, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": 0x81}, "a is $80, want $81"),
        ({"ram": [[0x8000, 0xA9], [0x8001, 0x80], [0x20, 1]]}, "$000020 holds $00, want $01"),
    ],
)
def test_a_wrong_vector_fails_and_says_why(
    core: Which, change: dict[str, object], message: str, tmp_path: Path
) -> None:
    wrong = {**OWN[0], "final": {**OWN[0]["final"], **change}}  # type: ignore[dict-item]
    rows = singlestep(read_vectors(write(tmp_path / "a.json", json.dumps([wrong]))), core)
    assert (rows[0].passed, rows[0].failed) == (0, 1)
    assert message in rows[1].first_failure


@pytest.mark.parametrize("core", [pytest.param("c", marks=needs_c), "python"])
@pytest.mark.parametrize(
    ("at", "entry", "message"),
    [
        (1, [0x8001, 0x81, "-p-r-mx-"], "cycle 1"),
        (1, [0x8002, 0x80, "-p-r-mx-"], "cycle 1"),
        (1, [0x8001, 0x80, "dp-w-mx-"], "cycle 1"),
        (1, [0x8001, None, "---r-mx-"], "want none"),
    ],
)
def test_a_wrong_bus_access_fails(core: Which, at: int, entry: list[object], message: str, tmp_path: Path) -> None:
    cycles = list(OWN[0]["cycles"])  # type: ignore[call-overload]
    cycles[at] = entry
    rows = singlestep(read_vectors(write(tmp_path / "a.json", json.dumps([{**OWN[0], "cycles": cycles}]))), core)
    assert message in rows[1].first_failure


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "[{]", "not a single-step test"),
        ("a.jsonl", json.dumps(OWN[0]) + "\n{broken", "line 2"),
        ("a.jsonl", '{"name": 5}', "line 1"),
        ("b.jsonl", "", "no tests"),
        ("c.json", json.dumps([{**OWN[0], "initial": {**OWN[0]["initial"], "ram": []}}]), "no opcode"),  # type: ignore[dict-item]
    ],
)
def test_bad_files_are_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        run_singlestep(SinglestepConfig(files=(write(tmp_path / name, text),)))


def test_truncated_and_missing_files(tmp_path: Path) -> None:
    whole = lzma.compress(json.dumps(OWN[0]).encode())
    (tmp_path / "a.xz").write_bytes(whole[:-8])
    for path in (tmp_path / "a.xz", tmp_path / "none.json"):
        with pytest.raises(DataError, match=path.name):
            list(read_vectors(path))


def test_the_verb_sums_up_and_fails_with_3(tmp_path: Path) -> None:
    good = write(tmp_path / "good.json", json.dumps(OWN))
    done = run_singlestep(SinglestepConfig(files=(good, good), core="python"))
    assert done.exit_code == 0
    assert done.text().splitlines()[0] == "python: 6 passed, 0 failed"
    bad = write(tmp_path / "bad.json", json.dumps([{**OWN[0], "cycles": []}]))
    assert run_singlestep(SinglestepConfig(files=(bad,), core="python")).exit_code == 3
    with pytest.raises(UsageError):
        run_singlestep(SinglestepConfig(files=()))
    assert issubclass(SinglestepConfig, Config)


@pytest.mark.skipif(not FETCHED.is_file(), reason="no CPU vectors here")
@pytest.mark.parametrize("core", CORES)
def test_public_vectors_pass(core: Which) -> None:
    found = list(read_vectors(FETCHED))
    rows = singlestep(found[:: len(found) // 2500], core)
    assert [row.first_failure for row in rows[1:] if row.failed] == []
    assert rows[0].passed >= 2500
