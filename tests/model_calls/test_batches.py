"""Batches at half price: submitted once, found again after a crash, entered into the same ledger."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from afs import datasets, verbs
from afs.generate import FamilyCount, GenerateConfig
from afs.model_calls.store import CallStore
from afs.providers.base import provider
from afs.providers.batch_apis import BatchJob, batch_api
from afs.types import Dataset
from afs.workspace import Workspace

Answer = Callable[[str, str, bytes], Any]


class Server:
    """Answers by a function of (method, path, body); a `str` is sent as it stands."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answer: Answer = lambda method, path, body: {}
        self.url = ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for key in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(key, "test")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            state.asked.append((self.command, self.path))
            found = state.answer(self.command, self.path, body)
            raw = found.encode() if isinstance(found, str) else json.dumps(found).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Silent."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{listener.server_port}"
    yield state
    listener.shutdown()
    thread.join()
    listener.server_close()


class OpenAIBatchServer:
    """Files and batches in memory; every batch is finished at once, its second request fails."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.charged = 0

    def __call__(self, method: str, path: str, body: bytes) -> Any:
        if path == "/v1/files":
            lines = re.findall(rb"^(\{.*\})\r?$", body, re.M)
            name = f"file-{len(self.files)}"
            self.files[name] = b"\n".join(lines).decode()
            return {"id": name}
        if method == "POST" and path == "/v1/batches":
            asked = json.loads(body)
            name = f"batch-{len(self.batches)}"
            good, bad = self._answers(self.files[asked["input_file_id"]])
            self.files |= {f"{name}-out": good, f"{name}-err": bad}
            files = {"output_file_id": f"{name}-out", "error_file_id": f"{name}-err"}
            self.batches[name] = {"id": name, "status": "completed", "metadata": asked["metadata"], **files}
            return self.batches[name]
        if path.startswith("/v1/batches?"):
            return {"data": list(self.batches.values())}
        if path.startswith("/v1/batches/"):
            return self.batches[path.rpartition("/")[2]]
        if path.startswith("/v1/files/"):
            return self.files[path.split("/")[3]]
        raise AssertionError(path)

    def _answers(self, lines: str) -> tuple[str, str]:
        good, bad = [], []
        for place, line in enumerate(lines.splitlines()):
            row = json.loads(line)
            if place == 1:
                bad.append({"custom_id": row["custom_id"], "error": {"message": "expired"}})
                continue
            question = row["body"]["messages"][-1]["content"]
            text = str(sum(int(n) for n in question.split()[1:]))
            used = {"prompt_tokens": 100, "completion_tokens": 10}
            self.charged += 110
            choices = [{"message": {"content": text}, "finish_reason": "stop"}]
            body = {"model": "m", "choices": choices, "usage": used}
            good.append({"custom_id": row["custom_id"], "response": {"status_code": 200, "body": body}})
        return "\n".join(map(json.dumps, reversed(good))), "\n".join(map(json.dumps, bad))


def test_a_batch_is_paid_once_although_the_program_died_after_submitting_it(
    workspace: Workspace, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = OpenAIBatchServer()
    chat = {"model": "m", "usage": {"prompt_tokens": 100, "completion_tokens": 10}}

    def answer(method: str, path: str, body: bytes) -> Any:
        if path == "/v1/chat/completions":
            numbers = [word for word in json.loads(body)["messages"][-1]["content"].split() if word.isdigit()]
            return {**chat, "choices": [{"message": {"content": str(sum(map(int, numbers)))}, "finish_reason": "stop"}]}
        if path == "/v1/models":
            return {"data": [{"id": "m"}]}
        return remote(method, path, body)

    server.answer = answer
    text = f'[providers.box]\nkind = "openai"\nbase_url = "{server.url}/v1"\nprice = {{ input = 1.0, output = 1.0 }}\n'
    (workspace.root / "providers.toml").write_text(text)
    workspace.settings = msgspec.structs.replace(workspace.settings, jobs=1)
    families = (FamilyCount(family="add", count=8),)
    config = GenerateConfig(
        domain="sums", name="c", families=families, teacher="box:m", batch_hours=1.0, budget_usd=1.0
    )

    from afs.providers.batch_apis import OpenAIBatches

    submit = OpenAIBatches.submit

    def die_after(self: OpenAIBatches, batch: BatchJob) -> str:
        submit(self, batch)
        raise KeyboardInterrupt  # sent, and its id was never stored

    monkeypatch.setattr(OpenAIBatches, "submit", die_after)
    with pytest.raises(KeyboardInterrupt):
        verbs.do("generate", config, workspace)
    monkeypatch.setattr(OpenAIBatches, "submit", submit)
    made = verbs.do("generate", config, workspace)
    assert isinstance(made, Dataset) and made.splits[0].count == 8
    assert len(remote.batches) == 1, "the batch was found again, not sent twice"
    assert server.asked.count(("POST", "/v1/chat/completions")) == 1 + 1, (
        "the probe, and what the batch failed to answer"
    )
    store = CallStore(workspace.root / "campaigns" / "c" / "calls.db")
    (bill,) = store.bills()
    store.close()
    assert bill.cost == remote.charged * 1000 // 2 + 2 * 110 * 1000, (
        "half price for the batch, the full one for the rest"
    )
    sources = {tag for row in datasets.read(workspace, made) for tag in row.tags}
    assert sources == {"prices:providers.toml"}


def test_anthropic_batches(server: Server) -> None:
    results = [
        {"custom_id": "c2", "result": {"type": "expired"}},
        {"custom_id": "c1", "result": {"type": "succeeded", "message": {"content": [{"type": "text", "text": "x"}]}}},
    ]
    row = {
        "id": "mb",
        "processing_status": "ended",
        "created_at": "2026-11-30T12:00:30Z",
        "request_counts": {"processing": 2},
    }

    def answer(method: str, path: str, body: bytes) -> Any:
        if path.endswith("/results"):
            return "\n".join(map(json.dumps, results))
        return {"data": [row]} if "?" in path else row

    server.answer = answer
    api = batch_api(provider("anthropic:m", {"base_url": server.url}))
    assert api is not None
    batch = BatchJob("k", [("c1", {}), ("c2", {})], 1796040000.0)
    assert api.submit(batch) == api.find(batch) == "mb"
    assert api.find(batch._replace(at=1.0)) == "" and api.state("mb") == "ended"
    found = {item.name: item for item in api.results("mb")}
    assert found["c1"].body and found["c2"].body is None and found["c2"].problem == "expired"


def test_gemini_batches(server: Server) -> None:
    inlined = [
        {"response": {"candidates": []}, "metadata": {"key": "c1"}},
        {"error": {"code": 8}, "metadata": {"key": "c2"}},
    ]
    row = {
        "name": "batches/7",
        "metadata": {"displayName": "k", "state": "BATCH_STATE_SUCCEEDED"},
        "response": {"inlinedResponses": {"inlinedResponses": inlined}},
    }
    server.answer = lambda method, path, body: {"operations": [row]} if "?" in path else row
    api = batch_api(provider("google:gemini-3-pro", {"base_url": server.url}))
    assert api is not None
    batch = BatchJob("k", [("c1", {}), ("c2", {})], 0.0)
    assert api.submit(batch) == api.find(batch) == "batches/7" and api.state("batches/7") == "ended"
    assert [bool(item.body) for item in api.results("batches/7")] == [True, False]
    assert server.asked[0] == ("POST", "/models/gemini-3-pro:batchGenerateContent")
