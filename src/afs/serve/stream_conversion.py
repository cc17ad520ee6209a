"""A stream of chat chunks as the events of another dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import msgspec


class DialectEvents(Protocol):
    """What a dialect shows of the chunks of a chat."""

    def feed(self, chunk: dict[str, Any]) -> Sequence[bytes]:
        """The events for one chunk."""
        ...

    def finish(self) -> Sequence[bytes]:
        """The last events."""
        ...

    def wait(self) -> bytes:
        """What keeps the connection open while the model works."""
        ...


async def convert_stream(stream: AsyncIterator[bytes], events: DialectEvents) -> AsyncIterator[bytes]:
    """The events of a stream, however its bytes are cut."""
    rest = b""
    try:
        async for piece in stream:
            *blocks, rest = (rest + piece).split(b"\n\n")
            for block in blocks:
                if block.startswith(b"data: {"):
                    for event in events.feed(msgspec.json.decode(block[6:], type=dict[str, Any])):
                        yield event
                elif block.startswith(b":"):
                    yield events.wait()
        for event in events.finish():
            yield event
    finally:
        await stream.aclose()  # type: ignore[attr-defined]
