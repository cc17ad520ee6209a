"""Other tools' training configs: the common fields arrive, everything else is listed, nothing is silently different."""

from __future__ import annotations

from pathlib import Path

import pytest

from afs.cli.command_runner import find_command, read_config, sort_words
from afs.config import decode
from afs.errors import ConfigError, DataError, UsageError
from afs.train import TrainConfig
from afs.train.foreign_configs import read_foreign_config

AXOLOTL = """
base_model: NousResearch/Llama-3.2-1B
load_in_4bit: true
adapter: qlora
datasets:
  - path: teknium/GPT4-LLM-Cleaned
    type: alpaca
val_set_size: 0.1
output_dir: ./outputs/qlora-out
sequence_len: 2048
sample_packing: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_modules: [gate_proj, down_proj]
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 1
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
learning_rate: 2e-4
bf16: auto
gradient_checkpointing: true
warmup_ratio: 0.1
weight_decay: 0.0
wandb_project:
resume_from_checkpoint:
logging_steps: 1
"""
UNSLOTH = """
model_name: unsloth/llama-3-8b-bnb-4bit
max_seq_length: 1024
load_in_4bit: true
r: 16
lora_alpha: 16
target_modules: [q_proj, v_proj]
use_gradient_checkpointing: unsloth
use_rslora: true
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
max_steps: 60
learning_rate: 0.0002
optim: adamw_8bit
lr_scheduler_type: linear
warmup_steps: 5
random_state: 3407
output_dir: outputs
"""


def read(folder: Path, text: str, name: str = "config.yml") -> tuple[TrainConfig, tuple[str, ...]]:
    path = folder / name
    path.write_text(text)
    found = read_foreign_config(path)
    return decode(TrainConfig, {**found.table, "dataset": "mine"}), found.ignored


def test_axolotl(tmp_path: Path) -> None:
    config, ignored = read(tmp_path, AXOLOTL)
    assert (config.base, config.method, config.name) == ("NousResearch/Llama-3.2-1B", "qlora", "qlora-out")
    assert (config.batch_size, config.micro_batch, config.max_length, config.packing) == (8, 2, 2048, True)
    assert (config.lora.rank, config.lora.alpha, config.lora.dropout) == (32, 16, 0.05)
    assert config.lora.targets == ("gate_proj", "down_proj")
    assert (config.optimizer, config.schedule, config.learning_rate, config.warmup) == (
        "adamw8bit",
        "cosine",
        2e-4,
        0.1,
    )
    assert config.checkpointing is True and config.epochs == 1
    assert [line.partition(" = ")[0] for line in ignored] == ["datasets", "val_set_size", "logging_steps"]
    assert "name it with --dataset" in ignored[0]


def test_unsloth_and_hugging_face_names(tmp_path: Path) -> None:
    config, ignored = read(tmp_path, UNSLOTH)
    assert (config.method, config.batch_size, config.micro_batch, config.max_steps) == ("qlora", 8, 2, 60)
    assert (config.lora.targets, config.lora.rslora, config.seed) == (("q_proj", "v_proj"), True, 3407)
    assert (config.schedule, config.checkpointing) == ("linear", True)
    assert ignored == ("warmup_steps = 5: say it as a share of the steps: --warmup 0.03",)


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("base_model: m/x", "full"),
        ("base_model: m/x\nadapter: lora", "lora"),
        ("base_model: m/x\nadapter: lora\nload_in_8bit: true", "lora8"),
        ("base_model: m/x\nadapter: lora\nload_in_4bit: true", "qlora"),
        ("base_model: m/x\nadapter: lora\nrl: dpo", "dpo"),
    ],
)
def test_methods(tmp_path: Path, text: str, method: str) -> None:
    assert read(tmp_path, f"{text}\noutput_dir: o")[0].method == method


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rl: orpo", "'orpo' has no counterpart"),
        ("adapter: llama-adapter", "'llama-adapter' has no counterpart"),
        ("- a\n- b", "want a table"),
        ("a: [", "config.yml"),
        ("a: !!python/object/apply:os.system ['true']", "config.yml"),
    ],
)
def test_what_has_no_counterpart_is_an_error_and_not_another_run(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises((ConfigError, DataError), match=problem):
        read(tmp_path, text)


def test_the_command_line_reads_it_and_lists_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "axolotl.yml"
    path.write_text(AXOLOTL)
    command, rest = find_command(["train", f"@{path}", "--dataset", "mine", "--lora.rank", "8"])
    assert command is not None
    config = read_config(command, sort_words(rest, command.config))
    assert isinstance(config, TrainConfig)
    assert (config.dataset, config.lora.rank, config.lora.alpha) == ("mine", 8, 16)
    assert "left out: val_set_size = 0.1: the split is made by `afs curate`" in capsys.readouterr().err
    other, rest = find_command(["plan", f"@{path}"])
    assert other is not None
    with pytest.raises(UsageError, match="reads TOML files"):
        read_config(other, sort_words(rest, other.config))
