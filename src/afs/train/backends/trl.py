"""Fine-tuning through TRL's own trainer: its data pipeline and its loss, under our loop, guard and checkpoints.

For recipes that are written for TRL, and to hold our own loss against. It learns the last answer of a conversation.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import cast

import datasets as hub
import torch
import trl

from afs.errors import ConfigError, boundary
from afs.providers.local import template_message
from afs.train.backends import model_loading
from afs.train.backends.hf import HfBackend, Objective
from afs.train.backends.library_arguments import check_arguments
from afs.train.learner import Measured, Notify
from afs.train.settings import TrainConfig
from afs.train.task_probes import question_messages
from afs.train.training_data import Material
from afs.types import Record

METHODS = ("lora", "qlora", "lora8", "full")


def sft_arguments(config: TrainConfig, folder: str) -> dict[str, object]:
    """What we ask of TRL, by the names the installed version knows; its silent defaults are overridden by name."""
    wanted = {
        "output_dir": folder,
        "max_length": None,
        "packing": False,
        "completion_only_loss": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "seed": config.seed,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": config.device == "cpu" or not torch.cuda.is_available(),
        "save_strategy": "no",
        "dataset_num_proc": None,
    }
    return check_arguments(trl.SFTConfig, wanted)


class TrlBackend(HfBackend):
    """The reference back end with TRL's loss in place of ours."""

    def __init__(self, config: TrainConfig, material: Material, notify: Notify) -> None:
        self.refuse(config)
        self.asked = sft_arguments(config, mkdtemp(prefix="trl-"))
        super().__init__(config, material, notify)
        ours = self.objective
        self.objective = _TrlLoss(config, self.loaded, material, self.asked, ours)
        self.lengths = self.objective.lengths

    @staticmethod
    def refuse(config: TrainConfig) -> None:
        """Methods and arguments that the installed TRL does not take."""
        if config.method not in METHODS:
            raise ConfigError("trainer", f"trl does {', '.join(METHODS)}; {config.method!r} is done by hf")
        sft_arguments(config, "nowhere")


class _TrlLoss:
    """SFTTrainer's batches and loss."""

    def __init__(
        self,
        config: TrainConfig,
        loaded: model_loading.Loaded,
        material: Material,
        asked: dict[str, object],
        ours: Objective,
    ) -> None:
        self.ours, self.facts = ours, ours.facts
        rows = [prompt_completion(record) for record in material.train]
        with boundary(ConfigError, "trl"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hub.disable_progress_bars()
            self.trainer = trl.SFTTrainer(
                model=loaded.model,
                args=trl.SFTConfig(**asked),
                train_dataset=hub.Dataset.from_list(rows),
                processing_class=loaded.tokenizer,
            )
        Path(cast(str, asked["output_dir"])).rmdir()
        self.rows = self.trainer.train_dataset
        self.lengths: Sequence[int] = [len(row["input_ids"]) for row in self.rows]

    def backward(self, model: torch.nn.Module, rows: Sequence[int], micro: int) -> Measured:
        """Gradients of TRL's loss over a batch, so many samples at once."""
        parts = [self._batch(rows[start : start + micro]) for start in range(0, len(rows), micro)]
        tokens = sum(int((part["labels"][:, 1:] != -100).sum()) for part in parts)
        loss = 0.0
        for part in parts:
            found = self.trainer.compute_loss(self.trainer.model, part, num_items_in_batch=torch.tensor(tokens))
            found.backward()
            loss += float(found.detach())
        return Measured(loss, 0.0, tokens, sum(self.lengths[row] for row in rows))

    def _batch(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        batch = self.trainer.data_collator([self.rows[int(row)] for row in rows])
        return {name: tensor.to(self.trainer.args.device) for name, tensor in batch.items()}

    def evaluate(self, model: torch.nn.Module, micro: int) -> Measured:
        """Held-out loss by our own measure, so that back ends can be compared."""
        return self.ours.evaluate(model, micro)


def prompt_completion(record: Record) -> dict[str, object]:
    prompt = question_messages(record)
    return {
        "prompt": [template_message(m) for m in prompt],
        "completion": [template_message(record.messages[len(prompt)])],
    }
