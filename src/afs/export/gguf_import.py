"""One GGUF file -> a Hugging Face folder, for models that are distributed as GGUF only: the inverse of `gguf_convert`.

Tensors are dequantized and the Llama family's rotary rows put back in halves; the config, the tokenizer and the chat
template are rebuilt from the file's metadata. Whether the result is the same model is for `afs.export.parity` to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import gguf
import msgspec
import numpy as np

from afs import jsonl
from afs.errors import DataError, boundary
from afs.export.gguf_types import unpack
from afs.export.merge_kernel import Floats, is_finite
from afs.export.model_families import FAMILIES, OUTER, PARTS, llama3_factors, model_config, restore_halves
from afs.export.safetensors_files import Planned, encode_values, write_safetensors
from afs.export.tokenizer_from_gguf import GgufVocabulary, write_tokenizer
from afs.types import Json

ARCHITECTURES: Mapping[str, str] = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
"""Architecture in GGUF -> class in Transformers."""
_LARGE = 1_000_000_000
"""Parameters from which dequantized weights are stored in 16 bits: 32 would double a 7B model to 28 GB."""
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_LLAMA3_FACTORS = (8.0, 32.0)
"""Published slow-down factors of Llama 3.1 and 3.2; the file holds only the frequencies they lead to."""


class GgufFile(NamedTuple):
    """An opened GGUF file."""

    path: Path
    values: Json
    """Metadata: key -> number, text or list."""
    tensors: Mapping[str, gguf.ReaderTensor]

    @property
    def arch(self) -> str:
        """The architecture's name in GGUF."""
        return str(self.values.get("general.architecture", "none named"))

    def number(self, key: str) -> float:
        """A number of the architecture's metadata."""
        value = self.values.get(f"{self.arch}.{key}")
        if not isinstance(value, int | float):
            raise DataError(f"{self.path}: {self.arch}.{key} is missing")
        return float(value)

    @property
    def parameters(self) -> int:
        """Weights in the file."""
        return sum(int(tensor.n_elements) for tensor in self.tensors.values())


def open_gguf(path: Path) -> GgufFile:
    """Read the header; a truncated file or another format is a DataError."""
    with boundary(DataError, f"{path}: not a complete GGUF file"):
        reader = gguf.GGUFReader(path)
        values = {key: field.contents() for key, field in reader.fields.items()}
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    size = path.stat().st_size
    for tensor in tensors.values():
        if int(tensor.data_offset) + int(tensor.n_bytes) > size:
            raise DataError(f"{path}: truncated: {tensor.name} ends beyond its {size} bytes")
    return GgufFile(path, cast(Json, values), tensors)


def import_gguf(source: GgufFile, target: Path, dtype: str = "auto") -> Json:
    """Write a GGUF file as a Hugging Face folder; what was read from it."""
    path = source.path
    if source.arch not in ARCHITECTURES:
        raise DataError(f"{path}: architecture {source.arch!r} cannot be imported; known: {', '.join(ARCHITECTURES)}")
    stored = choose_dtype(source, dtype)
    words = GgufVocabulary.read(source.values, path)
    rows = source.tensors.get("token_embd.weight")
    if rows is None:
        raise DataError(
            f"{path}: token_embd.weight is missing; a LoRA GGUF is imported from the adapter it was made of"
        )
    if len(words.tokens) != int(rows.shape[1]):
        raise DataError(f"{path}: {len(words.tokens)} tokens, but the embedding has {int(rows.shape[1])} rows")
    jsonl.replace(target / "config.json", _as_json(model_table(source, words, _DTYPES[stored])))
    jsonl.replace(target / "generation_config.json", _as_json(words.generation_table()))
    write_tokenizer(words, target)
    _check_rope_factors(source, target)
    write_safetensors(target / "model.safetensors", list(planned_tensors(source, target, stored)))
    kinds = sorted({tensor.tensor_type.name for tensor in source.tensors.values()})
    return {
        "gguf": path.name,
        "gguf_types": kinds,
        "parameters": source.parameters,
        "dtype": _DTYPES[stored],
        "chat_template": bool(words.template),
    }


def choose_dtype(source: GgufFile, wanted: str) -> str:
    """The safetensors dtype of the imported weights: the file's own, or wide enough for what was dequantized."""
    if wanted != "auto":
        return next(short for short, name in _DTYPES.items() if name == wanted)
    matrices = {tensor.tensor_type.name for tensor in source.tensors.values() if len(tensor.shape) > 1}
    if len(matrices) == 1 and matrices <= set(_DTYPES):
        return str(matrices.pop())
    return "F32" if source.parameters < _LARGE else "BF16"


def model_table(source: GgufFile, words: GgufVocabulary, dtype: str) -> Json:
    """The `config.json` of the model."""
    heads, hidden = int(source.number("attention.head_count")), int(source.number("embedding_length"))
    head_dim = int(cast(int, source.values.get(f"{source.arch}.attention.key_length", hidden // heads)))
    theta = float(cast(float, source.values.get(f"{source.arch}.rope.freq_base", 10000.0)))
    table: Json = {
        "architectures": [ARCHITECTURES[source.arch]],
        "model_type": source.arch,
        "num_hidden_layers": int(source.number("block_count")),
        "hidden_size": hidden,
        "intermediate_size": int(source.number("feed_forward_length")),
        "num_attention_heads": heads,
        "num_key_value_heads": int(cast(int, source.values.get(f"{source.arch}.attention.head_count_kv", heads))),
        "head_dim": head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": int(source.number("context_length")),
        "rms_norm_eps": _short(source.number("attention.layer_norm_rms_epsilon")),
        "rope_parameters": {"rope_type": "default", "rope_theta": theta} | rope_scaling(source, theta),
        "vocab_size": len(words.tokens),
        "tie_word_embeddings": "output.weight" not in source.tensors,
        "attention_bias": "blk.0.attn_q.bias" in source.tensors,
        "dtype": dtype,
    }
    return table | {f"{name}_token_id": words.special[name] for name in ("bos", "eos", "pad") if name in words.special}


def _short(value: float) -> float:
    """A number that was rounded to float32, as it was written: 1e-5 instead of 9.999999747378752e-06."""
    return float(f"{value:.7g}")


def rope_scaling(source: GgufFile, theta: float) -> Json:
    """How the file stretches its rotary frequencies, as `rope_parameters` say it."""
    kind = source.values.get(f"{source.arch}.rope.scaling.type")
    original = source.values.get(f"{source.arch}.rope.scaling.original_context_length")
    if kind in ("yarn", "linear"):
        more = {"original_max_position_embeddings": original} if original else {}
        return {"rope_type": kind, "factor": source.number("rope.scaling.factor"), **more}
    if "rope_freqs.weight" not in source.tensors:
        return {}
    held = unpack(source.tensors["rope_freqs.weight"].data, source.tensors["rope_freqs.weight"].tensor_type)
    low = float(held.max())
    factor = min(_LLAMA3_FACTORS, key=lambda known: abs(known - low))
    return {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}  # fmt: skip


def _check_rope_factors(source: GgufFile, target: Path) -> None:
    """Refuse a file whose rotary factors do not follow from the config that was written."""
    tensor = source.tensors.get("rope_freqs.weight")
    if tensor is None:
        return
    expected = llama3_factors(model_config(target))
    held = unpack(tensor.data, tensor.tensor_type)
    if expected is None or expected.shape != held.shape or not np.allclose(expected, held, rtol=1e-4):
        raise DataError(f"{source.path}: its rotary factors are not those of Llama 3.1 or 3.2; it cannot be imported")


def planned_tensors(source: GgufFile, target: Path, stored: str) -> Iterator[Planned]:
    """Every tensor under its Hugging Face name, made when it is written."""
    config = model_config(target)
    pairs = FAMILIES[config.architecture].rotate_pairs
    for name, tensor in source.tensors.items():
        if name == "rope_freqs.weight":
            continue
        shape = tuple(int(size) for size in reversed(tensor.shape))
        label = hugging_face_name(name, source.path)
        heads = config.heads if ".q_proj." in label else config.kv_heads if ".k_proj." in label else 0

        def parts(tensor: gguf.ReaderTensor = tensor, name: str = name, heads: int = heads) -> Iterator[Floats]:
            values = unpack(tensor.data, tensor.tensor_type)
            if not is_finite(values):
                raise DataError(f"{source.path}: {name} holds NaN or infinity")
            ordered = restore_halves(values, heads) if heads and pairs else values
            yield cast(Floats, encode_values(np.ascontiguousarray(ordered), stored))

        yield Planned(label, stored, shape, parts)


def hugging_face_name(name: str, path: Path) -> str:
    """The Hugging Face name of a GGUF tensor."""
    module, _, kind = name.rpartition(".")
    outer = {short: long for long, short in OUTER.items()}
    if module in outer:
        return f"{outer[module]}.{kind}"
    block, _, part = module.removeprefix("blk.").partition(".")
    inner = {short: long for long, short in PARTS.items()}
    if not module.startswith("blk.") or not block.isdigit() or part not in inner:
        raise DataError(f"{path}: tensor {name} has no place in its architecture")
    return f"model.layers.{block}.{inner[part]}.{kind}"


def _as_json(table: Json) -> bytes:
    return msgspec.json.format(msgspec.json.encode(table), indent=2)
