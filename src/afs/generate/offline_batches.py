"""Open pieces as requests for an offline batch engine, and its answers back into the same ledger.

The lines are OpenAI's batch format, which vLLM's batch runner reads: `{custom_id, method, url, body}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from afs import answer_verifier, jsonl, models
from afs.errors import DataError, UsageError
from afs.generate.campaign import Campaign
from afs.generate.cells import CampaignCell, build_cells
from afs.generate.config import FOLDER, GenerateConfig
from afs.model_calls import CallStore
from afs.model_calls.store import LedgerRow
from afs.providers.endpoint import Answer
from afs.runs import Run
from afs.types import Json, Value


class PiecesExportConfig(GenerateConfig, frozen=True, kw_only=True):
    """Write the open pieces of a campaign as requests for an offline batch engine; takes the campaign's own options."""

    positional: ClassVar[tuple[str, ...]] = ("to",)
    to: Path
    """File to write, JSONL."""


class PiecesImportConfig(GenerateConfig, frozen=True, kw_only=True):
    """Take in the answers of an offline batch engine; takes the campaign's own options. Then rerun the campaign."""

    positional: ClassVar[tuple[str, ...]] = ("answers",)
    answers: Path
    """The engine's output, JSONL: `{custom_id, response: {body}}`."""


class Exchanged(Value, frozen=True, kw_only=True):
    """How many pieces went out or came in."""

    path: str
    pieces: int
    skipped: int = 0
    """Answers of unknown pieces, of pieces that are not open, and failed lines."""


def export_open(config: PiecesExportConfig, run: Run) -> Exchanged:
    """Every open piece as a request."""
    with_store = _Opened(config, run)
    try:
        rows = list(_requests(with_store))
    finally:
        with_store.close()
    jsonl.write(config.to, rows)
    return Exchanged(path=str(config.to), pieces=len(rows))


def import_answers(config: PiecesImportConfig, run: Run) -> Exchanged:
    """Enter answers into the ledger; they are judged when the campaign runs next."""
    opened = _Opened(config, run)
    taken = skipped = 0
    try:
        for row in jsonl.read(config.answers, dict[str, Any]):
            taken, skipped = (taken + 1, skipped) if _enter(opened, row) else (taken, skipped + 1)
    finally:
        opened.close()
    return Exchanged(path=str(config.answers), pieces=taken, skipped=skipped)


class _Opened:
    """A campaign with its store, without an engine."""

    def __init__(self, config: GenerateConfig, run: Run) -> None:
        self.store = CallStore(run.workspace.root / FOLDER / config.name / "calls.db")
        self.cells: list[CampaignCell] = build_cells(config, run.workspace, run.event)
        self.pool = models.target_pool(run.workspace, concurrency=config.concurrency)
        self.verifier = answer_verifier.open_verifier(run.workspace.root, 1)
        self.campaign = Campaign(config, self.cells, self.store, self.pool, self.verifier)

    def close(self) -> None:
        self.verifier.close()
        self.store.close()


def _requests(opened: _Opened) -> Iterator[Json]:
    while True:
        with opened.store.transaction():
            pieces = opened.campaign.claim(256)
        if not pieces:
            return
        for piece in pieces:
            request = opened.campaign.request(piece)
            if not request.targets:
                raise UsageError("the pack answers these tasks itself; there is nothing to ask")
            provider = request.targets[0].provider
            make = getattr(provider, "request", None)
            if make is None:
                raise UsageError(
                    f"{provider.name} is not asked by requests; name an OpenAI-compatible model as teacher"
                )
            body = make(request.messages, request.sampling, request.tools)
            yield {"custom_id": f"piece-{piece.id}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def _enter(opened: _Opened, row: dict[str, Any]) -> bool:
    number = str(row.get("custom_id", "")).removeprefix("piece-")
    body = (row.get("response") or {}).get("body")
    if not number.isdigit() or not isinstance(body, dict) or "choices" not in body:
        return False
    piece = opened.store.open_piece(int(number))
    if piece is None or piece.cell not in opened.campaign.by_id:
        return False
    target = opened.campaign.request(piece).targets[0]
    read = getattr(target.provider, "read", None)
    if read is None:
        raise DataError(f"{target.name} reads no such answers")
    completion = read(Answer(body, {}, 0.0))
    with opened.store.transaction():
        call = opened.store.ask(piece, target.name, 0, 0)
        usage = msgspec.structs.replace(completion.usage, cost_usd=completion.usage.cost_usd or 0.0)
        completion = msgspec.structs.replace(completion, usage=usage)
        opened.store.enter(
            LedgerRow(call, "answered", round((usage.cost_usd or 0.0) * 1e9), 0.0, completion, prices="offline")
        )
        piece.tries += 1
        opened.store.settle(piece, "answered")
    return True
