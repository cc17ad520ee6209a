"""A workspace, and models with known answers: a replay file written for the items of a suite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from afs import datasets, jsonl, manifests
from afs.evaluate import EvalRunConfig, report_store
from afs.evaluate.suite_types import SuiteItem
from afs.providers.base import Sampling
from afs.providers.replay import Recorded, conversation_key
from afs.runs import Run, RunState
from afs.types import Completion, Usage
from afs.workspace import MANIFEST, Workspace

SAMPLING = Sampling(max_tokens=1024)
_DYING = """
import os, sys
from pathlib import Path
import msgspec
from afs import verbs
from afs.evaluate import EvalRunConfig, EvalProgress
from afs.workspace import MANIFEST, Workspace

call = EvalProgress.__call__


def dying(self, count):
    call(self, count)
    if self.done >= int(sys.argv[3]):
        os.kill(os.getpid(), 9)


EvalProgress.__call__ = dying
verbs.do("eval run", msgspec.json.decode(sys.argv[1], type=EvalRunConfig), Workspace(Path(sys.argv[2])))
"""
Answer = Callable[[int, SuiteItem], str | Completion | None]
Player = Callable[[str, tuple[SuiteItem, ...], Answer], str]


def killed(config: EvalRunConfig, workspace: Workspace, after: int) -> Path:
    """The answers of an evaluation that was killed by the system once so many were there."""
    argv = [sys.executable, "-c", _DYING, msgspec.json.encode(config).decode(), str(workspace.root), str(after)]
    ended = subprocess.run(argv, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert ended.returncode == -9
    return next((workspace.root / "runs").iterdir()) / "answers.jsonl"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.create(tmp_path / "w")
    (made.root / "afs.toml").write_text("schema = 1\njobs = 1\n")
    return Workspace(made.root)


@pytest.fixture
def run(workspace: Workspace) -> Iterator[Run]:
    folder = workspace.root / "runs" / "r"
    folder.mkdir(parents=True)
    yield Run(workspace, folder, RunState(id="r", verb="eval run", digest="d", status="running", started=0.0))


@pytest.fixture
def player(tmp_path: Path) -> Player:
    """Write a model: `player(name, items, answer)` gives its spec; an answer of None was not recorded."""

    def write(name: str, items: tuple[SuiteItem, ...], answer: Answer) -> str:
        rows = []
        for number, item in enumerate(items):
            said = answer(number, item)
            if said is None:
                continue
            used = Usage(input_tokens=5, output_tokens=7, cost_usd=0.001)
            completion = said if isinstance(said, Completion) else Completion(text=said, model=name, usage=used)
            messages = datasets.task_messages(item.task.prompt, item.task.system)
            rows.append(Recorded(key=conversation_key(messages, SAMPLING), completion=completion))
        path = tmp_path / f"{name}.jsonl"
        jsonl.write(path, rows)
        return f"replay:{path}"

    return write


class Endpoint(ThreadingHTTPServer):
    """An OpenAI-compatible address whose answers are made by `say(question)`, and which remembers the questions."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, say: Callable[[str], tuple[int, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.say, self.asked = say, list[str]()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Endpoint)
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        question = body["messages"][-1]["content"]
        server.asked.append(question)
        status, raw = server.say(question)
        self.send_response(status)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Silent."""


def chat_answer(text: str, *, model: str = "m", finish: str = "stop") -> tuple[int, bytes]:
    """An answer in OpenAI's form."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": 5, "completion_tokens": 7}
    return 200, json.dumps({"model": model, "choices": [choice], "usage": usage}).encode()


@pytest.fixture
def endpoint() -> Iterator[Callable[[Callable[[str], tuple[int, bytes]]], Endpoint]]:
    """Start a server that answers as it is told."""
    running = []

    def start(say: Callable[[str], tuple[int, bytes]]) -> Endpoint:
        server = Endpoint(say)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def rewrite_rows(path: Path, rows: Iterable[object]) -> None:
    """Replace a file of a stored report as if it had been written so: its manifest lists the new content."""
    report_store.write_packed(path, rows)
    report = manifests.read_manifest(path.parent / MANIFEST, report_store.StoredReport)
    entry = manifests.file_entry(path.parent, path)
    if path.name == report.results.path:
        report = msgspec.structs.replace(report, results=entry)
    files = tuple(entry if old.path == entry.path else old for old in report.files)
    manifests.write_manifest(path.parent / MANIFEST, msgspec.structs.replace(report, files=files))
