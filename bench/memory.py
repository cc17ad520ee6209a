"""The memory of a process while something runs: its own pages, and those of files that are mapped."""

from __future__ import annotations

import threading
from pathlib import Path


class Memory:
    """The most anonymous and the most mapped memory of this process while the block runs, above that at its start."""

    def __enter__(self) -> Memory:
        self.start, self.most = self.now(), (0.0, 0.0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self._look()

    def _look(self) -> None:
        grown = (now - then for now, then in zip(self.now(), self.start, strict=True))
        self.most = tuple(map(max, self.most, grown))  # type: ignore[assignment]

    @staticmethod
    def now() -> tuple[float, float]:
        """(anonymous, mapped) megabytes."""
        rows = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if "Rss" in line)
        return int(rows["RssAnon"].split()[0]) / 1e3, (int(rows["RssFile"].split()[0])) / 1e3

    def __exit__(self, *_: object) -> None:
        self._look()
        self._over.set()
        self._thread.join()
