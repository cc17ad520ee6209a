"""Campaigns against a local simulator of the wire format (not against a provider): cost, kills, limits, chaos, claims.

Usage: campaigns.py peers|speed|kills|limit|chaos|claims|pilot|steering [size]
"""

from __future__ import annotations

import json
import math
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from afs import datasets
from afs.generate.forecast import PilotTrial, allocate_rest, ratio_interval
from afs.generate.pilot import FIRST_PART
from afs.generate.thompson_sampling import Steering
from afs.model_calls.ledger_reader import reading
from afs.model_calls.store import CallStore
from afs.workspace import Workspace

PORT = int(os.environ.get("AFS_BENCH_PORT", "8931"))
STUB = Path(__file__).with_name("campaigns_stub.py")


@contextmanager
def stub(*words: object) -> Iterator[str]:
    """A running server."""
    child = subprocess.Popen([sys.executable, str(STUB), str(PORT), *map(str, words)])
    while True:
        try:
            stats()
            break
        except OSError:
            time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{PORT}/v1"
    finally:
        child.kill()
        child.wait()


def stats() -> dict:
    """What the server counted."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/stats") as answer:
        return json.load(answer)


def workspace_for(url: str, folder: str) -> Workspace:
    """A workspace whose model `box:m` is the server."""
    workspace = Workspace.create(Path(folder) / "w")
    text = f'[providers.box]\nkind = "openai"\nbase_url = "{url}"\nprice = {{ input = 1.0, output = 1.0 }}\n'
    (workspace.root / "providers.toml").write_text(text)
    return workspace


def command(workspace: Workspace, count: int, *more: str) -> list[str]:
    """`afs generate` for so many sums."""
    argv = [sys.executable, "-m", "afs", "generate", "--domain", "sums", "--name", "c", "--teacher", "box:m", "--quiet"]
    return [*argv, "--families", f'{{ family = "add", count = {count} }}', "--workspace", str(workspace.root), *more]


def cpu_of_children() -> float:
    """CPU seconds of every child that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def speed(count: int) -> None:
    """CPU per call with verification, calls per second, memory, first answer."""
    for size in (200, count):
        with tempfile.TemporaryDirectory() as folder, stub(0.05) as url:
            workspace = workspace_for(url, folder)
            before, started = cpu_of_children(), time.time()
            subprocess.run(command(workspace, size, "--concurrency", "200"), check=True)
            seconds, cpu = time.time() - started, cpu_of_children() - before
            seen = stats()
            rows = datasets.load(workspace, "c").splits[0].count
            print(
                f"{size}: {rows} records, {seconds:.1f} s, {cpu:.2f} CPU s, {1000 * cpu / size:.3f} ms CPU a call, "
                f"{seen['calls'] / max(seen['seconds'], 1e-9):.0f} calls/s, peak {seen['peak']}, "
                f"first call after {seen['first'] - started:.2f} s, "
                f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MB"
            )


def peers(count: int) -> None:
    """CPU per call as the slope from 200 to `count` rows: ours, Curator's, Data Designer's, one after the other.

    The interpreters that have the peers are named by AFS_CURATOR_PYTHON and AFS_DATA_DESIGNER_PYTHON.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for size in (200, count):
        with tempfile.TemporaryDirectory() as folder, stub(0.05) as url:
            argv = command(workspace_for(url, folder), size, "--concurrency", "200")
            found.setdefault("afs", []).append(timed(argv, dict(os.environ)))
        for name in ("curator", "data_designer"):
            python = os.environ.get(f"AFS_{name.upper()}_PYTHON", "")
            if python:
                with tempfile.TemporaryDirectory() as folder, stub(0.05) as url:
                    argv = [python, str(STUB.with_name(f"campaigns_{name}.py")), url, str(size), folder]
                    found.setdefault(name, []).append(timed(argv, clean))
    for name, ((cpu_small, wall_small), (cpu, wall)) in found.items():
        slope = 1000 * (cpu - cpu_small) / (count - 200)
        print(
            f"{name}: {slope:.3f} ms CPU a call, start {cpu_small:.1f} CPU s, {wall_small:.1f} s and {wall:.1f} s wall"
        )


def timed(argv: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """(CPU seconds, wall seconds) of a command."""
    before, started = cpu_of_children(), time.time()
    done = subprocess.run(argv, check=True, env=environment, capture_output=True, text=True)
    used = cpu_of_children() - before
    results = [line for line in done.stdout.splitlines() if "RESULT" in line or "records" in line]
    print(Path(argv[1]).stem if argv[1] != "-m" else "afs", *results, f"{used:.2f} CPU s", flush=True)
    return used, time.time() - started


def kills(count: int, times: int = 20, faults: float = 0.0) -> None:
    """kill -9 at random moments, restarted at once."""
    chance = random.Random(7)
    with tempfile.TemporaryDirectory() as folder, stub(0.05, 0, 10, faults) as url:
        workspace = workspace_for(url, folder)
        argv = command(workspace, count, "--concurrency", "64", "--longest_outage_s", "60")
        done = 0
        for _ in range(times):
            child = subprocess.Popen(argv)
            until = stats()["calls"] + chance.uniform(1, 1.5 * count / times)
            while child.poll() is None and stats()["calls"] < until:
                time.sleep(0.02)
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                done += 1
            child.wait()
        code = subprocess.run(argv, check=False).returncode
        seen = stats()
        rows = list(datasets.read(workspace, datasets.load(workspace, "c")))
        subprocess.run(argv, check=True)
        again = stats()["calls"] - seen["calls"]
        bill = bill_of(workspace)
        print(
            f"{done} kills, exit {code}: {len(rows)} records, {len({row.id for row in rows})} different, "
            f"{seen['calls']} calls, {seen['repeats']} repeats ({seen['statuses']}), finished again: {again} calls, "
            f"ledger {bill[0]} known + at most {bill[1]}, stub's bill {seen['bill']}"
        )
        assert len(rows) == len({row.id for row in rows}) == count and again == 0
        assert bill[0] <= seen["bill"] <= bill[0] + bill[1]


def bill_of(workspace: Workspace) -> tuple[int, int]:
    """(known cost, worst case of the unknown) in billionths of a dollar."""
    with reading(workspace.root / "campaigns" / "c" / "calls.db") as db:
        row = db.execute(
            "SELECT COALESCE(SUM(cost), 0), COALESCE(SUM(CASE WHEN cost IS NULL THEN worst END), 0) FROM calls"
        ).fetchone()
    return int(row[0]), int(row[1])


def chaos(count: int) -> None:
    """30 % faults and 20 kills; then 30 % faults alone, where the bills must be equal."""
    kills(count, 20, 0.3)
    with tempfile.TemporaryDirectory() as folder, stub(0.01, 0, 10, 0.3) as url:
        workspace = workspace_for(url, folder)
        subprocess.run(command(workspace, count, "--concurrency", "64", "--budget_usd", "50"), check=True)
        seen, bill = stats(), bill_of(workspace)
        print(f"faults alone: {seen['statuses']}, ledger {bill}, stub's bill {seen['bill']}")
        assert bill == (seen["bill"], 0)


def limit(count: int) -> None:
    """An unknown limit of 200 calls per sliding 10 s."""
    with tempfile.TemporaryDirectory() as folder, stub(0.05, 200, 10) as url:
        workspace = workspace_for(url, folder)
        subprocess.run(command(workspace, count, "--concurrency", "200"), check=True)
        times = stats()["times"]
        begun, ended = times[0][0], times[-1][0]
        passed = sum(status == 200 for _, status in times)
        late = [(moment, status) for moment, status in times if moment > begun + 60]
        rejected, late_rejected = sum(s == 429 for _, s in times), sum(s == 429 for _, s in late)
        if "-v" in sys.argv:
            print([(round(t - begun, 2), s) for t, s in times][::20])
        ideal = 200 + (ended - begun) // 10 * 200
        print(
            f"{passed} passed in {ended - begun:.1f} s ({passed / ideal:.1%} of the limit), {rejected} rejected; "
            f"after the first minute {late_rejected} of {len(late)}"
        )


def claims(count: int) -> None:
    """Claims among very many open pieces, and the memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        store = CallStore(Path(folder) / "calls.db")
        started = time.process_time()
        with store.transaction():
            store.add("cell", ((f"cell/{number:07d}", b"p" * 200) for number in range(count)))
        added, after, spent = time.process_time() - started, 0, []
        for _ in range(200):
            begun = time.process_time()
            pieces = store.claim("cell", after, 64)
            spent.append(time.process_time() - begun)
            after = pieces[-1].id
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        claim = 1000 * statistics.median(spent)
        print(f"{count} pieces added in {added:.1f} CPU s; a claim of 64: {claim:.3f} ms; {memory} MB")
        store.close()


def pilot(simulations: int) -> None:
    """How often the 90 % interval of a pilot of 190 covers the full run, and how wide it is, at 30 % acceptance."""
    for spread in (0.0, 0.08, 0.15):
        chance, covered, widths = random.Random(5), 0, []
        for _ in range(simulations):
            is_covered, width = simulate_pilot(chance, spread)
            covered += is_covered
            widths.append(width)
        print(
            f"cells that differ by {spread:.0%} (sd): covered {covered} of {simulations}, "
            f"median width {statistics.median(widths):.1%} of the estimate"
        )


def simulate_pilot(chance: random.Random, spread: float) -> tuple[bool, float]:
    """One campaign of five cells whose acceptance and prices differ: (cost in the interval, relative width)."""
    shares = [min(0.9, max(0.05, chance.gauss(0.3, spread))) for _ in range(5)]
    scales = [chance.uniform(0.5, 2.0) for _ in range(5)]
    wanted = [int(34500 * part) for part in (0.43, 0.23, 0.12, 0.17, 0.05)]

    def candidate(share: float, scale: float) -> PilotTrial:
        return PilotTrial(chance.random() < share, scale * chance.lognormvariate(0, 0.3), 1.0)

    tried = [
        [candidate(p, c) for _ in range(max(1, round(190 * FIRST_PART * n / 34500)))]
        for p, c, n in zip(shares, scales, wanted, strict=True)
    ]
    for cell, goal, p, c in zip(tried, allocate_rest(tried, wanted, 190), shares, scales, strict=True):
        cell += [candidate(p, c) for _ in range(goal - len(cell))]
    guess = ratio_interval(tried, wanted, "cost")
    truth = 0.0
    for share, scale, count in zip(shares, scales, wanted, strict=True):
        # candidates until so many are accepted: a sum of many, so its normal law; their mean price is exp(0.3² / 2)
        asked = count / share + chance.gauss(0, 1) * math.sqrt(count * (1 - share)) / share
        truth += scale * math.exp(0.045) * asked * (1 + 0.314 / math.sqrt(asked) * chance.gauss(0, 1))
    return guess.low <= truth <= guess.high, (guess.high - guess.low) / guess.value


def steering(rounds: int) -> None:
    """Accepted samples per dollar against a uniform choice: arms that differ, and arms that do not."""
    for name, shares, costs in (
        ("spread", [0.05, 0.15, 0.3, 0.6], [1.0, 1.0, 1.0, 1.0]),
        ("flat", [0.3] * 4, [1.0] * 4),
    ):
        gains = []
        for seed in range(rounds):
            chance, chooser = random.Random(seed), Steering(len(shares), seed)
            steered = uniform = 0
            for number in range(1000):
                arm = chooser.choose(range(len(shares)))
                accepted = chance.random() < shares[arm]
                chooser.settle(arm, accepted=accepted, dollars=costs[arm])
                steered += accepted
                uniform += chance.random() < shares[number % len(shares)]
            gains.append(steered / uniform)
        print(f"{name}: {statistics.mean(gains):.2f} x uniform")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sizes = {
        "peers": 3000,
        "speed": 5000,
        "kills": 3000,
        "limit": 2200,
        "chaos": 1500,
        "claims": 1_000_000,
        "pilot": 100,
        "steering": 50,
    }
    which = sys.argv[1]
    globals()[which](int(sys.argv[2]) if len(sys.argv) > 2 else sizes[which])
