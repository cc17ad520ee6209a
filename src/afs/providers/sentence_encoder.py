"""Sentences as unit vectors: a BERT-shaped encoder (MiniLM, BGE, E5 …) from a local folder, computed in numpy alone.

Such models are small (22 M parameters for MiniLM), so neither torch nor an ONNX runtime is worth its weight here; the
vectors equal those of transformers to five digits. Other shapes of model are refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from afs import plugins
from afs.config import Config, decode
from afs.errors import ProviderError, UsageError, boundary
from afs.providers.base import Vectors

_BATCH_TOKENS = 1024
"""Most tokens, padding included, in one batch."""
_ERF = np.array([0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429], np.float32)
"""Abramowitz and Stegun 7.1.26: off by 1.5e-7 at most."""
_ERF_SLOPE, _HALF = np.float32(0.3275911), np.float32(0.7071067811865476)
_ROWS = 32
_USUAL_TOKENS = 128


class EmbedderOptions(Config, frozen=True, kw_only=True):
    """Options of the embedder `bert:FOLDER`."""

    max_tokens: int = 0
    """Longer texts are cut; 0: 128, or less if the folder says so. Cost grows with it."""
    prefix: str = ""
    """Words put before every text, for models that want them (`query: `)."""


class _EncodedText(Protocol):
    ids: list[int]


class _BatchTokenizer(Protocol):
    def encode_batch(self, texts: list[str]) -> list[_EncodedText]: ...
    def enable_truncation(self, max_length: int) -> None: ...
    def no_padding(self) -> None: ...


class Bert:
    """The embedder plug-in."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        chosen = decode(EmbedderOptions, options, prefix=f"bert:{model}")
        folder = Path(model)
        settings = _settings(folder)
        self.name, self._prefix = folder.resolve().name, chosen.prefix
        self._heads, self._eps = int(settings["num_attention_heads"]), float(settings["layer_norm_eps"])
        self._first = _pools_first(folder)
        load = _LOAD_WEIGHTS.load()
        with boundary(ProviderError, f"{folder}"):
            self._weights = _named(load(str(folder / "model.safetensors")), int(settings["num_hidden_layers"]))
        self._layers = int(settings["num_hidden_layers"])
        self._tokenizer = _tokenizer(folder)
        most = min(chosen.max_tokens or min(_USUAL_TOKENS, _length(folder)), int(settings["max_position_embeddings"]))
        self._tokenizer.enable_truncation(most)
        self._tokenizer.no_padding()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """A unit vector per text, in order; batches are of like lengths, and a vector does not depend on its batch."""
        ids = [row.ids or [0] for row in self._tokenizer.encode_batch([self._prefix + text for text in texts])]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        out = np.zeros((len(ids), self._weights["embeddings.word_embeddings.weight"].shape[1]), np.float32)
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end - start + 1) * len(ids[order[end]]) <= _BATCH_TOKENS:
                end += 1
            rows = order[start:end]
            out[rows] = self._batch([ids[i] for i in rows])
            start = end
        return out

    def _batch(self, rows: list[list[int]]) -> Vectors:
        longest = max(map(len, rows))
        tokens, mask = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), np.float32)
        for place, row in enumerate(rows):
            tokens[place, : len(row)], mask[place, : len(row)] = row, 1.0
        weights = self._weights
        state = (
            weights["embeddings.word_embeddings.weight"][tokens]
            + weights["embeddings.position_embeddings.weight"][:longest]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        state = self._norm(state, "embeddings.LayerNorm")
        hidden = None if mask.all() else (1.0 - mask[:, None, None, :]) * np.float32(-1e9)
        for number in range(self._layers):
            state = self._layer(state, hidden, f"encoder.layer.{number}.")
        pooled = state[:, 0] if self._first else (state * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return np.asarray(pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-9), np.float32)

    def _layer(self, state: Vectors, hidden: Vectors | None, at: str) -> Vectors:
        count, length, size = state.shape
        query, key, value = (
            self._linear(state, f"{at}attention.self.{part}").reshape(count, length, self._heads, -1).swapaxes(1, 2)
            for part in ("query", "key", "value")
        )
        query *= np.float32(1.0 / np.sqrt(size // self._heads))
        likeness: Vectors = query @ key.swapaxes(2, 3)
        if hidden is not None:
            likeness += hidden
        likeness -= likeness.max(-1, keepdims=True)
        np.exp(likeness, out=likeness)
        mixed: Vectors = likeness @ value
        mixed /= likeness.sum(-1, keepdims=True)
        mixed = mixed.swapaxes(1, 2).reshape(count, length, size)
        mixed = self._linear(mixed, f"{at}attention.output.dense")
        mixed += state
        state = self._norm(mixed, f"{at}attention.output.LayerNorm")
        wide = self._linear(_gelu(self._linear(state, f"{at}intermediate.dense")), f"{at}output.dense")
        wide += state
        return self._norm(wide, f"{at}output.LayerNorm")

    def _linear(self, state: Vectors, at: str) -> Vectors:
        flat = state.reshape(-1, state.shape[-1]) @ self._weights[f"{at}.weight"].T  # one product, not one per text
        flat += self._weights[f"{at}.bias"]
        return np.asarray(flat.reshape(*state.shape[:-1], -1), np.float32)

    def _norm(self, state: Vectors, at: str) -> Vectors:
        """In place."""
        state -= state.mean(-1, keepdims=True)
        spread = np.einsum("...i,...i->...", state, state)[..., None] / np.float32(state.shape[-1])
        state /= np.sqrt(spread + np.float32(self._eps))
        state *= self._weights[f"{at}.weight"]
        state += self._weights[f"{at}.bias"]
        return state


def _gelu(x: Vectors) -> Vectors:
    """In place, some rows at a time: the values in between stay in the processor's cache."""
    rows = x.reshape(-1, x.shape[-1])
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        size = np.abs(part)
        z = size * _HALF
        t = 1.0 / (1.0 + _ERF_SLOPE * z)
        poly = t * _ERF[4]
        for factor in _ERF[3::-1]:
            poly += factor
            poly *= t
        np.square(z, out=z)
        poly *= np.exp(np.negative(z, out=z), out=z)
        np.subtract(1.0, poly, out=poly)
        size *= poly
        part += size
        part *= np.float32(0.5)
    return x


def _settings(folder: Path) -> dict[str, float]:
    """The folder's `config.json`, when it is of the one shape that is computed here."""
    try:
        found = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder}: no readable config.json; want a folder of a sentence encoder ({error})") from error
    if found.get("model_type") != "bert" or found.get("hidden_act", "gelu") != "gelu":
        raise UsageError(
            f"{folder}: a model of type {found.get('model_type')!r}; want a BERT-shaped encoder with safetensors, "
            "such as all-MiniLM-L6-v2"
        )
    return {"layer_norm_eps": 1e-12} | {key: value for key, value in found.items() if isinstance(value, int | float)}


def _named(tensors: dict[str, Vectors], layers: int) -> dict[str, Vectors]:
    """The encoder's tensors in single precision, under their names without the model's own prefix."""
    found = {name.removeprefix("bert."): np.asarray(value, np.float32) for name, value in tensors.items()}
    if f"encoder.layer.{layers - 1}.output.dense.weight" not in found:
        raise ProviderError(f"model.safetensors has not the {layers} layers that config.json names")
    return found


class _BatchTokenizerFactory(Protocol):
    def from_file(self, path: str) -> _BatchTokenizer: ...


_TOKENIZER = plugins.Late[_BatchTokenizerFactory]("tokenizers:Tokenizer")
_LOAD_WEIGHTS = plugins.Late[Callable[[str], dict[str, Vectors]]]("safetensors.numpy:load_file")


def _tokenizer(folder: Path) -> _BatchTokenizer:
    tokenizer = _TOKENIZER.load()
    with boundary(UsageError, f"{folder / 'tokenizer.json'}"):
        return tokenizer.from_file(str(folder / "tokenizer.json"))


def _pools_first(folder: Path) -> bool:
    path = folder / "1_Pooling" / "config.json"
    return path.is_file() and json.loads(path.read_text("utf-8")).get("pooling_mode_cls_token") is True


def _length(folder: Path) -> int:
    path = folder / "sentence_bert_config.json"
    return int(json.loads(path.read_text("utf-8")).get("max_seq_length") or 256) if path.is_file() else 256
