"""A plain forward pass in numpy, straight from safetensors: what a folder, or a base with its adapter, should say.

It exists to check merges and conversions without a framework: one layer in memory at a time, float32, no cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from afs.export.adapter_files import Adapter
from afs.export.merge import Merge
from afs.export.merge_kernel import Floats
from afs.export.model_families import ModelConfig, llama3_factors
from afs.export.nf4_rounding import FourBit
from afs.export.safetensors_files import Weights


class WeightSource(Protocol):
    """Where the weights come from."""

    def linear(self, module: str, x: Floats) -> Floats:
        """A linear module applied to rows."""

    def vector(self, name: str) -> Floats:
        """A norm's weights."""

    def embed(self, tokens: Sequence[int]) -> Floats:
        """Rows of the embedding."""


class Folder:
    """The weights of a model folder."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def linear(self, module: str, x: Floats) -> Floats:
        """A linear module applied to rows."""
        return _with_bias(self.weights, module, x @ self._matrix(f"{module}.weight").T)

    def vector(self, name: str) -> Floats:
        """A norm's weights."""
        return self.weights.read(name)

    def embed(self, tokens: Sequence[int]) -> Floats:
        """Rows of the embedding."""
        return self.weights.read_rows("model.embed_tokens.weight", np.asarray(tokens, dtype=np.int64))

    def _matrix(self, name: str) -> Floats:
        return self.weights.read(name if name in self.weights else "model.embed_tokens.weight")


class Adapted(Folder):
    """A base with its adapter beside it: the two products are added, nothing is merged."""

    def __init__(self, weights: Weights, adapter: Adapter, *, four_bit: FourBit | None = None) -> None:
        super().__init__(weights)
        self.adapter = adapter
        self._plain = Merge(weights, adapter._replace(deltas={}), four_bit=four_bit)

    def linear(self, module: str, x: Floats) -> Floats:
        """The base's product and the adapter's, added as in training."""
        name = f"{module}.weight"
        matrix = np.concatenate(list(self._plain.values(name))) if name in self.weights else self._matrix(name)
        delta = self.adapter.deltas.get(module)
        if delta is None:
            return self._bias(module, x @ matrix.T)
        read = self.adapter.weights.read
        a, b = read(delta.a), read(delta.b)
        y: Floats = np.asarray(x @ matrix.T + np.float32(delta.scale) * ((x @ a.T) @ b.T), dtype=np.float32)
        if delta.magnitude:
            length = np.linalg.norm(matrix + np.float32(delta.scale) * (b @ a), axis=1)
            y = np.asarray(y * (read(delta.magnitude).reshape(-1) / length), dtype=np.float32)
        return self._bias(module, y)

    def vector(self, name: str) -> Floats:
        """A norm's weights, the adapter's own where it has them."""
        whole = self.adapter.whole.get(name)
        return self.adapter.weights.read(whole) if whole else self.weights.read(name)

    def embed(self, tokens: Sequence[int]) -> Floats:
        """Rows of the embedding with the adapter's change."""
        rows = np.asarray(tokens, dtype=np.int64)
        whole = self.adapter.whole.get("model.embed_tokens.weight")
        found = self.adapter.weights.read_rows(whole, rows) if whole else super().embed(tokens)
        delta = self.adapter.deltas.get("model.embed_tokens")
        if delta is None:
            return found
        a, b = self.adapter.weights.read(delta.a), self.adapter.weights.read(delta.b)
        return found + np.float32(delta.scale) * (b @ a[:, rows]).T

    def _matrix(self, name: str) -> Floats:
        if name not in self.weights and "model.embed_tokens.weight" in self.adapter.whole:
            return self.adapter.weights.read(self.adapter.whole["model.embed_tokens.weight"])
        return super()._matrix(name)

    def _bias(self, module: str, y: Floats) -> Floats:
        whole = self.adapter.whole.get(f"{module}.bias")
        return y + self.adapter.weights.read(whole) if whole else _with_bias(self.weights, module, y)


def _with_bias(weights: Weights, module: str, y: Floats) -> Floats:
    name = f"{module}.bias"
    return y + weights.read(name) if name in weights else y


def logits(config: ModelConfig, source: WeightSource, prompts: Sequence[Sequence[int]]) -> list[Floats]:
    """For each prompt the logits after every token."""
    states = [source.embed(prompt) for prompt in prompts]
    ends = np.cumsum([len(prompt) for prompt in prompts])[:-1]
    x = np.concatenate(states)
    turns = _turns(config, [len(prompt) for prompt in prompts])
    for layer in range(config.layers):
        at = f"model.layers.{layer}."
        normed = _norm(x, source.vector(f"{at}input_layernorm.weight"), config.norm_eps)
        x = x + _attention(config, source, f"{at}self_attn.", normed, turns, ends)
        normed = _norm(x, source.vector(f"{at}post_attention_layernorm.weight"), config.norm_eps)
        gate = source.linear(f"{at}mlp.gate_proj", normed)
        inner = gate / (1 + np.exp(-np.clip(gate, -80, 80))) * source.linear(f"{at}mlp.up_proj", normed)
        x = x + source.linear(f"{at}mlp.down_proj", inner)
    last = _norm(x, source.vector("model.norm.weight"), config.norm_eps)
    return np.split(source.linear("lm_head", last), ends)


def _norm(x: Floats, weight: Floats, eps: float) -> Floats:
    return np.asarray(x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight, dtype=np.float32)


def _turns(config: ModelConfig, lengths: Sequence[int]) -> tuple[Floats, Floats]:
    """Cosine and sine of every token's rotary angles."""
    places = np.concatenate([np.arange(length) for length in lengths])
    speed = config.rope_theta ** -(np.arange(0, config.head_dim, 2) / config.head_dim)
    factors = llama3_factors(config)
    if factors is not None:
        speed = speed / factors
    angles = np.tile(places[:, None] * speed[None, :], (1, 2))
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _rotate(x: Floats, turns: tuple[Floats, Floats]) -> Floats:
    half = x.shape[-1] // 2
    turned = np.concatenate([-x[..., half:], x[..., :half]], axis=-1)
    return np.asarray(x * turns[0][:, None] + turned * turns[1][:, None], dtype=np.float32)


def _attention(
    config: ModelConfig,
    source: WeightSource,
    at: str,
    x: Floats,
    turns: tuple[Floats, Floats],
    ends: np.typing.NDArray[np.intp],
) -> Floats:
    count, dim = len(x), config.head_dim
    q = source.linear(f"{at}q_proj", x).reshape(count, config.heads, dim)
    k = source.linear(f"{at}k_proj", x).reshape(count, config.kv_heads, dim)
    v = source.linear(f"{at}v_proj", x).reshape(count, config.kv_heads, dim)
    if config.family.head_norm:
        q = _norm(q, source.vector(f"{at}q_norm.weight"), config.norm_eps)
        k = _norm(k, source.vector(f"{at}k_norm.weight"), config.norm_eps)
    q, k = _rotate(q, turns), _rotate(k, turns)
    share = config.heads // config.kv_heads
    parts = [
        _attend(one_q, np.repeat(one_k, share, axis=1), np.repeat(one_v, share, axis=1))
        for one_q, one_k, one_v in zip(np.split(q, ends), np.split(k, ends), np.split(v, ends), strict=True)
    ]
    return source.linear(f"{at}o_proj", np.concatenate(parts).reshape(count, -1))


def _attend(q: Floats, k: Floats, v: Floats) -> Floats:
    """Causal attention of one prompt."""
    scores = np.einsum("qhd,khd->hqk", q, k) / np.float32(np.sqrt(q.shape[-1]))
    scores = np.where(np.tril(np.ones(scores.shape[-2:], dtype=bool)), scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.asarray(np.einsum("hqk,khd->qhd", weights, v), dtype=np.float32)
