"""The loop: batch after batch, with the guard between gradient and step, and a checkpoint before anything can be lost.

Everything the next step depends on is in the checkpoint or follows from the config, so that a resumed run equals an
uninterrupted one. What the model is made of is the learner's business.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from afs.errors import DataError, PreemptedError, RefusedError, StoppedError
from afs.runs import Run
from afs.train.checkpoints import Best, State, Store
from afs.train.guard import Advice, Guard
from afs.train.learner import Learner, Measured
from afs.train.schedule import Batch
from afs.train.settings import TrainConfig
from afs.train.task_probes import Probes
from afs.train.telemetry import DoneStep, Sink, TrainTelemetry


class Parts(NamedTuple):
    """What a loop is made of."""

    config: TrainConfig
    run: Run
    learner: Learner
    batches: Sequence[Batch]
    store: Store
    probes: Probes
    identity: dict[str, str]
    versions: dict[str, str]
    sinks: Sequence[Sink]


class TrainLoop:
    """One training run from its state to its end."""

    def __init__(self, parts: Parts, state: State) -> None:
        self.parts, self.state = parts, state
        self.config, self.run, self.learner = parts.config, parts.run, parts.learner
        self.guard = Guard(parts.config.guard, state.guard)
        self._saved_at = (state.batch, self.guard.rollbacks) if state.batch else (-1, 0)
        self._clock, self._before = time.monotonic(), state.elapsed
        self._early = False

    def train(self) -> State:
        """Run to the last batch or to early stopping; the final state."""
        self.chronicle = TrainTelemetry(self.config, self.run, self.learner, self.parts.sinks, self.state.batch)
        try:
            if self.state.batch == 0:
                self._save_first()
            while self.state.batch < len(self.parts.batches) and not self._early:
                self._stop_if_asked()
                batch = self.parts.batches[self.state.batch]
                self._one(batch)
                self._after(batch)
                self._check_time()
            self._save(settled=True)
            self.chronicle.device(self.state)
        finally:
            self.parts.store.settle()
            self.chronicle.close()
        return self.state

    def _save_first(self) -> None:
        """The starting checkpoint, loaded once: a checkpoint that cannot be restored is found out now, not in need."""
        self._save(settled=True)
        first = self.parts.store.place(0)
        if first.is_dir():
            self.learner.restore(first)

    def _check_time(self) -> None:
        limit = self.config.max_hours * 3600
        if limit and self.state.elapsed >= limit and self.state.batch < len(self.parts.batches):
            reason = f"{self.state.elapsed / 3600:.2f} hours of at most {self.config.max_hours:g}"
            self.run.event("train.guard", action="stop", rule="time limit", reason=reason, step=self.state.batch)
            self._early = True

    def _stop_if_asked(self) -> None:
        try:
            self.run.check_stop()
        except (StoppedError, PreemptedError):
            self._save(settled=True)
            raise

    def _one(self, batch: Batch) -> None:
        """One batch: measure, ask the guard, step."""
        started = time.monotonic()
        measured = self.learner.gradients(batch.rows)
        rate = batch.rate * self.state.rate_scale
        advice = self.guard.step(self.state.batch, measured)
        self._tell(advice, batch)
        taken = advice.action in ("go", "warn")
        if taken:
            used = self.learner.apply(rate)
            advice = self.guard.rate(rate, used) if used != rate else advice
        else:
            self.learner.discard()
        seconds = time.monotonic() - started
        self._count(batch, measured, seconds, taken=taken)
        self.chronicle.step(self.state, len(self.parts.batches), DoneStep(batch, measured, rate, seconds, taken))
        self._tell(self.guard.timed(seconds), batch)
        if advice.action == "rollback":
            self._roll_back(advice)
        if advice.action == "stop":
            self._save(settled=True)
            raise RefusedError(self._report(advice, batch))

    def _count(self, batch: Batch, measured: Measured, seconds: float, *, taken: bool) -> None:
        state = self.state
        self.state = msgspec.structs.replace(
            state,
            batch=state.batch + 1,
            steps=state.steps + taken,
            tokens=state.tokens + measured.tokens,
            samples=state.samples + len(batch.rows),
            seconds=state.seconds + seconds,
            elapsed=self._before + time.monotonic() - self._clock,
            loss=measured.loss if taken else state.loss,
        )

    def _tell(self, advice: Advice, batch: Batch) -> None:
        if advice.action != "go":
            self.run.event(
                "train.guard",
                action=advice.action,
                rule=advice.rule,
                reason=advice.reason,
                step=self.state.batch,
                rows=list(batch.rows[:16]),
            )

    def _roll_back(self, advice: Advice) -> None:
        """Weights and optimizer of an earlier checkpoint, a lower rate, and past the batches that did it."""
        best = self.state.best.batch if self.state.best else self.state.batch - self.config.guard.window // 2
        found = self.parts.store.good_before(best)
        if found is None:
            raise DataError(f"{advice.rule}: {advice.reason}; there is no valid checkpoint to roll back to")
        self.learner.restore(found.folder)
        then = found.manifest.state
        self.guard.rolled_back(then.guard)
        scale = self.state.rate_scale * self.config.guard.rate_cut
        self.state = msgspec.structs.replace(self.state, steps=then.steps, rate_scale=scale)
        self.run.event(
            "train.rollback",
            to=then.batch,
            at=self.state.batch,
            rate_scale=scale,
            rule=advice.rule,
            reason=advice.reason,
            times=self.guard.rollbacks,
        )
        self._save()

    def _report(self, advice: Advice, batch: Batch) -> str:
        rows = ", ".join(map(str, batch.rows[:8]))
        return f"stopped by the guard at step {self.state.batch} ({advice.rule}): {advice.reason}; rows {rows}"

    def _after(self, batch: Batch) -> None:
        """What is due after this step: evaluation, checkpoint, the gate between stages."""
        number, rules = self.state.batch, self.config.evaluate
        last = number == len(self.parts.batches)
        due = number % rules.every == 0 if rules.every else bool(batch.ends)
        rate: float | None = None
        if self.parts.probes.held_out and (due or last):
            rate = self._evaluate()
        if batch.ends or due or last or number % self.config.checkpoints.every == 0:
            self._save()
        if batch.ends == "stage":
            self._gate(batch, rate)
            self.guard.new_stage()

    def _evaluate(self) -> float | None:
        """Held-out loss and probes; remembers the best."""
        measured = self.learner.evaluate()
        probed = self.parts.probes.ask(self.learner, self.state.batch)
        self._tell(self.guard.evaluated(measured.loss), self.parts.batches[self.state.batch - 1])
        figures = {"loss": measured.loss}
        if probed is not None:
            figures["verified"] = probed.share
        self.run.event(
            "train.eval",
            step=self.state.batch,
            loss=measured.loss,
            tokens=measured.tokens,
            **(
                {} if probed is None else {"verified": probed.share, "probes": probed.judged, "unknown": probed.unknown}
            ),
        )
        for sink in self.parts.sinks:
            sink("eval", self.state.batch, figures)
        by_verdict = self.config.evaluate.best == "verified" and probed is not None
        value = -probed.share if by_verdict and probed is not None else measured.loss
        self._compare(value)
        return None if probed is None else probed.share

    def _compare(self, value: float) -> None:
        state, best = self.state, self.state.best
        better = best is None or value < best.value
        self.state = msgspec.structs.replace(
            state,
            best=Best(batch=state.batch, value=value) if better else best,
            evaluations=state.evaluations + 1,
            since_best=0 if better else state.since_best + 1,
        )
        patience = self.config.evaluate.patience
        if patience and self.state.since_best >= patience:
            reason = f"{self.state.since_best} evaluations without improvement since step {self._best_batch()}"
            self.run.event("train.guard", action="stop", rule="plateau", reason=reason, step=state.batch)
            self._early = True

    def _best_batch(self) -> int:
        return self.state.best.batch if self.state.best else 0

    def _gate(self, batch: Batch, rate: float | None) -> None:
        stage = next((stage for stage in self.config.stages if stage.name == batch.stage), None)
        if stage is None or not stage.gate:
            return
        if rate is None:
            raise RefusedError(f"stage {stage.name}: its gate needs probes, and none were judged (set evaluate.probes)")
        if rate < stage.gate:
            raise RefusedError(
                f"stage {stage.name} ended with {rate:.0%} of its probes passed; its gate requires {stage.gate:.0%}"
            )
        self.run.event("train.gate", stage=stage.name, passed=rate, wanted=stage.gate)

    def _save(self, *, settled: bool = False) -> None:
        """A checkpoint of this place; `settled` waits for it, and retries once if it failed."""
        here = (self.state.batch, self.guard.rollbacks)
        parts = self.parts
        if self._saved_at != here:
            self.state = msgspec.structs.replace(
                self.state, guard=self.guard.state, micro=int(getattr(self.learner, "micro", 0))
            )
            if parts.store.write(self.learner, self.state, parts.identity, parts.versions):
                self._saved_at = here
        if settled and not parts.store.settle():
            parts.store.write(self.learner, self.state, parts.identity, parts.versions)
            parts.store.settle()
