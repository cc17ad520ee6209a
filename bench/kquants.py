"""K-quants in numpy against llama.cpp's own quantizer: squared error, equal blocks and speed, in the same run.

    python bench/kquants.py [--small]

Weights are drawn (bell-shaped, one in a thousand ten times larger). CPU seconds of this process, best of three rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from gguf import GGMLQuantizationType as Type

from afs.export import gguf_types, kquants, llamacpp_quantizer


def weights(rows: int, columns: int) -> np.ndarray:
    random = np.random.default_rng(0)
    made = random.standard_normal((rows, columns)) * 0.02
    made[random.random(made.shape) < 0.001] *= 10
    return made.astype(np.float32)


def best(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    seconds = []
    for _ in range(3):
        started = time.process_time()
        made = work()
        seconds.append(time.process_time() - started)
    return made, min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    rows = 64 if parser.parse_args().small else 1024
    x = weights(rows, 3584)
    columns = np.random.default_rng(1).random(x.shape[1]).astype(np.float32) + 0.1
    print(f"{x.size / 1e6:.1f} M weights")
    print("type   weighed  error ours/llama.cpp  equal blocks  ours M/s  llama.cpp M/s")
    for kind in (Type.Q4_K, Type.Q5_K, Type.Q6_K):
        for weighed in (None, columns):
            ours, own = best(lambda kind=kind, weighed=weighed: kquants.quantize(x, kind.name, weighed))
            size = gguf_types.bytes_of(x.shape, kind)
            theirs, other = best(lambda k=kind, s=size, w=weighed: llamacpp_quantizer.quantize(x, k.value, s, w))
            counted = 1 if weighed is None else weighed
            errors = [
                (((gguf_types.unpack(data, kind) - x) ** 2) * counted).sum(dtype=np.float64) for data in (ours, theirs)
            ]
            block = gguf_types.bytes_of((256,), kind)
            equal = (ours.reshape(-1, block) == theirs.reshape(-1, block)).all(-1).mean()
            print(
                f"{kind.name:6} {'yes' if weighed is not None else 'no':8} {errors[0] / errors[1]:20.6f} "
                f"{equal:13.1%} {x.size / 1e6 / own:9.1f} {x.size / 1e6 / other:14.1f}"
            )


if __name__ == "__main__":
    main()
