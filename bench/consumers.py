"""Exports in the dataset code of those who train on them: mlx-lm's loader and Axolotl's `chat_template` strategy.

    afs data export REF --format messages --to OUT/messages    (mlx, unsloth, sharegpt, mlx-completions likewise)
    python bench/consumers.py OUT --tokenizer FOLDER [--packages FOLDER] [--axolotl CHECKOUT]

OUT holds one folder per format, each with `train.jsonl`. `--packages` is where `pip install --no-deps --target` put
mlx-lm, mlx and addict; a consumer that is not there is skipped and named. The tokenizer needs a chat template.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_SHAREGPT = {
    "field_messages": "conversations",
    "message_property_mappings": {"role": "from", "content": "value"},
    "roles": {"user": ["human"], "assistant": ["gpt", "function_call"], "tool": ["observation"]},
}
_IGNORED = -100
_FORMATS = {
    "mlx-lm": ("messages", "mlx", "mlx-completions", "completions", "unsloth"),
    "Axolotl": ("messages", "mlx", "unsloth", "sharegpt"),
}
"""What each of them documents that it reads; the others are rendered text or another trainer's."""


def load_mlx(folder: Path, tokenizer: Any) -> str:
    """What mlx-lm makes of the rows."""
    loader = importlib.import_module("mlx_lm.tuner.datasets")
    train, _, _ = loader.load_local_dataset(folder, tokenizer, SimpleNamespace(mask_prompt=True))
    rows = [train.process(train[number]) for number in range(len(train))]
    trained = sum(len(tokens) - offset for tokens, offset in rows)
    return f"{type(train).__name__}, {len(rows)} rows, {trained} tokens trained"


def load_axolotl(folder: Path, tokenizer: Any) -> str:
    """What Axolotl makes of the rows."""
    load = importlib.import_module("axolotl.prompt_strategies.chat_template").load
    wrap = importlib.import_module("axolotl.utils.dict").DictDefault
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text("utf-8").splitlines()]
    table = {"type": "chat_template", "path": "x"} | (_SHAREGPT if "conversations" in rows[0] else {})
    settings = wrap({"sequence_len": 1 << 16, "chat_template": "tokenizer_default", "train_on_inputs": False})
    strategy = load(tokenizer, settings, ds_cfg=table)
    labels = [strategy.tokenize_prompt(row)["labels"] for row in rows]
    trained = sum(label != _IGNORED for row in labels for label in row)
    return f"{len(labels)} rows, {trained} tokens trained"


def main(arguments: Sequence[str] | None = None) -> None:
    """One line per consumer and format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--packages", default="")
    parser.add_argument("--axolotl", type=Path)
    given = parser.parse_args(arguments)
    sys.path += [place for place in (given.packages, str(given.axolotl / "src") if given.axolotl else "") if place]
    tokenizer = importlib.import_module("transformers").AutoTokenizer.from_pretrained(given.tokenizer)
    for name, load in (("mlx-lm", load_mlx), ("Axolotl", load_axolotl)):
        for folder in (given.exports / form for form in _FORMATS[name]):
            try:
                print(f"{name} · {folder.name}: {load(folder, tokenizer)}")
            except ImportError as error:
                print(f"{name} · {folder.name}: skipped, {error}")
            except (ValueError, KeyError, IndexError, TypeError) as error:
                print(f"{name} · {folder.name}: FAILED, {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
