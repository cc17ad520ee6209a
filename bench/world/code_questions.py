"""Questions made from code, judged by a person: draw records that were kept and dropped, and score the labels.

    python bench/world/code_questions.py --corpus NAME=PATH … --seed N [--show FILE] [--labels CSV]

Of 100 kept records at most 5 may be poor, of 100 dropped ones with documentation at most 10 good. A record is **good**
when all of this holds, else poor; the reason names what failed:

 purpose   the question says what the function must do, so that two programmers would write the same thing
 names     the types, helpers and values the answer needs are shown or belong to the language and known libraries
 answer    the answer is the whole function, and does what the question says
 worth     it is no test, stub, generated or copied boilerplate, and not one line that says itself
"""

from __future__ import annotations

import argparse
import csv
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from afs.datasets import answer_text, question_text
from afs.ingest.base import Reading
from afs.ingest.read_unit import make_source
from afs.types import Dropped, Record

DRAWN = 100


class Drawn(NamedTuple):
    """A record of the sample: its key, whether it was kept, why not."""

    key: str
    kept: bool
    reason: str
    record: Record


def read(name: str, place: Path) -> Iterator[Drawn]:
    """Every function with documentation."""
    source = make_source("code", {})
    for unit in source.units(place):
        for item in source.read(unit, Reading(unit, source="world", domain="general", license="MIT")):
            record = item.record if isinstance(item, Dropped) else item
            reason = item.reason if isinstance(item, Dropped) else ""
            if reason != "no documentation":
                path = Path(record.origin.uri.partition("#")[0]).as_posix()
                symbol = next((tag for tag in record.tags if tag.startswith("symbol:")), "symbol:")[7:]
                line = record.origin.uri.partition("#L")[2].partition("-")[0]
                yield Drawn(f"{name}/{path.partition('/')[2]}:{symbol}:{line}", not reason, reason, record)


def draw(rows: list[list[Drawn]], seed: int) -> list[Drawn]:
    """As many of each corpus as it has, up to equal parts; what one lacks, the others fill."""
    chance = random.Random(seed)
    queues = [chance.sample(found, len(found)) for found in rows]
    chosen: list[Drawn] = []
    while len(chosen) < DRAWN and any(queues):
        chosen += [queue.pop() for queue in queues if queue]
    return chosen[:DRAWN]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", default=[], help="NAME=PATH")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--show", type=Path)
    parser.add_argument("--labels", type=Path)
    given = parser.parse_args()
    corpora = [list(read(name, Path(place))) for name, _, place in (text.partition("=") for text in given.corpus)]
    sample = [
        row for kept in (True, False) for row in draw([[r for r in c if r.kept is kept] for c in corpora], given.seed)
    ]
    if given.show:
        with given.show.open("w") as file:
            for number, row in enumerate(sample):
                file.write(f"=== {number} {'kept' if row.kept else row.reason} {row.key}\n")
                file.write(f"{question_text(row.record)}\n--- \n{answer_text(row.record)}\n")
    if given.labels:
        with given.labels.open() as file:
            labels = {(int(r["seed"]), r["key"]): r for r in csv.DictReader(file)}
        for kept in (True, False):
            rows = [(r, labels.get((given.seed, r.key))) for r in sample if r.kept is kept]
            verdicts = Counter(label["label"] if label else "unlabeled" for _, label in rows)
            reasons = Counter(label["failed"] for _, label in rows if label and label["label"] == "poor")
            print(f"{'kept' if kept else 'dropped'}: {dict(verdicts)}, poor for {dict(reasons)}")


if __name__ == "__main__":
    main()
