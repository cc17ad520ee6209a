"""What commits do, judged by a person from message and diff: draw changes, show them, and score the reader's kinds.

    python bench/world/commits.py --corpus NAME=GITDIR … --seed N --n 20 [--show FILE] [--labels CSV]

Two thirds of a sample are drawn from the commits whose message has any word of `_WORDS`, which is far wider than what
the reader looks for; the rest from all others. Of each commit one changed place of a code file is drawn. It is labeled

 optimize  the change makes this code faster or smaller for its user and does not say it is meant to do something else
 debug     the change cures a fault that its user could see: a wrong result, a crash, a leak, a hang
 change    anything else: features, tests, builds, styles, documents, and places of a fix that are not the fix itself
"""

from __future__ import annotations

import argparse
import csv
import random
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from afs.git_objects import GitObjects
from afs.ingest.commit_kinds import classify_change
from afs.ingest.git import Git, Hunk, parse_hunks

_WORDS = re.compile(
    r"fix|bug|crash|wrong|incorrect|error|fail|leak|overflow|race|issue|broke|correct|prevent|handle|avoid|ensure"
    r"|perf|fast|speed|optim|slow|cach|effic|reduc|small|shrink|cycle|alloc|lag",
    re.I,
)
_LINES = 80
"""Larger changes are dropped by the reader."""


class Change(NamedTuple):
    """One changed place of one commit."""

    key: str
    message: str
    hunk: Hunk


def draw(name: str, place: Path, n: int, seed: int) -> list[Change]:
    """A sample of one repository."""
    chance = random.Random(f"{seed} {name}")
    changes: list[Change] = []
    with GitObjects(place) as repository:
        log = repository.run("log", "--no-merges", "--format=%H%x1f%B%x1e", repository.head).decode("utf-8", "replace")
        entries = [entry.strip().partition("\x1f") for entry in log.split("\x1e") if entry.strip()]
        strata = [[e for e in entries if bool(_WORDS.search(e[2])) is found] for found in (True, False)]
        for stratum, wanted in zip(strata, (n - n // 3, n // 3), strict=True):
            chance.shuffle(stratum)
            most = len(changes) + wanted
            for commit, _, message in stratum:
                if len(changes) == most:
                    break
                if hunks := _hunks(repository, commit):
                    hunk = chance.choice(hunks)
                    changes.append(Change(f"{name}@{commit[:12]}/{hunk.path}#L{hunk.line}", message, hunk))
    return changes


def _hunks(repository: GitObjects, commit: str) -> list[Hunk]:
    options = ("--format=", "-U12", "--no-ext-diff", "--no-textconv", "--no-color")
    diff = repository.run("show", *options, commit).decode("utf-8", "replace")
    endings = Git().endings
    return [
        hunk
        for hunk in parse_hunks(diff)
        if hunk.path.lower().endswith(endings)
        and hunk.changed <= _LINES
        and "".join(hunk.before.split()) != "".join(hunk.after.split())
        and hunk.before.strip()
        and hunk.after.strip()
    ]


def score(pairs: list[tuple[str, str]]) -> None:
    """Precision and recall of each kind, of (label, kind) pairs."""
    print(dict(Counter(pairs)))
    for kind in ("optimize", "debug"):
        right = sum(label == kind == given for label, given in pairs)
        claimed = sum(given == kind for _, given in pairs)
        real = sum(label == kind for label, _ in pairs)
        print(f"{kind}: {right} of {claimed} claimed are right, of {real} real ones {right} are found")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", default=[], help="NAME=GITDIR")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--show", type=Path)
    parser.add_argument("--labels", type=Path)
    given = parser.parse_args()
    places = [text.partition("=") for text in given.corpus]
    sample = [change for name, _, place in places for change in draw(name, Path(place), given.n, given.seed)]
    if given.show:
        with given.show.open("w") as file:
            for number, change in enumerate(sample):
                file.write(f"=== {number} {change.key}\n{change.message[:800]}\n--- before\n{change.hunk.before}\n")
                file.write(f"--- after\n{change.hunk.after}\n")
    if given.labels:
        with given.labels.open() as file:
            labels = {row["key"]: row["label"] for row in csv.DictReader(file)}
        pairs: list[tuple[str, str]] = []
        for change in sample:
            kind = classify_change(change.message, change.hunk.path, change.hunk.before, change.hunk.after)
            label = labels.get(change.key, "unlabeled")
            pairs.append((label, kind))
            if label != kind:
                print(f"{label} taken for {kind}: {change.key} {change.message.partition(chr(10))[0]}")
        score(pairs)


if __name__ == "__main__":
    main()
