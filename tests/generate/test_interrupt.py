"""Ctrl-C from outside: what is in flight is finished and stored, the exit is 130, and the same command resumes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from afs import datasets, jsonl
from afs.generate.monitor import eta
from afs.model_calls.ledger_reader import piece_counts, reading
from afs.runs import list_runs
from afs.workspace import Workspace


def test_ctrl_c_once_finishes_what_is_in_flight(workspace: Workspace, chat_server) -> None:
    (workspace.root / "providers.toml").write_text(
        f'[providers.box]\nkind = "vllm"\nbase_url = "{chat_server.url}"\nprice = {{ input = 1.0, output = 1.0 }}\n'
    )
    argv = [sys.executable, "-m", "afs", "generate", "--domain", "sums", "--name", "c", "--teacher", "box:m"]
    argv += ["--quiet", "--concurrency", "8", "--families", '{ family = "add", count = 300 }']
    argv += ["--workspace", str(workspace.root)]
    running: list[subprocess.Popen[bytes]] = []

    def on_call(number: int) -> None:
        if number == 40:
            running[0].send_signal(signal.SIGINT)
        time.sleep(0.02)  # a model that takes its time: several calls are in flight at the signal

    chat_server.on_call = on_call
    running.append(subprocess.Popen(argv, stderr=subprocess.PIPE))
    _, said = running[0].communicate(timeout=120)
    assert running[0].returncode == 130, said.decode()
    asked = chat_server.asked.total()
    assert 40 <= asked < 300
    with reading(workspace.root / "campaigns" / "c" / "calls.db") as database:
        states = database.execute("SELECT state, COUNT(*) FROM calls GROUP BY state").fetchall()
        (counts,) = piece_counts(database).values()
    assert states == [("answered", asked)], "every call that was sent is answered and stored"
    assert counts["accepted"] == asked - 1 and counts.get("answered", 0) == 0, "and judged, but for the canary"
    (run,) = list_runs(workspace)
    assert run.state.status == "stopped"
    chat_server.on_call = lambda number: None
    subprocess.run(argv, check=True, capture_output=True)
    assert chat_server.asked.total() == 301 and datasets.load(workspace, "c").splits[0].count == 300
    pulses = [
        row for row in jsonl.read(run.folder / "events.jsonl", dict[str, object]) if row["event"] == "campaign.pulse"
    ]
    model = pulses[-1]["models"]["box:m"]  # type: ignore[index]
    assert {"rate", "cost_usd", "failed", "quota_left", "closed"} <= set(model) and model["cost_usd"] > 0
    assert pulses[-1]["accepted"] == 300


def test_the_time_left_has_an_interval_and_is_unknown_at_first() -> None:
    assert eta(100, 3, 10.0) is None
    low, middle, high = eta(100, 50, 10.0) or []
    assert low < middle == 20.0 < high
