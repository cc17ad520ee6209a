"""How many requests are answered at once, how many may wait, and how large and slow a body may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request

from afs.serve.error_responses import Refusal

LARGEST_BODY = 16 << 20
BODY_S = 20.0
"""A body that takes longer is not a client's but an attack, or a broken connection."""
MOST_WAITING = 256


class Admission:
    """A gate for so many requests at once, with a bounded queue before it."""

    def __init__(self, concurrency: int, waiting: int = MOST_WAITING) -> None:
        self._gate, self._most = asyncio.Semaphore(concurrency), waiting
        self.waiting = 0

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Wait for a turn; 429 when the queue is full."""
        if self.waiting >= self._most:
            raise Refusal(429, "too many requests are waiting", code="queue_full", headers={"retry-after": "2"})
        self.waiting += 1
        try:
            await self._gate.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._gate.release()


async def read_body(request: Request, largest: int = LARGEST_BODY) -> dict[str, Any]:
    """The JSON object of a request; one that says it is too large is not read."""
    stated = request.headers.get("content-length", "0")
    if stated.isdigit() and int(stated) > largest:
        raise Refusal(413, f"the body has {stated} bytes; at most {largest} are read", code="body_too_large")
    try:
        raw = await asyncio.wait_for(_collect(request, largest), BODY_S)
    except TimeoutError as error:
        problem = Refusal(408, f"the body did not arrive in {BODY_S:g} s", headers={"connection": "close"})
        raise problem from error
    except ClientDisconnect as error:
        raise Refusal(400, "the client went away") from error
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"the body is not a JSON object: {error}", code="invalid_json") from error


async def _collect(request: Request, largest: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > largest:
            raise Refusal(413, f"the body has more than {largest} bytes", code="body_too_large")
        parts.append(part)
    return b"".join(parts)
