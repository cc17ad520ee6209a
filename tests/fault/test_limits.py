"""A machine that is too small, or whose clock jumps: one clear line, nothing lost, and the rerun gives the same."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from .cases import CASES, GENERATE, States, place
from .harness import Case, serving, state

VERBS = {case.name: case for case in CASES}
SMALL = ("ingest", "generate", "curate", "train", "eval", "ship", "promote", "gc", "backup", "run")
"""The verbs that write much, and those that write little."""


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    with serving(tmp_path_factory.mktemp("afs")) as server:
        yield States(server, tmp_path_factory.mktemp("states"))


class Bounded:
    """A verb run within limits, and again without them, beside a run that never had any."""

    def __init__(self, case: Case, states: States, folder: Path) -> None:
        self.case, self.afs, self.folder = case, states.afs, folder
        self.before = states.folder(case.before)
        whole = folder / "whole"
        shutil.copytree(self.before, whole)
        self.afs.must(*case.words(whole))
        self.wanted = state(whole)

    def problems(self, at: Path, limits: Mapping[str, int] = {}, clock_s: float = 0.0) -> list[str]:
        """What is wrong with the message of the bounded run, and with what is stored after the second one."""
        self.afs.log.write_text("")
        code = self.afs.run(self.case.words(at), limits=limits, clock_s=clock_s)
        said = self.afs.log.read_text()
        found = []
        if code not in (0, 1) or "Traceback" in said:
            found.append(f"exit {code}: {said[-1500:]}")
        lines = [line for line in said.splitlines() if line.startswith(("afs: ", "OpenBLAS error"))]
        if code == 1 and len(lines) != 1:
            found.append(f"exit 1 with {len(lines)} problems: {said[-500:]}")
        return found

    def differences(
        self, at: Path, limits: Mapping[str, int] = {}, clock_s: float = 0.0, make_room: Callable[[], object] = list
    ) -> list[str]:
        """The problems, and what is stored otherwise after a rerun without limits."""
        found = self.problems(at, limits, clock_s)
        make_room()
        if state(at, ("done", "running", "failed")) != self.wanted:
            code = self.afs.run(self.case.words(at))
            if code != 0:
                found.append(f"the second run ends with {code}: {self.afs.log.read_text()[-500:]}")
        got = state(at)
        found += [f"{key}: {got.get(key)}" for key in {*got, *self.wanted} if got.get(key) != self.wanted.get(key)]
        return found


def copied(before: Path, place: Path) -> Path:
    shutil.copytree(before, place, dirs_exist_ok=True)
    return place


TOO_SMALL: dict[str, Mapping[str, int]] = {
    "no file may grow": {"FSIZE": 300},
    "small files only": {"FSIZE": 20_000},
    "64 descriptors": {"NOFILE": 64},
    "14 descriptors": {"NOFILE": 14},
    "8 MB": {"AS": 8 << 20},
    "64 MB": {"AS": 64 << 20},
    "512 MB": {"AS": 512 << 20},
}
QUICK = [("generate", "small files only"), ("curate", "14 descriptors"), ("eval", "512 MB"), ("ship", "64 MB")]
DAY_S = 86_400.0


def check_small_machine(states: States, folder: Path, name: str, limit: str) -> None:
    bounded = Bounded(VERBS[name], states, folder)
    assert bounded.differences(copied(bounded.before, folder / "small"), TOO_SMALL[limit]) == []


@pytest.mark.parametrize(("name", "limit"), QUICK)
def test_a_small_machine(states: States, tmp_path: Path, name: str, limit: str) -> None:
    check_small_machine(states, tmp_path, name, limit)


@pytest.mark.fault_long
@pytest.mark.parametrize("limit", TOO_SMALL)
@pytest.mark.parametrize("name", SMALL)
def test_every_verb_on_every_small_machine(states: States, tmp_path: Path, name: str, limit: str) -> None:
    check_small_machine(states, tmp_path, name, limit)


def check_clock(states: States, folder: Path, name: str) -> None:
    bounded = Bounded(VERBS[name], states, folder)
    for number, jump_s in enumerate((-400 * DAY_S, 400 * DAY_S)):
        at = copied(bounded.before, folder / f"jump{number}")
        assert bounded.differences(at, clock_s=jump_s) == []


def test_a_clock_that_jumps(states: States, tmp_path: Path) -> None:
    check_clock(states, tmp_path, "eval")


@pytest.mark.fault_long
@pytest.mark.parametrize("name", ("ingest", "generate", "curate", "train", "ship", "promote", "gc"))
def test_every_verb_with_a_clock_that_jumps(states: States, tmp_path: Path, name: str) -> None:
    check_clock(states, tmp_path, name)


def check_full_disk(states: States, folder: Path, name: str, room: int) -> None:
    """On a real small file system, where this user may mount one."""
    bounded, disk = Bounded(VERBS[name], states, folder), folder / "disk"
    used = sum(path.stat().st_size + 4096 for path in bounded.before.rglob("*"))
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={used + room},mode=755", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        at = copied(bounded.before, disk / "w")
        larger = ["mount", "-o", f"remount,size={256 << 20}", str(disk)]
        assert bounded.differences(at, make_room=lambda: subprocess.run(larger, check=True)) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("name", ("generate", "eval"))
def test_a_full_disk(states: States, tmp_path: Path, name: str) -> None:
    check_full_disk(states, tmp_path, name, 100 << 10)


@pytest.mark.fault_long
@pytest.mark.parametrize("room", (8 << 10, 100 << 10, 400 << 10))
@pytest.mark.parametrize("name", ("ingest", "generate", "curate", "train", "eval", "ship", "gc", "backup"))
def test_every_verb_on_a_full_disk(states: States, tmp_path: Path, name: str, room: int) -> None:
    check_full_disk(states, tmp_path, name, room)


def test_torn_caches_are_made_again(states: States, tmp_path: Path) -> None:
    """Each file of the cache is cut in half, then emptied: the verbs that use it say and store the same."""
    whole = copied(states.folder("dataset"), tmp_path / "w0")
    words = [
        VERBS["eval"].words,
        lambda folder: ["curate", "raw", "--name", "again", "--steps", '[{use = "decontaminate"}]', *place(folder)],
        lambda folder: [*GENERATE[:4], "more", *GENERATE[5:], *place(folder)],
        lambda folder: ["models", "list", *place(folder)],
    ]
    for make in words:
        states.afs.must(*make(whole))
    cached = [path.relative_to(whole) for path in whole.glob("w/cache/**/*") if path.is_file()]
    assert any("verdicts" in path.name for path in cached)
    for number, keep in enumerate((0.5, 0.0)):
        folder = copied(states.folder("dataset"), tmp_path / f"torn{number}")
        for path in cached:
            content = (whole / path).read_bytes()
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content[: int(len(content) * keep)])
        for make in words:
            states.afs.must(*make(folder))
        assert state(folder) == state(whole)
