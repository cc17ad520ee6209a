"""The importance of columns, measured: mean square of each linear module's inputs while reading a dataset's prompts."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from afs import datasets
from afs.errors import DataError
from afs.export.merge_kernel import Floats
from afs.export.model_families import gguf_name, model_config
from afs.export.numpy_forward import Folder, logits
from afs.export.parity import render
from afs.export.safetensors_files import Weights
from afs.workspace import Workspace

RECORDS, TOKENS, LONGEST = 256, 8192, 256
"""How many records, tokens in all and tokens of one record are read."""
_LEAST = np.float32(1e-12)
"""A column that was never used still counts a little."""


class Recording(Folder):
    """A model folder that notes what goes into its linear modules."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.sums: dict[str, Floats] = {}
        self.rows: dict[str, int] = {}

    def linear(self, module: str, x: Floats) -> Floats:
        """The module's answer; its input is noted."""
        self.sums[module] = self.sums.get(module, np.float32(0)) + (x * x).sum(0)
        self.rows[module] = self.rows.get(module, 0) + len(x)
        return super().linear(module, x)


def measure_importance(workspace: Workspace, folder: Path, dataset: str) -> dict[str, Floats]:
    """Weight of each column, by tensor name in GGUF."""
    source = Recording(Weights(folder))
    logits(model_config(folder), source, dataset_prompts(workspace, folder, dataset))
    return gguf_names(source)


def dataset_prompts(workspace: Workspace, folder: Path, dataset: str) -> list[list[int]]:
    stored = datasets.load(workspace, dataset)
    split = next((s.name for s in stored.splits if s.name in ("train", "all")), "")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    prompts, left = [], TOKENS
    for record in islice(datasets.read(workspace, stored, split), RECORDS):
        text = render(folder, record.messages) or "\n".join(message.text for message in record.messages)
        ids = tokenizer.encode(text, add_special_tokens=False).ids[: min(LONGEST, left)]
        if len(ids) > 1:
            prompts.append(ids)
            left -= len(ids)
        if left < 2:
            break
    if not prompts:
        raise DataError(f"{stored.ref}: no text to measure the importance of columns with")
    return prompts


def gguf_names(source: Recording) -> dict[str, Floats]:
    """By GGUF name; a tied head weighs the embedding it is."""
    found = {module: source.sums[module] / np.float32(source.rows[module]) for module in source.sums}
    tied = "lm_head.weight" not in source.weights
    names = {module: "model.embed_tokens" if tied and module == "lm_head" else module for module in found}
    return {gguf_name(f"{names[module]}.weight"): np.maximum(values, _LEAST) for module, values in found.items()}
