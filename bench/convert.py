"""Our converter against llama.cpp's own script: Hugging Face folder -> GGUF, in the same run.

    python bench/convert.py [--small] [--layers N] [--script convert_hf_to_gguf.py]

Qwen2.5-7B's shapes in bf16 with N layers and random weights. The script runs in a process of its own; what it
takes to say `--help` (its imports) is told apart. CPU seconds, in turns, best of two: the machine may be shared.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from shapes import model

from afs.export.gguf_convert import convert

QWEN = (
    "import runpy, sys; sys.path[:0] = sys.argv[1].split(':'); import conversion.base as b; "
    "b.TextModel.get_vocab_base_pre = lambda self, tokenizer: 'qwen2'; "
    "sys.argv = [sys.argv[2], *sys.argv[3:]]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""A tokenizer trained for the benchmark is not among those that the script knows by hash: it is told which it is."""


def by_script(script: Path, arguments: list[str]) -> float:
    """CPU seconds of the script."""
    paths = f"{script.parent}:{script.parent / 'gguf-py'}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", QWEN, paths, str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--script", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "base"
        small = {"hidden": 512, "inner": 1024, "heads": 8}
        size = model(folder, 1, **small) if options.small else model(folder, options.layers)
        print(f"{size / 1e9:.2f} GB of bf16 weights")
        print("kind     ours s   script s   of which imports s   (CPU seconds)")
        for kind, written in (("F16", "f16"), ("BF16", "bf16"), ("Q8_0", "q8_0"), ("Q4_K_M", "")):
            ours, theirs = [], []
            for _ in range(2):
                target = Path(name) / "out.gguf"
                started = time.process_time()
                convert(folder, target, kind, name="bench")
                ours.append(time.process_time() - started)
                if options.script and written:
                    other = Path(name) / "other.gguf"
                    arguments = [str(folder), "--outfile", str(other), "--outtype", written]
                    theirs.append(by_script(options.script, arguments))
            told = f"{min(theirs):10.2f} {by_script(options.script, ['--help']):20.2f}" if theirs else "         -"
            print(f"{kind:8} {min(ours):6.2f} {told}")


if __name__ == "__main__":
    main()
