"""`afs train @config.yml`: an axolotl config, or one in Hugging Face's and Unsloth's names, as fields of `TrainConfig`.

The common fields are taken over; everything else is listed, with what to do about it where there is something to do.
Nothing is guessed: a value that has no counterpart is listed too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, cast

from afs.errors import ConfigError, DataError, boundary
from afs.plugins import Late
from afs.types import Json

_MOST_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_PREFERENCES: Final = ("dpo", "kto", "grpo")
_OPTIMIZERS: Final = {"8bit": "adamw8bit", "adamw": "adamw"}
_NOTES: Final = {
    "datasets": "make a dataset first (afs ingest, afs curate) and name it with --dataset",
    "dataset_prepared_path": "not needed: prepared data is not stored",
    "test_datasets": "the split `val` of the dataset is used",
    "val_set_size": "the split is made by `afs curate`",
    "chat_template": "the base's own template is used, in training and in service",
    "special_tokens": "those of the base are used",
    "tokens": "the tokenizer of the base is used unchanged",
    "warmup_steps": "say it as a share of the steps: --warmup 0.03",
    "train_on_inputs": "only answers are trained on",
    "deepspeed": "for several GPUs see docs/how-to/train.md",
    "fsdp": "for several GPUs see docs/how-to/train.md",
    "wandb_project": "afs writes its own events; see `afs dashboard`",
    "hub_model_id": "afterwards: afs models push",
    "evals_per_epoch": "evaluate.every is in steps; 0 is once per epoch",
    "saves_per_epoch": "checkpoints.every is in steps; every epoch ends with one",
    "flash_attention": "the fastest attention that is installed is used",
}


class ForeignConfig(NamedTuple):
    """What was understood, and a line for everything that was not."""

    table: Json
    ignored: tuple[str, ...]


def read_foreign_config(path: Path) -> ForeignConfig:
    """Read a YAML file."""
    with boundary(DataError, str(path)):
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: larger than 1 MB; want a training config")
        loaded = Late[Callable[[str], object]]("yaml:safe_load").load()(path.read_text("utf-8"))
    if not isinstance(loaded, dict):
        raise ConfigError("", f"want a table of settings, got {type(loaded).__name__}", file=str(path))
    return convert({str(key): value for key, value in loaded.items()})


def convert(given: Mapping[str, object]) -> ForeignConfig:
    """The settings that have a counterpart, and those that have none."""
    left = {key: value for key, value in given.items() if value not in (None, "", [], {})}
    table: Json = {}
    for key in list(left):
        rule = _RULES.get(key)
        if rule is None:
            continue
        try:
            value = rule.read(left[key])
        except (TypeError, ValueError, OverflowError):
            value = None
        if value is not None:
            _put(table, rule.field, value)
            del left[key]
    _set_method(table, left)
    _set_batch(table, left)
    _set_dtype(table, left)
    ignored = [
        f"{key} = {_shown(value)}" + (f": {_NOTES[key]}" if key in _NOTES else "") for key, value in left.items()
    ]
    return ForeignConfig(table, tuple(ignored))


class _FieldRule(NamedTuple):
    """Our field, and how the value is read; None: no counterpart."""

    field: str
    read: Callable[[object], object]


def _number(value: object) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    return float(cast(str, value))


def _count(value: object) -> int | None:
    number = _number(value)
    return int(number) if number > 0 and number.is_integer() else None


def _epochs(value: object) -> int:
    return max(1, math.ceil(_number(value)))


def _switch(value: object) -> bool | None:
    return value if isinstance(value, bool) else True if value in ("true", "unsloth", "auto") else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _artifact_name(value: object) -> str | None:
    name = _NAME.sub("-", str(value).rstrip("/").rpartition("/")[2]).strip("-.")
    return name or None


def _scheduler(value: object) -> str | None:
    return value if value in ("constant", "linear", "cosine") else None


def _optimizer(value: object) -> str | None:
    text = str(value)
    return next((ours for word, ours in _OPTIMIZERS.items() if word in text and "adamw" in text), None)


def _modules(value: object) -> object:
    return [str(one) for one in value] if isinstance(value, list) else None


_RULES: Final[Mapping[str, _FieldRule]] = {
    "base_model": _FieldRule("base", _text),
    "model_name": _FieldRule("base", _text),
    "model_name_or_path": _FieldRule("base", _text),
    "output_dir": _FieldRule("name", _artifact_name),
    "sequence_len": _FieldRule("max_length", _count),
    "max_seq_length": _FieldRule("max_length", _count),
    "sample_packing": _FieldRule("packing", _switch),
    "packing": _FieldRule("packing", _switch),
    "lora_r": _FieldRule("lora.rank", _count),
    "r": _FieldRule("lora.rank", _count),
    "lora_alpha": _FieldRule("lora.alpha", _count),
    "lora_dropout": _FieldRule("lora.dropout", _number),
    "lora_target_modules": _FieldRule("lora.targets", _modules),
    "target_modules": _FieldRule("lora.targets", _modules),
    "lora_target_linear": _FieldRule("lora.layers", lambda value: "all" if value is True else None),
    "peft_use_dora": _FieldRule("lora.dora", _switch),
    "peft_use_rslora": _FieldRule("lora.rslora", _switch),
    "use_rslora": _FieldRule("lora.rslora", _switch),
    "num_epochs": _FieldRule("epochs", _epochs),
    "num_train_epochs": _FieldRule("epochs", _epochs),
    "max_steps": _FieldRule("max_steps", _count),
    "optimizer": _FieldRule("optimizer", _optimizer),
    "optim": _FieldRule("optimizer", _optimizer),
    "lr_scheduler": _FieldRule("schedule", _scheduler),
    "lr_scheduler_type": _FieldRule("schedule", _scheduler),
    "learning_rate": _FieldRule("learning_rate", _number),
    "weight_decay": _FieldRule("weight_decay", _number),
    "max_grad_norm": _FieldRule("max_grad_norm", _number),
    "warmup_ratio": _FieldRule("warmup", _number),
    "gradient_checkpointing": _FieldRule("checkpointing", _switch),
    "use_gradient_checkpointing": _FieldRule("checkpointing", _switch),
    "group_by_length": _FieldRule("length_grouping", _switch),
    "seed": _FieldRule("seed", lambda value: int(_number(value))),
    "random_state": _FieldRule("seed", lambda value: int(_number(value))),
    "neftune_noise_alpha": _FieldRule("neftune", _number),
    "noisy_embedding_alpha": _FieldRule("neftune", _number),
    "save_steps": _FieldRule("checkpoints.every", _count),
    "save_total_limit": _FieldRule("checkpoints.keep", _count),
    "eval_steps": _FieldRule("evaluate.every", _count),
}


def _put(table: Json, field: str, value: object) -> None:
    head, _, rest = field.partition(".")
    if rest:
        _put(cast(Json, table.setdefault(head, {})), rest, value)
    else:
        table[head] = value


def _set_method(table: Json, left: Json) -> None:
    """The method from the adapter, the bits of the base and the kind of reinforcement."""
    adapter, rl = left.get("adapter"), left.get("rl")
    if rl is not None and rl not in _PREFERENCES:
        raise ConfigError("rl", f"{rl!r} has no counterpart here; there are: {', '.join(_PREFERENCES)}")
    if adapter not in (None, "lora", "qlora"):
        raise ConfigError("adapter", f"{adapter!r} has no counterpart here; there are: lora, qlora, none")
    four = left.pop("load_in_4bit", None) is True
    eight = left.pop("load_in_8bit", None) is True
    if rl is not None:
        table["method"] = left.pop("rl")
        left.pop("adapter", None)
    elif adapter == "qlora" or (four and adapter in (None, "lora")):
        table["method"] = "qlora"
        left.pop("adapter", None)
    elif adapter == "lora":
        table["method"] = "lora8" if eight else "lora"
        left.pop("adapter")
    elif adapter is None:
        table["method"] = "lora" if "lora" in table else "full"


def _set_batch(table: Json, left: Json) -> None:
    """Samples per step: the micro batch times its accumulation."""
    names = ("micro_batch_size", "per_device_train_batch_size")
    micro = next((count for name in names if (count := _pop_count(left, name))), 0)
    steps = _pop_count(left, "gradient_accumulation_steps")
    if micro or steps:
        table["batch_size"] = max(1, micro) * max(1, steps)
    if micro:
        table["micro_batch"] = micro


def _pop_count(left: Json, name: str) -> int:
    try:
        found = _count(left[name])
    except (KeyError, TypeError, ValueError):
        return 0
    if found:
        del left[name]
    return found or 0


def _set_dtype(table: Json, left: Json) -> None:
    if left.get("bf16") in (True, "true"):
        table["dtype"] = "bfloat16"
    for name in ("bf16", "tf32", "fp16"):
        if left.get(name) in (True, False, "auto", "true"):
            left.pop(name)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
