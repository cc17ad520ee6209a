"""How faithful and costly the import of a GGUF is: against llama.cpp on that file, and on an F32 GGUF of the import.

Run: `python bench/model_import.py FILE.gguf [POSITIONS]`. The texts are the English paragraphs below, not ours: the
licenses that every Debian carries.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from afs.export.gguf_convert import convert
from afs.export.gguf_import import import_gguf, open_gguf
from afs.export.model_families import model_config
from afs.export.numpy_forward import Folder, logits
from afs.export.parity import bucketed_kl, count_equal_chats, count_equal_tokens, log_softmax
from afs.export.safetensors_files import Weights
from afs.providers.llama import Llama

TEXTS = (Path("/usr/share/common-licenses/GPL-3"), Path("/usr/share/common-licenses/Apache-2.0"))
WINDOW = 128
TOP = 4096


def cpu_s() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def prompts(folder: Path, positions: int) -> list[list[int]]:
    """Windows of the texts as tokens."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = [token for path in TEXTS for token in tokenizer.encode(path.read_text()[2000:12000]).ids]
    return [ids[at : at + WINDOW] for at in range(0, positions, WINDOW)]


def compared(rows: list[np.ndarray], windows: list[list[int]], file: Path) -> dict[str, float]:
    """Agreement of our logits with llama.cpp's on a file."""
    kl, agree = [], []
    with Llama(str(file), {"context": 512}) as loaded:
        for ids, row in zip(windows, rows, strict=True):
            for place in range(len(ids)):
                found = loaded.server.next_token(ids[: place + 1], TOP)
                kl.append(bucketed_kl(row[place], found))
                agree.append(int(row[place].argmax()) == max(found, key=lambda token: found[token]))
    return {"positions": len(kl), "top1": float(np.mean(agree)), "kl": float(np.mean(kl))}


def main() -> None:
    file, positions = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1024
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "imported"
        folder.mkdir()
        begun = cpu_s()
        facts = import_gguf(open_gguf(file), folder)
        print(f"import: {cpu_s() - begun:.1f} CPU-s, {facts['parameters']:,} parameters, {facts['gguf_types']}")
        with Llama(str(file), {"context": 512}) as loaded:
            print(
                "tokens equal:",
                count_equal_tokens(folder, loaded.server),
                "chats equal:",
                count_equal_chats(folder, loaded.server),
            )
        windows = prompts(folder, positions)
        rows = [log_softmax(part) for part in logits(model_config(folder), Folder(Weights(folder)), windows)]
        print("against the file itself:", compared(rows, windows, file))
        whole = Path(scratch) / "f32.gguf"
        convert(folder, whole, "F32", name="import")
        print("against an F32 GGUF of the import:", compared(rows, windows, whole))


if __name__ == "__main__":
    main()
