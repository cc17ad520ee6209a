"""Hugging Face folder -> one GGUF file of any kind, tensor by tensor: a converter of our own on the `gguf` package."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from afs.errors import DataError
from afs.export.gguf_types import KINDS, bytes_of, pack, type_of
from afs.export.merge_kernel import Floats, is_finite
from afs.export.model_families import (
    SKIPPED,
    ModelConfig,
    gguf_name,
    is_reordered,
    llama3_factors,
    model_config,
    to_gguf_order,
)
from afs.export.safetensors_files import Weights, read_ahead, row_slices
from afs.export.tokenizer_to_gguf import Vocabulary, read_vocabulary

_LARGEST = 65504.0
"""The largest float16."""


class TensorRow(NamedTuple):
    """One tensor of a GGUF file to be written."""

    name: str
    shape: tuple[int, ...]
    type: Type
    make: Callable[[slice], Floats]
    """Makes some of its rows."""
    whole: bool = False
    """Whether its rows can only be made together."""

    def packed(self, importance: Floats | None) -> Iterator[NDArray[np.generic]]:
        """Its values in its type, part by part."""
        parts = [slice(0, self.shape[0])] if self.whole else row_slices(self.shape)
        return read_ahead(lambda part: self._pack(self.make(part), importance), parts)

    def _pack(self, values: Floats, importance: Floats | None) -> NDArray[np.generic]:
        if not is_finite(values):
            raise DataError(f"{self.name} holds NaN or infinity; nothing was converted")
        if self.type == Type.F16 and values.size and max(values.max(), -values.min()) > _LARGEST:
            raise DataError(f"{self.name} holds a value beyond 65504, too large for F16; convert to BF16")
        return pack(np.ascontiguousarray(values, dtype=np.float32), self.type, importance)


def convert(
    folder: Path,
    target: Path,
    kind: str,
    *,
    name: str,
    notes: Mapping[str, str] = {},
    importance: Mapping[str, Floats] = {},
) -> dict[str, object]:
    """Write `target`; what is in it: real tensor types, sizes, vocabulary."""
    config = model_config(folder)
    weights = Weights(folder)
    if "model.embed_tokens.weight" not in weights:
        raise DataError(f"{folder}: no embedding; an adapter is merged or converted with its base")
    words = read_vocabulary(folder, weights.shape("model.embed_tokens.weight")[0])
    rows = list(tensor_rows(config, weights, kind))
    writer = gguf.GGUFWriter(None, config.family.arch)
    write_model_metadata(writer, config, name, kind, notes)
    write_vocabulary(writer, words)
    write_rows(writer, target, rows, importance)
    return {
        "kind": kind,
        "types": type_counts(rows),
        "parameters": sum(int(np.prod(row.shape)) for row in rows),
        "vocabulary": len(words.tokens),
        "template": bool(words.template),
    }


def planned_size(folder: Path, kind: str) -> int:
    """Bytes of the tensors that a file of this kind will hold."""
    return sum(bytes_of(row.shape, row.type) for row in tensor_rows(model_config(folder), Weights(folder), kind))


def write_rows(
    writer: gguf.GGUFWriter, target: Path, rows: list[TensorRow], importance: Mapping[str, Floats] = {}
) -> None:
    """Write header, table and then each tensor as it is made; durable when it returns."""
    for row in rows:
        writer.add_tensor_info(row.name, row.shape, np.dtype(np.float32), bytes_of(row.shape, row.type), row.type)
    try:
        writer.write_header_to_file(target)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        file = writer.fout[0]
        for row in rows:
            writer.write_padding(file, file.tell())
            for packed in row.packed(importance.get(row.name)):
                file.write(np.ascontiguousarray(packed).reshape(-1).view(np.uint8).data)
            writer.write_padding(file, bytes_of(row.shape, row.type))
        file.flush()
        os.fsync(file.fileno())
    finally:
        for opened in writer.fout or []:
            opened.close()


def type_counts(rows: list[TensorRow]) -> dict[str, int]:
    """How many tensors have which type."""
    return dict(sorted(Counter(row.type.name for row in rows).items()))


def tensor_rows(config: ModelConfig, weights: Weights, kind: str) -> Iterator[TensorRow]:
    tied = config.tied or "lm_head.weight" not in weights
    for name in weights.table:
        if SKIPPED.search(name) or (tied and name == "lm_head.weight"):
            continue
        shape = weights.shape(name)
        label = gguf_name(name)
        yield tensor_row(config, weights, name, type_of(label, shape, kind, config.layers, tied=tied))
    factors = llama3_factors(config)
    if factors is not None:
        yield TensorRow("rope_freqs.weight", factors.shape, Type.F32, lambda part: factors[part])


def tensor_row(config: ModelConfig, weights: Weights, name: str, kind: Type) -> TensorRow:
    """Query and key of families that turn pairs are arranged whole; all others go row by row."""
    whole = is_reordered(config, name)

    def make(part: slice) -> Floats:
        return to_gguf_order(config, name, weights.read(name)) if whole else weights.read_rows(name, part)

    return TensorRow(gguf_name(name), weights.shape(name), kind, make, whole)


def write_model_metadata(
    writer: gguf.GGUFWriter, config: ModelConfig, name: str, kind: str, notes: Mapping[str, str]
) -> None:
    writer.add_type("model")
    writer.add_name(name)
    writer.add_file_type(KINDS[kind].number)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for key, value in notes.items():
        writer.add_string(f"afs.{key}", value)
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.hidden)
    writer.add_feed_forward_length(config.inner)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_vocab_size(config.vocab)
    writer.add_rope_dimension_count(config.head_dim)
    if config.head_dim * config.heads != config.hidden or config.family.head_norm:
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    rope = config.rope_scaling
    scaling = rope.get("rope_type", rope.get("type"))
    if scaling in ("yarn", "linear"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(scaling))
        writer.add_rope_scaling_factor(float(rope["factor"]))
        if "original_max_position_embeddings" in rope:
            writer.add_rope_scaling_orig_ctx_len(int(rope["original_max_position_embeddings"]))


def write_vocabulary(writer: gguf.GGUFWriter, words: Vocabulary) -> None:
    writer.add_tokenizer_model(words.model)
    writer.add_tokenizer_pre(words.pre)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.kinds)
    if words.scores:
        writer.add_token_scores(words.scores)
    if words.merges and not words.scores:
        writer.add_token_merges(words.merges)
    setters = {
        "bos": writer.add_bos_token_id,
        "eos": writer.add_eos_token_id,
        "pad": writer.add_pad_token_id,
        "eot": writer.add_eot_token_id,
        "unk": writer.add_unk_token_id,
    }
    for name, number in words.special.items():
        setters[name](number)
    writer.add_add_bos_token(words.add_bos)
    writer.add_add_eos_token(words.add_eos)
    if words.scores:
        writer.add_add_space_prefix(words.add_space)
    if words.template:
        writer.add_chat_template(words.template)
