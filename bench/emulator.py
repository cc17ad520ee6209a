"""The emulator against the CPU core: samples a second on one worker, and how far the two agree.

A sample is one routine run from 64 start states, registers and memory compared, master clocks read from the picture
counters. `python bench/emulator.py [--small]`
"""

from __future__ import annotations

import random
import resource
import sys
import time

from afs.domains.snes.assembled_routine import machine_code
from afs.domains.snes.emulator import fetch_core
from afs.domains.snes.emulator.cross_check import DONE, _outputs, _rom, prove
from afs.domains.snes.emulator.emulator_worker import Emulator
from afs.domains.snes.emulator.scenario import Play, Read
from afs.domains.snes.emulator_checks import load_base_rom
from afs.domains.snes.machine import Setup, machine
from afs.domains.snes.start_states import plan_starts
from afs.domains.snes.task_specs import ORIGIN
from afs.domains.snes.tasks.programs import PROGRAMS, draw_program
from afs.errors import UsageError


def main(small: bool) -> None:
    """Print the table."""
    if fetch_core.core() is None:
        sys.exit(f"no emulator core here; {fetch_core.REMEDY}")
    drawn = [draw_program(name, random.Random(f"{name}{n}")) for n in range(1 if small else 4) for name in PROGRAMS]
    cartridges, states = [], 0
    for made in drawn:
        code = machine_code(made.code)
        starts = plan_starts(made.contract, ("lorom", 0x8000, 0), ORIGIN >> 16, 0, 64)
        begun = [starts.state(number) for number in range(min(starts.total, 64))]
        try:
            cartridges.append((code, made.contract, begun, _rom(code, made.contract, begun, _outputs(made.contract))))
        except UsageError:
            continue
    rows = []
    spent_before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Emulator() as emulator:
        reads = (Read(memory="wram", start=0x10000, length=0x2000), Read(memory="wram", start=DONE, length=1))
        plays = [Play(rom=rom, frames=240, until=DONE, reads=reads) for *_, rom in cartridges]
        emulator.play(plays[0])
        started = time.perf_counter()
        seen = [one for at in range(0, len(plays), 16) for one in emulator.play(*plays[at : at + 16])]
        spent = time.perf_counter() - started
        assert all(one.pieces[1] == b"\1" for one in seen)
        rows.append(("emulator: routine, 64 states", len(plays), spent))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - spent_before.ru_utime - spent_before.ru_stime
    rows.append(("  the same, CPU seconds of worker", len(plays), cpu))
    with Emulator() as emulator:
        frames = Play(rom=load_base_rom("demo"), frames=60)
        emulator.play(frames)
        started = time.perf_counter()
        emulator.play(*[frames] * 5)
        per_frame = (time.perf_counter() - started) / 300
        started = time.perf_counter()
        proofs = [prove(code, contract, emulator) for code, contract, _, _ in cartridges]
        rows.append(("emulator and core compared", len(proofs), time.perf_counter() - started))
        states = sum(proof.states for proof in proofs)
    started = time.perf_counter()
    for code, contract, begun, _ in cartridges:
        machine(code, Setup(origin=ORIGIN, ends=contract.ends)).run(begun, contract)
    rows.append(("core alone, traces kept", len(cartridges), time.perf_counter() - started))
    print(f"{'what':32} {'samples':>8} {'s':>8} {'samples/s':>10}")
    for name, count, seconds in rows:
        print(f"{name:32} {count:8} {seconds:8.2f} {count / seconds:10.0f}")
    timed = [proof for proof in proofs if proof.clocks_agree is not None]
    print(f"frames per second: {1 / per_frame:.0f}")
    print(f"same effect: {sum(p.agrees for p in proofs)} of {len(proofs)} routines, {states} states")
    print(f"same master clocks (within 6): {sum(bool(p.clocks_agree) for p in timed)} of {len(timed)} routines")


if __name__ == "__main__":
    main("--small" in sys.argv[1:])
