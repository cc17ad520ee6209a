"""The CPU core against its plain-Python twin; and 35,000 routines assembled and run from 64 start states each.

    python bench/cpu.py [--small]

Both cores run the same program and must count the same cycles and clocks. The second part assembles every routine with
our own assembler and runs it under its contract, in two processes. Seconds are CPU seconds where it says so (the
machine may be shared), best of a few rounds in the first table.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor

from afs.domains.snes import cpu_kernel
from afs.domains.snes.asm import assemble
from afs.domains.snes.contract import Contract, Range
from afs.domains.snes.equivalence import measure_cost
from afs.domains.snes.harness import Runner, Setup, Trace
from afs.domains.snes.machine import PythonMachine
from afs.domains.snes.start_states import CpuState

MIXED = """
        rep #$30
        ldy.w #{outer}
outer:  ldx.w #10
inner:  sep #$20
        lda $10,x
        clc : adc #$03
        sta $30,x
        and #$07
        sta $80
        rep #$20
        lda $80
        asl : lsr
        adc $0100
        sta $0400,x
        inc $80
        phx : plx
        jsr sub
        dex
        bne inner
        dey
        bne outer
        rts
sub:    cmp.w #$5000
        bcc +
        nop : nop
+       rts
"""

ROUTINE = """
; sample {number}
main:
        php
        rep #$20
        lda.w #${word:04X}
        sta $20
        sep #$20
        ldx.b #${count:02X}
.loop:
        lda $30,x
        clc
        adc.b #${byte:02X}
        eor $20
        sta $40,x
        asl
        rol $21
        dex
        bne .loop
        lda $21
        and.b #${mask:02X}
        sta $50
        plp
        rts
"""
CONTRACT = Contract(
    inputs=("a", "x", "y", "c"), reads=(Range(start=0x30, size=32),), clobbers=("a", "x", "flags"),
    scratch=(Range(start=0x20, size=2),), writes=(Range(start=0x40, size=32),),
)  # fmt: skip


def code_of(source: str) -> bytes:
    """Machine code at $808000."""
    return assemble(source, origin=0x808000).blocks[0].data


def rate(runner: Runner, rounds: int) -> tuple[Trace, float]:
    """The run, and its instructions a second (best round)."""
    best = 0.0
    for _ in range(rounds):
        started = time.process_time()
        trace = runner.run([CpuState(memory={0x7E0000: bytes(0x200)})])[0]
        best = max(best, trace.instructions / (time.process_time() - started))
    return trace, best


def speed(small: bool) -> None:
    """C core against the plain-Python twin, one program."""
    setup = Setup(budget=1_000_000_000)
    long, short = (20_000, 20) if small else (200_000, 200)
    print(f"{'core':<14} {'instructions':>13} {'M per CPU s':>11} {'CPU cycles':>12} {'master clocks':>14}")
    # one outer turn takes the same on both, so the short run checks the counts and the long one the speed
    checked = [
        rate(kind(code_of(MIXED.format(outer=short)), setup), 1) for kind in (PythonMachine, cpu_kernel.NativeMachine)
    ]
    for field in ("end", "cycles", "clocks", "instructions", "writes", "stop"):
        if getattr(checked[0][0], field) != getattr(checked[1][0], field):
            raise SystemExit(f"the cores differ in {field}")
    trace, slow = rate(PythonMachine(code_of(MIXED.format(outer=short)), setup), 2)
    print(f"{'plain Python':<14} {trace.instructions:>13,} {slow / 1e6:>11.2f} {trace.cycles:>12,} {trace.clocks:>14,}")
    outer = min(long, 0xFFFF)
    trace, fast = rate(cpu_kernel.NativeMachine(code_of(MIXED.format(outer=outer)), setup), 7)
    print(f"{'C':<14} {trace.instructions:>13,} {fast / 1e6:>11.2f} {trace.cycles:>12,} {trace.clocks:>14,}")
    print(f"C is {fast / slow:.0f} times as fast; core: {cpu_kernel.core_origin()}\n")


def batch(span: tuple[int, int]) -> tuple[float, float, int, int]:
    """Assemble and run some samples: seconds assembling, seconds running, instructions, states."""
    assembling = running = 0.0
    states = cycles = 0
    for number in range(*span):
        mixed = number * 2654435761
        source = ROUTINE.format(
            number=number,
            word=mixed & 0xFFFF,
            count=18 + (number & 3),
            byte=mixed >> 16 & 0xFF,
            mask=mixed >> 24 & 0xFF,
        )
        started = time.process_time()
        code = code_of(source)
        middle = time.process_time()
        got = measure_cost(code, CONTRACT, seed=number, states=64)
        assembling, running = assembling + middle - started, running + time.process_time() - middle
        if not got.holds:
            raise SystemExit(f"sample {number}: {got.reason}")
        states += got.states
        cycles += round(got.side.cycles.mean * got.states)
    return assembling, running, cycles, states


def samples(count: int, processes: int) -> None:
    """Many routines, each assembled and run from 64 states."""
    setup = Setup()
    one = cpu_kernel.NativeMachine(code_of(ROUTINE.format(number=0, word=1, count=19, byte=3, mask=255)), setup)
    length = one.run([CpuState(memory={0x7E0000: bytes(0x200)})])[0].instructions
    step = 250
    spans = [(at, min(at + step, count)) for at in range(0, count, step)]
    started = time.perf_counter()
    with ProcessPoolExecutor(processes) as pool:
        results = list(pool.map(batch, spans))
    wall = time.perf_counter() - started
    assembling, running = sum(r[0] for r in results), sum(r[1] for r in results)
    print(f"{count:,} samples x 64 states x about {length} instructions, {processes} processes")
    print(f"  assemble   {assembling:8.2f} CPU s   {assembling / count * 1e3:.3f} ms a sample")
    print(f"  run        {running:8.2f} CPU s   {running / count * 1e3:.3f} ms a sample")
    print(f"  both       {assembling + running:8.2f} CPU s   {wall:.2f} s on the clock")
    print(f"  CPU cycles {sum(r[2] for r in results):,} in {sum(r[3] for r in results):,} runs")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tenth of everything")
    options = parser.parse_args()
    if cpu_kernel.core() is None:
        raise SystemExit(f"no compiled core: {cpu_kernel.core_origin()}")
    print(f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    speed(options.small)
    samples(3_500 if options.small else 35_000, 2)


if __name__ == "__main__":
    main()
