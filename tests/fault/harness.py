"""Kills a command at random moments from outside, runs it again, and compares what is stored with an uninterrupted run."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from afs.registry.event_log import RegistryLog
from afs.types import Report, digest
from afs.workspace import MANIFEST, Workspace

_TIMES = ("time", "seconds", "finished", "started", "run", "latency_s", "seal")
"""Keys that differ between two runs of the same work; a seal covers the others."""


class Case(NamedTuple):
    """A verb: the state before it, by name, and the command in a folder."""

    name: str
    before: str
    words: Callable[[Path], list[str]]
    ends: int = 0
    """The exit code of an uninterrupted run."""

    def state(self, folder: Path) -> dict[str, object]:
        """What a folder holds after the verb; a refusal leaves a run that failed."""
        return state(folder, ("done", "running", "failed") if self.ends else ("done", "running"))


class Afs:
    """A server that runs commands in forked children."""

    def __init__(self, log: Path) -> None:
        self.log = log
        server = Path(__file__).with_name("fork_server.py")
        environment = {**os.environ, "FAULT_LOG": str(log), "OMP_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, str(server)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(
        self,
        words: list[str],
        kill_after_s: float | None = None,
        limits: Mapping[str, int] = {},
        clock_s: float = 0.0,
        kill_at: tuple[str, int] | None = None,
    ) -> int:
        """The exit code; with `kill_after_s` the child is killed then, unless it has ended; see fork_server."""
        assert self._server.stdin is not None and self._server.stdout is not None
        asked = {"words": words, "limits": dict(limits), "clock_s": clock_s, "kill_at": kill_at}
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        child = int(self._server.stdout.readline())
        if kill_after_s is not None:
            time.sleep(kill_after_s)  # the moment of the kill is the point of the test
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return int(self._server.stdout.readline())

    def must(self, *words: str, ends: int = 0) -> None:
        """Run a command that has to succeed, or to end with another code."""
        code = self.run(list(words))
        assert code == ends, f"afs {' '.join(words)}: exit {code}\n{self.log.read_text()[-2000:]}"

    def close(self) -> None:
        """End the server."""
        self._server.communicate()


@contextmanager
def serving(folder: Path) -> Iterator[Afs]:
    """A server for as long as the block runs."""
    afs = Afs(folder / "afs.log")
    try:
        yield afs
    finally:
        afs.close()


def differences(case: Case, afs: Afs, before: Path, folder: Path, kills: int, seed: int) -> list[str]:
    """What went wrong in `kills` rounds of killing and rerunning; empty when every round equals the uninterrupted run."""
    whole = folder / "whole"
    shutil.copytree(before, whole)
    started = time.monotonic()
    afs.must(*case.words(whole), ends=case.ends)
    lasted = time.monotonic() - started
    wanted, chance, found, killed, number = case.state(whole), random.Random(f"{case.name}{seed}"), [], 0, 0
    while number < kills or (not killed and number < 4 * kills):
        place = folder / f"killed{number}"
        shutil.copytree(before, place)
        after_s = lasted * chance.random()
        if number >= kills:  # the measured run was slower than these: aim earlier until one is hit
            after_s /= number
        number += 1
        killed += afs.run(case.words(place), after_s) == -signal.SIGKILL
        found += _after_kill(case, afs, place, wanted, f"killed after {after_s:.3f} of {lasted:.3f} s")
    if not killed:
        found.append("no run was killed: the harness proves nothing")
    return found


def differences_at_each_change(case: Case, afs: Afs, before: Path, folder: Path, every: int = 1) -> Iterator[str]:
    """The same for a kill before each change of a file (or before every n-th)."""
    whole = folder / "whole"
    shutil.copytree(before, whole)
    afs.must(*case.words(whole), ends=case.ends)
    wanted = case.state(whole)
    for number in itertools.count(1, every):
        place = folder / f"killed{number}"
        shutil.copytree(before, place)
        if afs.run(case.words(place), kill_at=(str(place), number)) != -signal.SIGKILL:
            break
        yield from _after_kill(case, afs, place, wanted, f"killed before change {number}")
    if number == 1:
        yield "no run was killed: the harness proves nothing"


def _after_kill(case: Case, afs: Afs, place: Path, wanted: Mapping[str, object], when: str) -> list[str]:
    """What the rerun leaves that an uninterrupted run does not; the folder is deleted."""
    found: list[str] = []
    if not (_has_finished_run(place) and case.state(place) == wanted):  # else another rerun would be another run
        code = afs.run(case.words(place))
        if code != case.ends:
            found.append(f"{when}: the second run ends with {code}")
        found += [f"{when}: {line}" for line in _unlike(wanted, case.state(place))]
    shutil.rmtree(place)
    return found


def _has_finished_run(folder: Path) -> bool:
    """Whether the newest run has ended; verbs without runs are simply run again."""
    states = [json.loads(path.read_bytes()) for path in folder.glob("*/runs/*/status.json")]
    newest = max(states, key=lambda row: row["started"], default={"status": ""})
    return newest["status"] in ("done", "failed")


def _unlike(wanted: Mapping[str, object], got: Mapping[str, object]) -> Iterator[str]:
    for key in sorted({*wanted, *got}):
        if wanted.get(key) != got.get(key):
            yield f"{key}: {got.get(key)} instead of {wanted.get(key)}"


def state(folder: Path, statuses: Collection[str] = ("done", "running")) -> dict[str, object]:
    """Everything a workspace holds, by digest, without times and names of runs; and what should not be there."""
    found: dict[str, object] = {}
    for root in [path.parent for path in folder.rglob("afs.toml")]:
        workspace = Workspace(root)
        at = root.relative_to(folder)
        for kind in ("records", "datasets", "models", "reports"):
            for manifest in sorted((root / kind).glob(f"*/*/{MANIFEST}")):
                found[f"{at}/{manifest.parent.relative_to(root)}"] = _content(manifest)
        events = RegistryLog(workspace).read()
        found[f"{at}/events"] = [(e.action, e.name, e.ref, _timeless(e.fields)) for e in events]
        rendered = root / "registry.toml"
        lines = rendered.read_text().splitlines() if rendered.is_file() else []
        found[f"{at}/registry.toml"] = [line for line in lines if not line.startswith(("head", "registered"))]
        for status in (root / "runs").glob("*/status.json"):
            found_status = json.loads(status.read_bytes())["status"]
            assert found_status in statuses, f"{status}: {found_status}"
        found |= {f"{at}/{name}": files(root / name) for name in ("exports", "routers")}
    roots = {path.parent.relative_to(folder).parts[0] for path in folder.rglob("afs.toml")}
    found |= {f"beside/{path.name}": files(path) for path in folder.iterdir() if path.name not in roots}
    found["left over"] = sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.endswith((".tmp", ".part"))
    )
    found["staged"] = sorted(str(path.relative_to(folder)) for path in folder.rglob(".staged-*"))
    return found


def files(folder: Path) -> dict[str, str]:
    """Every file below a folder by digest, JSON without times."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        with suppress(ValueError):
            raw = msgspec.json.encode(_timeless(json.loads(raw)))
        found[str(path.relative_to(folder))] = digest(raw.hex())
    return found


def _content(manifest: Path) -> object:
    table = json.loads(manifest.read_bytes())
    if "suite_digest" in table:
        report = msgspec.convert(table, Report)
        return digest([report.subject, report.suite, report.summary])
    return table["digest"]


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items() if key not in _TIMES}
    if isinstance(value, list):
        return [_timeless(inner) for inner in value]
    return value
