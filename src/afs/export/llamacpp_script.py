"""Architectures that our converter does not know: llama.cpp's own script converts them, where the user has it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from gguf import GGUFReader

from afs import process
from afs.errors import DataError, UsageError

_TYPES = {"F32": "f32", "F16": "f16", "BF16": "bf16", "Q8_0": "q8_0"}
QUANTIZER = "llama-quantize"
_TIMEOUT_S = 4 * 3600.0


def convert_by_script(script: Path, folder: Path, target: Path, kind: str) -> dict[str, object]:
    """Run the script on a model folder; what the file then holds."""
    if not script.is_file():
        raise UsageError(f"--converter: {script} is not a file; want llama.cpp's convert_hf_to_gguf.py")
    quantizer = shutil.which(QUANTIZER)
    if kind not in _TYPES and not quantizer:
        raise UsageError(
            f"--quant {kind}: the script writes {', '.join(_TYPES)}; put llama.cpp's {QUANTIZER} on PATH for the others"
        )
    written = target if kind in _TYPES else target.with_suffix(".f16.gguf")
    outtype = _TYPES.get(kind, "f16")
    _run(
        [sys.executable, str(script), str(folder), "--outfile", str(written), "--outtype", outtype],
        script.name,
        written,
    )
    if quantizer and kind not in _TYPES:
        _run([quantizer, str(written), str(target), kind], QUANTIZER, target)
        written.unlink()
    types: dict[str, int] = {}
    for tensor in GGUFReader(str(target)).tensors:
        types[tensor.tensor_type.name] = types.get(tensor.tensor_type.name, 0) + 1
    return {"kind": kind, "types": dict(sorted(types.items())), "converter": script.name}


def _run(command: list[str], name: str, made: Path) -> None:
    """Run a llama.cpp program; the error quotes its last output when the file is missing."""
    finished = process.run(command, timeout_s=_TIMEOUT_S, environment=dict(os.environ))
    if finished.code != 0 or not made.is_file():
        said = finished.err.decode(errors="replace").strip().splitlines()
        last = said[-1] if said else "nothing said"
        raise DataError(f"{name} ended with {finished.code}: {last}; a newer llama.cpp may know this model")
