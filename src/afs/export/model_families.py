"""Model families: how a Hugging Face config and its tensor names are called in GGUF; nothing is converted here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from afs.errors import DataError
from afs.export.merge_kernel import Floats
from afs.plugins import suggest_name


class Family(NamedTuple):
    """One architecture."""

    arch: str
    """Its name in GGUF."""
    rotate_pairs: bool = False
    """Whether GGUF wants the rows of query and key in pairs (they lie in halves in Hugging Face folders)."""
    head_norm: bool = False
    """Whether query and key have a norm of their own."""


FAMILIES: Mapping[str, Family] = {
    "Qwen2ForCausalLM": Family("qwen2"),
    "Qwen3ForCausalLM": Family("qwen3", head_norm=True),
    "LlamaForCausalLM": Family("llama", rotate_pairs=True),
    "MistralForCausalLM": Family("llama", rotate_pairs=True),
}
PARTS: Mapping[str, str] = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Module inside a layer -> its name in GGUF."""
OUTER: Mapping[str, str] = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
SKIPPED = re.compile(r"rotary_emb\.inv_freq$|masked_bias$")
_LAYER = re.compile(r"^model\.layers\.(\d+)\.(.+)$")


class ModelConfig(NamedTuple):
    """What is needed of `config.json`."""

    family: Family
    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    vocab: int
    context: int
    norm_eps: float
    rope_theta: float
    rope_scaling: Mapping[str, Any]
    tied: bool


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a model folder."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError as error:
        raise DataError(f"{path.parent}: {path.name} is missing") from error
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from error


def model_config(folder: Path) -> ModelConfig:
    """The shape of a model folder; an unknown architecture says which are known and what else to do."""
    table = read_json(folder / "config.json")
    names = table.get("architectures") or ["none named"]
    if names[0] not in FAMILIES:
        raise DataError(
            f"{folder / 'config.json'}: architecture {names[0]} is not known here{suggest_name(names[0], FAMILIES)}; "
            "llama.cpp's own convert_hf_to_gguf.py may know it: name it with --converter"
        )
    rope = table.get("rope_parameters") or table.get("rope_scaling") or {}
    theta = rope.get("rope_theta", table.get("rope_theta", 10000.0))
    try:
        hidden, heads = int(table["hidden_size"]), int(table["num_attention_heads"])
        return ModelConfig(
            family=FAMILIES[names[0]],
            architecture=names[0],
            layers=int(table["num_hidden_layers"]),
            hidden=hidden,
            heads=heads,
            kv_heads=int(table.get("num_key_value_heads") or heads),
            head_dim=int(table.get("head_dim") or hidden // heads),
            inner=int(table["intermediate_size"]),
            vocab=int(table["vocab_size"]),
            context=int(table.get("max_position_embeddings", 4096)),
            norm_eps=float(table.get("rms_norm_eps", 1e-6)),
            rope_theta=float(theta),
            rope_scaling=rope,
            tied=bool(table.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / 'config.json'}: {error} is missing or not a number") from error


def gguf_name(name: str) -> str:
    """The name in GGUF of a Hugging Face tensor."""
    module, _, kind = name.rpartition(".")
    if module in OUTER:
        return f"{OUTER[module]}.{kind}"
    match = _LAYER.match(module)
    if match is None or match[2] not in PARTS:
        raise DataError(f"tensor {name} has no place in this family; the model is not what its config says")
    return f"blk.{match[1]}.{PARTS[match[2]]}.{kind}"


def interleave_halves(values: Floats, heads: int) -> Floats:
    """Rows of each head from halves to pairs, as GGUF's rotary embedding of the Llama family wants them."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(values.shape))


def restore_halves(values: Floats, heads: int) -> Floats:
    """Rows of each head from pairs back to halves: the inverse of `interleave_halves`."""
    pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(values.shape))


def is_reordered(config: ModelConfig, name: str) -> bool:
    """Whether a tensor's rows change their order."""
    return config.family.rotate_pairs and (".self_attn.q_proj." in name or ".self_attn.k_proj." in name)


def to_gguf_order(config: ModelConfig, name: str, values: Floats) -> Floats:
    """A tensor's values in the order GGUF wants."""
    if not is_reordered(config, name):
        return values
    return interleave_halves(values, config.heads if ".q_proj." in name else config.kv_heads)


def llama3_factors(config: ModelConfig) -> Floats | None:
    """The factors by which Llama 3.1 slows its rotary frequencies, or None for others."""
    rope = config.rope_scaling
    if rope.get("rope_type", rope.get("type")) != "llama3":
        return None
    factor, low, high = float(rope["factor"]), float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    old = float(rope["original_max_position_embeddings"])
    factors = []
    for step in range(0, config.head_dim, 2):
        wave = 2 * math.pi * config.rope_theta ** (step / config.head_dim)
        if wave < old / high:
            factors.append(1.0)
        elif wave > old / low:
            factors.append(factor)
        else:
            smooth = (old / wave - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, dtype=np.float32)
