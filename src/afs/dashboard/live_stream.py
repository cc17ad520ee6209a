"""What changes on an open page, as server-sent events: parts that differ, and new points of the run that it follows.

Every viewer of a page shares one rendering. The id of an event is the last step sent, so a reconnect misses nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import anyio
import msgspec

from afs.dashboard.dashboard_state import LOOK_S, Views
from afs.dashboard.page_parts import Page, PagePart
from afs.dashboard.pages_by_name import NOTHING, Query, build_page
from afs.dashboard.run_charts import new_points

_EVERY_S = 0.5
_BEAT_S = 10.0
_KEEP_S = 60.0


class _Rendering(NamedTuple):
    at: float
    page: Page | None


class Renderings:
    """Pages as they are now, each built once for all its viewers."""

    def __init__(self, views: Views) -> None:
        self.views = views
        self._known: dict[tuple[str, str], _Rendering] = {}
        self._lock = threading.Lock()

    def page(self, name: str, query: Query = NOTHING) -> Page | None:
        """The page, at most `LOOK_S` old."""
        key, now = (name, repr(sorted(query.items()))), time.monotonic()
        with self._lock:
            known = self._known.get(key)
            if known is not None and now - known.at < LOOK_S:
                return known.page
            self.views.look()
            page = build_page(self.views, name, query)
            self._known = {k: r for k, r in self._known.items() if now - r.at < _KEEP_S}
            self._known[key] = _Rendering(time.monotonic(), page)
            return page


class _Sent:
    """What one viewer has."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[int, float]] = {}

    def news(self, page: Page) -> list[PagePart]:
        """Parts that differ from what was sent, each no more often than it wants; fixed ones when they first appear."""
        found = []
        now = time.monotonic()
        for part in page.sections:
            known = self.parts.get(part.key)
            key = hash(part.body)
            if part.every_s < 0:
                is_first = known is not None and known[0] == hash("") and part.body != ""
                if is_first:
                    found.append(part)
                if known is None or is_first:
                    self.parts[part.key] = (key, now)
                continue
            if known is not None and (known[0] == key or now - known[1] < part.every_s):
                continue
            self.parts[part.key] = (key, now)
            found.append(part)
        return found


def _event(kind: str, value: object, number: str) -> bytes:
    return f"id: {number}\nevent: {kind}\ndata: ".encode() + msgspec.json.encode(value) + b"\n\n"


async def stream_news(
    renderings: Renderings, name: str, query: Query, after: int, rewinds: int | None
) -> AsyncIterator[bytes]:
    """The events of one viewer until it leaves; `after` is the last step it has, `rewinds` the run's state then."""
    sent, beat = _Sent(), time.monotonic()
    yield b"retry: 1000\n\n"
    while True:
        page = await anyio.to_thread.run_sync(renderings.page, name, query)
        if page is None:
            return
        run = renderings.views.run(page.follows) if page.follows else None
        track = run.track if run else None
        if track is not None and rewinds is None:
            rewinds = track.rewinds
        number = f"{track.step if track else 0}.{track.rewinds if track else 0}"
        news = sent.news(page)
        for part in news:
            yield _event("part", {"key": part.key, "html": str(part.body)}, number)
        if track is not None and rewinds != track.rewinds:
            rewinds, after = track.rewinds, track.step
            yield _event("again", {}, number)
        elif track is not None and track.step > after:
            points = new_points(track, after)
            after = track.step
            yield _event("points", points, number)
        elif not news and time.monotonic() - beat > _BEAT_S:
            beat = time.monotonic()
            yield b": beat\n\n"
        await asyncio.sleep(_EVERY_S)
