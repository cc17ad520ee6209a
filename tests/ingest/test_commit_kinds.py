"""A commit is what it changes and says: unsure is `change`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from afs.domains.base import CHEAPER, DIFFERENT
from afs.ingest.base import Reading, Unit
from afs.ingest.commit_kinds import classify_change
from afs.ingest.read_unit import make_source
from afs.ingest.source_domains import compare_change
from afs.types import Record


@pytest.mark.parametrize(
    ("subject", "path", "before", "after", "kind"),
    [
        ("Fix crash when the list is empty", "src/a.c", "return a[0];", "return n ? a[0] : 0;", "debug"),
        ("Fix #1477", "src/a.py", "x = 1", "x = 2", "debug"),
        ("Fixed.", "src/a.py", "x = 1", "x = 2", "change"),
        ("Fix typo in error message", "src/a.py", "x = 'eror'", "x = 'error'", "change"),
        ("Fix crash in parser", "tests/test_a.py", "x = 1", "x = 2", "change"),
        ("Fix wrong comment", "src/a.py", "# one\nx = 1", "# two\nx = 1", "change"),
        ("Fix build with gcc 14", "src/a.c", "int x;", "long x;", "change"),
        ("Speed up the decoder", "src/a.c", "slow();", "fast();", "optimize"),
        ("Remove minor optimization for simplicity", "src/a.c", "fast();", "plain();", "change"),
        ("Fix negative time", "src/a.py", "t = int(x)", "t = max(0, int(x))", "debug"),
        ("Fix detect color", "src/a.c", "#include <a.h>\nint x;", "#include <b.h>\nint x;", "change"),
        ("Fix data race in pool", "src/a.c", "void f(const char* s)", "void f(char* s)", "change"),
        ("Fix crash in parser", "xmltest.cpp", "a();", "b();", "change"),
        ("Fix empty input", "src/a.py", ">>> f(1)\n'1'", ">>> f(2)\n'2'", "change"),
        ("Fix wrong flag", "src/a.py", "x = 1", "x = 1\ndef helper(a):\n    return a", "change"),
        ("Remove an allocation from String", "src/a.go", "return string(b)", "return b2s(b)", "optimize"),
        ("Improved performance for ranges", "src/a.py", "slow()", "fast()", "optimize"),
        ("Improve frame speed", "src/a.c", "int a;\nchar* buffer;", "int a;", "change"),
        ("Add zf_log to performance tests", "src/a.c", "a();", "b();", "change"),
    ],
)
def test_the_kind_of_a_change(subject: str, path: str, before: str, after: str, kind: str) -> None:
    assert classify_change(subject, path, before, after) == kind


def test_what_running_showed_decides() -> None:
    change = ("src/a.asm", "lda #0", "lda #1")
    assert classify_change("Optimize the loop", *change, effect=CHEAPER) == "optimize"
    assert classify_change("Optimize the loop", *change, effect=DIFFERENT) == "change"
    assert classify_change("Fix it all", *change, effect=DIFFERENT) == "debug"


def test_an_assembly_repository_finds_its_pack_and_runs_both_sides(tmp_path: Path) -> None:
    source = (
        "; Clears two bytes.\nClear:\n    SEP #$20\n    LDA #$00\n    STA {a}\n    STA {b}\n    PHB\n    PLB\n    RTL\n"
    )
    slow = source.format(a="!first", b="!second").replace(
        "    LDA #$00\n", "    LDA #$00\n    PHA\n    PLA\n    LDA #$00\n"
    )
    _commit(tmp_path, slow, "first")
    _commit(tmp_path, source.format(a="!first", b="!second"), "Optimize clearing")
    _commit(tmp_path, source.format(a="!first", b="!third"), "Fix clear")
    reading = Reading(Unit(tmp_path / ".git" / "HEAD", "it"), source="t", domain="general")
    reading.is_domain_open = True
    records = [item for item in make_source("git", {}).read(reading.unit, reading) if isinstance(item, Record)]
    found = {(record.domain, record.kind, *record.tags[2:]) for record in records if "commit" in record.tags}
    assert found == {("snes", "optimize", "executed:cheaper"), ("snes", "debug", "executed:different")}


def _commit(folder: Path, text: str, message: str) -> None:
    (folder / "clear.asm").write_text(text)
    if not (folder / ".git").exists():
        run("git", "init", "-q", "-b", "main", cwd=folder)
    run("git", "add", ".", cwd=folder)
    run("git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", message, cwd=folder)


def run(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, env={"PATH": os.environ["PATH"], "HOME": str(cwd)})


def test_trees_of_other_processors_stay_general(tmp_path: Path) -> None:
    (tmp_path / "a.asm").write_text("; Adds one.\nadd:\n    mov eax, 1\n    add eax, ebx\n    ret\n")
    (tmp_path / "b.asm").write_text(".proc f\n    lda #1\n    sta $10\n    rts\n.endproc\n")
    assert {unit.domain for unit in make_source("asm", {}).units(tmp_path)} == {""}
    (tmp_path / "c.asm").write_text("f:\n    rep #$30\n    phb\n    plb\n    xba\n    rtl\n")
    assert {unit.domain for unit in make_source("auto", {}).units(tmp_path)} == {"snes"}


@pytest.mark.parametrize("domain", ["", "general", "words-of-the-user"])
def test_a_domain_that_is_no_pack_compares_nothing(domain: str) -> None:
    assert compare_change(domain, "lda #1\nrts", "lda #$01\nrts") == ""
