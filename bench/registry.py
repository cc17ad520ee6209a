"""Listing a registry of 10,000 entries.

    python bench/registry.py [--small]

Names with one to three versions each, registered in the chain of events; then `afs models list` in a new process (with
Python's start) and inside this one, one lookup, one more registration, and the check of the whole chain.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from afs import artifacts, jsonl
from afs.registry import Registry, chain_problems
from afs.registry.event_log import START, Event
from afs.registry.registry_commands import ModelsListConfig, list_models
from afs.workspace import Workspace


def events(count: int) -> list[Event]:
    made: list[Event] = []
    for number in range(count):
        name, ref = f"expert-{number // 2:05d}", f"model-{number // 2:05d}@{number % 2 + 1}"
        version = {"digest": f"{number:064x}", "form": "adapter", "base": "base@1"}
        for action, fields in (("register", {"version": version}), ("alias", {"aliases": {"candidate": ref}})):
            made.append(
                Event(
                    number=len(made) + 1,
                    time=1e9 + number,
                    action=action,
                    name=name,
                    ref=ref,
                    fields=fields,
                    previous=made[-1].hash if made else START,
                ).sealed()
            )
    return made


def timed(label: str, work: object) -> None:
    seconds = []
    for _ in range(5):
        started = time.monotonic()
        work()
        seconds.append(time.monotonic() - started)
    print(f"{label:44} {min(seconds) * 1000:8.1f} ms")


def children() -> float:
    """CPU seconds of all processes waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    count = 500 if parser.parse_args().small else 10_000
    with tempfile.TemporaryDirectory() as name:
        workspace = Workspace.create(Path(name) / "w")
        registry = Registry(workspace)
        registry.log.path.parent.mkdir(exist_ok=True)
        jsonl.append(registry.log.path, events(count))
        size = registry.log.path.stat().st_size / 1e6
        print(f"{count} versions of {count // 2} names, {size:.1f} MB of events, load {os.getloadavg()[0]:.1f}")
        started = time.monotonic()
        list_models(ModelsListConfig(), workspace)
        print(f"{'list, first time after a change':44} {(time.monotonic() - started) * 1000:8.1f} ms")
        timed("list, in this process", lambda: list_models(ModelsListConfig(), workspace))
        command = [sys.executable, "-m", "afs", "models", "list", "--json", "--workspace", str(workspace.root)]
        before = children()
        timed("afs models list --json, a new process", lambda: subprocess.run(command, capture_output=True, check=True))
        print(f"{'its CPU time':44} {(children() - before) / 5 * 1000:8.1f} ms")
        help_only = [sys.executable, "-m", "afs", "models", "list", "--help"]
        timed("of which start (--help)", lambda: subprocess.run(help_only, capture_output=True, check=True))
        timed("look up one name", lambda: registry.entry(f"expert-{count // 4:05d}"))
        with artifacts.store_artifact(workspace, "new", form="adapter") as pending:
            (pending.folder / "x").write_text("x")
        for label in ("register one, registry.toml made anew", "register one more (two events)"):
            started = time.monotonic()
            registry.register(f"newcomer-{len(label)}", "new@1")
            print(f"{label:44} {(time.monotonic() - started) * 1000:8.1f} ms")
        timed("check the whole chain", lambda: chain_problems(registry.log.read()))


if __name__ == "__main__":
    main()
