"""A model in training under MLX, at the far end of `mlx.py`: no torch here, only tokens and arrays.

Adapters are mlx-lm's own layers; loss, clipping and the optimizer's arithmetic are those of the reference back end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers
import msgspec
import numpy as np
from mlx.utils import tree_flatten, tree_map, tree_unflatten
from mlx_lm.generate import generate_step
from mlx_lm.sample_utils import make_sampler
from mlx_lm.tuner.trainer import grad_checkpoint
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load_model, quantize_model

from afs.config import decode
from afs.errors import ConfigError
from afs.providers.base import Sampling
from afs.train.backends.subprocess_learner import Figures, RemoteCall
from afs.train.learner import Measured
from afs.train.settings import TrainConfig
from afs.types import Json

Item = tuple[list[int], list[bool]]
_GROUP, _BITS = 64, 4


class ServedMlx:
    """The learner and its calls."""

    def __init__(self, call: RemoteCall) -> None:
        more = call.more
        self.config = decode(TrainConfig, msgspec.convert(more["config"], dict[str, object]))
        self.train = msgspec.convert(more["train"], list[Item])
        self.held_out = msgspec.convert(more["held_out"], list[Item])
        self.micro = self.config.micro_batch or self.config.batch_size
        mx.random.seed(self.config.seed)
        self.model = adapt_model(self.config, Path(str(more["folder"])))
        self.optimizer = mlx.optimizers.AdamW(
            learning_rate=0.0, weight_decay=self.config.weight_decay, bias_correction=True
        )
        self.optimizer.init(self.model.trainable_parameters())
        self.differentiate = nn.value_and_grad(self.model, _loss)
        self.gradient: object = None

    def do(self, call: RemoteCall) -> object:
        """Carry out a call."""
        if call.do == "begin":
            return self._facts()
        if call.do == "gradients":
            return Figures.of(self._gradients(call.rows))
        if call.do == "apply":
            return self._apply(call.rate)
        if call.do == "evaluate":
            return Figures.of(self._evaluate())
        if call.do == "answer":
            return self._answer(call.more)
        if call.do == "save":
            self._save(Path(call.folder))
        if call.do == "restore":
            self._restore(Path(call.folder), weights_only=call.weights_only)
        if call.do == "export":
            mx.save_safetensors(str(Path(call.folder) / "adapters.safetensors"), self._weights())
        if call.do == "discard":
            self.gradient = None
        return None

    def _facts(self) -> Json:
        return {
            "device": str(mx.default_device()),
            "machine": f"mlx {mx.default_device()}",
            "trained_parameters": sum(v.size for v in self._weights().values()),
            "all_parameters": sum(v.size for _, v in tree_flatten(self.model.parameters())),
        }

    def _weights(self) -> dict[str, mx.array]:
        return dict(tree_flatten(self.model.trainable_parameters()))

    def _gradients(self, rows: Sequence[int]) -> Measured:
        items = [self.train[row] for row in rows]
        tokens = sum(sum(trained[1:]) for _, trained in items)
        self.model.train()
        loss, total = 0.0, None
        for start in range(0, len(items), self.micro):
            part, gradient = self.differentiate(self.model, *_rows(items[start : start + self.micro]), max(1, tokens))
            total = gradient if total is None else tree_map(mx.add, total, gradient)
            mx.eval(total)
            loss += float(part)
        norm = float(mx.sqrt(sum((g.astype(mx.float32) ** 2).sum() for _, g in tree_flatten(total))))
        scale = min(1.0, self.config.max_grad_norm / (norm + 1e-6))
        self.gradient = tree_map(lambda g: g * scale, total)
        return Measured(loss, norm, tokens, sum(len(ids) for ids, _ in items))

    def _apply(self, rate: float) -> float:
        self.optimizer.learning_rate = rate
        self.optimizer.update(self.model, self.gradient)
        mx.eval(self.model.trainable_parameters(), self.optimizer.state)
        self.gradient = None
        used = float(self.optimizer.learning_rate)
        return rate if used == float(np.float32(rate)) else used

    def _evaluate(self) -> Measured:
        self.model.eval()
        tokens = sum(sum(trained[1:]) for _, trained in self.held_out)
        starts = range(0, len(self.held_out), self.micro)
        total = sum(
            float(_loss(self.model, *_rows(self.held_out[at : at + self.micro]), max(1, tokens))) for at in starts
        )
        seen = sum(len(ids) for ids, _ in self.held_out)
        return Measured(total if tokens else float("nan"), 0.0, tokens, seen)

    def _answer(self, more: Json) -> list[list[int]]:
        sampling = msgspec.convert(more["sampling"], Sampling)
        stops = set(msgspec.convert(more["stops"], list[int]))
        kept = _random_key()
        self.model.eval()
        found = []
        for prompt in msgspec.convert(more["prompts"], list[list[int]]):
            sampler = make_sampler(temp=sampling.temperature or 0.0, top_p=sampling.top_p)
            tokens: list[int] = []
            for token, _ in generate_step(
                mx.array(prompt), self.model, max_tokens=sampling.max_tokens, sampler=sampler
            ):
                if int(token) in stops:
                    break
                tokens.append(int(token))
            found.append(tokens)
        mx.random.seed(kept)
        return found

    def _save(self, folder: Path) -> None:
        mx.save_safetensors(str(folder / "weights.safetensors"), self._weights())
        mx.save_safetensors(str(folder / "optimizer.safetensors"), dict(tree_flatten(self.optimizer.state)))
        (folder / "random.json").write_text(str(_random_key()))

    def _restore(self, folder: Path, *, weights_only: bool) -> None:
        self.model.load_weights(str(folder / "weights.safetensors"), strict=False)
        self.gradient = None
        if not weights_only:
            saved = cast(dict[str, mx.array], mx.load(str(folder / "optimizer.safetensors")))
            self.optimizer.state = tree_unflatten(list(saved.items()))
            mx.random.seed(int((folder / "random.json").read_text()))
        mx.eval(self.model.parameters())


def adapt_model(config: TrainConfig, folder: Path) -> nn.Module:
    """The base with mlx-lm's adapter layers, everything else frozen."""
    model, table = load_model(folder)
    if config.method == "qlora":
        model, _ = quantize_model(model, table, _GROUP, _BITS, quant_predicate=pack_rows)
    model.freeze()
    lora = config.lora
    keys = {
        name for name, module in model.layers[0].named_modules() if isinstance(module, (nn.Linear, nn.QuantizedLinear))
    }
    chosen = {key for key in keys if not lora.modules or key.rpartition(".")[2] in lora.modules}
    if not chosen:
        raise ConfigError("lora.targets", f"none of them is a linear layer; there are: {', '.join(sorted(keys))}")
    scale = lora.alpha / (lora.rank**0.5 if lora.rslora else lora.rank)
    shape = {"rank": lora.rank, "scale": scale, "dropout": lora.dropout, "keys": chosen}
    linear_to_lora_layers(model, len(model.layers), shape)
    if config.checkpointing:
        grad_checkpoint(model.layers[0])
    mx.eval(model.parameters())
    return model


def _random_key() -> int:
    """The state of MLX's random numbers: its key is the seed that brings it back."""
    high, low = (int(half) for half in cast(Sequence[Sequence[int]], mx.random.state)[0])
    return high << 32 | low


def pack_rows(path: str, module: nn.Module) -> bool:
    """Linear maps of the layers are packed; embeddings and head are not, as in the reference."""
    return isinstance(module, nn.Linear) and ".layers." in f".{path}." and module.weight.shape[-1] % _GROUP == 0


def _rows(items: Sequence[Item]) -> tuple[mx.array, mx.array, mx.array]:
    """Rows padded on the right; each position with the token it predicts and whether it is learned."""
    longest = max(len(ids) for ids, _ in items)
    ids, targets, learned = (np.zeros((len(items), longest), np.int32) for _ in range(3))
    for row, (tokens, trained) in enumerate(items):
        ids[row, : len(tokens)] = tokens
        targets[row, : len(tokens) - 1] = tokens[1:]
        learned[row, : len(tokens) - 1] = trained[1:]
    return mx.array(ids), mx.array(targets), mx.array(learned)


def _loss(model: nn.Module, ids: mx.array, targets: mx.array, learned: mx.array, tokens: int) -> mx.array:
    """Mean negative log-probability of the learned tokens of the whole batch."""
    each = nn.losses.cross_entropy(model(ids).astype(mx.float32), targets)
    mean: mx.array = (each * learned).sum() / tokens
    return mean
