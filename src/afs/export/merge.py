"""Base + adapter -> merged weights, some rows at a time: peak memory is near one block of rows, not one model.

LoRA, rank-stabilized LoRA, DoRA, embeddings, biases and modules saved whole. Each finished file is marked in the run,
so that a killed merge resumes with the next.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np
from numpy.typing import NDArray

from afs import jsonl
from afs.errors import DataError, RefusedError
from afs.export import merge_kernel, nf4_rounding
from afs.export.adapter_files import Adapter, Delta
from afs.export.merge_kernel import Floats, is_finite
from afs.export.model_families import read_json
from afs.export.nf4_rounding import FourBit
from afs.export.safetensors_files import Planned, Weights, encode_values, read_ahead, row_slices, write_safetensors
from afs.runs import Run

FORMATS = {"bf16": "BF16", "f16": "F16", "f32": "F32"}
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_LINEAR = re.compile(r"^model\.layers\.\d+\..*_proj\.weight$")
_BESIDE = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja",
           "special_tokens_map.json", "vocab.json", "merges.txt", "added_tokens.json")  # fmt: skip
"""Files of the base that the merged model keeps; the adapter's own come first."""


class Merge:
    """One merge: the new value of any tensor of the base, block by block."""

    def __init__(self, base: Weights, adapter: Adapter, *, four_bit: FourBit | None = None, dtype: str = "") -> None:
        self.base, self.adapter, self.four_bit, self.dtype = base, adapter, four_bit, dtype
        self.deltas = {f"{module}.weight": delta for module, delta in adapter.deltas.items()}
        self._refuse_what_does_not_fit()

    def _refuse_what_does_not_fit(self) -> None:
        where = self.adapter.folder
        if self.adapter.settings.get("fan_in_fan_out"):
            raise RefusedError(f"{where}: adapters with fan_in_fan_out are not known here")
        for name in (*self.deltas, *self.adapter.whole):
            if name not in self.base:
                raise RefusedError(f"{where}: it changes {name}, which {self.base.folder} does not have")
        for name, delta in self.deltas.items():
            outer, inner = self.adapter.weights.shape(delta.b)[0], self.adapter.weights.shape(delta.a)[1]
            wanted = (inner, outer) if delta.is_embedding else (outer, inner)
            if wanted != self.shape(name):
                raise RefusedError(f"{where}: {name} wants shape {wanted}, the base has {self.shape(name)}")

    def changes(self, name: str) -> bool:
        """Whether the tensor's values differ from the base's."""
        return name in self.deltas or name in self.adapter.whole or self._is_rounded(name)

    def _is_rounded(self, name: str) -> bool:
        return self.four_bit is not None and bool(_LINEAR.match(name))

    def format(self, name: str) -> str:
        """The number format the tensor is written in."""
        return self.dtype or self.base.dtype(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """The merged tensor's shape: a module saved whole may have more rows."""
        whole = self.adapter.whole.get(name)
        return self.adapter.weights.shape(whole) if whole else self.base.shape(name)

    @property
    def unties(self) -> bool:
        """Whether the head was the embedding and must keep its old values while the embedding changes."""
        return EMBEDDING in self.deltas and HEAD not in self.base

    def planned(self, name: str) -> Planned:
        """The tensor as it will be written."""
        return Planned(name, self.format(name), self.shape(name), lambda: self.encoded(name))

    def all_planned(self, names: list[str]) -> Iterator[Planned]:
        """A file's tensors as they will be written; beside an untied embedding stands the head."""
        for name in names:
            yield self.planned(name)
            if name == EMBEDDING and self.unties:
                clean = Merge(self.base, self.adapter._replace(deltas={}), dtype=self.dtype)
                yield clean.planned(name)._replace(name=HEAD)

    def encoded(self, name: str) -> Iterator[NDArray[np.generic]]:
        """The tensor's values in its format, block by block."""
        if not self.changes(name) and self.format(name) == self.base.dtype(name):
            yield self.base.raw(name)
            return
        kind, addend = self.format(name), self._addend(name)
        make, parts = self._maker(name)
        if addend is None or self._is_rounded(name) or not kind == self.base.dtype(name) == "BF16":
            yield from read_ahead(lambda part: encode_values(make(part), kind), parts)
            return
        raw = self.base.raw(name)

        def added(part: slice) -> NDArray[np.generic]:
            bits, is_sound = merge_kernel.add(raw[part], addend(part))
            return bits if is_sound else self._refuse_no_numbers(name)

        yield from read_ahead(added, parts)

    def values(self, name: str) -> Iterator[Floats]:
        """The tensor's values as float32, block by block."""
        return read_ahead(*self._maker(name))

    def _maker(self, name: str) -> tuple[Callable[[slice], Floats], list[slice]]:
        """What makes the rows of a part, and the parts."""
        whole = self.adapter.whole.get(name)
        source, label = (self.adapter.weights, whole) if whole else (self.base, name)
        shape = source.shape(label)
        parts = row_slices(shape)
        four_bit = self.four_bit if not whole and self._is_rounded(name) else None
        largest = nf4_rounding.block_scales(self.base, name, parts, four_bit.device) if four_bit else None
        change = self._change(name)

        def made(part: slice) -> Floats:
            block = source.read_rows(label, part)
            if four_bit and largest is not None:
                per_row = shape[1] // merge_kernel.BLOCK
                blocks = largest[part.start * per_row : part.stop * per_row]
                block = nf4_rounding.round_to_four_bit(block, blocks, four_bit.dtype or source.dtype(label))
            block = change(block, part)
            return block if is_finite(block) else self._refuse_no_numbers(name)

        return made, parts

    def _refuse_no_numbers(self, name: str) -> NoReturn:
        raise DataError(f"{name} holds NaN or infinity in the base or the adapter; nothing was merged")

    def _change(self, name: str) -> Callable[[Floats, slice], Floats]:
        delta, addend = self.deltas.get(name), self._addend(name)
        if delta is not None and delta.magnitude:
            return self._dora(delta, *self._halves(delta))
        return (lambda block, part: block + addend(part)) if addend else (lambda block, part: block)

    def _addend(self, name: str) -> Callable[[slice], Floats] | None:
        """What is added to the rows of a part; none where nothing is, or where more than adding is done."""
        delta = self.deltas.get(name)
        if delta is None or delta.magnitude:
            return None
        a, b = self._halves(delta)
        if delta.is_embedding:
            return lambda part: (b @ a[:, part]).T
        return lambda part: np.asarray(b[part] @ a, dtype=np.float32)

    def _halves(self, delta: Delta) -> tuple[Floats, Floats]:
        """A, and B with the scale in it."""
        read = self.adapter.weights.read
        return read(delta.a), read(delta.b) * np.float32(delta.scale)

    def _dora(self, delta: Delta, a: Floats, b: Floats) -> Callable[[Floats, slice], Floats]:
        magnitude = self.adapter.weights.read(delta.magnitude).reshape(-1)

        def change(block: Floats, part: slice) -> Floats:
            moved = block + b[part] @ a
            length = np.linalg.norm(moved, axis=1)
            return np.asarray((magnitude[part] / length)[:, None] * moved, dtype=np.float32)

        return change


def merge(run: Run, merged: Merge, target: Path) -> dict[str, object]:
    """Write the merged model's folder; what is done already under this run is kept."""
    target.mkdir(parents=True, exist_ok=True)
    folder = merged.base.folder
    files: dict[str, list[str]] = {}
    for tensor in merged.base.table.values():
        files.setdefault(tensor.file.name, []).append(tensor.name)
    for file, names in run.track(files.items(), "merged files", len(files)):
        run.check_stop()
        marker = f"merged-{file}"
        if run.done(marker) and is_complete(target / file, run.facts(marker)):
            continue
        beside = target / f".{file}.part"
        size = write_safetensors(beside, merged.all_planned(names))
        beside.replace(target / file)
        run.mark(marker, size=size)
    write_index(merged, files, target)
    write_config(merged, target)
    for name in _BESIDE:
        source = next((f / name for f in (merged.adapter.folder, folder) if (f / name).is_file()), None)
        if source is not None:
            shutil.copyfile(source, target / name)
    return {
        "changed": sum(merged.changes(name) for name in merged.base.table),
        "tensors": len(merged.base.table),
        "parameters": sum(int(np.prod(merged.shape(name), dtype=np.int64)) for name in merged.base.table),
        "base_weights": "dequantized" if merged.four_bit else "clean",
        "dtype": merged.dtype or "as the base",
    }


def is_complete(path: Path, facts: Mapping[str, object]) -> bool:
    """Whether a marked file is there; it was on the disk before it was marked."""
    return path.is_file() and path.stat().st_size == facts.get("size")


def write_index(merged: Merge, files: dict[str, list[str]], target: Path) -> None:
    if len(files) < 2:
        return
    planned = {row.name: (row.size, file) for file, names in files.items() for row in merged.all_planned(names)}
    table = {name: file for name, (_, file) in planned.items()}
    size = sum(size for size, _ in planned.values())
    content = {"metadata": {"total_size": size}, "weight_map": table}
    jsonl.replace(target / "model.safetensors.index.json", msgspec.json.encode(content))


def write_config(merged: Merge, target: Path) -> None:
    config = read_json(merged.base.folder / "config.json")
    config.pop("quantization_config", None)
    config["vocab_size"] = merged.shape(EMBEDDING)[0]
    if HEAD in merged.adapter.whole or HEAD in merged.deltas or merged.unties:
        config["tie_word_embeddings"] = False
    config |= old_rope(config)
    names = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
    if merged.dtype:
        config["dtype" if "dtype" in config else "torch_dtype"] = names[merged.dtype]
    jsonl.replace(target / "config.json", msgspec.json.format(msgspec.json.encode(config), indent=2))


def old_rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary settings as older readers (MLX among them) look for them; they take a default in silence otherwise."""
    new = config.get("rope_parameters")
    if not isinstance(new, Mapping) or "rope_theta" in config or "rope_theta" not in new:
        return {}
    kind = new.get("rope_type", "default")
    scaling = {} if kind == "default" else {"rope_scaling": {k: v for k, v in new.items() if k != "rope_theta"}}
    return {"rope_theta": new["rope_theta"], **scaling}
