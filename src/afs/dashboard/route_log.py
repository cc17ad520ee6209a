"""The log of routes, `events/routes.jsonl`, when a gateway writes one: counted by expert, the latest in full."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from afs.dashboard.event_lines import open_plain, parse_time, split_lines
from afs.dashboard.page_parts import format_moment

_MOST = 1 << 20
_LATEST = 50


class RouteShares(NamedTuple):
    """What the end of the log says."""

    by_expert: list[Sequence[object]]
    latest: list[Sequence[object]]


def read_routes(root: Path) -> RouteShares | None:
    """The last megabyte of the log; None without one."""
    try:
        handle = open_plain(root / "events" / "routes.jsonl")
    except OSError:
        return None
    try:
        start = max(0, os.fstat(handle).st_size - _MOST)
        block = os.pread(handle, _MOST, start)
    finally:
        os.close(handle)
    rows = [line.event for line in split_lines(block, start) if line.event is not None]
    groups: dict[str, list[dict[str, object]]] = defaultdict(list)
    for row in rows:
        groups[str(row.get("expert") or "fallback")].append(row)
    shares = [_share(name, found) for name, found in sorted(groups.items())]
    latest = [_line(row) for row in reversed(rows[-_LATEST:])]
    return RouteShares(shares, latest)


def _share(name: str, rows: Sequence[dict[str, object]]) -> Sequence[object]:
    seconds = [float(s) for row in rows if isinstance(s := row.get("seconds"), int | float)]
    verdicts = [row.get("ok") for row in rows]
    middle = f"{median(seconds):.2f} s" if seconds else "unknown"
    return (name, len(rows), verdicts.count(True), verdicts.count(False), verdicts.count(None), middle)


def _line(row: dict[str, object]) -> Sequence[object]:
    moment = parse_time(row.get("time"))
    ok = row.get("ok")
    said = "passed" if ok is True else "refuted" if ok is False else str(row.get("stage") or "not checked")
    when = format_moment(moment) if moment else ""
    return (when, str(row.get("expert") or "fallback"), said, str(row.get("seconds", "")))
