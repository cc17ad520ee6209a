"""Decontamination on code and prose of others: leaks planted with edits that must be found, and false alarms.

    python bench/world/contamination.py --corpus flask=PATH --corpus tokio=PATH …

The held-out items are the suites that are shipped, and functions of every other corpus. The records are the functions
of the remaining corpora, none of which are copies, and edited copies of the held-out functions under another question.
Flagged records of the first kind are listed with the text they share, to be judged by eye.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

from duplicates import Text, record
from edits import CODE_EDITS
from material import functions, open_corpus

from afs.curate.decontaminate import Decontaminate
from afs.curate.held_out_items import HeldOutItem, iter_held_out_items
from afs.workspace import Workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", action="append", default=[], help="NAME=PATH")
    parser.add_argument("--show", type=int, default=12)
    args = parser.parse_args()
    chance = random.Random(1)
    corpora = [
        [(la, f"Write `{q.split(chr(96))[1]}`.", a) for la, q, a in functions(open_corpus(t))] for t in args.corpus
    ]
    held_rows = [row for rows in corpora[::2] for row in chance.sample(rows, min(400, len(rows)))]
    free_rows = [row for rows in corpora[1::2] for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        items = list(iter_held_out_items(Workspace.create(Path(folder) / "w"), "none"))
    step = Decontaminate()
    free = [record(Text(q, a)) for _, q, a in free_rows]
    for name, held in (("shipped suites", items), ("functions", [HeldOutItem("held", q, a) for _, q, a in held_rows])):
        leaks = step.find_leaks(free, held)
        print(f"{name}: {len(leaks)} of {len(free)} records of others flagged ({len(held)} items)")
        for number, leak in list(leaks.items())[: args.show]:
            print(f"  {leak.overlap:.2f} {free_rows[number][1][:70]} | {held[leak.item].prompt[:70]!r}")
            print(f"       shares: {step.shared_text(free[number], held[leak.item])[:160]!r}")
    held = [HeldOutItem("held", q, a) for _, q, a in held_rows]
    for name, edit in CODE_EDITS.items():
        copies = [record(Text("Explain this.", edit(a, language, chance))) for language, _, a in held_rows]
        found = step.find_leaks([*free, *copies], held)
        print(f"copies, {name}: {sum(n >= len(free) for n in found) / len(copies):.3f} of {len(copies)} found")


if __name__ == "__main__":
    main()
