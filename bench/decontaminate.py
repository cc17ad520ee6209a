"""Decontamination: recall through word edits, false flags, records per second; beside plain n-gram rules.

python bench/decontaminate.py [--small]
"""

from __future__ import annotations

import argparse
import random
import re
import time

from planted import WORDS, corpus

from afs.curate.decontaminate import Decontaminate
from afs.curate.held_out_items import HeldOutItem
from afs.types import Message, Origin, Record, record_id

_TOKEN = re.compile(r"[\w$#%]+")


def record(text: str) -> Record:
    """A record of a text: its first line asks, the rest answers."""
    head, _, rest = text.partition("\n")
    turns = (Message(role="user", text=head), Message(role="assistant", text=rest or "-"))
    return Record(id=record_id("b", turns), domain="b", kind="pair", messages=turns, origin=Origin(source="b"))


def edited(text: str, share: float, rng: random.Random) -> str:
    """A text with a share of its words replaced."""
    parts = re.split(r"(\s+)", text)
    places = [i for i, p in enumerate(parts) if p.strip()]
    for i in rng.sample(places, int(len(places) * share)):
        parts[i] = rng.choice(WORDS)
    return "".join(parts)


def any_gram(held: list[HeldOutItem], records: list[Record], words: int) -> set[int]:
    """The usual rule: one shared n-gram is a leak."""

    def grams(text: str) -> set[tuple[str, ...]]:
        tokens = _TOKEN.findall(text.lower())
        return set(zip(*(tokens[i:] for i in range(words)), strict=False))

    wanted = set().union(*(grams(f"{h.prompt} {h.reference}") for h in held))
    return {i for i, r in enumerate(records) if not wanted.isdisjoint(grams(" ".join(m.text for m in r.messages)))}


def main() -> None:
    """Clean records, held items, and copies of those at three strengths of editing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    n = 5_000 if parser.parse_args().small else 35_000
    rng = random.Random(2)
    clean = [record(t) for t in corpus(n).texts]
    fresh = list(dict.fromkeys(corpus(2 * max(300, n // 35), seed=9).texts))[: max(300, n // 35)]
    held = [HeldOutItem("suite", t.partition("\n")[0], t.partition("\n")[2]) for t in fresh]
    find_leaks = [
        (share, record(edited(t, share, rng)))
        for share in (0.0, 0.1, 0.2)
        for t in rng.sample(fresh, min(300, len(fresh)))
    ]
    records = [*clean, *(r for _, r in find_leaks)]
    print(f"{n:,} clean records, {len(held)} held items, {len(find_leaks)} copies\n")
    print(
        "| rule | recall 0 % | 10 % | 20 % edits | flagged of the clean | records / CPU s |\n| --- | --- | --- | --- | --- | --- |"  # noqa: E501
    )
    rules = {
        "afs: 5-grams, rare, >= 5 %": lambda: set(Decontaminate().find_leaks(records, held)),
        "any shared 13-gram": lambda: any_gram(held, records, 13),
        "any shared 8-gram": lambda: any_gram(held, records, 8),
    }
    for name, rule in rules.items():
        started = time.process_time()
        found = rule()
        spent = time.process_time() - started
        recall = []
        for share in (0.0, 0.1, 0.2):
            places = [n + i for i, (s, _) in enumerate(find_leaks) if s == share]
            recall.append(sum(p in found for p in places) / len(places))
        false = sum(i < n for i in found)
        print(
            f"| {name} | {recall[0]:.3f} | {recall[1]:.3f} | {recall[2]:.3f} | {false:,} | {len(records) / spent:,.0f} |"  # noqa: E501
        )


if __name__ == "__main__":
    main()
