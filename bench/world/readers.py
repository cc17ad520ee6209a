"""Readers of agent sessions on published files: what each one finds, how fast, and that its account adds up.

python bench/world/readers.py --corpus KIND=PATH [--corpus …]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

from afs.gc_pause import pause_collector
from afs.ingest.base import Reading, open_balance
from afs.ingest.read_unit import make_source
from afs.types import Dropped, Record


def measure(kind: str, place: Path) -> Counter[str]:
    """The account of every file of a corpus."""
    source, total = make_source(kind, {}), Counter[str]()
    for unit in source.units(place):
        reading = Reading(unit, source="world", domain="general")
        items = [] if unit.problem else list(source.read(unit, reading))
        total.update(
            {key: n for key, n in reading.counts.items() if "calls" in key or "typed" in key or "recogn" in key}
        )
        total["files"] += 1
        total["bytes"] += unit.path.stat().st_size
        total["left alone"] += bool(unit.problem)
        total["records"] += sum(isinstance(item, Record) for item in items)
        total["unreadable"] += len(reading.unreadable)
        total["unaccounted"] += abs(open_balance(reading.counts, "calls")) + abs(
            open_balance(reading.counts, "typed turns")
        )
        total.update(f"drop: {item.reason}" for item in items if isinstance(item, Dropped))
    return total


def main() -> None:
    """One line per corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", required=True, metavar="KIND=PATH")
    for corpus in parser.parse_args().corpus:
        kind, _, place = corpus.partition("=")
        started = time.process_time()
        with pause_collector():
            found = measure(kind, Path(place))
        found["MB/CPU s"] = round(found.pop("bytes") / 1e6 / (time.process_time() - started))
        print(f"{kind}: " + ", ".join(f"{key} {n}" for key, n in sorted(found.items()) if n))


if __name__ == "__main__":
    main()
