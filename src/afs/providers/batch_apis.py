"""The batch APIs of OpenAI, Anthropic and Gemini: many requests at half price, answered within a day.

Submitting twice is paying twice, so a batch carries a key by which it is found again after a crash: in the metadata
(OpenAI), in the display name (Gemini), or, where neither exists (Anthropic), by its time and size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from afs.providers.anthropic import Anthropic
from afs.providers.base import Provider
from afs.providers.endpoint import Answer
from afs.providers.google import Google
from afs.providers.openai import OpenAI
from afs.types import Json

LARGEST = 10_000
"""Requests in one batch: well under every limit (50,000 and 200 MB; 100,000 and 256 MB; 20 MB inline)."""
BatchState = Literal["running", "ended", "failed"]
_SAME_TIME_S = 120.0


class BatchItem(NamedTuple):
    """The answer to one request: a body to be read, or why there is none."""

    name: str
    body: dict[str, Any] | None
    problem: str = ""


class BatchJob(NamedTuple):
    """A batch to submit or to find."""

    key: str
    items: Sequence[tuple[str, Json]]
    """(name, request body)."""
    at: float
    """When it was first to be submitted."""


class BatchApi(Protocol):
    """One provider's batches."""

    def submit(self, batch: BatchJob) -> str:
        """Send it; the provider's id."""

    def find(self, batch: BatchJob) -> str:
        """The id of a batch that may have been sent before a crash; empty: it was not."""

    def state(self, remote: str) -> BatchState:
        """How far it is."""

    def results(self, remote: str) -> Iterator[BatchItem]:
        """Everything that was answered, in any order; also of an expired batch."""


def batch_api(provider: Provider) -> BatchApi | None:
    """The batch API behind a model, if it has one."""
    if isinstance(provider, Anthropic):
        return AnthropicBatches(provider)
    if isinstance(provider, Google):
        return GoogleBatches(provider)
    if isinstance(provider, OpenAI) and provider.kind in ("openai", "openai-responses"):
        return OpenAIBatches(provider)
    return None


class OpenAIBatches:
    """`/v1/files` and `/v1/batches`; one model in each file."""

    def __init__(self, provider: OpenAI) -> None:
        self.api, self.path = provider.api, provider.path

    def submit(self, batch: BatchJob) -> str:
        """Upload the lines, then create the batch."""
        url = f"/v1/{self.path}"
        lines = [msgspec.json.encode({"custom_id": n, "method": "POST", "url": url, "body": b}) for n, b in batch.items]
        boundary = f"afs{batch.key}"
        head = f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{boundary}\r\n'
        head += f'content-disposition: form-data; name="file"; filename="{batch.key}.jsonl"\r\n\r\n'
        content = head.encode() + b"\n".join(lines) + f"\r\n--{boundary}--\r\n".encode()
        kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
        file = self.api.post_bytes("files", content, kind).body["id"]
        made = {"input_file_id": file, "endpoint": url, "completion_window": "24h", "metadata": {"afs": batch.key}}
        return str(self.api.post("batches", made).body["id"])

    def find(self, batch: BatchJob) -> str:
        """By the key in the metadata."""
        rows = self.api.get("batches?limit=100").body.get("data") or []
        return next((str(row["id"]) for row in rows if (row.get("metadata") or {}).get("afs") == batch.key), "")

    def state(self, remote: str) -> BatchState:
        """An expired or cancelled batch has ended: its finished part was charged."""
        status = self.api.get(f"batches/{remote}").body.get("status")
        return (
            "failed"
            if status == "failed"
            else "ended"
            if status in ("completed", "expired", "cancelled")
            else "running"
        )

    def results(self, remote: str) -> Iterator[BatchItem]:
        """Of both files."""
        batch = self.api.get(f"batches/{remote}").body
        for file in (batch.get("output_file_id"), batch.get("error_file_id")):
            for row in self.api.get_lines(f"files/{file}/content") if file else ():
                answer = row.get("response") or {}
                body = answer.get("body") if answer.get("status_code") == 200 else None
                problem = row.get("error") or (answer.get("body") or {}).get("error") or "no answer"
                yield BatchItem(str(row.get("custom_id")), body, "" if body else str(problem)[:300])


class AnthropicBatches:
    """`/v1/messages/batches`; custom ids are short and of few characters."""

    def __init__(self, provider: Anthropic) -> None:
        self.api = provider.api

    def submit(self, batch: BatchJob) -> str:
        """All requests in one body."""
        requests = [{"custom_id": name, "params": body} for name, body in batch.items]
        return str(self.api.post("messages/batches", {"requests": requests}).body["id"])

    def find(self, batch: BatchJob) -> str:
        """By the time of creation and the number of requests; nothing of ours can be attached."""
        for row in self.api.get("messages/batches?limit=100").body.get("data") or []:
            size = sum((row.get("request_counts") or {}).values())
            if size == len(batch.items) and abs(_moment(row.get("created_at")) - batch.at) < _SAME_TIME_S:
                return str(row["id"])
        return ""

    def state(self, remote: str) -> BatchState:
        """It has ended when every request has."""
        return (
            "ended"
            if self.api.get(f"messages/batches/{remote}").body.get("processing_status") == "ended"
            else "running"
        )

    def results(self, remote: str) -> Iterator[BatchItem]:
        """Only what succeeded is charged."""
        for row in self.api.get_lines(f"messages/batches/{remote}/results"):
            result = row.get("result") or {}
            body = result.get("message") if result.get("type") == "succeeded" else None
            problem = str(result.get("error") or result.get("type"))[:300]
            yield BatchItem(str(row.get("custom_id")), body, "" if body else problem)


class GoogleBatches:
    """`models/M:batchGenerateContent` with the requests inline."""

    def __init__(self, provider: Google) -> None:
        self.api, self.model = provider.api, provider.model

    def submit(self, batch: BatchJob) -> str:
        """One long-running operation."""
        requests = [{"request": body, "metadata": {"key": name}} for name, body in batch.items]
        made = {"displayName": batch.key, "inputConfig": {"requests": {"requests": requests}}}
        return str(self.api.post(f"models/{self.model}:batchGenerateContent", {"batch": made}).body["name"])

    def find(self, batch: BatchJob) -> str:
        """By the display name."""
        rows = self.api.get("batches?pageSize=100").body.get("operations") or []
        return next((str(r["name"]) for r in rows if (r.get("metadata") or {}).get("displayName") == batch.key), "")

    def state(self, remote: str) -> BatchState:
        """By the state in the operation's metadata."""
        state = str((self.api.get(remote).body.get("metadata") or {}).get("state")).removeprefix("BATCH_STATE_")
        return (
            "failed" if state == "FAILED" else "ended" if state in ("SUCCEEDED", "CANCELLED", "EXPIRED") else "running"
        )

    def results(self, remote: str) -> Iterator[BatchItem]:
        """A response or a status for each."""
        answer = self.api.get(remote).body.get("response") or {}
        for row in (answer.get("inlinedResponses") or {}).get("inlinedResponses") or []:
            body = row.get("response")
            yield BatchItem(
                str((row.get("metadata") or {}).get("key")), body, "" if body else str(row.get("error"))[:300]
            )


def answer_of(body: dict[str, Any]) -> Answer:
    """A body of a batch as the provider's `read` takes it."""
    return Answer(body, {}, 0.0)


def _moment(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0
