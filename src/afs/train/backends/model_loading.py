"""Loading, adapting and exporting models; what is known of them is measured from their files."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import msgspec
import peft
import torch
import transformers

from afs import artifacts, plugins
from afs.errors import ConfigError, DataError, boundary
from afs.models import Base
from afs.providers.local import load_tokenizer, pick_device, pick_dtype
from afs.train.backends import liger_kernels
from afs.train.backends.library_arguments import check_arguments
from afs.train.backends.tiny_model import learn_tokenizer, new_model
from afs.train.backends.token_loss import REFERENCE
from afs.train.settings import Lora, TrainConfig
from afs.types import Record

ADAPTED = ("lora", "qlora", "lora8", "dpo", "kto", "grpo")
"""Methods that train an adapter and leave the base alone."""
_HEAD = ("lm_head", "embed_tokens")
_FORMATS = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}
"""What safetensors calls them."""


class Loaded(NamedTuple):
    """A model ready to be trained."""

    model: torch.nn.Module
    tokenizer: transformers.PreTrainedTokenizerBase
    device: str


def load_for_training(config: TrainConfig, base: Base, records: Sequence[Record] = ()) -> Loaded:
    """The model a config asks for, on its device; from scratch its tokenizer is learned from the records."""
    device = pick_device(config.device)
    if device == "cpu":
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    if config.method == "scratch":
        tokenizer = learn_tokenizer(records, config.shape)
        return Loaded(new_model(tokenizer, config.shape).to(device), tokenizer, device)
    folder = base.folder
    assert folder is not None
    with boundary(DataError, f"base {base.text}"):
        tokenizer = load_tokenizer(folder)
        check_tokenizer(tokenizer, folder)
        model = load_base(config, folder, device)
    if config.checkpointing:
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable()
        model.enable_input_require_grads()
    if config.kernels == "liger" and liger_kernels.can_run(device):
        liger_kernels.patch_model(model)
    if config.method in ADAPTED:
        model = add_adapter(config, model, base)
        for module in model.modules() if device.startswith("cuda") else ():
            module.cast_input_dtype_enabled = False  # autocast does it, without keeping a 32-bit copy of every input
    return Loaded(model, tokenizer, device)


def autocast(device: str) -> AbstractContextManager[object]:
    """On a GPU matrix work in bfloat16; adapters and whole models keep 32-bit weights for the optimizer."""
    on_gpu = device.startswith("cuda")
    wide: AbstractContextManager[object] = torch.autocast("cuda", torch.bfloat16, enabled=on_gpu)
    return wide


def new_optimizer(config: TrainConfig, parameters: Sequence[torch.nn.Parameter], device: str) -> torch.optim.Optimizer:
    """AdamW, with its states in 32 or 8 bits."""
    if not parameters:
        raise ConfigError("method", "nothing of the model would be trained")
    if config.optimizer == "adamw8bit":
        adamw8bit = plugins.load("bitsandbytes.optim:AdamW8bit")
        return adamw8bit(parameters, lr=0.0, weight_decay=config.weight_decay)  # type: ignore[operator]
    fused = device.partition(":")[0] in ("cpu", "cuda")
    return torch.optim.AdamW(parameters, lr=0.0, weight_decay=config.weight_decay, fused=fused)


def check_tokenizer(tokenizer: transformers.PreTrainedTokenizerBase, folder: Path) -> None:
    """Refuse a tokenizer of another model: tokens beyond the embeddings, or an end that serving would not stop at."""
    size = json.loads((folder / "config.json").read_bytes()).get("vocab_size")
    if isinstance(size, int) and len(tokenizer) > size:
        raise DataError(f"the tokenizer has {len(tokenizer)} tokens, the model only {size}: not this model's tokenizer")
    path = folder / "generation_config.json"
    named = json.loads(path.read_bytes()).get("eos_token_id") if path.is_file() else None
    stops = named if isinstance(named, list) else [named]
    if named is not None and tokenizer.eos_token_id not in stops:
        raise DataError(
            f"answers are trained to end with {tokenizer.eos_token!r} (token {tokenizer.eos_token_id}), and "
            f"{path.name} stops at {stops}: a served model would not stop; name the token there too"
        )


def base_dtype(config: TrainConfig, device: str) -> torch.dtype:
    """Number format of the base: on a CPU 16 bits pay only where it multiplies them (elsewhere 40 times slower)."""
    if config.dtype == "auto" and (config.method == "full" or (device == "cpu" and not multiplies_bfloat16())):
        return torch.float32
    return pick_dtype("bfloat16" if config.dtype == "auto" and device == "cpu" else config.dtype, device)


def cpu_dtype(method: str) -> str:
    """The number format that `auto` means for a method on this CPU."""
    return "bfloat16" if method != "full" and method != "scratch" and multiplies_bfloat16() else "float32"


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 products (AVX512-BF16 or AMX)."""
    checks = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return any(check() for check in checks if check is not None)


def load_base(config: TrainConfig, folder: Path, device: str) -> transformers.PreTrainedModel:
    kind = base_dtype(config, device)
    extra: dict[str, object] = {}
    if config.method == "qlora":
        packed = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": kind,
        }
        extra["quantization_config"] = transformers.BitsAndBytesConfig(
            **check_arguments(transformers.BitsAndBytesConfig, packed)
        )
    if config.method == "lora8":
        extra["quantization_config"] = transformers.BitsAndBytesConfig(load_in_8bit=True)
    if extra:
        extra["device_map"] = {"": device}
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=kind, use_safetensors=True, **extra)
    for module in model.modules() if config.method == "qlora" else ():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # else the first evaluation repacks the weights for good, and training continues without their gradients
            module.support_avx512bf16_for_cpu = False
    return model if extra else model.to(device)


def lora_config(lora: Lora, model: transformers.PreTrainedModel | None = None) -> peft.LoraConfig:
    """PEFT's own config of an adapter; the model says which its last blocks are."""
    refused = [name for name in lora.targets if name in _HEAD]
    if refused:
        raise ConfigError("lora.targets", f"{refused[0]} cannot be adapted: GGUF has no place for it")
    wanted: dict[str, object] = {
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": list(lora.modules) or "all-linear",
        "use_dora": lora.dora,
        "use_rslora": lora.rslora,
        "task_type": "CAUSAL_LM",
    }
    if lora.last_layers and model is not None:
        blocks = int(model.config.num_hidden_layers)
        wanted["layers_to_transform"] = list(range(max(0, blocks - lora.last_layers), blocks))
        wanted["target_modules"] = list(lora.modules) or linear_names(model)  # PEFT: no blocks with "all-linear"
    return peft.LoraConfig(**check_arguments(peft.LoraConfig, wanted))


def linear_names(model: transformers.PreTrainedModel) -> list[str]:
    """Last parts of the names of the linear maps that are not the head."""
    found = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, transformers.pytorch_utils.Conv1D))
    }
    return sorted(found - set(_HEAD))


def add_adapter(config: TrainConfig, model: transformers.PreTrainedModel, base: Base) -> torch.nn.Module:
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with boundary(ConfigError, "lora"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        if base.adapter is not None:
            adapted = peft.PeftModel.from_pretrained(model, base.adapter, is_trainable=True)
            if config.method in ("dpo", "kto", "grpo"):
                adapted.load_adapter(base.adapter, REFERENCE, is_trainable=False)
                adapted.set_adapter("default")
            return adapted
        return peft.get_peft_model(model, lora_config(config.lora, model), autocast_adapter_dtype=True)


def export(config: TrainConfig, loaded: Loaded, base: Base, folder: Path) -> Mapping[str, object]:
    """Write a model as an artifact's files: the whole model, or the adapter alone."""
    model, tokenizer, device = loaded
    facts: dict[str, object] = {}
    if config.method == "qlora":
        facts["four_bit"] = {"device": device.partition(":")[0], "dtype": _FORMATS[pick_dtype(config.dtype, device)]}
    if config.method in ADAPTED:
        model.save_pretrained(
            folder, safe_serialization=True, save_embedding_layers=False, selected_adapters=["default"]
        )
        return facts | finish_adapter(folder, base.text, tokenizer)
    model.save_pretrained(folder, safe_serialization=True)
    stops = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    transformers.GenerationConfig(
        eos_token_id=sorted({stop for stop in stops if stop is not None}), pad_token_id=tokenizer.pad_token_id
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model_facts(folder, tokenizer)


def finish_adapter(folder: Path, base: str, tokenizer: transformers.PreTrainedTokenizerBase) -> dict[str, object]:
    """Make an adapter's files name their base by its ref, and say nothing that depends on chance."""
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    content = json.loads(path.read_bytes()) | {"base_model_name_or_path": base}
    content["target_modules"] = sorted(content["target_modules"])
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2))
    return model_facts(folder, tokenizer)


def model_facts(folder: Path, tokenizer: transformers.PreTrainedTokenizerBase) -> dict[str, object]:
    return measure_export(folder) | {
        "template_sha256": hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest(),
        "stop": [str(tokenizer.eos_token)],
    }


def measure_export(folder: Path) -> dict[str, object]:
    """Parameters, number formats and the adapter's shape, read from the files themselves."""
    found = list(artifacts.read_tensors(sorted(folder.glob("*.safetensors"))))
    kinds: dict[str, int] = {}
    for tensor in found:
        kinds[tensor.dtype] = kinds.get(tensor.dtype, 0) + count_parameters(tensor.shape)
    facts: dict[str, object] = {
        "parameters": sum(kinds.values()),
        "dtypes": kinds,
        "bytes": sum(tensor.end - tensor.start for tensor in found),
    }
    down = [tensor for tensor in found if ".lora_A." in tensor.name]
    if down:
        facts["rank"] = sorted({tensor.shape[0] for tensor in down})
        facts["modules"] = sorted({tensor.name.split(".lora_A.")[0].rsplit(".", 1)[-1] for tensor in down})
    return facts


def count_parameters(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
