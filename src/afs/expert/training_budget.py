"""How much of the material fits into the time: samples, steps and tokens, measured speed before assumed."""

from __future__ import annotations

from typing import Final

from afs.errors import AfsError
from afs.expert.machine_options import Machine
from afs.train.run_estimate import Plan, PlanConfig, format_count, plan
from afs.types import Value
from afs.workspace import Workspace

EPOCHS: Final = 2
_CPU_TOKENS: Final = 1.0e10
"""Tokens per second and core times parameters, of a LoRA in float32: 75 for 135 M parameters were measured."""
_BATCH: Final = {"cpu": 4, "gpu": 16}
_LENGTH: Final = {"cpu": 384, "gpu": 2048}
_SCRATCH_TOKENS_S: Final = 8000.0


class RunSize(Value, frozen=True, kw_only=True):
    """The size of the run."""

    samples: int
    steps: int
    batch_size: int
    max_length: int
    epochs: int
    lines: tuple[str, ...]
    """The plan in words: memory, time, money, and where each figure comes from."""


def plan_run(machine: Machine, workspace: Workspace, records: int, mean_tokens: float, hours: float) -> RunSize:
    """As many samples as there are, or as the hours allow."""
    where = "gpu" if machine.has_gpu else "cpu"
    batch, length = _BATCH[where], _LENGTH[where]
    tokens = max(16.0, min(mean_tokens, float(length)))
    found = None if machine.base == "scratch" else _plan(machine, workspace, records, round(tokens), batch)
    rate, why = _rate(machine, found)
    wanted = records if rate is None else min(records, int(rate * 3600 * hours / (EPOCHS * tokens)))
    samples = max(batch * 2, wanted)
    steps = -(-samples // batch) * EPOCHS
    spent = samples * EPOCHS * tokens
    time = f"{format_minutes(spent / rate / 60)} ({why})" if rate else f"unknown ({why})"
    lines = [
        f"{samples} samples of about {tokens:.0f} tokens, {EPOCHS} times: {steps} steps, {format_count(spent)} tokens"
    ]
    lines.append(f"time: {time}; budget {hours:g} hours")
    if found is not None:
        card = found.cards[0]
        lines.append(f"memory: {card.needed_gib:g} of {card.memory_gib:g} GiB, {card.verdict}")
        cost = f"{card.usd[0]:.2f} to {card.usd[1]:.2f} USD if rented" if card.usd else "no money: it is this machine"
        lines.append(f"cost: {cost}")
    return RunSize(samples=samples, steps=steps, batch_size=batch, max_length=length, epochs=EPOCHS, lines=tuple(lines))


def format_minutes(minutes: float) -> str:
    """In words."""
    whole = round(minutes)
    return "less than a minute" if minutes < 1 else "1 minute" if whole == 1 else f"{whole} minutes"


def _plan(machine: Machine, workspace: Workspace, samples: int, tokens: int, batch: int) -> Plan | None:
    """What `afs plan` says without measuring; None where it does not know the base."""
    config = PlanConfig(
        model=machine.base,
        method="lora" if machine.method == "lora" else "qlora",
        gpu="here",
        samples=max(1, samples),
        mean_tokens=max(8, tokens),
        epochs=EPOCHS,
        batch_size=batch,
        measure=False,
    )
    try:
        return plan(config, workspace)
    except AfsError:
        return None


def _rate(machine: Machine, found: Plan | None) -> tuple[float | None, str]:
    """Tokens per second, with where that is from."""
    if machine.base == "scratch":
        return _SCRATCH_TOKENS_S, "assumed for the tiny model"
    if found is None:
        return None, "`afs plan` does not know this base"
    card = found.cards[0]
    if card.tokens_per_s:
        return card.tokens_per_s, card.note or "by `afs plan`"
    if not machine.has_gpu:
        return _CPU_TOKENS / found.parameters, f"assumed; measure it with: afs plan {machine.base} --gpu cpu"
    return None, "the card's speed is not known"
