"""Verdicts remembered from several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from afs.types import Verdict
from afs.verify import VerdictCache


def test_several_threads_remember_verdicts_at_once(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "verdicts.db")

    def remember(number: int) -> bool:
        rows = {f"{number}-{i}": Verdict(task=str(i), ok=True, score=1.0, stage="match") for i in range(20)}
        cache.put(rows)
        return cache.get(list(rows)) == rows

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(remember, range(200)))
    cache.close()
