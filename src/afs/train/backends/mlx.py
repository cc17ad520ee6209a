"""MLX: Apple's library does the steps (also on a processor, for tests), in a process of its own.

Text becomes tokens here, tokens become gradients there; schedule, guard, checkpoints and records are ours. The adapter
comes back in PEFT's form, so that it is evaluated, merged and shipped like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import torch
from safetensors.torch import load_file, save_file

from afs.config import to_table
from afs.errors import ConfigError
from afs.providers.base import Sampling
from afs.providers.local import load_tokenizer, render
from afs.train.backend_environments import environment_python
from afs.train.backends import model_loading
from afs.train.backends.sft import Sft
from afs.train.backends.subprocess_learner import Remote, RemoteCall, RemoteSteps
from afs.train.backends.token_encoding import Encoder
from afs.train.learner import Notify
from afs.train.memory_estimate import Setting, flops_per_token, shape_of_folder
from afs.train.settings import TrainConfig
from afs.train.training_data import Material
from afs.types import Json, Message

TARGET = "afs.train.backends.mlx_model:ServedMlx"
METHODS = ("lora", "qlora")
_PEFT = "base_model.model."


class MlxBackend(RemoteSteps):
    """A model in training at the far end; see `afs.train.learner.Learner`."""

    def __init__(self, config: TrainConfig, material: Material, notify: Notify) -> None:
        self.refuse(config)
        self.config, self.base = config, material.base
        assert self.base.folder is not None
        self.tokenizer = load_tokenizer(self.base.folder)
        model_loading.check_tokenizer(self.tokenizer, self.base.folder)
        encoder = Encoder(self.tokenizer)
        self.items = Sft(config, material, encoder, "cpu")
        self.lengths = self.items.lengths
        self.remote = Remote(environment_python("mlx", config.environment, "mlx_lm"), TARGET, notify)
        more: Json = {
            "config": to_table(config),
            "folder": str(self.base.folder),
            "train": [[sample.ids, sample.trained] for sample in self.items.train],
            "held_out": [[sample.ids, sample.trained] for sample in self.items.held_out],
        }
        start = self.remote.call(RemoteCall(do="begin", more=more), dict[str, object])
        mean = sum(self.lengths) // len(self.lengths)
        setting = Setting(method=config.method, length=mean, checkpointing=config.checkpointing)
        self.facts: Mapping[str, object] = {
            **start,
            "flops_per_token": flops_per_token(shape_of_folder(self.base.folder), setting),
            "template_sha256": encoder.template_hash,
            "tokenizer_sha256": encoder.tokenizer_hash,
            **self.items.facts,
        }

    @staticmethod
    def refuse(config: TrainConfig) -> None:
        """What is not done with MLX."""
        if config.method not in METHODS:
            raise ConfigError("trainer", f"mlx does {', '.join(METHODS)}; {config.method!r} is done by hf")
        unsupported = {
            "packing": config.packing,
            "neftune": config.neftune,
            "lora.dora": config.lora.dora,
            "lora.last_layers": config.lora.last_layers,
        }
        for name, asked in unsupported.items():
            if asked:
                raise ConfigError(name, "not with mlx; hf does it")
        model_loading.lora_config(config.lora)
        environment_python("mlx", config.environment, "mlx_lm")

    def answer(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[str]:
        """Answers of the model as it is now."""
        prompts = [render(self.tokenizer, messages) for messages in conversations]
        ids = [self.tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
        more = {"prompts": ids, "sampling": msgspec.to_builtins(sampling), "stops": [self.tokenizer.eos_token_id]}
        answers = self.remote.call(RemoteCall(do="answer", more=more), list[list[int]])
        return [str(self.tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in answers]

    def export(self, folder: Path) -> Mapping[str, object]:
        """The adapter in PEFT's form."""
        self.remote.call(RemoteCall(do="export", folder=str(folder)), object)
        path = folder / "adapters.safetensors"
        found = peft_tensors(load_file(path))
        path.unlink()
        save_file(found, folder / "adapter_model.safetensors")
        chosen = model_loading.lora_config(self.config.lora)
        chosen.target_modules = {name.split(".lora_")[0].rpartition(".")[2] for name in found}
        chosen.inference_mode = True
        chosen.save_pretrained(str(folder))
        return model_loading.finish_adapter(folder, self.base.text, self.tokenizer)


def peft_tensors(found: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """MLX's `….lora_a` (in × rank) and `….lora_b` (rank × out) under PEFT's names, the other way round."""
    renamed = {}
    for name, tensor in found.items():
        stem, _, kind = name.rpartition(".")
        renamed[f"{_PEFT}{stem}.lora_{kind[-1].upper()}.weight"] = tensor.T.contiguous()
    return renamed
