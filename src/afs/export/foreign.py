"""Architectures that our converter does not know: llama.cpp's own script converts them, where the user has it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gguf import GGUFReader

from afs import process
from afs.errors import DataError, UsageError

_TYPES = {"F32": "f32", "F16": "f16", "BF16": "bf16", "Q8_0": "q8_0"}
_TIMEOUT_S = 4 * 3600.0


def convert_by_script(script: Path, folder: Path, target: Path, kind: str) -> dict[str, object]:
    """Run the script on a model folder; what the file then holds."""
    if not script.is_file():
        raise UsageError(f"--converter: {script} is not a file; want llama.cpp's convert_hf_to_gguf.py")
    if kind not in _TYPES:
        raise UsageError(f"--quant {kind}: the script writes {', '.join(_TYPES)}; run llama-quantize on its F16")
    command = [sys.executable, str(script), str(folder), "--outfile", str(target), "--outtype", _TYPES[kind]]
    finished = process.run(command, timeout_s=_TIMEOUT_S, environment=dict(os.environ))
    if finished.code != 0 or not target.is_file():
        said = finished.err.decode(errors="replace").strip().splitlines()
        raise DataError(f"{script.name} ended with {finished.code}: {said[-1] if said else 'nothing said'}")
    types: dict[str, int] = {}
    for tensor in GGUFReader(str(target)).tensors:
        types[tensor.tensor_type.name] = types.get(tensor.tensor_type.name, 0) + 1
    return {"kind": kind, "types": dict(sorted(types.items())), "converter": script.name}
