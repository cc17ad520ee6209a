"""Weights in training, optimizer and random states as safetensors: no pickles, nothing restarted silently."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from afs.errors import DataError

Named: TypeAlias = "Mapping[str, torch.nn.Parameter]"
WEIGHTS, OPTIMIZER, RANDOM = "weights.safetensors", "optimizer.safetensors", "random.safetensors"
SCALARS = "optimizer.json"


def save_weights(named: Named, folder: Path) -> None:
    """The trained tensors."""
    save_file({name: tensor.detach().contiguous() for name, tensor in named.items()}, folder / WEIGHTS)


def load_weights(named: Named, folder: Path) -> None:
    """Put saved tensors back in place."""
    saved = load_file(folder / WEIGHTS)
    if saved.keys() != named.keys():
        odd = sorted(saved.keys() ^ named.keys())[:3]
        raise DataError(f"{folder / WEIGHTS}: tensors that this model does not train, e.g. {', '.join(odd)}")
    for name, tensor in named.items():
        if saved[name].shape != tensor.shape:
            raise DataError(
                f"{folder / WEIGHTS}: {name} is {list(saved[name].shape)}, the model's {list(tensor.shape)}"
            )
    with torch.no_grad():
        for name, tensor in named.items():
            tensor.copy_(saved[name])


def save_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Every tensor and number the optimizer keeps."""
    tensors: dict[str, torch.Tensor] = {}
    scalars: dict[str, object] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{key}"] = value.detach().contiguous().clone()
            else:
                scalars[f"{index}.{key}"] = value
    save_file(tensors, folder / OPTIMIZER)
    (folder / SCALARS).write_bytes(msgspec.json.encode(scalars))


def load_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Put the optimizer's state back; it is an error for any of it to be missing."""
    state: dict[int, dict[str, object]] = {}
    flat: dict[str, object] = dict(load_file(folder / OPTIMIZER))
    flat |= msgspec.json.decode((folder / SCALARS).read_bytes(), type=dict[str, object])
    for name, value in flat.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def save_random(folder: Path) -> None:
    """The random states of torch, CUDA, numpy and Python."""
    kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    version, numbers, gauss_next = random.getstate()
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64))}
    tensors |= {f"cuda.{i}": state for i, state in enumerate(_cuda_states())}
    tensors["python"] = torch.tensor(numbers, dtype=torch.int64)
    save_file(tensors, folder / RANDOM)
    rest = {"numpy": [str(kind), int(place), int(has_gauss), float(gauss)], "python": [version, gauss_next]}
    (folder / "random.json").write_bytes(msgspec.json.encode(rest))


def load_random(folder: Path) -> None:
    """Put every random state back."""
    saved = load_file(folder / RANDOM)
    rest = msgspec.json.decode((folder / "random.json").read_bytes())
    torch.set_rng_state(saved["torch"])
    cuda = [saved[f"cuda.{i}"] for i in range(len([name for name in saved if name.startswith("cuda.")]))]
    if cuda and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(cuda)
    kind, place, has_gauss, gauss = rest["numpy"]
    np.random.set_state((kind, saved["numpy"].numpy().astype(np.uint32), place, has_gauss, gauss))
    version, gauss_next = rest["python"]
    random.setstate((version, tuple(saved["python"].tolist()), gauss_next))


def _cuda_states() -> Iterable[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ()
