"""Trouble in the middle of a run: poisoned batches, a full memory, a full disk, a step that never comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from tests.train.conftest import LORA, run_train, weights

from afs.errors import DataError, RefusedError
from afs.train.backends import sft, training_state
from afs.train.backends.hf import HfBackend
from afs.train.backends.sft import Sft
from afs.train.learner import Measured
from afs.workspace import Workspace

pytestmark = pytest.mark.train
Heard = Callable[[str], list[dict[str, object]]]


def poison(monkeypatch: pytest.MonkeyPatch, *calls: int) -> None:
    """These batches give NaN gradients."""
    true, count = Sft.backward, iter(range(10_000))

    def backward(self: Sft, model: torch.nn.Module, rows: Sequence[int], micro: int) -> Measured:
        measured = true(self, model, rows, micro)
        if next(count) in calls:
            next(p for p in model.parameters() if p.grad is not None).grad.fill_(torch.nan)
            return measured._replace(loss=float("nan"))
        return measured

    monkeypatch.setattr(Sft, "backward", backward)


def test_a_poisoned_batch_is_truly_skipped(place: Workspace, monkeypatch: pytest.MonkeyPatch, heard: Heard) -> None:
    poison(monkeypatch, 3)
    made = run_train(place, **LORA)
    assert [row["rule"] for row in heard("train.guard")] == ["not finite"]
    assert [row["taken"] for row in heard("train.step")].count(False) == 1
    assert made.facts["last_loss"] == pytest.approx(made.facts["last_loss"])
    assert made.facts["steps"] == len(heard("train.step")) - 1


def test_three_poisoned_batches_roll_back_to_a_checkpoint_at_half_the_rate(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, heard: Heard
) -> None:
    poison(monkeypatch, 6, 7, 8)
    run_train(place, **LORA, epochs=3)
    back = heard("train.rollback")[0]
    assert back["rate_scale"] == 0.5
    assert back["to"] <= 6  # type: ignore[operator]
    steps = heard("train.step")
    assert steps[-1]["step"] == len(steps)
    assert all(row["loss"] == row["loss"] for row in steps[9:])


def test_poison_without_end_stops_with_the_rows(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, *range(1000))
    with pytest.raises(RefusedError, match=r"stopped by the guard at step 6 \(not finite\).*rows \d"):
        run_train(place, **LORA, guard={"rollbacks": 1})


def test_out_of_memory_halves_the_pieces_and_keeps_the_batch(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, heard: Heard
) -> None:
    whole = run_train(place, **LORA, name="whole", micro_batch=2)
    true = sft.summed_loss

    def narrow(model: torch.nn.Module, rows: sft.Rows, chunk: int) -> torch.Tensor:  # type: ignore[name-defined]
        if len(rows.ids) > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return true(model, rows, chunk)

    monkeypatch.setattr(sft, "summed_loss", narrow)
    halved = run_train(place, **LORA, name="halved", evaluate={"split": "none"})
    assert [row["micro_batch"] for row in heard("train.memory")] == [4, 2]
    assert weights(place, halved) == weights(
        place, run_train(place, **LORA, name="w2", micro_batch=2, evaluate={"split": "none"})
    )
    assert whole.facts["steps"] == halved.facts["steps"]


def test_out_of_memory_with_one_sample_says_what_to_do(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(sft, "summed_loss", full)
    with pytest.raises(DataError, match="single sample"):
        run_train(place, **LORA)


def test_another_error_is_not_taken_for_a_full_memory(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(sft, "summed_loss", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run_train(place, **LORA)


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, heard: Heard
) -> None:
    whole = run_train(place, **LORA, name="whole")
    true, count = training_state.save_optimizer, iter(range(100))

    def full(optimizer: torch.optim.Optimizer, folder: Path) -> None:
        if next(count) in (1, 2):
            raise OSError(28, "No space left on device")
        true(optimizer, folder)

    monkeypatch.setattr(training_state, "save_optimizer", full)
    made = run_train(place, **LORA, name="made")
    assert [row["attempt"] for row in heard("train.checkpoint.failed")] == [1, 2]
    assert weights(place, made) == weights(place, whole)


def test_a_rate_of_its_own_is_noticed(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    true = HfBackend.apply

    def stubborn(self: HfBackend, rate: float) -> float:
        return true(self, rate * 0.5)

    monkeypatch.setattr(HfBackend, "apply", stubborn)
    with pytest.raises(RefusedError, match="the optimizer runs at"):
        run_train(place, **LORA)
