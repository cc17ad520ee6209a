"""Kinds of GGUF files (F16, Q8_0, Q4_K_M …): which tensor gets which type, what it costs, how values are packed.

The rules follow llama.cpp's. A row that a type cannot divide falls back to another, so the real types are counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple, cast

import numpy as np
from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize as gguf_dequantize
from gguf.quants import quantize as gguf_quantize
from numpy.typing import NDArray

from afs.export import kquants, llamacpp_quantizer
from afs.export.merge_kernel import Floats, narrow

Quant = Literal["F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"]


class Kind(NamedTuple):
    """One kind of file."""

    number: int
    """llama.cpp's number for it, `general.file_type`."""
    usual: Type
    """Type of matrices where no rule says otherwise."""
    better: Type
    """Type of the tensors that matter most."""


KINDS: Mapping[str, Kind] = {
    "F32": Kind(0, Type.F32, Type.F32),
    "F16": Kind(1, Type.F16, Type.F16),
    "BF16": Kind(32, Type.BF16, Type.BF16),
    "Q8_0": Kind(7, Type.Q8_0, Type.Q8_0),
    "Q6_K": Kind(18, Type.Q6_K, Type.Q6_K),
    "Q5_K_M": Kind(17, Type.Q5_K, Type.Q6_K),
    "Q4_K_M": Kind(15, Type.Q4_K, Type.Q6_K),
}
FALLBACK: Mapping[Type, Type] = {Type.Q4_K: Type.Q5_0, Type.Q5_K: Type.Q5_1, Type.Q6_K: Type.Q8_0}
_LAYER = re.compile(r"^blk\.(\d+)\.(attn_v|ffn_down)\.weight$")


def type_of(name: str, shape: tuple[int, ...], kind: str, layers: int, *, tied: bool) -> Type:
    """The type a tensor gets in a file of this kind."""
    if len(shape) < 2 or name.endswith("_norm.weight"):
        return Type.F32
    row = KINDS[kind]
    wanted = row.usual
    head = "token_embd.weight" if tied else "output.weight"
    match = _LAYER.match(name)
    if name == head or (match and has_more_bits(int(match[1]), layers)):
        wanted = row.better
    return fitting_type(wanted, shape[-1])


def has_more_bits(layer: int, layers: int) -> bool:
    """Whether a layer is among those that llama.cpp gives more bits."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def fitting_type(wanted: Type, columns: int) -> Type:
    """The type itself, or what llama.cpp falls back to when rows cannot be divided into its blocks."""
    if columns % GGML_QUANT_SIZES[wanted][0] == 0:
        return wanted
    other = FALLBACK.get(wanted, Type.F16)
    return other if columns % GGML_QUANT_SIZES[other][0] == 0 else Type.F16


def bytes_of(shape: tuple[int, ...], kind: Type) -> int:
    """How many bytes a tensor takes."""
    block, size = (int(part) for part in GGML_QUANT_SIZES[kind])
    return math.prod(shape) // block * size


def pack(values: Floats, kind: Type, importance: Floats | None = None) -> NDArray[np.generic]:
    """Values in a type: by llama.cpp's own quantizer where its library is at hand, by ours otherwise."""
    if kind == Type.F32:
        return values
    if kind == Type.F16:
        return values.astype(np.float16)
    if kind == Type.BF16:
        return narrow(values)[0]
    if llamacpp_quantizer.has_quantizer():
        return llamacpp_quantizer.quantize(values, kind.value, bytes_of(values.shape, kind), importance)
    if kind.name in kquants.QUANTIZERS_BY_NAME:
        return kquants.quantize(values, kind.name, importance)
    return cast(NDArray[np.generic], gguf_quantize(values, kind))


def unpack(data: NDArray[np.generic], kind: Type) -> Floats:
    """The values of packed data, by the `gguf` package."""
    return cast(Floats, np.asarray(gguf_dequantize(data, kind), dtype=np.float32))
