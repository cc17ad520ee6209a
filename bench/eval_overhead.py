"""What `afs eval run` costs beside the model's own time: a stub endpoint with a fixed delay, against a bare client.

The same questions go to the same stub over the same number of connections, first by a bare loop of threads, then by the
runner that stores every answer durably, then (with --inspect) by inspect_ai.
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

from afs import datasets, plugins, verify
from afs.evaluate import asking
from afs.evaluate.asking import Asked, Terms
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


def main() -> None:
    items = 320 if "--small" in sys.argv else 1600
    server = Server(("127.0.0.1", 0), Stub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = {"base_url": f"http://127.0.0.1:{server.server_port}/v1"}
    suite = from_pack("sums", ("add", "multiply", "sort", "reverse"), 0, items // 4)
    sampling, ideal = Sampling(), len(suite.items) * DELAY / CONCURRENCY
    print(f"{len(suite.items)} items, stub answers after {DELAY} s, {CONCURRENCY} at once: {ideal:.2f} s at best")

    def told(name: str, seconds: float, bare: float | None = None) -> None:
        beside = "" if bare is None else f", {1000 * (seconds - bare) / len(suite.items):+.2f} ms per item beside it"
        print(f"  {name:<26} {seconds:7.2f} s   {1000 * (seconds - ideal) / len(suite.items):6.2f} ms per item{beside}")

    model = provider("openai:stub", options)
    turns = [datasets.task_messages(item.task.prompt) for item in suite.items]
    started = time.monotonic()
    with ThreadPoolExecutor(CONCURRENCY) as threads:
        list(threads.map(lambda messages: model.complete(messages, sampling), turns))
    bare = time.monotonic() - started
    told("bare client", bare)
    with tempfile.TemporaryDirectory() as folder:
        terms = Terms(suite, suite.digest, sampling, 1, CONCURRENCY, Path(folder) / "answers.jsonl")
        asked = Asked(provider("openai:stub", options), "", endpoint=True)
        started = time.monotonic()
        asking.ask_all(terms, asked)
        asked_in = time.monotonic() - started
        told("runner, answers durable", asked_in, bare)
        started = time.monotonic()
        with verify.Verifier(jobs=2) as verifier:
            list(verifier.verify_all((item.task, "12") for item in suite.items))
        told("… and judged afterwards", asked_in + time.monotonic() - started, bare)
        if "--inspect" in sys.argv:
            engine = plugins.load("afs.evaluate.inspecting:Engine")
            terms = terms._replace(path=Path(folder) / "inspect.jsonl")
            started = time.monotonic()
            settings = engine(Path(folder) / "logs", lambda item, text: verify.check(item.task, text), 60.0, 0)
            plugins.load("afs.evaluate.inspecting:ask_all")(terms, asked, settings)
            told("engine inspect, scored", time.monotonic() - started, bare)
    server.shutdown()


if __name__ == "__main__":
    main()
