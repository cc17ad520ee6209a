"""Learning from verdicts: rewards that cannot be gamed, losses equal to TRL's, and models that do get better."""

from __future__ import annotations

import itertools
import math
import statistics
import warnings
from collections.abc import Callable, Iterator

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.train.conftest import LORA, config, run_train, split, stopping_at, store, sums, weights

from afs import datasets
from afs.domains.sums import DOMAIN
from afs.errors import DataError
from afs.train import rewards
from afs.train.backends.grpo import Grpo
from afs.train.backends.hf import HfBackend
from afs.train.backends.preference_loss import mismatch_rows
from afs.train.backends.token_encoding import Sample
from afs.train.backends.token_loss import answer_logps, collate
from afs.train.settings import Reward
from afs.train.training_data import gather_material
from afs.types import Record, Task, Verdict
from afs.workspace import Workspace

RULES = Reward()
TASK = next(iter(DOMAIN.tasks("say", 0, 1)))


def verdict(ok: bool | None, score: float | None = None, **facts: object) -> Verdict:
    return Verdict(task="t", ok=ok, score=1.0 if ok else score, stage="match", facts=facts)


def earned(answer: str, found: Verdict, task: Task = TASK) -> float:
    value = rewards.reward(task, answer, found, RULES)
    assert value is not None
    return value


def test_hacks_earn_nothing() -> None:
    """Deleting the work, echoing the question, stopping early: all wrong, none worth more than trying."""
    hacks = {"deleted": "", "echo": TASK.prompt, "early": TASK.reference.split()[0], "prose": "It follows."}
    for name, answer in hacks.items():
        found = DOMAIN.check(TASK, answer)
        assert found.ok is False, name
        assert earned(answer, found) == 0.0, name
    assert earned(TASK.reference, DOMAIN.check(TASK, TASK.reference)) >= 0.9


@pytest.mark.parametrize("family", DOMAIN.families)
def test_planted_answers_stay_below_the_reference(family: str) -> None:
    for task in DOMAIN.tasks(family, 0, 5):
        best = earned(task.reference, DOMAIN.check(task, task.reference), task)
        for kind, answer in DOMAIN.wrong_answers(task):
            assert earned(answer, DOMAIN.check(task, answer), task) < best - 0.5, kind


@given(st.floats(0, 1), st.integers(0, 5000), st.integers(1, 10**6), st.integers(1, 10**6))
def test_any_right_answer_beats_any_wrong_one(score: float, length: int, cycles: int, known: int) -> None:
    right = earned("x" * length, verdict(True, cycles=cycles, reference_cycles=known))
    wrong = earned("x" * length, verdict(False, score, cycles=1, reference_cycles=known))
    assert 0 <= wrong <= RULES.stage <= right <= 1


def test_stages_reached_and_cheapness_count() -> None:
    assert earned("x", verdict(False, 0.6)) > earned("x", verdict(False, 0.3)) > 0
    cheap = earned("x", verdict(True, cycles=50, reference_cycles=100))
    assert cheap > earned("x", verdict(True, cycles=100, reference_cycles=100)) > 0.5


def test_the_undecided_teaches_nothing() -> None:
    assert rewards.reward(TASK, "x", verdict(None), RULES) is None
    assert rewards.advantages([1.0, None, 0.0])[1] == 0.0


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_advantages_are_centerd(values: list[float]) -> None:
    found = rewards.advantages(values)
    assert sum(found) == pytest.approx(0, abs=1e-6)
    assert all(a <= b for (_, a), (_, b) in _ordered(values, found))


def _ordered(values: list[float], found: list[float]) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    ranked = sorted(zip(values, found, strict=True))
    yield from itertools.pairwise(ranked)


def judged(record: Record, answer: str) -> Record:
    """The record with another answer and its verdict."""
    assert record.task is not None
    messages = datasets.task_messages(record.task.prompt, reply=answer)
    found = DOMAIN.check(record.task, answer)
    return msgspec.structs.replace(record, id=record.id[:24] + answer[:8], messages=messages, verdicts=(found,))


@pytest.fixture
def answered(place: Workspace) -> Workspace:
    """A dataset with right and wrong answers to the same tasks."""
    train_side, held_out = split(sums("first", 30))
    both = [judged(r, text) for r in train_side if r.task for text in (r.task.reference, "no idea")]
    store(place, "judged", both, held_out)
    return place


def test_pairs_are_of_one_task(answered: Workspace) -> None:
    records = list(datasets.read(answered, datasets.load(answered, "judged"), "train"))
    found = list(rewards.preference_pairs(records))
    assert len(found) == len(records) // 2
    for better, worse in found:
        assert better.task == worse.task
        assert (better.verdicts[0].ok, worse.verdicts[0].ok) == (True, False)


@pytest.mark.train
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_right_answers_gain_on_wrong_ones(answered: Workspace, method: str, heard: Callable[..., list]) -> None:  # type: ignore[type-arg]
    made = run_train(answered, **{**LORA, "method": method}, dataset="judged", epochs=4, learning_rate=5e-3)
    losses = [row["loss"] for row in heard("train.step")]
    assert losses[0] == pytest.approx(0.6931 if method == "dpo" else 0.5, abs=1e-3)
    assert statistics.fmean(losses[-6:]) < losses[0] - 0.02
    assert made.form == "adapter"


@pytest.mark.train
@pytest.mark.parametrize("method", ["dpo", "kto", "grpo"])
def test_what_learns_from_verdicts_resumes_to_the_bit(answered: Workspace, method: str) -> None:
    rules = {"generations": 2, "max_tokens": 3}
    changes = {**LORA, "method": method, "dataset": "judged", "preference": rules, "max_steps": 3, "batch_size": 4}
    whole = run_train(answered, **changes, name="whole")
    stopping_at(answered, 2, **changes, name="halves")
    assert weights(answered, run_train(answered, **changes, name="halves")) == weights(answered, whole)


@pytest.mark.train
def test_preferences_go_on_from_an_adapter_and_are_held_to_it(answered: Workspace, heard: Callable[..., list]) -> None:  # type: ignore[type-arg]
    run_train(answered, **LORA, name="first", learning_rate=1e-2)
    run_train(answered, **{**LORA, "base": "first", "method": "dpo"}, dataset="judged", name="second")
    begun = next(row for row in heard("train.step") if "margin" in row)
    assert begun["loss"] == pytest.approx(0.6931, abs=1e-3), "the reference is the adapter, not the bare base"


@pytest.mark.train
def test_no_pairs_are_refused(place: Workspace) -> None:
    with pytest.raises(DataError, match="no task has both"):
        run_train(place, **{**LORA, "method": "dpo"})


@pytest.mark.train
def test_what_did_better_gains_on_its_siblings(place: Workspace) -> None:
    """Sampled answers, a judge that likes one kind, and a few steps on them."""
    rules = {"generations": 8, "max_tokens": 4, "beta": 0.0}
    chosen = config(**{**LORA, "method": "grpo"}, preference=rules)
    learner = HfBackend(chosen, gather_material(chosen, place, lambda _: []), lambda *_, **__: None)
    objective = learner.objective
    assert isinstance(objective, Grpo)
    made = objective._answer(learner.model, [0] * 8)
    samples = [objective._sample(0, one) for one in made]
    gains = [1.0 if i % 2 else -1.0 for i in range(8)]

    def likely() -> torch.Tensor:
        with torch.no_grad():
            return answer_logps(learner.model, collate(samples, 0, "cpu"))

    before = likely()
    for _ in range(6):
        objective._learn(learner.model, samples, gains, 4)
        learner.apply(5e-3)
    moved = (likely() - before) * torch.tensor(gains)
    assert float(moved.mean()) > 0.1


@pytest.mark.train
def test_verdicts_of_the_pack_are_the_reward(place: Workspace, heard: Callable[..., list]) -> None:  # type: ignore[type-arg]
    rules = {"generations": 2, "max_tokens": 4}
    made = run_train(place, **{**LORA, "method": "grpo"}, preference=rules, max_steps=1, batch_size=2)
    assert made.facts["method"] == "grpo"
    assert 0 <= heard("train.step")[0]["reward"] <= 1


@pytest.mark.train
def test_dpo_is_trl_s(answered: Workspace) -> None:
    """One batch through TRL's own trainer, at an adapter that has moved: the same loss."""
    import datasets as hub
    from trl import DPOConfig, DPOTrainer

    chosen = config(**{**LORA, "method": "dpo"}, dataset="judged")
    learner = HfBackend(chosen, gather_material(chosen, answered, lambda _: []), lambda *_, **__: None)
    records = list(datasets.read(answered, datasets.load(answered, "judged"), "train"))
    rows = [
        {
            "prompt": [{"role": "user", "content": pair.better.messages[0].text}],
            "chosen": [{"role": "assistant", "content": datasets.answer_text(pair.better)}],
            "rejected": [{"role": "assistant", "content": datasets.answer_text(pair.worse)}],
        }
        for pair in rewards.preference_pairs(records)
    ][:6]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = DPOConfig(
            output_dir="trl", per_device_train_batch_size=6, report_to="none", use_cpu=True, bf16=False,
            gradient_checkpointing=False, beta=0.1, disable_tqdm=True, max_length=None,
        )  # fmt: skip
        trainer = DPOTrainer(
            model=learner.model,
            args=arguments,
            train_dataset=hub.Dataset.from_list(rows),
            processing_class=learner.tokenizer,
        )
        torch.manual_seed(3)
        with torch.no_grad():
            for name, tensor in learner.named.items():
                tensor.add_(torch.randn_like(tensor) * 0.05 * ("lora_B" in name))
        ours = learner.objective.backward(learner.model, range(6), 3).loss
        batch = next(iter(trainer.get_train_dataloader()))
        theirs = float(trainer.compute_loss(trainer.model, batch).detach())
    assert abs(ours - math.log(2)) > 1e-3
    assert ours == pytest.approx(theirs, rel=2e-3)


def test_crossed_takes_the_question_of_one_and_the_answer_of_the_other() -> None:
    one, other = Sample([1, 2, 3], [False, False, True]), Sample([7, 8, 9], [False, True, True])
    assert mismatch_rows(one, other) == Sample([1, 2, 8, 9], [False, False, True, True])
