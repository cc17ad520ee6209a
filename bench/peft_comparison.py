"""Ours against plain transformers + PEFT: the same base, rows, order, adapter and optimizer, in one run.

Run: `python bench/peft_comparison.py WORKSPACE DATASET BASE [--steps 10] [--batch 8] [--dtype float32]`. The base and
the dataset are stored in the workspace (`make proof` leaves both). CPU seconds of the steps alone; losses are compared
one by one.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import peft
import torch
import transformers

from afs.train.backends.hf import HfBackend
from afs.train.backends.sft import Sft
from afs.train.backends.token_loss import IGNORED
from afs.train.settings import TrainConfig
from afs.train.training_data import gather_material
from afs.workspace import Workspace

RATE = 1e-3


def main() -> None:
    """Ten steps each way, in turn, and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("base")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    config = TrainConfig(
        dataset=given.dataset, name="x", base=given.base, batch_size=given.batch, dtype=given.dtype, seed=1
    )
    material = gather_material(config, Workspace.find(given.workspace), lambda *_: None)  # type: ignore[arg-type]
    learner = HfBackend(config, material, lambda *_, **__: None)
    assert isinstance(learner.objective, Sft)
    start = {name: tensor.detach().clone() for name, tensor in learner.named.items()}
    count = len(learner.objective.train)
    batches = [[(step * given.batch + row) % count for row in range(given.batch)] for step in range(given.steps)]
    plain = plain_model(material.base.folder, start, given.dtype)
    print(f"{given.base}, {given.dtype}, {given.batch} samples a step, 1 thread")
    rows = []
    for number, batch in enumerate(batches):
        own, theirs = own_step(learner, batch), plain_step(plain, learner.objective, batch)
        rows.append((own, theirs))
        print(f"step {number + 1}: loss {own[0]:.6f} and {theirs[0]:.6f}, {own[1]:.2f} and {theirs[1]:.2f} CPU s")
    off = max(abs(own[0] - theirs[0]) for own, theirs in rows)
    spent = [sum(row[side][1] for row in rows[1:]) for side in (0, 1)]  # the first step warms both up
    print(f"losses apart at most {off:.1e}; ours {spent[1] / spent[0]:.2f} x the tokens a CPU second")


def own_step(learner: HfBackend, batch: list[int]) -> tuple[float, float]:
    """Loss and CPU seconds of one step of the training loop."""
    begun = time.process_time()
    loss = learner.gradients(batch).loss
    learner.apply(RATE)
    return loss, time.process_time() - begun


def plain_model(
    folder: Path, start: dict[str, torch.Tensor], dtype: str
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """The base with the same adapter, as PEFT's manual has it."""
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    lora = peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(base, lora)
    named = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    assert named.keys() == start.keys(), "the adapters have other layers"
    with torch.no_grad():
        for name, tensor in named.items():
            tensor.copy_(start[name])
    model.train()
    return model, torch.optim.AdamW(named.values(), lr=RATE, weight_decay=0.0)


def plain_step(
    made: tuple[torch.nn.Module, torch.optim.Optimizer], objective: Sft, batch: list[int]
) -> tuple[float, float]:
    """The same for a plain loop: padded rows, the model's own loss."""
    model, optimizer = made
    begun = time.process_time()
    samples = [objective.train[row] for row in batch]
    longest = max(len(sample.ids) for sample in samples)
    ids = torch.full((len(samples), longest), objective.pad)
    labels, mask = torch.full_like(ids, IGNORED), torch.zeros_like(ids)
    for row, sample in enumerate(samples):
        size = len(sample.ids)
        ids[row, :size], mask[row, :size] = torch.tensor(sample.ids), 1
        labels[row, :size] = torch.where(torch.tensor(sample.trained, dtype=torch.bool), ids[row, :size], IGNORED)
    loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach()), time.process_time() - begun


if __name__ == "__main__":
    main()
