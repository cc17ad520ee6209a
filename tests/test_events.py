"""Rotation and progress of the event log."""

from __future__ import annotations

from pathlib import Path

from afs.events import EventLog, add_listener, remove_listener


def test_files_rotate_and_the_oldest_goes(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "e.jsonl", limit=300, keep=2)
    for number in range(20):
        log.event("tick", number=number)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.jsonl", "e.jsonl.1", "e.jsonl.2"]
    assert all(p.stat().st_size <= 300 for p in tmp_path.iterdir())


def test_tracking_passes_everything_through_and_reports(tmp_path: Path) -> None:
    heard: list[object] = []
    add_listener(heard.append)
    try:
        log = EventLog(None, {"who": "test"})
        assert list(log.track(range(5), "things", 5, every_s=0.0)) == [0, 1, 2, 3, 4]
    finally:
        remove_listener(heard.append)
    last = heard[-1]
    assert isinstance(last, dict)
    assert (last["event"], last["done"], last["total"], last["who"]) == ("progress", 5, 5, "test")
