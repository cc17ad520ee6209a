"""Three minutes at 50 requests a second, the model's server killed again and again: python bench/gateway_soak.py

Half of the requests are streams. Each must end in an answer or in a clear error: an error object, or an error event
that ends the stream. A connection that just ends, or a stream without an end, is counted as lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from council_gateway import BODY, cpu_s, free_port, rss_mb, wait_for

from afs.serve import upstream_client

BENCH = Path(__file__).with_name("council_gateway.py")


async def ask(url: str, number: int, found: Counter[str], seconds: list[float]) -> None:
    """One request, and how it ended."""
    is_stream = number % 2 == 0
    began = time.perf_counter()
    body = json.dumps({**BODY, "stream": is_stream}).encode()
    try:
        async with upstream_client.post(f"{url}/chat/completions", body, {}, 60) as reply:
            raw = await reply.read()
            found[judge(reply.status, raw, is_stream)] += 1
    except upstream_client.UpstreamError as error:
        found[f"lost: {error}"[:80]] += 1
    seconds.append(time.perf_counter() - began)


def judge(status: int, raw: bytes, is_stream: bool) -> str:
    """What a client was given."""
    if status != 200:
        try:
            return f"error {status} {json.loads(raw)['error']['code']}"
        except (ValueError, KeyError, TypeError):
            return f"lost: {status} without an error object"
    if not is_stream:
        return "answered" if b'"choices"' in raw else "lost: 200 without an answer"
    if raw.rstrip().endswith(b"data: [DONE]"):
        return "answered"
    return "error event" if b'data: {"error"' in raw else "lost: a stream without an end"


async def soak(url: str, rate: float, seconds: float) -> tuple[Counter[str], list[float]]:
    """Requests at a fixed rate, whatever becomes of earlier ones."""
    found: Counter[str] = Counter()
    took: list[float] = []
    tasks = []
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(url, number, found, took)))
    await asyncio.gather(*tasks)
    return found, took


async def restart(stub: list[str], every: float, children: list[subprocess.Popen[bytes]], count: list[int]) -> None:
    """Kill the model's server and start it again."""
    while True:
        await asyncio.sleep(every)
        children[0].kill()
        children[0].wait()
        children[0] = subprocess.Popen(stub)
        count[0] += 1


async def run(given: argparse.Namespace) -> None:
    """Both servers, the load and the restarts."""
    ports = [free_port(), free_port()]
    stub = [sys.executable, str(BENCH), "--role", "stub", "--port", str(ports[0])]
    address = f"http://127.0.0.1:{ports[0]}/v1"
    gateway = [sys.executable, str(BENCH), "--role", "gateway", "--port", str(ports[1]), "--stub", address]
    children = [subprocess.Popen(stub), subprocess.Popen(gateway)]
    url = f"http://127.0.0.1:{ports[1]}/v1"
    count = [0]
    try:
        await wait_for(url)
        killer = asyncio.create_task(restart(stub, given.restart_every, children, count))
        found, took = await soak(url, given.rate, given.seconds)
        killer.cancel()
        took.sort()
        print(f"{sum(found.values())} requests, {count[0]} kills, gateway {cpu_s(children[1].pid):.1f} s CPU, ", end="")
        print(f"{rss_mb(children[1].pid):.0f} MB; p50 {took[len(took) // 2]:.2f} s, longest {took[-1]:.2f} s")
        print("\n".join(f"{n:>7}  {name}" for name, n in found.most_common()))
        print(f"lost: {sum(n for name, n in found.items() if name.startswith('lost'))}")
    finally:
        for child in children:
            child.kill()
            child.wait()


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--restart_every", type=float, default=10)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
