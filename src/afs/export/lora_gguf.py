"""PEFT adapter -> LoRA GGUF, with every module's own scale folded into its B matrix.

llama.cpp reads one alpha for the whole file: rank-stabilized scales and alpha patterns would be lost without the fold.
What a LoRA GGUF cannot hold (DoRA, biases, embeddings) is refused here; `merge` applies it instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

from afs.errors import RefusedError
from afs.export.adapter_files import Adapter
from afs.export.gguf_convert import TensorRow, type_counts, write_rows
from afs.export.merge_kernel import Floats
from afs.export.model_families import ModelConfig, gguf_name, to_gguf_order


def convert_lora(
    adapter: Adapter, config: ModelConfig, target: Path, *, name: str, notes: Mapping[str, str] = {}
) -> dict[str, object]:
    """Write the adapter as a LoRA GGUF for bases of `config`; what is in it."""
    refuse_unsupported(adapter)
    rank = max(delta.rank for delta in adapter.deltas.values())
    rows = [row for module in adapter.deltas for row in gguf_pair(adapter, config, module, rank)]
    writer = gguf.GGUFWriter(None, config.family.arch)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_name(name)
    writer.add_float32("adapter.lora.alpha", float(rank))
    for key, value in notes.items():
        writer.add_string(f"afs.{key}", value)
    write_rows(writer, target, rows)
    return {
        "format": "gguf",
        "kind": "F16",
        "types": type_counts(rows),
        "modules": len(adapter.deltas),
        "rank": rank,
        "parameters": sum(int(np.prod(row.shape)) for row in rows),
    }


def unsupported_parts(adapter: Adapter) -> list[str]:
    """What a LoRA GGUF cannot hold of this adapter."""
    reasons = []
    if any(delta.magnitude for delta in adapter.deltas.values()):
        reasons.append("DoRA magnitudes")
    if adapter.whole:
        reasons.append(f"whole tensors ({next(iter(adapter.whole))})")
    if any(delta.is_embedding for delta in adapter.deltas.values()):
        reasons.append("embedding deltas")
    return reasons


def refuse_unsupported(adapter: Adapter) -> None:
    reasons = unsupported_parts(adapter)
    if reasons:
        raise RefusedError(f"{adapter.folder}: a LoRA GGUF cannot hold {' and '.join(reasons)}; ship it merged")


def gguf_pair(adapter: Adapter, config: ModelConfig, module: str, rank: int) -> list[TensorRow]:
    delta = adapter.deltas[module]
    label = gguf_name(f"{module}.weight")
    scale = np.float32(delta.scale * delta.rank / rank)

    def second() -> Floats:
        return to_gguf_order(config, f"{module}.weight", adapter.weights.read(delta.b)) * scale

    inner, outer = adapter.weights.shape(delta.a), adapter.weights.shape(delta.b)
    return [
        TensorRow(f"{label}.lora_a", inner, Type.F16, lambda part: adapter.weights.read_rows(delta.a, part)),
        TensorRow(f"{label}.lora_b", outer, Type.F16, lambda part: second(), whole=True),
    ]
