"""Near-duplicate search: ours (C kernel, numpy) and the peers that are installed, on the same planted corpus.

    python bench/dedup.py [--small] [--n 500000] [--peers FOLDER] [--only NAME] [--scratch FOLDER]
                          [--stored]

FOLDER is what `pip install --target FOLDER datasketch rensa gaoya` made. More than a million records are written to
files first, in blocks that are a corpus each, and read from there, so that the memory measured is the search's own.
"Own MB" are anonymous pages above those at the start, "mapped MB" pages of files, which the system takes back when it
needs them.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from memory import Memory
from planted import KINDS, Corpus, corpus, facts

BLOCK = 500_000


def ours(texts: Iterable[str], jobs: int, no_kernel: bool, folder: Path | None) -> list[tuple[int, int]]:
    """Our pairs at 0.5, all verified."""
    from afs.curate import near_duplicates, shingles

    if no_kernel:
        shingles.kernel = lambda: None  # type: ignore[assignment]
    with near_duplicates.Corpus(folder, jobs=jobs) as found:
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


METHODS: dict[str, Callable[..., list[tuple[int, int]]]] = {
    "afs, C kernel, 2 threads": lambda texts, folder: ours(texts, 2, False, folder),
    "afs, C kernel, 1 thread": lambda texts, folder: ours(texts, 1, False, folder),
    "afs, numpy, 1 thread": lambda texts, folder: ours(texts, 1, True, folder),
    "datasketch": lambda texts, _: datasketch(texts),
    "rensa": lambda texts, _: rensa(texts),
    "gaoya": lambda texts, _: gaoya(texts),
}


def stored(block: tuple[int, int, str]) -> list[tuple[int, int, str]]:
    """Write one corpus to a file; its planted pairs."""
    size, seed, path = block
    made = corpus(size, seed)
    with open(path, "wb") as target:
        target.writelines(msgspec.json.encode(text) + b"\n" for text in made.texts)
    return made.pairs


class Stored:
    """Texts read from files, one at a time."""

    def __init__(self, n: int, scratch: Path) -> None:
        sizes = [min(BLOCK, n - at) for at in range(0, n, BLOCK)]
        self.count = n
        self.paths = [scratch / f"texts-{number}.jsonl" for number in range(len(sizes))]
        blocks = [(size, 1 + i, str(self.paths[i])) for i, size in enumerate(sizes)]
        with multiprocessing.Pool(2) as pool:
            found = pool.map(stored, blocks, chunksize=1)
        self.pairs = [(a + i * BLOCK, b + i * BLOCK, kind) for i, rows in enumerate(found) for a, b, kind in rows]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[str]:
        decode = msgspec.json.Decoder(str).decode
        for path in self.paths:
            with path.open("rb") as source:
                yield from map(decode, source)


def recall(planted: list[tuple[int, int, str]], n: int, pairs: list[tuple[int, int]]) -> tuple[dict[str, float], float]:
    """(recall by kind, precision of groups): pairs joined into groups, as a user would."""
    parent = list(range(n))

    def root(x: int) -> int:
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    for a, b in pairs:
        parent[root(a)] = root(b)
    hits: Counter[str] = Counter(kind for copy, original, kind in planted if root(copy) == root(original))
    total = Counter(kind for *_, kind in planted)
    origin = {copy: original for copy, original, _ in planted}
    right = sum(origin.get(a, a) == origin.get(b, b) for a, b in pairs)
    return {k: hits[k] / total[k] for k in KINDS if total[k]}, right / len(pairs) if pairs else 1.0


def one(name: str, n: int, scratch: Path, *, is_stored: bool) -> None:
    """Run a method in this process and print its row."""
    data = Stored(n, scratch) if is_stored or n > 2 * BLOCK else corpus(n)
    texts = data.texts if isinstance(data, Corpus) else data
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    with Memory() as memory:
        pairs = METHODS[name](texts, scratch)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found, precision = recall(data.pairs, n, pairs)
    kinds = " | ".join(f"{found[k]:.3f}".removeprefix("0") for k in KINDS)
    own, mapped = memory.most
    figures = f"{n:,} | {wall:.1f} | {cpu:.1f} | {n / wall:,.0f} | {own:,.0f} | {mapped:,.0f}"
    print(f"| {name} | {figures} | {kinds} | {precision:.4f} |")


def guard() -> None:
    """Forty register facts in five forms: how many different facts each rule would merge."""
    from afs.curate.entity_comparison import have_same_facts
    from afs.curate.shingles import jaccard

    texts = facts()
    raw = [f"{t}\n".encode() for t in texts]
    data = np.frombuffer(b"".join(raw), np.uint8)
    starts = np.concatenate([[0], np.cumsum([len(r) for r in raw])]).astype(np.uint64)
    left, right = (a.astype(np.uint32) for a in np.triu_indices(len(texts), 1))
    alike = jaccard(data, starts, 2, left, right)
    different = left // 5 != right // 5
    for floor in (0.85, 0.7, 0.5):
        is_near = (alike >= floor) & different
        merged = sum(have_same_facts(texts[a], texts[b]) for a, b in zip(left[is_near], right[is_near], strict=True))
        print(
            f"different facts at similarity >= {floor}: {int(is_near.sum())} pairs, "
            f"merged with the entity guard: {merged}"
        )


def main() -> None:
    """Every method in a process of its own, so that memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=500_000)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--peers", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--method", default="")
    parser.add_argument("--stored", action="store_true", help="read the texts from files, whatever their number")
    given = parser.parse_args()
    if given.peers:
        sys.path.append(given.peers)
    n = 10_000 if given.small else given.n
    if given.method:
        one(given.method, n, given.scratch, is_stored=given.stored)
        return
    print(f"load at the start: {os.getloadavg()[0]:.1f}\n")
    print(f"| method | records | wall s | CPU s | records/s | own MB | mapped MB | {' | '.join(KINDS)} | precision |")
    print("|" + " --- |" * (8 + len(KINDS)))
    for name in METHODS:
        if given.only and given.only not in name:
            continue
        with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
            command = [sys.executable, __file__, "--n", str(n), "--method", name, "--peers", given.peers]
            command += ["--scratch", scratch] + ["--stored"] * given.stored
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        last = done.stderr.strip().splitlines()[-1:] or ["?"]
        print(done.stdout.strip() or f"| {name} | did not run: {last[0]} |", flush=True)
    guard()


if __name__ == "__main__":
    main()
