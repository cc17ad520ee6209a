"""A chat server for the benchmarks of campaigns: raw asyncio, right answers to `add`, a bill, limits and faults.

It simulates the wire format; figures measured with it say nothing about a provider. `GET /stats` gives what it counted.
Usage: campaigns_stub.py PORT [delay_s] [limit] [window_s] [fault_share] [seed]
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections import Counter, deque

IN_FLIGHT = b'{"error": {"code": 402, "metadata": {"limit_source": "openrouter_in_flight_budget"}}}'
PRICE = 1000
"""Billionths of a dollar per token, each way: one dollar per million."""


class Stub:
    """What the server knows."""

    def __init__(self, words: list[str]) -> None:
        self.delay = float(words[0]) if words else 0.05
        self.limit = int(words[1]) if len(words) > 1 else 0
        self.window = float(words[2]) if len(words) > 2 else 10.0
        self.faults = float(words[3]) if len(words) > 3 else 0.0
        self.random = random.Random(int(words[4]) if len(words) > 4 else 0)
        self.passed: deque[float] = deque()
        self.asked: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.times: list[tuple[float, int]] = []
        self.bill = self.in_flight = self.peak = 0
        self.first = self.last = 0.0

    def stats(self) -> bytes:
        """Everything counted, as JSON."""
        return json.dumps({
            "calls": self.asked.total(), "questions": len(self.asked), "statuses": self.statuses, "bill": self.bill,
            "peak": self.peak, "seconds": self.last - self.first, "times": self.times, "first": self.first,
            "repeats": sum(count - 1 for count in self.asked.values()),
        }).encode()  # fmt: skip

    async def answer(self, raw: bytes) -> tuple[int, bytes, str]:
        """Status, body and further headers."""
        now = time.time()
        self.first = self.first or now
        self.last = now
        body = json.loads(raw)
        question = str((body.get("messages") or [{"content": ""}])[-1]["content"])
        limited = self.wait(now)
        self.times.append((now, 429 if limited else 200))
        if limited:
            error = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
            return 429, json.dumps(error).encode(), f"retry-after: {limited:.3f}\r\n"
        self.asked[question] += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        await asyncio.sleep(self.delay)
        self.in_flight -= 1
        if self.random.random() < self.faults:
            return self.fault()
        return 200, self.right(question), ""

    def wait(self, now: float) -> float:
        """Seconds to wait for a place in the sliding window; 0: there is one, and it is taken."""
        if not self.limit:
            return 0.0
        while self.passed and self.passed[0] <= now - self.window:
            self.passed.popleft()
        if len(self.passed) >= self.limit:
            return max(0.001, self.passed[0] + self.window - now)
        self.passed.append(now)
        return 0.0

    def right(self, question: str) -> bytes:
        """The sum, charged."""
        text = str(sum(int(n) for n in re.findall(r"\d+", question)))
        used = {"prompt_tokens": len(question), "completion_tokens": len(text)}
        self.bill += PRICE * (len(question) + len(text))
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
                           "usage": used | {"total_tokens": len(question) + len(text)}}).encode()  # fmt: skip

    def fault(self) -> tuple[int, bytes, str]:
        """One of the faults of the table, none of them charged."""
        return self.random.choice([
            (429, b'{"error": {"message": "slow"}}', "retry-after-ms: 20\r\n"),
            (429, b'{"error": {"message": "slow"}}', ""),
            (503, b"<html>down</html>", ""),
            (529, b'{"error": {"type": "overloaded_error"}}', ""),
            (402, IN_FLIGHT, "retry-after: 0.02\r\n"),
            (200, b'{"error": {"code": 503, "message": "inner"}}', ""),
            (500, b"", ""),
        ])  # fmt: skip

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = re.search(rb"content-length: *(\d+)", head, re.I)
                raw = await reader.readexactly(int(found[1])) if found else b""
                if head.startswith(b"GET"):
                    status, content, more = 200, self.stats(), ""
                else:
                    status, content, more = await self.answer(raw)
                    self.statuses[status] += 1
                lines = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{more}content-length: "
                writer.write(lines.encode() + b"%d\r\n\r\n" % len(content) + content)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(Stub(sys.argv[2:]).serve, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
