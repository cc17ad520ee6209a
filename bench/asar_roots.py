"""Every source of a folder that the asar program takes, assembled by both: the same bytes?

    python bench/asar_roots.py FOLDER… --asar PROGRAM [--part 1/4]

A root is a file that asar assembles by itself on a blank ROM of 4 MB. Included files are tried too: most of them are
rejected by asar and not counted. Names of the files that differ are printed, and CPU seconds of both.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from afs.domains.snes.asm import TRUSTED, AsmError, assemble

BASE = bytes(4 << 20)
TIMEOUT_S = 20.0


def asar_image(asar: Path, source: Path) -> bytes | None:
    """The ROM asar writes; None if it rejects the source or runs too long."""
    with tempfile.TemporaryDirectory() as folder:
        rom = Path(folder) / "rom.sfc"
        rom.write_bytes(BASE)
        words = [str(asar), "--no-title-check", "--fix-checksum=off", source.name, str(rom)]
        try:
            ran = subprocess.run(words, cwd=source.parent, capture_output=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return None
        return rom.read_bytes() if ran.returncode == 0 else None


def our_image(source: Path, project: Path) -> bytes | None:
    """The ROM the assembler of the pack makes; None if it rejects the source."""
    os.chdir(source.parent)
    try:
        text = source.read_bytes()
        places = {"include_dirs": (source.parent,), "allowed_dirs": (project,)}
        return assemble(text, rom=BASE, file=source.name, limits=TRUSTED, **places).image
    except AsmError:
        return None


def child_seconds() -> float:
    """CPU seconds of the children so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print one line per folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--asar", type=Path, required=True)
    parser.add_argument("--part", default="1/1", help="every n-th file from the k-th on: k/n")
    given = parser.parse_args()
    first, step = map(int, given.part.split("/"))
    for folder in (place.resolve() for place in given.folder):
        count: Counter[str] = Counter()
        ours = asars = 0.0
        for source in sorted(folder.rglob("*.asm"))[first - 1 :: step]:
            before = child_seconds()
            wanted = asar_image(given.asar.resolve(), source)
            asars += child_seconds() - before
            if wanted is None:
                continue
            before = time.process_time()
            got = our_image(source, folder)
            ours += time.process_time() - before
            outcome = "equal" if got == wanted else "rejected" if got is None else "DIFFERENT"
            count[outcome] += 1
            if outcome != "equal":
                print(f"  {outcome}: {source.relative_to(folder)}")
        total = sum(count.values())
        took = f"afs {ours:.1f} s, asar {asars:.1f} s"
        print(f"{folder.name}: {count['equal']} of {total} roots equal; {took}", flush=True)


if __name__ == "__main__":
    main()
