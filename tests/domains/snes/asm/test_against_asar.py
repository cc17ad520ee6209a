"""The same bytes as Asar, where its program is on this machine."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from tests.skip_report import TEST_PARTS

from afs.domains.snes.asm import assemble
from afs.domains.snes.isa import OPS, SYNTAX, size

ASAR = shutil.which("asar") or shutil.which(TEST_PARTS / "asar")


@pytest.mark.skipif(ASAR is None, reason="no asar program here")
def test_every_opcode_as_asar_writes_it(tmp_path):
    lines = ["org $008000"]
    for op in OPS:
        if op.mode in ("rel8", "rel16"):
            lines.append(f"l{op.code}: {op.mnemonic} l{op.code}")
        elif op.mode not in ("imp", "acc", "block") and op.mnemonic != "pei":
            lines.append(f"{op.mnemonic} {SYNTAX[op.mode].format('$123456'[: 1 + 2 * (size(op, True, False) - 1)])}")
    source = "\n".join(lines) + "\n"
    (tmp_path / "a.asm").write_text(source)
    subprocess.run([str(ASAR), "--fix-checksum=off", "a.asm", "a.sfc"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "a.sfc").read_bytes() == assemble(source).image
