"""Public CPU test ROMs, booted on the cores: `python bench/boot.py [--core c] [--frames 1200] ROM…`.

The ROMs print their verdict; it is read from the tile map in video memory.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from afs.domains.snes.console import Console
from afs.domains.snes.memory_map import VRAM
from afs.domains.snes.rom import strip_copier_header

STEP = 6
"""Frames between two looks: pages of results are replaced."""


def screen_text(console: Console) -> str:
    """The characters in video memory, one a word."""
    return "".join(
        chr(tile) if 32 <= tile < 127 else " " for tile in console.machine.memory(VRAM, 0x10000)[::2]
    ).upper()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--core", choices=("auto", "c", "python"), default="auto")
    parser.add_argument("--frames", type=int, default=1200)
    parser.add_argument("roms", nargs="+", type=Path)
    given = parser.parse_args()
    passed = 0
    for path in given.roms:
        console = Console(strip_copier_header(path.read_bytes())[1], core=given.core)
        began, saw_pass, saw_fail = time.process_time(), False, False
        while console.frames < given.frames and console.stop == "budget":
            console.play(STEP)
            text = screen_text(console)
            saw_pass |= "PASS" in text or "SUCCESS" in text
            saw_fail |= "FAIL" in text
        passed += saw_pass and not saw_fail
        verdict = "FAIL" if saw_fail else "pass" if saw_pass else "no verdict"
        count = console.machine.instructions
        print(f"{path.name:24} {verdict:10} {count:>12,} instructions {time.process_time() - began:6.2f} CPU s")
    print(f"{passed} of {len(given.roms)} passed")


if __name__ == "__main__":
    main()
