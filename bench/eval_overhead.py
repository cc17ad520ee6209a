"""What `afs eval run` costs beside the model's own time: a stub endpoint with a fixed delay, against a bare client.

The same questions go to the same stub over the same number of connections, first by a bare loop of threads, then by the
runner that stores every answer durably, then (with --inspect) by inspect_ai. On a loaded machine trust the CPU column.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from afs import answer_verifier, datasets, plugins
from afs.evaluate import ask_models
from afs.evaluate.ask_models import OpenedModel, Terms
from afs.evaluate.suites import from_pack
from afs.providers.base import Sampling, provider

DELAY, CONCURRENCY = 0.1, 16


class Stub(BaseHTTPRequestHandler):
    """Answers after a fixed time."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        time.sleep(DELAY)
        choice = {"message": {"role": "assistant", "content": "12"}, "finish_reason": "stop"}
        answer = json.dumps({"model": body["model"], "choices": [choice], "usage": {}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    """Takes many connections at once."""

    request_queue_size = 128
    daemon_threads = True


class Spent(NamedTuple):
    """Seconds by the clock, and of the processor (client and stub share the process)."""

    wall: float
    cpu: float

    def since(self) -> Spent:
        """What has passed."""
        return Spent(time.monotonic() - self.wall, time.process_time() - self.cpu)


def now() -> Spent:
    """The clocks."""
    return Spent(time.monotonic(), time.process_time())


def main() -> None:
    items = 320 if "--small" in sys.argv else 1600
    server = Server(("127.0.0.1", 0), Stub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = {"base_url": f"http://127.0.0.1:{server.server_port}/v1"}
    suite = from_pack("sums", ("add", "multiply", "sort", "reverse"), 0, items // 4)
    sampling, ideal = Sampling(), len(suite.items) * DELAY / CONCURRENCY
    print(f"{len(suite.items)} items, stub answers after {DELAY} s, {CONCURRENCY} at once: {ideal:.2f} s at best")

    each = 1000 / len(suite.items)

    def told(name: str, spent: Spent, bare: Spent | None = None) -> None:
        beside = ""
        if bare is not None:
            more = each * (spent.wall - bare.wall), each * (spent.cpu - bare.cpu)
            beside = f", beside it {more[0]:+.2f} ms, CPU {more[1]:+.2f} ms"
        print(f"  {name:<26} {spent.wall:7.2f} s   {each * (spent.wall - ideal):6.2f} ms per item{beside}")

    model = provider("openai:stub", options)
    turns = [datasets.task_messages(item.task.prompt) for item in suite.items]
    started = now()
    with ThreadPoolExecutor(CONCURRENCY) as threads:
        list(threads.map(lambda messages: model.complete(messages, sampling), turns))
    bare = started.since()
    told("bare client", bare)
    with tempfile.TemporaryDirectory() as folder:
        terms = Terms(suite, suite.digest, sampling, 1, CONCURRENCY, Path(folder) / "answers.jsonl")
        asked = OpenedModel(provider("openai:stub", options), "", endpoint=True)
        started = now()
        ask_models.ask_all(terms, asked)
        asked_in = started.since()
        told("runner, answers durable", asked_in, bare)
        started = now()
        with answer_verifier.Verifier(jobs=2) as verifier:
            list(verifier.verify_all((item.task, "12") for item in suite.items))
        judged = started.since()
        told("… and judged afterwards", Spent(asked_in.wall + judged.wall, asked_in.cpu + judged.cpu), bare)
        if "--inspect" in sys.argv:
            engine = plugins.load("afs.evaluate.inspect_engine:InspectSettings")
            terms = terms._replace(path=Path(folder) / "inspect.jsonl")
            started = now()
            settings = engine(
                Path(folder) / "logs", lambda item, text: answer_verifier.check_answer(item.task, text), 60.0, 0
            )
            plugins.load("afs.evaluate.inspect_engine:ask_with_inspect")(terms, asked, settings)
            told("engine inspect, scored", started.since(), bare)
    server.shutdown()


if __name__ == "__main__":
    main()
