"""Whether the registry's log can be trusted: an unbroken chain that continues what was last rendered.

Checked before every change, since what is appended to a damaged log would make the damage look whole, and before
anything is read that decides what is used or shipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from afs.errors import DataError
from afs.registry.event_log import Event, RegistryLog, chain_problems
from afs.registry.toml_view import read_head


def read_trusted(log: RegistryLog) -> list[Event]:
    """Every event of a log that is whole; raises when it is damaged."""
    events = log.read()
    problems = [*chain_problems(events), *rendered_problems(log, events)]
    if problems:
        raise DataError(
            f"{log.path}: the registry's log is damaged ({problems[0]}); nothing was changed; "
            "restore it from a backup (`afs models verify` lists all problems)"
        )
    return events


@contextmanager
def change_registry(log: RegistryLog) -> Iterator[list[Event]]:
    """Hold the registry's lock for a change; raises when the log is damaged. Gives the events so far."""
    with log.locked():
        yield read_trusted(log)


def rendered_problems(log: RegistryLog, events: list[Event]) -> Iterator[str]:
    """Where the log no longer holds what `registry.toml` was rendered from."""
    rendered = log.workspace.root / "registry.toml"
    if not rendered.is_file():
        return
    number, head = read_head(rendered)
    if number > len(events):
        yield f"registry.toml was rendered at event {number}, the log has {len(events)}: the log was truncated"
    elif number and events[number - 1].hash != head:
        yield f"registry.toml was rendered from a different event {number}: the log was replaced"
