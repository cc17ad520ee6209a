"""Unsloth's model under our loop, in the environment where Unsloth is installed; imported nowhere else.

The calls are checked against the installed version's own signatures before a model is loaded. Its fast forward wants
to be asked through the whole model (its layers alone would look ahead), so the loss is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch

from afs import plugins
from afs.providers.base import Sampling
from afs.providers.local import load_tokenizer, pick_device, render, stop_ids
from afs.train.backends import model_loading
from afs.train.backends.builtin_loss import LibraryLoss
from afs.train.backends.hf import HfBackend
from afs.train.backends.library_arguments import check_arguments
from afs.train.backends.subprocess_learner import RemoteCall
from afs.train.backends.token_loss import unwrap_compiled
from afs.train.backends.worker import ServedLearner
from afs.train.settings import TrainConfig
from afs.train.training_data import Material
from afs.types import Message

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def loading_arguments(config: TrainConfig, folder: Path) -> dict[str, object]:
    """What is asked of `FastLanguageModel.from_pretrained`."""
    return {
        "model_name": str(folder),
        "max_seq_length": config.max_length,
        "dtype": None,
        "load_in_4bit": config.method == "qlora",
        "load_in_8bit": config.method == "lora8",
        "full_finetuning": config.method == "full",
        "use_gradient_checkpointing": "unsloth" if config.checkpointing else False,
        "random_state": config.seed,
        "use_exact_model_name": True,
    }


def adapter_arguments(config: TrainConfig) -> dict[str, object]:
    """What is asked of `FastLanguageModel.get_peft_model`."""
    lora = config.lora
    return {
        "r": lora.rank,
        "target_modules": list(lora.modules or ALL_LINEAR),
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "bias": "none",
        "use_gradient_checkpointing": "unsloth" if config.checkpointing else False,
        "random_state": config.seed,
        "use_rslora": lora.rslora,
    }


class ServedUnsloth(ServedLearner):
    """What the near end's first call makes."""

    def __init__(self, call: RemoteCall) -> None:
        super().__init__(call, UnslothLearner)


class UnslothLearner(HfBackend):
    """The reference back end with Unsloth's model and loss."""

    def prepared(self, config: TrainConfig, material: Material) -> model_loading.Loaded:
        """The model as Unsloth loads and adapts it."""
        fast = plugins.load("unsloth:FastLanguageModel")
        folder = material.base.folder
        assert folder is not None
        load = cast(Callable[..., tuple[torch.nn.Module, object]], fast.from_pretrained)  # type: ignore[attr-defined]
        adapt = cast(Callable[..., torch.nn.Module], fast.get_peft_model)  # type: ignore[attr-defined]
        asked, shape = (
            check_arguments(load, loading_arguments(config, folder)),
            check_arguments(adapt, adapter_arguments(config)),
        )
        model, _ = load(**asked)
        tokenizer = load_tokenizer(folder)
        model_loading.check_tokenizer(tokenizer, folder)
        if config.method in model_loading.ADAPTED:
            model = adapt(model, **shape)
        return model_loading.Loaded(model, tokenizer, pick_device(config.device))

    def learns(self, config: TrainConfig, material: Material) -> LibraryLoss:
        """Fine-tuning by the model's own loss."""
        return LibraryLoss(config, material, self.encoder, self.device)

    def answer(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[str]:
        """Answers by Unsloth's own generation, one conversation at a time."""
        fast = plugins.load("unsloth:FastLanguageModel")
        fast.for_inference(self.model)  # type: ignore[attr-defined]
        try:
            return [self._one(render(self.tokenizer, messages), sampling) for messages in conversations]
        finally:
            fast.for_training(self.model)  # type: ignore[attr-defined]

    def _one(self, prompt: str, sampling: Sampling) -> str:
        ids = torch.tensor([self.tokenizer.encode(prompt, add_special_tokens=False)], device=self.device)
        heat: Mapping[str, object] = {"do_sample": False}
        if sampling.temperature:
            heat = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
        tokens = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=sampling.max_tokens,
            eos_token_id=sorted(stop_ids(unwrap_compiled(self.model), self.tokenizer)),
            pad_token_id=self.tokenizer.pad_token_id,
            **heat,
        )
        return str(self.tokenizer.decode(tokens[0, ids.shape[1] :], skip_special_tokens=True))
