"""Near duplicates on code and prose of others: edits to find, facts not to merge, and peers in the same run.

    python bench/world/duplicates.py --corpus flask=PATH --corpus tokio=PATH … [--peers FOLDER] [--seed 1]
    python bench/world/duplicates.py --facts curl=PATH [--seed 1] [--show]

PATH is a working tree or a git directory. The edits are mechanical, except `git`: what the projects' own commits did to
paragraphs of their documentation. Facts are the docstrings of Python's library, the descriptions of installed Debian
packages, and the opcode and register tables of the pack. FOLDER is what
`pip install --no-deps --target FOLDER datasketch rensa scipy` wrote. With `--facts` nothing but the paragraphs of that
project's documentation is measured, as facts without names; `--show` prints each merged pair, to be read by a person.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from edits import CODE_EDITS, PROSE_EDITS
from facts import FACTS, doc_paragraphs
from material import Corpus, changed_paragraphs, functions, open_corpus, paragraphs

from afs import datasets, runs
from afs.curate import CurateConfig, curate
from afs.curate.negative_controls import Controls
from afs.types import Message, Origin, Record, record_id
from afs.workspace import Workspace

MOST = 150
"""Functions or paragraphs of one corpus and language: enough for an interval of ± 4 points, quick enough to repeat."""


class Text(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str


Pair = tuple[Text, Text]
Method = Callable[[list[Text]], list[tuple[int, int]]]


def record(text: Text) -> Record:
    """A record as a reader would make it."""
    turns = (Message(role="user", text=text.question), Message(role="assistant", text=text.answer))
    key = record_id("general", turns)
    return Record(id=key, domain="general", kind="code", messages=turns, origin=Origin(source="world", license="MIT"))


def ours(texts: list[Text]) -> list[tuple[int, int]]:
    """(dropped, kept) of a curation whose only step is `dedup`."""
    records = {}
    for number, text in enumerate(texts):
        records.setdefault(record(text).id, (number, record(text)))
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.create(Path(folder) / "w")
        with datasets.write_dataset(workspace, "raw", "records") as pending:
            for _, row in records.values():
                pending.add("all", row)
        config = CurateConfig(sources=("raw",), name="set", steps=({"use": "dedup"},), controls=Controls(sample=0))
        with runs.open_run(workspace, "curate", config) as run:
            made = curate(config, run)
        dropped = [d for d in datasets.read_dropped(workspace, made) if d.reason.startswith("duplicate")]
        return [(records[d.record.id][0], records[d.detail.split()[-1]][0]) for d in dropped]


def shingles(text: Text) -> list[bytes]:
    """Word pairs."""
    words = f"{text.question} {text.answer}".lower().split()
    return [f"{a} {b}".encode() for a, b in pairwise(words)]


def datasketch(texts: list[Text]) -> list[tuple[int, int]]:
    """MinHashLSH at 0.7."""
    library = importlib.import_module("datasketch")
    index, pairs = library.MinHashLSH(threshold=0.7, num_perm=128), []
    for number, text in enumerate(texts):
        sketch = library.MinHash(num_perm=128)
        sketch.update_batch(shingles(text))
        if near := index.query(sketch):
            pairs.append((number, near[0]))
        index.insert(number, sketch)
    return pairs


def rensa(texts: list[Text]) -> list[tuple[int, int]]:
    """RMinHash with its index, kept at an estimate of 0.7."""
    library = importlib.import_module("rensa")
    index, pairs, sketches = library.RMinHashLSH(threshold=0.7, num_perm=128, num_bands=32), [], []
    for number, text in enumerate(texts):
        sketch = library.RMinHash(num_perm=128, seed=1)
        sketch.update([shingle.decode() for shingle in shingles(text)])
        near = [other for other in index.query(sketch) if sketch.jaccard(sketches[other]) >= 0.7]
        pairs += [(number, near[0])] if near else []
        index.insert(number, sketch)
        sketches.append(sketch)
    return pairs


def recall(pairs: list[Pair], find: Method) -> tuple[int, int]:
    """(edits put together with their original, edits)."""
    if not pairs:
        return 0, 0
    texts = [text for pair in pairs for text in pair]
    found = {frozenset(pair) for pair in _closed(find(texts), len(texts))}
    return sum(frozenset((2 * n, 2 * n + 1)) in found for n in range(len(pairs))), len(pairs)


def _closed(pairs: list[tuple[int, int]], count: int) -> Iterator[tuple[int, int]]:
    """Each edit with its original when both lead to one record that stays."""
    kept = dict(pairs)

    def root(number: int) -> int:
        seen = set()
        while number in kept and number not in seen:
            seen.add(number)
            number = kept[number]
        return number

    yield from ((n, n + 1) for n in range(0, count - 1, 2) if root(n) == root(n + 1))


def edits(corpora: list[Corpus], seed: int) -> Iterator[tuple[str, list[Pair]]]:
    """(kind of edit, pairs of original and edited)."""
    chance = random.Random(seed)
    code = [(language, found) for corpus in corpora for language, found in _sampled(corpus, chance)]
    prose = [text for corpus in corpora for text in _sample(list(paragraphs(corpus)), chance)]
    for name, edit in CODE_EDITS.items():
        pairs = ((Text(q, a), Text(q, edit(a, language, chance))) for language, (q, a) in code)
        yield f"code: {name}", [(a, b) for a, b in pairs if a != b]
    for name, change in PROSE_EDITS.items():
        rows = ((Text(q, a), Text(change(q, chance), change(a, chance))) for q, a in prose)
        yield f"prose: {name}", [(a, b) for a, b in rows if a != b]
    changed = [pair for corpus in corpora for pair in _sample(list(changed_paragraphs(corpus)), chance)]
    yield "prose: git", [(Text("", a), Text("", b)) for a, b in changed]


def _sampled(corpus: Corpus, chance: random.Random) -> Iterator[tuple[str, tuple[str, str]]]:
    found = list(functions(corpus))
    for language in sorted({language for language, _, _ in found}):
        for _, question, answer in _sample([row for row in found if row[0] == language], chance):
            yield language, (question, answer)


def _sample(rows: list, chance: random.Random) -> list:  # type: ignore[type-arg]
    return chance.sample(rows, min(MOST, len(rows)))


def show_merged(corpus: Corpus, methods: dict[str, Method], seed: int, show: bool) -> None:
    """How many paragraphs of a project each method takes for another, and which."""
    texts = [Text(*row) for row in doc_paragraphs(corpus.root, seed)]
    merged = {name: find(texts) for name, find in methods.items()}
    counts = ", ".join(f"{name} {len(pairs)} ({100 * len(pairs) / len(texts):.2f} %)" for name, pairs in merged.items())
    print(f"{corpus.name} {corpus.commit}, seed {seed}: {len(texts)} paragraphs, merged: {counts}")
    for dropped, kept in merged["afs"] if show else ():
        print(f"---\n{texts[dropped].answer}\n+++\n{texts[kept].answer}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", action="append", default=[], help="NAME=PATH")
    parser.add_argument("--peers", default="")
    parser.add_argument("--facts", action="append", default=[], help="NAME=PATH")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    methods: dict[str, Method] = {"afs": ours}
    if args.peers:
        sys.path.append(args.peers)
        methods |= {"datasketch .7": datasketch, "rensa .7": rensa}
    for text in args.facts:
        show_merged(open_corpus(text), methods, args.seed, args.show)
    if args.facts:
        return
    corpora = [open_corpus(text) for text in args.corpus]
    sys.stdout.reconfigure(line_buffering=True)
    print(", ".join(f"{corpus.name} {corpus.commit}" for corpus in corpora))
    print(f"{'edits':28} {'n':>5}" + "".join(f"{name:>16}" for name in methods))
    sums = dict.fromkeys(methods, 0.0)
    kinds = list(edits(corpora, args.seed))
    for kind, pairs in kinds:
        shares = {name: recall(pairs, find)[0] / max(1, len(pairs)) for name, find in methods.items()}
        sums = {name: sums[name] + share / len(kinds) for name, share in shares.items()}
        print(f"{kind:28} {len(pairs):5}" + "".join(f"{shares[name]:16.2f}" for name in methods), flush=True)
    print(f"{'mean over kinds':34}" + "".join(f"{sums[name]:16.2f}" for name in methods))
    for kind, make in FACTS.items():
        texts = [Text(*row) for row in dict.fromkeys(make())]
        merged = {name: len(find(texts)) for name, find in methods.items()}
        print(f"{'facts: ' + kind:28} {len(texts):5}" + "".join(f"{merged[name]:16}" for name in methods), flush=True)
    originals = [Text(q, a) for corpus in corpora for _, (q, a) in _sampled(corpus, random.Random(args.seed))]
    merged = {name: len(find(originals)) for name, find in methods.items()}
    print(f"{'other functions':28} {len(originals):5}" + "".join(f"{merged[name]:16}" for name in methods))


if __name__ == "__main__":
    main()
