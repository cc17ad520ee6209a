"""How a card handles a training run: memory, speed, time and cost; measured speed takes precedence over assumed."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from afs.train import memory_estimate
from afs.train.learner import StepTiming
from afs.train.memory_estimate import GIB, Gpu, ModelShape, Setting
from afs.types import Value

TIGHT = 0.93
"""Share of the card's memory above which a run is called tight."""


class Lengths(Value, frozen=True, kw_only=True):
    """How long the samples are."""

    samples: int
    mean: float
    p95: int
    longest: int
    how: str


class Card(Value, frozen=True, kw_only=True):
    """How a card handles the plan."""

    gpu: str
    memory_gib: float
    needed_gib: float
    verdict: str
    """fits, tight, or no."""
    tokens_per_s: float | None = None
    hours: float | None = None
    usd: tuple[float, float] | None = None
    note: str = ""


class PlannedRun(NamedTuple):
    """The work that a card would do."""

    shape: ModelShape
    setting: Setting
    lengths: Lengths
    epochs: int
    utilization: float
    usd_per_hour: float = 0.0

    def on(self, name: str, card: Gpu, needed: int, flops_s: float | None = None) -> Card:
        """The card's answer; `flops_s` is what it was measured to do."""
        found = Card(gpu=name, memory_gib=card.memory, needed_gib=round(needed / GIB, 2), verdict="no")
        if card.why_not:
            return msgspec.structs.replace(found, note=card.why_not)
        verdict = "no" if needed > card.usable else "tight" if needed > TIGHT * card.usable else "fits"
        found = msgspec.structs.replace(found, verdict=verdict)
        speed = flops_s or self.utilization * card.tflops * 1e12
        if not speed:
            return msgspec.structs.replace(found, note="speed unknown until a run has measured it")
        rate = self.tokens_per_s(speed, card.bandwidth if not flops_s else 0.0)
        hours = self.lengths.samples * self.lengths.mean * self.epochs / rate / 3600
        price = (self.usd_per_hour,) * 2 if self.usd_per_hour else card.usd
        return msgspec.structs.replace(
            found,
            tokens_per_s=round(rate, 1),
            hours=round(hours, 6 if hours < 1 else 2),
            usd=(round(price[0] * hours, 2), round(price[1] * hours, 2)) if price else None,
            note=f"measured here: {flops_s / 1e12:.3g} TFLOP/s in training" if flops_s else "",
        )

    def on_measured(self, name: str, card: Gpu, timing: StepTiming) -> Card:
        """The card's answer from steps that were run on it."""
        rate = timing.tokens / timing.seconds
        hours = self.lengths.samples * self.lengths.mean * self.epochs / rate / 3600
        share = timing.peak_bytes / card.usable
        return Card(
            gpu=name,
            memory_gib=card.memory,
            needed_gib=round(timing.peak_bytes / GIB, 2),
            verdict="no" if share > 1 else "tight" if share > TIGHT else "fits",
            tokens_per_s=round(rate, 1),
            hours=round(hours, 6 if hours < 1 else 2),
            usd=(round(self.usd_per_hour * hours, 2),) * 2 if self.usd_per_hour else None,
            note="time and memory measured in three steps",
        )

    def tokens_per_s(self, flops_s: float, bandwidth: float) -> float:
        """Tokens per second: arithmetic at that speed, and the unpacking of 4-bit weights once per pass.

        A measured speed has the unpacking in it; then the bandwidth is 0.
        """
        mean = min(self.lengths.mean, self.setting.length)
        arithmetic = memory_estimate.flops_per_token(self.shape, self.setting._replace(length=round(mean))) / flops_s
        unpacking = 0.0
        if self.setting.method == "qlora" and bandwidth:
            passes = 3 if self.setting.checkpointing else 2
            unpacking = passes * 2.5 * self.shape.linear / (bandwidth * 1e9) / (self.setting.micro_batch * mean)
        return 1 / (arithmetic + unpacking)


def card_text(card: Card) -> str:
    word = {"fits": "fits", "tight": "fits, tightly", "no": "does not fit"}[card.verdict]
    line = f"{card.gpu:<12} {card.memory_gib:5.0f} GiB  needs {card.needed_gib:6.2f}  {word:<14}"
    if card.hours is not None and card.verdict != "no":
        time = f"{card.hours:8.1f} h" if card.hours >= 1 else f"{card.hours * 60:8.1f} min"
        line += f"{card.tokens_per_s:8.0f} tokens/s {time}"
        line += f"  ${card.usd[0]:.2f}-{card.usd[1]:.2f}" if card.usd else "  price unknown"
    return line + (f"  ({card.note})" if card.note else "")
