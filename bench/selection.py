"""Selection: seconds and coverage of the greedy choice beside random, longest-first and k-center, on one graph.

python bench/selection.py [--small]
"""

from __future__ import annotations

import argparse
import os
import random
import time

import numpy as np
from planted import corpus

from afs.curate.coreset import Graph, choose_greedily, embed_texts, find_neighbors, measure_coverage
from afs.curate.entity_comparison import extract_entities


def centers(points: np.ndarray, n: int) -> list[int]:  # type: ignore[type-arg]
    """k-center: always the item farthest from all chosen."""
    chosen = [0]
    similarity = points @ points[0]
    while len(chosen) < n:
        far = int(np.argmin(similarity))
        chosen.append(far)
        similarity = np.maximum(similarity, points @ points[far])
    return chosen


def main() -> None:
    """One corpus, one graph, every arm at three sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    n = 3_000 if parser.parse_args().small else 35_000
    texts = corpus(n).texts
    started = time.process_time()
    points = embed_texts(texts)
    embedded = time.process_time() - started
    started = time.process_time()
    graph: Graph = find_neighbors(points, 32, 2)
    print(
        f"{n:,} records: vectors {embedded:.1f} CPU s, graph of 32 neighbors {time.process_time() - started:.1f} CPU s\n"  # noqa: E501
    )
    quality = np.random.default_rng(1).uniform(0.5, 1, n).astype(np.float32)
    started = time.process_time()
    names = [extract_entities(t) for t in texts]
    print(f"entities of all: {time.process_time() - started:.1f} CPU s; load {os.getloadavg()[0]:.1f}\n")
    flat = [frozenset[str]()] * n
    longest = sorted(range(n), key=lambda i: -len(texts[i]))
    print("| chosen | arm | CPU s | mean coverage | mean quality | entities |\n| --- | --- | --- | --- | --- | --- |")
    for size in (70, 1_000, 5_000):
        size = min(size, n // 2)
        arms = {
            "coverage + entities": lambda k=size: choose_greedily(graph, quality, k, names, (0.5, 8)),
            "coverage alone": lambda k=size: choose_greedily(graph, quality, k, flat, (0.0, 1)),
            "random": lambda k=size: random.Random(1).sample(range(n), k),
            "longest first": lambda k=size: longest[:k],
            "k-center": lambda k=size: centers(points, min(k, 1000)),
        }
        for name, arm in arms.items():
            started = time.process_time()
            chosen = arm()
            spent = time.process_time() - started
            covered = len(set().union(*(names[i] for i in chosen)))
            print(
                f"| {len(chosen):,} | {name} | {spent:.2f} | {measure_coverage(graph, chosen):.3f} | {quality[chosen].mean():.3f} | {covered:,} |"  # noqa: E501
            )


if __name__ == "__main__":
    main()
