"""Near-duplicate search: ours (C kernel, numpy) and the peers that are installed, on the same planted corpus.

    python bench/dedup.py [--small] [--n 500000] [--peers FOLDER]

FOLDER is what `pip install --target FOLDER datasketch rensa gaoya` made.
"""

from __future__ import annotations

import argparse
import importlib
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from planted import KINDS, Corpus, corpus, facts

Unions = dict[int, int]


def ours(texts: list[str], jobs: int, no_kernel: bool) -> list[tuple[int, int]]:
    """Our pairs at 0.5, all verified."""
    from afs.curate import grams, near

    if no_kernel:
        grams.kernel = lambda: None  # type: ignore[assignment]
    with near.Corpus(jobs=jobs) as found:
        for text in texts:
            found.add(text)
        equal = [(group[0], other) for group in found.equal_groups() for other in group[1:]]
        pairs = found.near_pairs(0.5)
    return equal + list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


def datasketch(texts: list[str]) -> list[tuple[int, int]]:
    """MinHashLSH, word pairs, 0.5."""
    lib = importlib.import_module("datasketch")
    index = lib.MinHashLSH(threshold=0.5, num_perm=128)
    pairs = []
    for number, text in enumerate(texts):
        sketch = lib.MinHash(num_perm=128)
        sketch.update_batch(shingles(text))
        pairs += [(number, other) for other in index.query(sketch)]
        index.insert(number, sketch)
    return pairs


def rensa(texts: list[str]) -> list[tuple[int, int]]:
    """RMinHash with its LSH, word pairs, 0.5, verified by its own estimate."""
    lib = importlib.import_module("rensa")
    index = lib.RMinHashLSH(threshold=0.5, num_perm=128, num_bands=32)
    sketches, pairs = [], []
    for number, text in enumerate(texts):
        sketch = lib.RMinHash(num_perm=128, seed=1)
        sketch.update([s.decode() for s in shingles(text)])
        pairs += [(number, other) for other in index.query(sketch) if sketch.jaccard(sketches[other]) >= 0.5]
        index.insert(number, sketch)
        sketches.append(sketch)
    return pairs


def gaoya(texts: list[str]) -> list[tuple[int, int]]:
    """gaoya's string index on word pairs."""
    lib = importlib.import_module("gaoya.minhash")
    index = lib.MinHashStringIndex(
        hash_size=32,
        jaccard_threshold=0.5,
        num_bands=32,
        band_size=4,
        analyzer="word",
        lowercase=True,
        ngram_range=(2, 2),
    )
    pairs = []
    for number, text in enumerate(texts):
        pairs += [(number, other) for other in index.query(text)]
        index.insert_document(number, text)
    return pairs


_TOKEN = re.compile(r"[\w$#%]+")


def shingles(text: str) -> list[bytes]:
    """Word pairs, as ours."""
    words = _TOKEN.findall(text.lower())
    return [f"{a} {b}".encode() for a, b in pairwise(words)]


METHODS: dict[str, Callable[[list[str]], list[tuple[int, int]]]] = {
    "afs, C kernel, 2 threads": lambda texts: ours(texts, 2, False),
    "afs, C kernel, 1 thread": lambda texts: ours(texts, 1, False),
    "afs, numpy, 1 thread": lambda texts: ours(texts, 1, True),
    "datasketch": datasketch,
    "rensa": rensa,
    "gaoya": gaoya,
}


def recall(data: Corpus, pairs: list[tuple[int, int]]) -> tuple[dict[str, float], float]:
    """(recall by kind, precision of groups): pairs joined into groups, as a user would."""
    parent = list(range(len(data.texts)))

    def root(x: int) -> int:
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    for a, b in pairs:
        parent[root(a)] = root(b)
    hits: Counter[str] = Counter(kind for copy, original, kind in data.pairs if root(copy) == root(original))
    total = Counter(kind for *_, kind in data.pairs)
    origin = {copy: original for copy, original, _ in data.pairs}
    right = sum(origin.get(a, a) == origin.get(b, b) for a, b in pairs)
    return {k: hits[k] / total[k] for k in KINDS if total[k]}, right / len(pairs) if pairs else 1.0


def one(name: str, n: int) -> None:
    """Run a method in this process and print its row."""
    data = corpus(n)
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    pairs = METHODS[name](data.texts)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found, precision = recall(data, pairs)
    kinds = " | ".join(f"{found[k]:.3f}" for k in KINDS)
    rss = (after.ru_maxrss - before.ru_maxrss) / 1024
    figures = f"{n:,} | {wall:.1f} | {cpu:.1f} | {n / wall:,.0f} | {rss:,.0f}"
    print(f"| {name} | {figures} | {kinds} | {precision:.4f} |")


def guard() -> None:
    """Forty register facts in five forms: how many different facts each rule would merge."""
    from afs.curate.entities import same_facts
    from afs.curate.grams import jaccard

    texts = facts()
    raw = [f"{t}\n".encode() for t in texts]
    data = np.frombuffer(b"".join(raw), np.uint8)
    starts = np.concatenate([[0], np.cumsum([len(r) for r in raw])]).astype(np.uint64)
    left, right = (a.astype(np.uint32) for a in np.triu_indices(len(texts), 1))
    alike = jaccard(data, starts, 2, left, right)
    different = left // 5 != right // 5
    for floor in (0.85, 0.7, 0.5):
        near = (alike >= floor) & different
        merged = sum(same_facts(texts[a], texts[b]) for a, b in zip(left[near], right[near], strict=True))
        print(
            f"different facts at similarity >= {floor}: {int(near.sum())} pairs, merged with the entity guard: {merged}"
        )


def main() -> None:
    """Every method in a process of its own, so that memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=500_000)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--peers", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--method", default="")
    given = parser.parse_args()
    if given.peers:
        sys.path.append(given.peers)
    n = 10_000 if given.small else given.n
    if given.method:
        one(given.method, n)
        return
    print(f"| method | records | wall s | CPU s | records/s | + RSS MB | {' | '.join(KINDS)} | precision |")
    print("|" + " --- |" * (7 + len(KINDS)))
    for name in METHODS:
        if given.only and given.only not in name:
            continue
        command = [sys.executable, __file__, "--n", str(n), "--method", name, "--peers", given.peers]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        last = done.stderr.strip().splitlines()[-1:] or ["?"]
        print(done.stdout.strip() or f"| {name} | did not run: {last[0]} |", flush=True)
    guard()


if __name__ == "__main__":
    main()
