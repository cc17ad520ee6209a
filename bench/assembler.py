"""The assembler against Asar: small routines and large sources, bytes compared in the same run.

    python bench/assembler.py [--small] [--asar PROGRAM] [--libasar LIBRARY] [--project MAIN.asm]…

Asar's program and library are used where they are found (`asar` and `libasar.so` on the usual paths, or as given);
otherwise their columns say "not present". CPU seconds, best of several rounds: the machine may be shared.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from afs.domains.snes.asm import TRUSTED, assemble

ROUTINE = """org $808000
main:
    php
    rep #$30
    lda.w #$1234
    sta $7E0010
    ldx.w #$0000
.loop
    lda.w table,x
    clc
    adc $10
    sta $7F0000,x
    inx : inx
    cpx.w #$0010
    bne .loop
    sep #$20
    lda.b #$0F
    jsr helper
    plp
    rtl
helper:
    sta $2100
    rts
table:
    dw $0001,$0002,$0003,$0004,main,helper
"""


def large(lines: int) -> str:
    """A disassembly of that many lines: labels, instructions, branches, data, comments."""
    out, bank = [], 0x80
    for i in range(0, lines, 16):
        if i % 8192 == 0:
            out.append(f"org ${bank:02X}8000")
            bank += 1
        a, b = i * 7919 & 0xFF, i * 104729 & 0xFFFF
        out += [
            f"routine_{i}:", "    PHP", "    REP #$30", f"    LDA.w #${b:04X}", f"    STA.b ${a:02X}",
            f"    LDX.w table_{i}", "    BEQ .skip", f"    LDA.l ${a:02X}{b:04X},X  ; a comment", "    CLC",
            f"    ADC ${b:04X},X", f"    JSR routine_{max(i - 16, i // 8192 * 8192)}", ".skip", "    PLP", "    RTS",
            f"table_{i}:", f"    dw ${b:04X},${a:04X},routine_{i},table_{i}+2",
        ]  # fmt: skip
    return "\n".join(out) + "\n"


def cpu(work: Callable[[], object], rounds: int) -> float:
    """Least CPU seconds of some rounds, this process and its children."""
    best = 1e9
    for _ in range(rounds):
        before = _used()
        work()
        best = min(best, _used() - before)
    return best


def _used() -> float:
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + child.ru_utime + child.ru_stime


class MemoryFile(ctypes.Structure):
    """A source that lies in memory."""

    _fields_ = (("path", ctypes.c_char_p), ("buffer", ctypes.c_void_p), ("length", ctypes.c_size_t))


class PatchParams(ctypes.Structure):
    """What `asar_patch_ex` takes."""

    _fields_ = (
        ("structsize", ctypes.c_int), ("patchloc", ctypes.c_char_p), ("romdata", ctypes.c_char_p),
        ("buflen", ctypes.c_int), ("romlen", ctypes.POINTER(ctypes.c_int)), ("includepaths", ctypes.c_void_p),
        ("numincludepaths", ctypes.c_int), ("should_reset", ctypes.c_bool), ("defines", ctypes.c_void_p),
        ("definecount", ctypes.c_int), ("stdincludes", ctypes.c_char_p), ("stddefines", ctypes.c_char_p),
        ("warnings", ctypes.c_void_p), ("warningcount", ctypes.c_int), ("files", ctypes.POINTER(MemoryFile)),
        ("filecount", ctypes.c_int), ("override_checksum", ctypes.c_bool), ("checksum", ctypes.c_bool),
    )  # fmt: skip


class Library:
    """libasar with one buffer for all calls."""

    def __init__(self, path: str, size: int) -> None:
        self.lib = ctypes.CDLL(path)
        self.lib.asar_patch_ex.argtypes = (ctypes.POINTER(PatchParams),)
        self.lib.asar_patch_ex.restype = ctypes.c_bool
        self.lib.asar_apiversion()
        self.lib.asar_init()
        self.size, self.buffer = size, ctypes.create_string_buffer(size)

    def patch(self, source: bytes) -> bytes:
        """The ROM after one source."""
        length = ctypes.c_int(0)
        text = ctypes.create_string_buffer(source, len(source))
        file = MemoryFile(b"/memory.asm", ctypes.addressof(text), len(source))
        params = PatchParams(
            structsize=ctypes.sizeof(PatchParams), patchloc=b"/memory.asm", buflen=self.size,
            romdata=ctypes.cast(self.buffer, ctypes.c_char_p), romlen=ctypes.pointer(length), should_reset=True,
            files=ctypes.pointer(file), filecount=1, override_checksum=True, checksum=False,
        )  # fmt: skip
        if not self.lib.asar_patch_ex(ctypes.byref(params)):
            raise RuntimeError("libasar refused the source")
        return self.buffer.raw[: length.value]


def program(path: str, source: Path, base: bytes) -> bytes:
    """The ROM the asar program writes."""
    with tempfile.TemporaryDirectory() as folder:
        rom = Path(folder) / "out.sfc"
        rom.write_bytes(base)
        subprocess.run(
            [path, "--no-title-check", "--fix-checksum=off", source.name, str(rom)],
            cwd=source.parent, check=True, capture_output=True,
        )  # fmt: skip
        return rom.read_bytes()


def unseen(number: int) -> str:
    """The routine with names and numbers of its own, so that nothing of it can be known from an earlier run."""
    text = (
        ROUTINE.replace("main", f"main_{number}")
        .replace("table", f"table_{number}")
        .replace("helper", f"help_{number}")
    )
    return text.replace("$1234", f"${number * 7919 & 0xFFFF:04X}").replace("$7E0010", f"$7E{number * 31 & 0x1FFF:04X}")


def run_unseen(count: int, tools: argparse.Namespace) -> None:
    """Routines that are all new: the mean of many."""
    sources = [unseen(number) for number in range(count)]
    took = cpu(lambda: [assemble(text).blocks for text in sources], 1) / count
    others: dict[str, float | None] = {"libasar": None, "asar": None}
    same = ""
    if tools.libasar:
        library = Library(tools.libasar, 32768)
        others["libasar"] = cpu(lambda: [library.patch(text.encode()) for text in sources], 1) / count
        same = (
            "same bytes" if all(library.patch(t.encode()) == assemble(t).image for t in sources[:50]) else "DIFFERENT"
        )
    show("routine, each one new", ROUTINE.count("\n"), took, others, same)


def show(name: str, lines: int, ours: float, others: dict[str, float | None], same: str) -> None:
    """One row."""
    cells = [f"{ours * 1e3:10.2f} ms"]
    cells += [f"{value * 1e3:10.2f} ms" if value is not None else f"{'not present':>13}" for value in others.values()]
    print(f"{name:32} {lines:8} {' '.join(cells)} {lines / ours:11,.0f} lines/s  {same}")


def run(name: str, text: str, rounds: int, tools: argparse.Namespace) -> None:
    """One source through all of them."""
    source = text.encode()
    ours = assemble(text, limits=TRUSTED)
    data = b"".join(block.data for block in ours.blocks)
    took = cpu(lambda: assemble(text, limits=TRUSTED).blocks, rounds)
    others: dict[str, float | None] = {"libasar": None, "asar": None}
    same = []
    if tools.libasar:
        library = Library(tools.libasar, 32768 if len(text) < 2000 else 16 * 1024 * 1024)
        same.append(library.patch(source)[: len(data)] == ours.image[: len(data)])
        others["libasar"] = cpu(lambda: library.patch(source), rounds)
    if tools.asar:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "source.asm"
            path.write_bytes(source)
            same.append(program(tools.asar, path, b"") == ours.image)
            others["asar"] = cpu(lambda: program(tools.asar, path, b""), rounds)
    show(name, text.count("\n"), took, others, "same bytes" if all(same) and same else "DIFFERENT" if same else "")


def run_project(main: Path, rounds: int, tools: argparse.Namespace) -> None:
    """A project of many files on a blank ROM of 4 MB."""
    base = bytes(4 * 1024 * 1024)

    def work() -> bytes:
        done = assemble(
            main.read_bytes(), rom=base, include_dirs=[main.parent, main.parent.parent], file=str(main), limits=TRUSTED
        )
        return done.image

    image = work()
    took = cpu(work, rounds)
    lines = sum(path.read_bytes().count(b"\n") for path in main.parent.rglob("*.asm"))
    others: dict[str, float | None] = {"libasar": None, "asar": None}
    same = ""
    if tools.asar:
        same = "same bytes" if program(tools.asar, main, base) == image else "DIFFERENT"
        others["asar"] = cpu(lambda: program(tools.asar, main, base), rounds)
    show(main.name, lines, took, others, same)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--asar", default=shutil.which("asar"))
    parser.add_argument("--libasar", default=ctypes.util.find_library("asar"))
    parser.add_argument("--project", type=Path, action="append", default=[])
    tools = parser.parse_args()
    print(f"{'source':32} {'lines':>8} {'afs':>13} {'libasar':>13} {'asar':>13}")
    run("routine", ROUTINE, 20, tools)
    run_unseen(100 if tools.small else 1000, tools)
    run("large", large(4_000 if tools.small else 100_000), 2 if tools.small else 3, tools)
    for project in tools.project:
        run_project(project, 2, tools)


if __name__ == "__main__":
    main()
