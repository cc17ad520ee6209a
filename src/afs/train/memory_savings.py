"""Ways to make a run use less memory, fewest changes first, and uses for free memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from afs.train import memory_estimate
from afs.train.gpu_estimate import TIGHT, Lengths, PlannedRun
from afs.train.memory_estimate import GIB, Gpu, Setting

Kept = Callable[[Setting], float | None]
"""Activation bytes of a token in a layer, where a dry run could tell."""


class Saving(NamedTuple):
    """One way to take less memory."""

    what: str
    apply: Callable[[Setting], Setting]


def savings(lengths: Lengths) -> list[Saving]:
    return [
        Saving("loss in chunks of 512", lambda s: s._replace(chunk=512 if not s.chunk else min(s.chunk, 512))),
        Saving("loss in chunks of 128", lambda s: s._replace(chunk=min(s.chunk or 128, 128))),
        Saving("micro-batch 1 (the batch is kept by accumulation)", lambda s: s._replace(micro_batch=1)),
        Saving("recomputed activations", lambda s: s._replace(checkpointing=True)),
        Saving("an 8-bit optimizer", lambda s: s._replace(adam_bits=8)),
        Saving("no adapter dropout", lambda s: s._replace(dropout=0.0)),
        Saving("4-bit weights (qlora)", lambda s: s._replace(method="qlora")),
        Saving(
            f"max_length {lengths.p95} (95 % of the samples)", lambda s: s._replace(length=min(s.length, lengths.p95))
        ),
        Saving("half the length", lambda s: s._replace(length=max(256, s.length // 2))),
        Saving("half the rank", lambda s: s._replace(rank=max(4, s.rank // 2))),
    ]


def propose_changes(job: PlannedRun, card: Gpu, kept: Kept, batch: int) -> list[str]:
    """What would make it fit, fewest changes first; or uses for the free memory."""
    shape, setting, lengths = job.shape, job.setting, job.lengths

    def needs(changed: Setting) -> int:
        return memory_estimate.total_bytes(memory_estimate.memory_lines(shape, changed, kept(changed)))

    if card.why_not:
        return []
    if needs(setting) <= card.usable:
        return propose_uses(setting, card, needs, batch)
    taken: list[str] = []
    changed = setting
    for change in savings(lengths):
        after = change.apply(changed)
        if needs(after) >= needs(changed):
            continue
        if needs(change.apply(setting)) <= card.usable:
            return [f"fits with {change.what}: {needs(change.apply(setting)) / GIB:.2f} GiB"]
        changed = after
        taken.append(change.what)
        if needs(changed) <= card.usable:
            return [f"fits with {', '.join(taken)}: {needs(changed) / GIB:.2f} GiB"]
    roomy = [
        name for name, other in memory_estimate.gpus().items() if needs(changed) <= other.usable and not other.why_not
    ]
    larger = f"; the smallest card for it: {roomy[0]}" if roomy else ""
    return [f"does not fit even with {', '.join(taken) or 'every saving'}: {needs(changed) / GIB:.2f} GiB{larger}"]


def propose_uses(setting: Setting, card: Gpu, needs: Callable[[Setting], int], batch: int) -> list[str]:
    found = []
    plain = setting._replace(checkpointing=False)
    if setting.checkpointing and needs(plain) <= TIGHT * card.usable:
        found.append(f"room for checkpointing = false: {needs(plain) / GIB:.2f} GiB, up to a third faster")
    size = setting.micro_batch
    while size * 2 <= batch and needs(setting._replace(micro_batch=size * 2)) <= TIGHT * card.usable:
        size *= 2
    if size > setting.micro_batch:
        wider = needs(setting._replace(micro_batch=size))
        found.append(f"room for micro_batch = {size}: {wider / GIB:.2f} GiB; the measured probe decides")
    return found
