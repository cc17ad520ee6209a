"""Alerts: derived from records, written once, ended when they no longer hold, read back by a program, sent to a webhook."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest
from tests.dashboard.test_run_index import make_run, step

from afs.cli.main import main
from afs.dashboard.alert_log import LOG, AlertLog
from afs.dashboard.alerts import Alert
from afs.dashboard.alerts_command import AlertsConfig, list_alerts, parse_since
from afs.dashboard.dashboard_state import Views
from afs.dashboard.stored_facts import Disk, StoredFacts
from afs.errors import ConfigError
from afs.workspace import Workspace


def event(name: str, **fields: object) -> bytes:
    return json.dumps({"time": "2026-11-30T12:00:09.000+00:00", "event": name, **fields}).encode() + b"\n"


def kinds(workspace: Workspace) -> dict[str, str]:
    return {alert.kind: alert.level for alert in list_alerts(AlertsConfig(), workspace).alerts}


def test_a_run_that_died_diverged_or_was_guarded(workspace: Workspace) -> None:
    make_run(workspace, "20260101-a", step(1) + event("run.start", pid=2**22 + 5) + step(2, None))
    guards = event("train.guard", action="stop", rule="loss", reason="rises", step=2) + event(
        "train.checkpoint.failed", batch=5, reason="disk full"
    )
    make_run(workspace, "20260102-b", step(1) + guards, "failed")
    found = list_alerts(AlertsConfig(), workspace).alerts
    by_run = {(alert.subject, alert.kind): alert for alert in found}
    assert by_run["20260102-b", "guard"].level == "problem" and by_run["20260102-b", "checkpoint"].level == "warning"
    line = (workspace.root / "runs/20260102-b/events.jsonl").read_bytes()
    at = int(by_run["20260102-b", "guard"].record.partition("?at=")[2])
    assert json.loads(line[at:].split(b"\n")[0])["rule"] == "loss"
    assert ("20260102-b", "failed") in by_run


def test_a_failure_that_the_same_work_outgrew_is_history(workspace: Workspace) -> None:
    make_run(workspace, "20260101-a", step(1), "failed")
    assert kinds(workspace) == {"failed": "problem"}
    make_run(workspace, "20260102-b", step(1), "done")
    assert kinds(workspace) == {}


def test_a_full_disk_and_a_broken_run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(workspace, "a")
    (folder / "status.json").write_text("{")
    monkeypatch.setattr(StoredFacts, "disk", lambda self: Disk(1 << 30, 100 << 30))
    assert kinds(workspace) == {"broken": "warning", "disk": "problem"}


def test_alerts_are_written_once_and_ended(workspace: Workspace) -> None:
    run = make_run(workspace, "a", step(1), "failed")
    for _ in range(2):
        assert len(list_alerts(AlertsConfig(), workspace).alerts) == 1
    lines = (workspace.root / LOG).read_bytes().splitlines()
    assert len(lines) == 1 and msgspec.json.decode(lines[0], type=Alert).resolved is None
    (run / "status.json").write_bytes((run / "status.json").read_bytes().replace(b"failed", b"done"))
    assert list_alerts(AlertsConfig(), workspace).alerts == ()
    (ended,) = list_alerts(AlertsConfig(since="1h"), workspace).alerts
    assert ended.resolved is not None and ended.resolved > time.time() - 60
    assert len((workspace.root / LOG).read_bytes().splitlines()) == 2


def test_two_dashboards_write_an_alert_once(workspace: Workspace) -> None:
    make_run(workspace, "a", step(1), "failed")
    logs = [AlertLog(workspace), AlertLog(workspace)]
    views = Views(workspace)
    views.look()
    threads = [threading.Thread(target=log.note, args=(views.alerts(),)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logs[0].note(views.alerts())
    assert len((workspace.root / LOG).read_bytes().splitlines()) == 1


def test_a_place_that_cannot_be_written_still_lists(workspace: Workspace) -> None:
    make_run(workspace, "a", step(1), "failed")
    (workspace.root / LOG).mkdir(parents=True)
    found = list_alerts(AlertsConfig(), workspace)
    assert len(found.alerts) == 1 and "could not be written" in found.notes[0]


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A webhook that remembers what it got; its path `/no` refuses."""
    got: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(500 if self.path == "/no" else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_gets_each_alert_once(workspace: Workspace, receiver: tuple[str, list[dict[str, object]]]) -> None:
    url, got = receiver
    make_run(workspace, "a", step(1), "failed")
    for _ in range(2):
        assert list_alerts(AlertsConfig(webhook=url), workspace).notes == ()
    assert [row["kind"] for row in got] == ["failed"]
    make_run(workspace, "b", step(1), "failed")
    assert "answered 500" in list_alerts(AlertsConfig(webhook=f"{url}/no"), workspace).notes[0]
    make_run(workspace, "c", step(1), "failed")
    assert "did not take" in list_alerts(AlertsConfig(webhook="http://127.0.0.1:1/x"), workspace).notes[0]


def test_a_program_reads_them_back(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(workspace, "a", step(1), "failed")
    words = ["dashboard", "alerts", "--since", "1d", "--json", "--workspace", str(workspace.root)]
    assert main(words) == 0
    rows = json.loads(capsys.readouterr().out)["alerts"]
    assert [(row["kind"], row["subject"], row["record"]) for row in rows] == [("failed", "a", "runs/a/status.json")]
    assert main([*words[:3], "1d", "--workspace", str(workspace.root), "--level", "problem"]) == 0
    assert "failed" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "wanted"), [("30m", 98_200.0), ("2h", 92_800.0), ("1.5d", -29_600.0)])
def test_since(text: str, wanted: float) -> None:
    assert parse_since(text, 100_000.0) == wanted
    assert parse_since("1970-01-02", 0.0) == 86_400.0
    with pytest.raises(ConfigError, match="since"):
        parse_since("soon", 0.0)


def test_a_gate_that_failed_and_files_that_cannot_be_read(real: Workspace) -> None:
    (short,) = [alert for alert in list_alerts(AlertsConfig(), real).alerts if alert.kind == "shortfall"]
    assert short.subject == "echoed" and "0 of 30" in short.text
    report = next(real.root.glob("reports/*/1/manifest.json"))
    report.write_text(report.read_text().replace("sums", "soms"))
    alerts = list_alerts(AlertsConfig(), real).alerts
    (broken,) = [alert for alert in alerts if alert.kind == "broken"]
    assert Path(broken.record).name == "manifest.json" and "seal" in broken.text
