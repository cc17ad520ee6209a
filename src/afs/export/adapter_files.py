"""A PEFT adapter folder: which module it changes, by what, and how strongly. Read from its tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from afs.errors import DataError
from afs.export.model_families import read_json
from afs.export.safetensors_files import Weights

_PREFIX = "base_model.model."
_LORA = re.compile(r"^(?P<module>.+)\.lora_(?P<part>A|B|embedding_A|embedding_B|magnitude_vector)(\.weight)?$")


class Delta(NamedTuple):
    """The change of one module: scale · B · A, with the names of its tensors."""

    a: str
    b: str
    rank: int
    scale: float
    magnitude: str = ""
    """DoRA's magnitude vector, or empty."""
    is_embedding: bool = False


class Adapter(NamedTuple):
    """An adapter folder, opened."""

    folder: Path
    settings: Mapping[str, Any]
    weights: Weights
    deltas: Mapping[str, Delta]
    whole: Mapping[str, str]
    """Base tensor -> the adapter's tensor that replaces it: biases, heads, modules saved whole."""

    @property
    def facts(self) -> dict[str, object]:
        """The adapter's shape as its files show it."""
        ranks = sorted({delta.rank for delta in self.deltas.values()})
        return {
            "rank": ranks[0] if len(ranks) == 1 else ranks,
            "modules": sorted({module.rpartition(".")[2] for module in self.deltas}),
            "parameters": sum(math.prod(self.weights.shape(name)) for name in self.weights.table),
            "dora": any(delta.magnitude for delta in self.deltas.values()),
            "rslora": bool(self.settings.get("use_rslora")),
            "base": self.settings.get("base_model_name_or_path") or "",
        }


def open_adapter(folder: Path) -> Adapter:
    """Read an adapter's settings and the names and shapes of its tensors."""
    settings = read_json(folder / "adapter_config.json")
    if settings.get("peft_type", "LORA") != "LORA":
        raise DataError(f"{folder}: {settings['peft_type']} adapters are not known here, only LoRA and its variants")
    weights = Weights(folder, "adapter_model*.safetensors")
    modules: dict[str, dict[str, str]] = {}
    whole: dict[str, str] = {}
    for name in weights.table:
        bare = name.removeprefix(_PREFIX)
        match = _LORA.match(bare)
        if match:
            modules.setdefault(match["module"], {})[match["part"]] = name
        else:
            whole[bare.replace(".base_layer.", ".").replace(".modules_to_save.", ".")] = name
    deltas = {module: read_delta(module, parts, settings, weights) for module, parts in sorted(modules.items())}
    if not deltas and not whole:
        raise DataError(f"{folder}: the adapter holds no tensors")
    return Adapter(folder, settings, weights, deltas, whole)


def read_delta(module: str, parts: Mapping[str, str], settings: Mapping[str, Any], weights: Weights) -> Delta:
    is_embedding = "embedding_A" in parts
    prefix = "embedding_" if is_embedding else ""
    if f"{prefix}A" not in parts or f"{prefix}B" not in parts:
        raise DataError(f"{weights.folder}: {module} has only one half of its LoRA pair")
    a, b = parts[f"{prefix}A"], parts[f"{prefix}B"]
    rank = weights.shape(a)[0]
    if weights.shape(b)[1] != rank:
        raise DataError(f"{weights.folder}: {module}: A has rank {rank}, B has {weights.shape(b)[1]}")
    alpha = matching_setting(settings.get("alpha_pattern"), module, settings.get("lora_alpha", rank))
    scale = alpha / math.sqrt(rank) if settings.get("use_rslora") else alpha / rank
    return Delta(a, b, rank, scale, parts.get("magnitude_vector", ""), is_embedding)


def matching_setting(patterns: Mapping[str, float] | None, module: str, default: float) -> float:
    """The value of the first pattern that names the module's end, as PEFT reads them."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return float(value)
    return float(default)
