"""The latest routes of the council, `council/routes.jsonl`: counted by expert; questions are hashes."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from afs.council.reply_log import RouteRow
from afs.dashboard.event_lines import open_plain
from afs.dashboard.page_parts import format_moment

ROUTES = "council/routes.jsonl"
_MOST = 1 << 20
_LATEST = 50


class RouteShares(NamedTuple):
    """What the end of the log says."""

    by_expert: list[Sequence[object]]
    latest: list[Sequence[object]]


def read_routes(root: Path) -> RouteShares | None:
    """The last megabyte of the log; None without one."""
    try:
        handle = open_plain(root / ROUTES)
    except OSError:
        return None
    try:
        start = max(0, os.fstat(handle).st_size - _MOST)
        block = os.pread(handle, _MOST, start)
    finally:
        os.close(handle)
    rows = [row for line in block.split(b"\n")[1 if start else 0 : -1] if (row := _decode(line)) is not None]
    groups: dict[str, list[RouteRow]] = defaultdict(list)
    for row in rows:
        groups[row.expert or "the base"].append(row)
    shares = [_share(name, found, len(rows)) for name, found in sorted(groups.items())]
    return RouteShares(shares, [_line(row) for row in reversed(rows[-_LATEST:])])


def _decode(line: bytes) -> RouteRow | None:
    try:
        return msgspec.json.decode(line, type=RouteRow)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _share(name: str, rows: Sequence[RouteRow], total: int) -> Sequence[object]:
    verdicts = Counter(row.verdict or "not checked" for row in rows)
    said = ", ".join(f"{stage} {count:,}" for stage, count in verdicts.most_common())
    seconds = sorted(row.seconds for row in rows)
    slow = seconds[int(len(seconds) * 0.95)]
    return (name, len(rows), f"{len(rows) / total:.0%}", said, f"{median(seconds):.2f} s / {slow:.2f} s")


def _line(row: RouteRow) -> Sequence[object]:
    best = max(row.route.items(), key=lambda pair: pair[1], default=None)
    sure = f"{best[0]} {best[1]:.0%}" if best else ""
    how = "chosen by the user" if row.override else "abstained" if row.abstained else sure
    return (format_moment(row.at), row.expert or "the base", how, row.verdict or "not checked", f"{row.seconds:.2f} s")
