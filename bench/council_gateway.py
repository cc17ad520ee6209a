"""The gateway beside its model's own server: first token, 200 streams, memory: python bench/council_gateway.py

A stub server sends 20 tokens at 20 ms. `--peer COMMAND` starts another proxy in front of the same stub, in this run;
`{stub}` and `{port}` in it are filled in.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from afs.council import Council
from afs.council.reply_check import ReplyChecker
from afs.providers import provider
from afs.serve import upstream_client
from afs.serve.gateway import Gateway
from afs.types import Expert

TOKENS, PAUSE_S = 20, 0.02
BODY = {"model": "council", "messages": [{"role": "user", "content": "Say something."}], "stream": True}


async def words() -> AsyncIterator[bytes]:
    for number in range(TOKENS + 1):
        last = number == TOKENS
        choice = {"index": 0, "delta": {} if last else {"content": "word "}, "finish_reason": "stop" if last else None}
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
        await asyncio.sleep(PAUSE_S)
    yield b"data: [DONE]\n\n"


async def answer(request: Request) -> Response:
    if not (await request.json()).get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": "word " * TOKENS}, "finish_reason": "stop"}
        return JSONResponse({"id": "x", "model": "m", "choices": [choice]})
    return StreamingResponse(words(), media_type="text/event-stream")


def run_role(role: str, port: int, stub: str) -> None:
    """One of the servers, in a process of its own."""
    if role == "stub":
        app: object = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    else:
        model = provider("openai:m", {"base_url": stub})
        seat = (Expert(name="din", model="m"), model)
        app = Gateway(Council({"din": seat}, None, None, ReplyChecker()), concurrency=256).app()
    parts = {"http": "h11", "loop": "asyncio"} if role == "stub" else {}
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", **parts)  # type: ignore[arg-type]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


async def one(url: str) -> tuple[float, float]:
    """(first token, whole) in seconds."""
    began, first = time.perf_counter(), 0.0
    async with upstream_client.post(f"{url}/chat/completions", json.dumps(BODY).encode(), {}, 60) as reply:
        async for line in reply.lines():
            if b'"content"' in line and not first:
                first = time.perf_counter() - began
    return first, time.perf_counter() - began


async def measure(name: str, url: str, pid: int) -> None:
    await one(url)
    firsts = sorted([(await one(url))[0] * 1e3 for _ in range(30)])
    began, spent = time.perf_counter(), cpu_s(pid)
    many = await asyncio.gather(*(one(url) for _ in range(200)), return_exceptions=True)
    wall, errors = time.perf_counter() - began, sum(isinstance(row, BaseException) or not row[0] for row in many)
    print(
        f"{name:<10} first token p50 {statistics.median(firsts):.1f} ms, p99 {firsts[-1]:.1f} ms; "
        f"200 streams {wall:.2f} s, {cpu_s(pid) - spent:.2f} s CPU, {errors} errors; {rss_mb(pid):.0f} MB"
    )


def rss_mb(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def wait_for(url: str, seconds: float = 150) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            await one(url)
            return
        except upstream_client.UpstreamError:
            await asyncio.sleep(0.2)
    raise SystemExit(f"{url} does not answer")


async def compare(rows: Sequence[tuple[str, str, int]]) -> None:
    for _, url, _ in rows:
        await wait_for(url)
    for _ in range(2):
        for row in rows:
            await measure(*row)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--role", default="")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stub", default="")
    parser.add_argument("--peer", default="", help="command of another proxy; {stub} and {port} are filled in")
    options = parser.parse_args()
    if options.role:
        return run_role(options.role, options.port, options.stub)
    ports = [free_port() for _ in range(3)]
    stub = f"http://127.0.0.1:{ports[0]}/v1"
    me = [sys.executable, __file__]
    commands = [
        [*me, "--role", "stub", "--port", str(ports[0])],
        [*me, "--role", "gateway", "--port", str(ports[1]), "--stub", stub],
    ]
    if options.peer:
        commands.append(options.peer.format(stub=stub, port=ports[2]).split())
    children = [subprocess.Popen(command, env=os.environ) for command in commands]
    names = ["direct", "gateway", "peer"]
    try:
        rows = [(n, f"http://127.0.0.1:{p}/v1", c.pid) for n, p, c in zip(names, ports, children, strict=False)]
        asyncio.run(compare(rows))
    finally:
        for child in children:
            child.terminate()
            child.wait()


if __name__ == "__main__":
    main()
