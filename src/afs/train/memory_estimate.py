"""How much memory a training step takes, line by line, from a model's shape alone: no weights, no GPU.

The terms that are usually left out decide: embeddings and head stay in 16 bits under 4-bit weights, and whole
logits outweigh the adapters by far. Activations come from a dry run of the real config when torch is there.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import msgspec

from afs.errors import DataError, UsageError
from afs.plugins import suggest_name
from afs.types import Value

GIB = 1 << 30
LOGIT_BYTES = 12
"""Per logit: 16-bit, 32-bit copy, its gradient in 32 and in 16 bits."""
WHOLE = ("full", "scratch")
"""Methods that train all weights."""
CONTEXT_BYTES = 600 << 20
"""What CUDA and its libraries (on a processor: Python and its) take before the first tensor."""
FRAGMENTED = 0.05


class ModelShape(Value, frozen=True, kw_only=True):
    """What decides memory and time."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool = False

    @property
    def linear(self) -> int:
        """Weights in the layers' linear maps: what 4-bit formats pack."""
        wide, narrow = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return self.layers * self.hidden * (2 * wide + 2 * narrow + 3 * self.intermediate)

    @property
    def embedding(self) -> int:
        """Weights of the embedding table."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All weights."""
        wide, narrow = self.heads * self.head_dim, self.kv_heads * self.head_dim
        small = self.layers * (2 * self.hidden + wide + 2 * narrow) + self.hidden
        return self.linear + self.embedding * (1 if self.tied else 2) + small

    def adapter(self, rank: int, last_layers: int = 0) -> int:
        """Weights of an adapter on all linear maps, or on those of the last blocks."""
        wide, narrow = self.heads * self.head_dim, self.kv_heads * self.head_dim
        ends = 2 * (self.hidden + wide) + 2 * (self.hidden + narrow) + 3 * (self.hidden + self.intermediate)
        return rank * self.adapted(last_layers) * ends

    def adapted(self, last_layers: int) -> int:
        """Blocks that an adapter of the last blocks has; 0 stands for all."""
        return min(last_layers or self.layers, self.layers)


class Setting(NamedTuple):
    """The settings that memory depends on."""

    method: str = "qlora"
    rank: int = 16
    last_layers: int = 0
    dropout: float = 0.0
    micro_batch: int = 1
    length: int = 2048
    checkpointing: bool = True
    adam_bits: int = 8
    chunk: int = 512
    """Positions whose logits are held at once; 0: all."""
    width: int = 2
    """Bytes of a number of the base that is not packed, and of its activations: 2 or 4."""

    @property
    def tokens(self) -> int:
        """Tokens in flight."""
        return self.micro_batch * self.length


class MemoryLine(Value, frozen=True, kw_only=True):
    """One use of memory."""

    what: str
    bytes: int


def memory_lines(shape: ModelShape, setting: Setting, per_token: float | None = None) -> tuple[MemoryLine, ...]:
    """Memory by line; `per_token` are the measured activation bytes of a token in a layer, else the fitted formula."""
    adapted = setting.method not in WHOLE
    trained = shape.adapter(setting.rank, setting.last_layers) if adapted else shape.parameters
    bytes_per_token = per_token or activation_formula(shape, setting)
    found = [
        *weight_lines(shape, setting),
        *([MemoryLine(what=f"adapter, rank {setting.rank}", bytes=4 * trained)] if adapted else []),
        MemoryLine(what="gradients", bytes=4 * trained),
        MemoryLine(
            what=f"optimizer, {setting.adam_bits} bits", bytes=int(trained * (8 if setting.adam_bits == 32 else 2.03))
        ),
        *activation_lines(shape, setting, bytes_per_token),
        logit_line(shape, setting),
    ]
    if setting.method in ("qlora", "lora8"):
        found.append(MemoryLine(what="one weight unpacked", bytes=2 * shape.hidden * shape.intermediate))
    raw = sum(line.bytes for line in found)
    return (*found, MemoryLine(what="libraries and fragmentation", bytes=int(CONTEXT_BYTES + FRAGMENTED * raw)))


def weight_lines(shape: ModelShape, setting: Setting) -> list[MemoryLine]:
    rest = shape.parameters - shape.linear
    wide = setting.width
    if setting.method == "qlora":
        packed = int(shape.linear * (0.5 + 0.127 / 8))
        return [
            MemoryLine(what="layers, 4 bits with their constants", bytes=packed),
            MemoryLine(what=f"embeddings and head, {8 * wide} bits", bytes=wide * rest),
        ]
    if setting.method == "lora8":
        return [
            MemoryLine(what="layers, 8 bits", bytes=shape.linear),
            MemoryLine(what=f"embeddings and head, {8 * wide} bits", bytes=wide * rest),
        ]
    size = 4 if setting.method in WHOLE else wide
    return [MemoryLine(what=f"weights, {8 * size} bits", bytes=size * shape.parameters)]


def activation_formula(shape: ModelShape, setting: Setting) -> float:
    """Bytes kept per token and layer, fitted on dry runs of Qwen2.5 shapes (within 1 %)."""
    more = 18 * shape.hidden + 2 * shape.intermediate if setting.dropout else 0
    return 26.2 * shape.hidden + 8.0 * shape.intermediate + more


def activation_lines(shape: ModelShape, setting: Setting, kept: float) -> list[MemoryLine]:
    tokens, layers = setting.tokens * setting.width // 2, shape.adapted(setting.last_layers)
    if not setting.checkpointing:
        return [MemoryLine(what="activations", bytes=int(tokens * layers * kept))]
    return [
        MemoryLine(what="activations, one per layer", bytes=tokens * layers * 2 * shape.hidden),
        MemoryLine(what="activations, one layer recomputed", bytes=int(tokens * kept)),
    ]


def logit_line(shape: ModelShape, setting: Setting) -> MemoryLine:
    held = min(setting.chunk, setting.tokens) if setting.chunk else setting.tokens
    return MemoryLine(what=f"logits of {held} positions", bytes=held * shape.vocabulary * LOGIT_BYTES)


def total_bytes(found: tuple[MemoryLine, ...]) -> int:
    """Bytes altogether."""
    return sum(line.bytes for line in found)


def flops_per_token(shape: ModelShape, setting: Setting) -> float:
    """Work per trained-on token: no weight gradients for an adapter, nothing backward below its first block, one more
    forward pass with checkpointing."""
    weights = shape.parameters - (0 if shape.tied else shape.embedding)
    passes = (4 if setting.method not in WHOLE else 6) + (2 if setting.checkpointing else 0)
    attention = shape.layers * setting.length * shape.hidden * (8 if setting.checkpointing else 6)
    share = 1 - shape.adapted(setting.last_layers) / shape.layers
    skipped = share * ((passes - 2) * shape.linear + attention * (passes - 2) / passes)
    return passes * weights + attention - skipped


class Gpu(Value, frozen=True, kw_only=True):
    """A card of the table."""

    memory: float
    tflops: float
    bandwidth: float
    usd: tuple[float, float] | None = None
    why_not: str = ""

    @property
    def usable(self) -> float:
        """Bytes a run may use: about half a GiB is always taken."""
        return (self.memory - 0.5) * GIB


@cache
def gpus() -> Mapping[str, Gpu]:
    """The table of cards."""
    return msgspec.convert(load_table("gpus.toml"), dict[str, Gpu])


@cache
def known_shapes() -> Mapping[str, ModelShape]:
    """The table of shapes."""
    return msgspec.convert(load_table("shapes.toml"), dict[str, ModelShape])


def load_table(name: str) -> dict[str, object]:
    return tomllib.loads(resources.files("afs.train").joinpath(name).read_text())


def gpu_named(name: str) -> Gpu:
    """A card by its name."""
    found = gpus().get(name)
    if found is None:
        raise UsageError(f"no card is called {name!r}{suggest_name(name, gpus())}")
    return found


def shape_named(name: str) -> ModelShape | None:
    """A public shape by its name, with or without its maker, `-coder`, `-instruct` and the like."""
    plain = name.lower().rpartition("/")[2].replace(":", "-")
    for word in ("-coder", "-instruct", "-base", "-chat"):
        plain = plain.replace(word, "")
    return known_shapes().get(plain)


def shape_of_folder(folder: Path) -> ModelShape:
    """The shape in a model folder's `config.json`."""
    path = folder / "config.json"
    try:
        return shape_of_table(json.loads(path.read_bytes()))
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise DataError(f"{path}: cannot be planned for: {error!r}") from error


class _HubConfig(msgspec.Struct):
    """The fields of a model's `config.json` that decide memory and time."""

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    vocab_size: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    tie_word_embeddings: bool = False


def shape_of_table(table: Mapping[str, object]) -> ModelShape:
    """The shape in a model's config."""
    inner = table.get("text_config")
    flat = {**table, **inner} if isinstance(inner, Mapping) else dict(table)
    if str(flat.get("model_type", "")).startswith("gemma"):
        flat.setdefault("tie_word_embeddings", True)  # Gemma's configs leave out what its classes imply
    found = msgspec.convert(flat, _HubConfig)
    heads = found.num_attention_heads
    return ModelShape(
        layers=found.num_hidden_layers,
        hidden=found.hidden_size,
        intermediate=found.intermediate_size,
        heads=heads,
        kv_heads=found.num_key_value_heads or heads,
        head_dim=found.head_dim or found.hidden_size // heads,
        vocabulary=found.vocab_size,
        tied=found.tie_word_embeddings,
    )
