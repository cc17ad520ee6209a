"""The reference back end: transformers and PEFT under our own loop, one batch at a time.

When memory runs out it repeats the batch in smaller pieces, with the same gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import torch

from afs import plugins
from afs.errors import DataError
from afs.providers.base import Sampling
from afs.providers.local import generate, pick_device, render, stop_ids
from afs.train.backends import liger_kernels, model_loading, training_state
from afs.train.backends.token_encoding import Encoder
from afs.train.backends.token_loss import unwrap_compiled
from afs.train.learner import Measured, Notify
from afs.train.memory_estimate import Setting, flops_per_token, shape_of_table
from afs.train.settings import TrainConfig
from afs.train.training_data import Material
from afs.types import Message

OBJECTIVES = {
    "scratch": "afs.train.backends.sft:Sft",
    "lora": "afs.train.backends.sft:Sft",
    "qlora": "afs.train.backends.sft:Sft",
    "lora8": "afs.train.backends.sft:Sft",
    "full": "afs.train.backends.sft:Sft",
    "dpo": "afs.train.backends.preference_loss:Dpo",
    "kto": "afs.train.backends.preference_loss:Kto",
    "grpo": "afs.train.backends.grpo:Grpo",
}
"""Method -> what it learns from."""


class Objective(Protocol):
    """What is learned: made of the material, it gives the gradients of a batch."""

    lengths: Sequence[int]
    facts: Mapping[str, object]

    def backward(self, model: torch.nn.Module, rows: Sequence[int], micro: int) -> Measured:
        """Gradients of the mean loss over a batch, so many samples at once."""

    def evaluate(self, model: torch.nn.Module, micro: int) -> Measured:
        """Mean loss over the held-out items."""


class HfBackend:
    """A model in training; see `afs.train.learner.Learner`."""

    def __init__(self, config: TrainConfig, material: Material, notify: Notify) -> None:
        micro = probe_micro(config, material, notify) or config.micro_batch or config.batch_size
        config = choose_fused_kernels(config, material, min(micro, config.batch_size), notify)
        self.config, self.notify, self.base = config, notify, material.base
        self.loaded = self.prepared(config, material)
        self.model, self.tokenizer, self.device = self.loaded
        self.encoder = Encoder(self.tokenizer)
        self.objective = self.learns(config, material)
        self.lengths = self.objective.lengths
        self.named = {name: tensor for name, tensor in self.model.named_parameters() if tensor.requires_grad}
        self.optimizer = model_loading.new_optimizer(config, list(self.named.values()), self.device)
        self.micro = min(micro, config.batch_size)
        if config.neftune:
            EmbeddingNoise(self.model, config.neftune)
        self.model.train()
        self.facts = {
            "device": self.device,
            "kernels": config.kernels,
            "machine": torch.cuda.get_device_name()
            if self.device.startswith("cuda")
            else f"cpu, {config.threads} threads",
            "flops_per_token": self._flops(),
            "trained_parameters": sum(tensor.numel() for tensor in self.named.values()),
            "all_parameters": sum(tensor.numel() for tensor in self.model.parameters()),
            "template_sha256": self.encoder.template_hash,
            "tokenizer_sha256": self.encoder.tokenizer_hash,
            **self.objective.facts,
        }

    def prepared(self, config: TrainConfig, material: Material) -> model_loading.Loaded:
        """The model to be trained, on its device."""
        return model_loading.load_for_training(config, material.base, material.train)

    def learns(self, config: TrainConfig, material: Material) -> Objective:
        """What is learned from the material."""
        make = plugins.Late[Callable[..., Objective]](OBJECTIVES[config.method]).load()
        return make(config, material, self.encoder, self.device)

    @staticmethod
    def refuse(config: TrainConfig) -> None:
        """What the installed PEFT and bitsandbytes cannot do."""
        if config.method in model_loading.ADAPTED:
            model_loading.lora_config(config.lora)
        liger_kernels.refuse(config, pick_device(config.device))

    def _flops(self) -> float:
        """Arithmetic per token, by the plan's own formula."""
        table = unwrap_compiled(self.model).config.to_dict()
        lengths = self.lengths or [1]
        setting = Setting(
            method=self.config.method,
            length=sum(lengths) // len(lengths),
            checkpointing=self.config.checkpointing,
            last_layers=self.config.lora.last_layers,
        )
        return flops_per_token(shape_of_table(table), setting)

    def gradients(self, rows: Sequence[int]) -> Measured:
        """Forward and backward; when memory runs out, again with half the micro-batch."""
        while True:
            before = torch.get_rng_state()
            try:
                with model_loading.autocast(self.device):
                    measured = self.objective.backward(self.model, self.own_rows(rows), self.micro)
                break
            except RuntimeError as error:
                if not is_memory_error(error):
                    raise
                if self.micro == 1:
                    raise DataError(
                        "out of memory with a single sample at once; shorten max_length, set checkpointing = true, "
                        "or see `afs plan`"
                    ) from error
            self._forget()
            if self.device == "cuda":
                torch.cuda.empty_cache()
            torch.set_rng_state(before)
            self.micro //= 2
            self.notify(
                "train.memory", micro_batch=self.micro, reason="out of memory: batch repeated in smaller pieces"
            )
        measured = self.combine(measured)
        norm = torch.nn.utils.clip_grad_norm_(self.named.values(), self.config.max_grad_norm)
        return measured._replace(grad_norm=float(norm))

    def own_rows(self, rows: Sequence[int]) -> Sequence[int]:
        """The rows of a batch that this process computes: all of them."""
        return rows

    def combine(self, measured: Measured) -> Measured:
        """Loss and gradients of the whole batch, from those of `own_rows`."""
        return measured

    def apply(self, rate: float) -> float:
        """The optimizer's step; the rate it really ran at."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(self.optimizer.param_groups[0]["lr"])

    def discard(self) -> None:
        """Forget the gradients."""
        self._forget()

    def _forget(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    def evaluate(self) -> Measured:
        """Held-out loss; nothing random is touched."""
        with self._resting(), torch.no_grad(), model_loading.autocast(self.device):
            return self.objective.evaluate(self.model, self.micro)

    def answer(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[str]:
        """Answers of the model as it is now."""
        prompts = [render(self.tokenizer, messages) for messages in conversations]
        ids = [self.tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
        with self._resting(), model_loading.autocast(self.device):
            answers = generate(self.model, ids, sampling, stop_ids(unwrap_compiled(self.model), self.tokenizer))
        return [str(self.tokenizer.decode(one.tokens, skip_special_tokens=True)) for one in answers]

    def _resting(self) -> DropoutOff:
        return DropoutOff(self.model)

    def save(self, folder: Path) -> None:
        """Everything the next step depends on."""
        training_state.save_weights(self.named, folder)
        training_state.save_optimizer(self.optimizer, folder)
        training_state.save_random(folder)

    def restore(self, folder: Path, *, weights_only: bool = False) -> None:
        """Back to a saved state."""
        training_state.load_weights(self.named, folder)
        self._forget()
        if not weights_only:
            training_state.load_optimizer(self.optimizer, folder)
            training_state.load_random(folder)

    def export(self, folder: Path) -> Mapping[str, object]:
        """Write the model as an artifact's files."""
        return model_loading.export(self.config, self.loaded, self.base, folder)

    def close(self) -> None:
        """Nothing was started."""


class DropoutOff:
    """The model in evaluation mode while the block runs: no dropout, no noise."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.model.eval()

    def __exit__(self, *_: object) -> None:
        self.model.train()


class EmbeddingNoise:
    """NEFTune: uniform noise on the embeddings while training, smaller for longer rows."""

    def __init__(self, model: torch.nn.Module, alpha: float) -> None:
        self.model, self.alpha = model, alpha
        unwrap_compiled(model).get_input_embeddings().register_forward_hook(self._add)

    def _add(self, _module: torch.nn.Module, _inputs: object, out: torch.Tensor) -> torch.Tensor:
        if not self.model.training:
            return out
        size = self.alpha / (out.shape[-2] * out.shape[-1]) ** 0.5
        return out + torch.empty_like(out).uniform_(-size, size)


def is_fine_tuning(config: TrainConfig) -> bool:
    return OBJECTIVES[config.method] == OBJECTIVES["lora"] and config.method != "scratch"


def choose_fused_kernels(config: TrainConfig, material: Material, micro: int, notify: Notify) -> TrainConfig:
    """The config with its kernels decided: by name, or by trial where there is a choice."""
    if config.kernels != "auto":
        return config
    chosen = "none"
    if is_fine_tuning(config) and liger_kernels.can_run(pick_device(config.device)):
        trial = plugins.Late[Callable[..., str]]("afs.train.backends.batch_probe:probe_kernels").load()
        chosen = trial(config, material, micro, notify)
    return msgspec.structs.replace(config, kernels=chosen)


def probe_micro(config: TrainConfig, material: Material, notify: Notify) -> int:
    """The micro-batch found by a trial in a child process on a GPU; 0 elsewhere."""
    if config.micro_batch or not is_fine_tuning(config) or not pick_device(config.device).startswith("cuda"):
        return 0
    probe = plugins.Late[Callable[..., int]]("afs.train.backends.batch_probe:probe_micro_batch").load()
    return probe(config, material, notify)


def is_memory_error(error: RuntimeError) -> bool:
    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in words or "out of memory" in words
