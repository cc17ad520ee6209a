"""The guard: watches loss, gradient, time and evaluations, and says what to do. It sees numbers only.

Normal is the median of a window and the spread its median deviation: spikes of a token loss are 1.5 to 3 times the
median, so a fixed factor of ten never fires. Not covered: learning the wrong thing smoothly; the probes are for that.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import deque
from collections.abc import Sequence
from typing import Literal, NamedTuple

from afs.train.learner import Measured
from afs.train.settings import GuardRules
from afs.types import Value

Action = Literal["go", "warn", "skip", "rollback", "stop"]
_LEAST = 20
"""Steps before anything is called normal."""
_STRIKE_WINDOW = 50


class Advice(NamedTuple):
    """What to do with a step, and why."""

    action: Action
    rule: str = ""
    reason: str = ""


GO = Advice("go")


class GuardState(Value, frozen=True, kw_only=True):
    """What the guard remembers, for checkpoints."""

    losses: tuple[float, ...] = ()
    norms: tuple[float, ...] = ()
    times: tuple[float, ...] = ()
    strikes: tuple[int, ...] = ()
    smooth_best: float | None = None
    rollbacks: int = 0
    held_out: tuple[float, ...] = ()
    at_evaluation: tuple[float, ...] = ()
    """Training loss at each evaluation."""


class Guard:
    """Advice step by step."""

    def __init__(self, rules: GuardRules, state: GuardState | None = None) -> None:
        self.rules = rules
        self._load(state or GuardState())

    def _load(self, state: GuardState) -> None:
        rules = self.rules
        self.losses = deque(state.losses, rules.window)
        self.norms = deque(state.norms, rules.window)
        self.times = deque(state.times, rules.window)
        self.strikes = list(state.strikes)
        self.smooth_best = state.smooth_best
        self.rollbacks = state.rollbacks
        self.held_out = list(state.held_out)
        self.at_evaluation = list(state.at_evaluation)

    @property
    def state(self) -> GuardState:
        """The state to save in a checkpoint."""
        return GuardState(
            losses=tuple(self.losses),
            norms=tuple(self.norms),
            times=tuple(self.times),
            strikes=tuple(self.strikes),
            smooth_best=self.smooth_best,
            rollbacks=self.rollbacks,
            held_out=tuple(self.held_out),
            at_evaluation=tuple(self.at_evaluation),
        )

    def step(self, number: int, measured: Measured) -> Advice:
        """Between backward and the optimizer: may this step be taken?"""
        loss, norm = measured.loss, measured.grad_norm
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return self._strike(number, "not finite", f"loss {loss:g}, gradient norm {norm:g}")
        if len(self.losses) >= _LEAST:
            z_loss, z_norm = robust_z(loss, self.losses), robust_z(norm, self.norms)
            if z_loss > self.rules.spike and z_norm > self.rules.spike / 2:
                found = f"loss {loss:.4g} is {z_loss:.1f} deviations above normal, its gradient {z_norm:.1f}"
                return self._strike(number, "spike", found)
            if z_norm > 4 * self.rules.spike:
                self._remember(loss, norm)
                return Advice("warn", "gradient", f"gradient norm {norm:.4g} is {z_norm:.1f} deviations above normal")
        self._remember(loss, norm)
        return self._diverging()

    def _remember(self, loss: float, norm: float) -> None:
        self.losses.append(loss)
        self.norms.append(norm)

    def _strike(self, number: int, rule: str, reason: str) -> Advice:
        self.strikes = [at for at in self.strikes if number - at < _STRIKE_WINDOW] + [number]
        if len(self.strikes) < self.rules.strikes:
            return Advice("skip", rule, reason)
        return self._roll_back(rule, f"{reason}; {len(self.strikes)} skipped batches within {_STRIKE_WINDOW} steps")

    def _diverging(self) -> Advice:
        if len(self.losses) < _LEAST:
            return GO
        smooth = statistics.median(list(self.losses)[-_LEAST:])
        if self.smooth_best is None or smooth < self.smooth_best:
            self.smooth_best = smooth
        if smooth > self.smooth_best * self.rules.divergence + 0.1:
            return self._roll_back("divergence", f"smoothed loss {smooth:.4g}, its best was {self.smooth_best:.4g}")
        return GO

    def _roll_back(self, rule: str, reason: str) -> Advice:
        if self.rollbacks >= self.rules.rollbacks:
            return Advice("stop", rule, f"{reason}; rolled back {self.rollbacks} times already")
        return Advice("rollback", rule, reason)

    def rolled_back(self, state: GuardState) -> None:
        """Begin again from what was normal at the checkpoint."""
        count = self.rollbacks + 1
        self._load(state)
        self.rollbacks, self.strikes = count, []

    def new_stage(self) -> None:
        """A new stage has other data and rates: forget what was normal."""
        self.losses.clear()
        self.norms.clear()
        self.smooth_best = None

    def timed(self, seconds: float) -> Advice:
        """A step's time, by a clock that cannot jump."""
        slow = len(self.times) >= _LEAST and seconds > self.rules.stalled * statistics.median(self.times)
        self.times.append(seconds)
        if slow:
            return Advice("warn", "stalled", f"a step took {seconds:.1f} s, {self.rules.stalled:g} times the median")
        return GO

    def rate(self, asked: float, used: float) -> Advice:
        """The optimizer must use the rate that was planned."""
        if math.isclose(asked, used, rel_tol=1e-6, abs_tol=1e-12):
            return GO
        return Advice("stop", "rate", f"the optimizer runs at {used:g}, the plan says {asked:g}")

    def evaluated(self, held_out: float) -> Advice:
        """An evaluation: the training loss falling while the held-out loss rises is overfitting."""
        training = statistics.fmean(list(self.losses)[-_LEAST:]) if self.losses else math.nan
        self.held_out.append(held_out)
        self.at_evaluation.append(training)
        if not math.isfinite(held_out):
            return Advice("stop", "evaluation", "the held-out loss is not finite")
        if len(self.held_out) >= 3 and is_rising(self.held_out[-3:]) and is_rising(self.at_evaluation[-3:][::-1]):
            return Advice("warn", "overfitting", "training loss falls, held-out loss has risen twice in a row")
        return GO


def robust_z(value: float, window: Sequence[float]) -> float:
    """Distance from the median in units of the median deviation, at least a hundredth of the median."""
    middle = statistics.median(window)
    spread = 1.4826 * statistics.median(abs(other - middle) for other in window)
    return (value - middle) / max(spread, abs(middle) / 100, 1e-9)


def is_rising(values: Sequence[float]) -> bool:
    return all(later > earlier for earlier, later in itertools.pairwise(values))
