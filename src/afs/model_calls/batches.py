"""Pieces that go through a provider's batch API at half price, in the same ledger as every other call.

The intent is on the disk before anything is sent, with a key that finds the batch again after a crash; while a batch
runs its pieces belong to it, also over many runs of the program.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from afs.model_calls.budget import Budget
from afs.model_calls.store import CallStore, LedgerRow, Piece, to_nano
from afs.model_calls.target import Target
from afs.model_calls.work_protocol import Work
from afs.providers.batch_apis import LARGEST, BatchApi, BatchItem, BatchJob, answer_of, batch_api
from afs.providers.failures import CallError
from afs.providers.prices import BATCH_SHARE
from afs.types import Completion, Json, Usage, digest

POLL_S = 30.0
"""Batches take minutes to hours."""


class Progress(NamedTuple):
    """What became of the batches so far."""

    submitted: int
    answered: int
    running: int


class BatchRunner:
    """Submits, polls and collects the batches of one store."""

    def __init__(
        self,
        store: CallStore,
        work: Work,
        targets: Callable[[str], Target | None],
        budget: Budget,
        *,
        check_stop: Callable[[], None] = lambda: None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.store, self.work, self._targets, self.budget = store, work, targets, budget
        self._check_stop, self._wait = check_stop, wait
        self.submitted = self.answered = 0

    def run(self, deadline: float) -> Progress:
        """Collect what was sent, send what is open, and wait for it until the deadline (a moment of `time.time`)."""
        self._recover()
        while self._submit_open():
            self._check_stop()
        while (running := self._collect()) and time.time() < deadline:
            self._check_stop()
            self._wait(min(POLL_S, max(0.0, deadline - time.time())))
        return Progress(self.submitted, self.answered, running)

    def _rows(self, state: str) -> list[tuple[str, str, str, float]]:
        return list(
            self.store.database.execute(
                "SELECT key, target, remote, at FROM batches WHERE state = ? ORDER BY at", (state,)
            )
        )

    def _recover(self) -> None:
        """An intent without an id was sent or not: the provider's list says which."""
        for key, name, _, at in self._rows("intended"):
            api, target = self._api(name)
            batch = BatchJob(key, self._items(key, target), at)
            self._send(api, batch, api.find(batch))

    def _api(self, name: str) -> tuple[BatchApi, Target]:
        target = self._targets(name)
        api = batch_api(target.provider) if target is not None else None
        if target is None or api is None:
            raise CallError(
                "unusable", f"{name}: a batch of this model is open, and it is not in the campaign any more"
            )
        return api, target

    def _items(self, key: str, target: Target) -> list[tuple[str, Json]]:
        """The requests of a batch, made again from its pieces."""
        rows = self.store.database.execute(
            "SELECT pieces.id, pieces.key, cell, payload, tries, result, calls.id FROM calls "
            "JOIN pieces ON pieces.id = calls.piece WHERE batch = ? AND calls.state = 'batched' ORDER BY calls.id",
            (key,),
        ).fetchall()
        make = target.provider.request  # type: ignore[attr-defined]
        found = []
        for *fields, call in rows:
            request = self.work.request(Piece(*fields))
            found.append((f"c{call}", make(request.messages, request.sampling, request.tools)))
        return found

    def _send(self, api: BatchApi, batch: BatchJob, known: str) -> None:
        remote = known or api.submit(batch)
        with self.store.transaction():
            self.store.database.execute(
                "UPDATE batches SET remote = ?, state = 'submitted' WHERE key = ?", (remote, batch.key)
            )
        self.submitted += len(batch.items)

    def _submit_open(self) -> bool:
        """One more batch of open pieces; False when there are none."""
        with self.store.transaction():
            pieces = self.work.claim(LARGEST)
            asked = [(piece, self.work.request(piece)) for piece in pieces]
            groups: dict[str, list[tuple[Piece, int, int | None]]] = {}
            for piece, request in asked:
                target = next((t for t in request.targets if batch_api(t.provider) is not None), None)
                reserved = self._reserve(target, piece) if target is not None else None
                if target is None or reserved is None:
                    continue  # asked one by one later
                groups.setdefault(target.name, []).append(reserved)
            keys = [self._intend(name, group) for name, group in groups.items()]
        for key in keys:
            (row,) = [row for row in self._rows("intended") if row[0] == key]
            api, target = self._api(row[1])
            self._send(api, BatchJob(key, self._items(key, target), row[3]), "")
        return bool(keys)

    def _reserve(self, target: Target, piece: Piece) -> tuple[Piece, int, int | None] | None:
        request = self.work.request(piece)
        tokens = target.tokens_of(request.messages, request.sampling, request.tools)
        worst = target.worst_cost(tokens, request.sampling.max_tokens)
        nano = None if worst is None else math.ceil(to_nano(worst) * BATCH_SHARE)
        if self.budget.is_limited and (nano is None or not self.budget.reserve(nano)):
            return None
        return piece, request.sampling.max_tokens, nano

    def _intend(self, name: str, group: Sequence[tuple[Piece, int, int | None]]) -> str:
        now = time.time()
        key = digest((name, now, [piece.key for piece, _, _ in group]))[:24]
        self.store.database.execute("INSERT INTO batches (key, target, at) VALUES (?, ?, ?)", (key, name, now))
        for piece, max_tokens, worst in group:
            call = self.store.ask(piece, name, worst, max_tokens)
            self.store.database.execute("UPDATE calls SET state = 'batched', batch = ? WHERE id = ?", (key, call))
        return key

    def _collect(self) -> int:
        """Enter the answers of every batch that has ended; how many still run."""
        running = 0
        for key, name, remote, _ in self._rows("submitted"):
            api, target = self._api(name)
            state = api.state(remote)
            if state == "running":
                running += 1
                continue
            items = {item.name: item for item in api.results(remote)} if state == "ended" else {}
            with self.store.transaction():
                for row in self.store.database.execute(
                    "SELECT calls.id, worst, pieces.id, pieces.key, cell, payload, tries, result FROM calls "
                    "JOIN pieces ON pieces.id = calls.piece WHERE batch = ? AND calls.state = 'batched'",
                    (key,),
                ).fetchall():
                    self._enter(row[0], row[1], Piece(*row[2:]), items, target)
                self.store.database.execute("UPDATE batches SET state = ? WHERE key = ?", (state, key))
        return running

    def _enter(
        self, call: int, worst: int | None, piece: Piece, items: Mapping[str, BatchItem], target: Target
    ) -> None:
        item = items.get(f"c{call}")
        body, problem = (item.body, item.problem) if item is not None else (None, "no answer in the batch")
        completion: Completion | None = None
        if body is not None:
            try:
                completion = target.provider.read(answer_of(body))  # type: ignore[attr-defined]
            except CallError as error:
                problem = str(error)
        if completion is None:
            self.budget.settle(worst, 0)
            self.store.enter(LedgerRow(call, "failed", 0, 0.0, None, f"batch: {problem}"[:500], target.price_source))
            self.store.settle(piece, "open")
            return
        usage = self._half(target, completion.usage)
        nano = None if usage.cost_usd is None else to_nano(usage.cost_usd)
        self.budget.settle(worst, nano)
        completion = msgspec.structs.replace(completion, usage=usage)
        prices = f"{target.price_source}, batch"
        self.store.enter(LedgerRow(call, "answered", nano, 0.0, completion, prices=prices))
        piece.tries += 1
        self.store.settle(piece, "answered")
        self.answered += 1

    def _half(self, target: Target, usage: Usage) -> Usage:
        cost = None if usage.cost_usd is None else usage.cost_usd * BATCH_SHARE
        return msgspec.structs.replace(usage, cost_usd=cost)
