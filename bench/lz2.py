"""The shortest LC_LZ2 parse beside retrotool's compressor, on tile graphics that others drew.

pip download --no-deps --python-version 3.12 retrotool==0.9.3, unpacked into FOLDER
python bench/lz2.py FOLDER FILE…          # .pic, .chr, .bin …; the first 1,024 bytes of each are compressed

Both read each other's streams. Beyond 1,024 bytes they could not: retrotool has a header of its own for longer runs.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

from afs.domains.snes.graphics import lz2

PIECE = 1024
"""The longest run that both dialects write alike."""


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    peer = importlib.import_module("retrotool.compression.lc_lz2").LCLZ2Codec()
    pieces = {data[:PIECE] for data in (Path(name).read_bytes() for name in sys.argv[2:]) if len(data) >= PIECE}
    ours = theirs = larger = unread = 0
    cpu = [0.0, 0.0]
    for piece in sorted(pieces):
        begun = time.process_time()
        mine = lz2.compress(piece)
        half = time.process_time()
        other = peer.compress(piece).data
        cpu[0] += half - begun
        cpu[1] += time.process_time() - half
        assert lz2.decompress(mine) == piece
        unread += (peer.decompress(mine).data != piece) + (lz2.decompress(other) != piece)
        ours, theirs, larger = ours + len(mine), theirs + len(other), larger + (len(mine) > len(other))
    print(
        f"{len(pieces)} pieces: {ours:,} bytes beside {theirs:,} ({100 * ours / theirs - 100:+.2f} %), larger"
        f" on {larger}; read wrongly by the other {unread}; CPU s {cpu[0]:.1f} beside {cpu[1]:.1f}"
    )


if __name__ == "__main__":
    main()
