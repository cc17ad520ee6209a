"""Launching on a misbehaving cloud: whatever goes wrong, the job's result comes back and no machine is left."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from fake_clouds import FakeCloud

from afs import artifacts, verbs
from afs.cloud.launch import Pace
from afs.cloud.launch_command import LaunchConfig, LaunchResult, OffersConfig, OfferTable
from afs.cloud.ledger import Ledger, deadline_of, new_label
from afs.cloud.rental_commands import CloudListConfig, CostsConfig, ReapConfig
from afs.errors import AfsError, ConfigError, ProviderError, RefusedError, UsageError
from afs.workspace import Workspace

BOTH = (
    "drops",
    "lingers",
    "429",
    "500",
    "no list",
    "destroy 500",
    "broken create",
    "error without id",
    "stuck",
    "holes",
)
VAST = (
    "error with contract",
    "not rented",
    "no such ask",
    "exits",
    "offline",
    "oci",
    "unknown",
    "empty get",
    "not destroyed",
    "no bill",
)
RUNPOD = ("no capacity", "error", "terminated row")
ROWS = [(name, fault) for name, more in (("vast", VAST), ("runpod", RUNPOD)) for fault in (*BOTH, *more)]
QUICK = {("vast", "drops"), ("vast", "error with contract"), ("vast", "broken create"), ("runpod", "no capacity")}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afs.cloud.launch_command.Pace", partial(Pace, start_s=1.5, silence_s=3.0, gone_s=6.0))


def launch(place: Workspace, provider: str, job: Path, **options: object) -> LaunchResult:
    fields = {
        "max_usd_hour": 100.0,
        "max_usd": 5.0,
        "hours": 1.0,
        "poll_s": 0.05,
        "pull_s": 0.3,
        "yes": True,
        **options,
    }
    config = LaunchConfig(
        provider=provider,
        configs=(str(job),),
        setup="true",
        python=sys.executable,
        **fields,  # type: ignore[arg-type]
    )
    result = verbs.do("cloud launch", config, place)
    assert isinstance(result, LaunchResult)
    return result


def assert_clean(cloud: FakeCloud, place: Workspace) -> None:
    """Nothing runs, the ledger says so, and its bill is the cloud's."""
    assert not cloud.boxes
    ledger = Ledger(place.root / "cloud")
    assert not ledger.open_rentals()
    billed = sum(r.cost_usd(time.time()) if r.billed_usd is None else r.billed_usd for r in ledger.rentals().values())
    assert billed == pytest.approx(cloud.bill(), rel=0.01, abs=0.002)


@pytest.mark.parametrize(
    ("provider", "fault"),
    [pytest.param(*row, marks=[] if row in QUICK else pytest.mark.fault_long, id="-".join(row)) for row in ROWS],
)
def test_a_fault_costs_time_and_nothing_else(
    provider: str, fault: str, cloud: FakeCloud, place: Workspace, tmp_path: Path
) -> None:
    cloud.faults[fault] = {"429": 3, "500": 2, "not destroyed": 3, "destroy 500": 3, "lingers": 2, "no list": 1}.get(
        fault, 1
    )
    result = launch(place, provider, tmp_path / "job.toml")
    assert result.exit_code == 0, result.text()
    assert artifacts.load(place, "tiny@1").form == "base"
    assert_clean(cloud, place)


@pytest.mark.parametrize("state", ["stopped", pytest.param("offline", marks=pytest.mark.fault_long)])
def test_a_preempted_job_resumes_on_the_next_offer(
    state: str, cloud: FakeCloud, place: Workspace, tmp_path: Path
) -> None:
    text = (
        (tmp_path / "job.toml")
        .read_text()
        .replace("max_steps = 3", "max_steps = 6000\nepochs = 900\ncheckpoints = { every = 500 }")
    )
    (tmp_path / "job.toml").write_text(text)
    done: list[LaunchResult] = []
    runner = threading.Thread(target=lambda: done.append(launch(place, "vast", tmp_path / "job.toml", spot=True)))
    runner.start()
    wait_until(lambda: any(place.root.glob("runs/*train*/checkpoints/*")))
    cloud.take_away(state)
    runner.join(180)
    assert done and done[0].exit_code == 0, done
    assert "2 machine(s)" in done[0].text()
    events = b"".join(path.read_bytes() for path in place.root.glob("runs/*train*/events.jsonl"))
    assert b"run.resume" in events
    assert_clean(cloud, place)


def wait_until(holds: object, seconds: float = 120.0) -> None:
    assert callable(holds)
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def test_a_plan_rents_nothing(cloud: FakeCloud, place: Workspace, tmp_path: Path) -> None:
    config = LaunchConfig(provider="vast", configs=(str(tmp_path / "job.toml"),), max_usd_hour=100.0)
    shown = verbs.do("cloud launch", config, place)
    assert isinstance(shown, OfferTable)
    assert "nothing is rented yet: add --yes" in shown.text()
    assert not cloud.boxes and not cloud.gone


def test_caps_hold_before_and_during_a_session(cloud: FakeCloud, place: Workspace, tmp_path: Path) -> None:
    refused = launch(place, "vast", tmp_path / "job.toml", max_usd_hour=1.0)
    assert refused.exit_code == 1 and "over the cap of $1.000/h; nothing was rented" in refused.text()
    assert not cloud.gone
    cloud.usd_hour = 3600.0  # a dollar a second
    text = (tmp_path / "job.toml").read_text().replace("max_steps = 3", "max_steps = 10000000\nepochs = 9000000")
    (tmp_path / "job.toml").write_text(text)
    stopped = launch(place, "vast", tmp_path / "job.toml", max_usd_hour=5000.0, max_usd=3.0)
    assert "the cap is $3.00; rerun to resume" in stopped.text()
    assert_clean(cloud, place)


def test_no_key_of_the_account_reaches_a_machine_or_a_file(cloud: FakeCloud, place: Workspace, tmp_path: Path) -> None:
    boxes: list[bytes] = []
    end = cloud.end

    def keep(box_id: str) -> None:
        folder = cloud.root / str(cloud.boxes[box_id].port)
        boxes.extend(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        end(box_id)

    cloud.end = keep  # type: ignore[method-assign]
    launch(place, "vast", tmp_path / "job.toml")
    mine = [path.read_bytes() for path in place.root.rglob("*") if path.is_file()]
    assert len(boxes) > 100
    assert not [raw for raw in (*boxes, *mine) if b"account-key-of" in raw]


def test_several_jobs_are_one_session_with_one_bill(cloud: FakeCloud, place: Workspace, tmp_path: Path) -> None:
    second = tmp_path / "second.toml"
    second.write_text((tmp_path / "job.toml").read_text().replace('"tiny"', '"other"'))
    fields = {
        "max_usd_hour": 100.0,
        "poll_s": 0.05,
        "hours": 1.0,
        "yes": True,
        "setup": "true",
        "python": sys.executable,
    }
    jobs = (str(tmp_path / "job.toml"), str(second))
    result = verbs.do("cloud launch", LaunchConfig(provider="vast", configs=jobs, **fields), place)  # type: ignore[arg-type]
    assert isinstance(result, LaunchResult) and result.exit_code == 0, result
    assert {"tiny", "other"} <= set(place.names("artifact"))
    rows = verbs.do("cloud costs", CostsConfig(by="session"), place).rows  # type: ignore[attr-defined]
    assert list(rows) == [result.session]
    assert rows[result.session][1] == pytest.approx(cloud.bill(), rel=0.01, abs=0.002)
    assert_clean(cloud, place)


def test_reap_ends_ours_and_shows_the_others(
    cloud: FakeCloud, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNPOD_API_KEY")
    ledger = Ledger(place.root / "cloud")
    mine, elsewhere = new_label(time.time() + 3600), new_label(time.time() - 60)
    ledger.append(mine, "intent", provider="vast", job="din", usd_hour=36.0, deadline=time.time() + 3600)
    for label in (mine, elsewhere, "somebody's box"):
        cloud.make(label, "1")
    cloud.boxes["1001"].status = "frozen"
    cloud.volumes.append({"id": 7, "label": "data", "size": 200})
    result = verbs.do("cloud reap", ReapConfig(), place)
    text = result.text()  # type: ignore[attr-defined]
    assert {box.label for box in cloud.boxes.values()} == {elsewhere, "somebody's box"}
    assert f"destroyed     vast 1001 {mine}" in text
    assert "another workspace's" in text and "not made by afs" in text
    assert "200 GB of storage, billed until you delete it" in text
    assert not ledger.open_rentals()


def test_an_empty_list_with_an_open_rental_is_checked_one_by_one(
    cloud: FakeCloud, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNPOD_API_KEY")
    ledger = Ledger(place.root / "cloud")
    label = new_label(time.time() + 3600)
    ledger.append(label, "intent", provider="vast", usd_hour=36.0, deadline=time.time() + 3600)
    cloud.faults["no list"] = 1
    result = verbs.do("cloud reap", ReapConfig(), place)
    assert result.exit_code == 1 and "what it has rented is unknown" in result.text()  # type: ignore[attr-defined]
    assert ledger.open_rentals()
    assert verbs.do("cloud reap", ReapConfig(), place).exit_code == 0  # type: ignore[attr-defined]
    assert not ledger.open_rentals()


def test_a_torn_ledger_keeps_what_is_whole(place: Workspace) -> None:
    ledger = Ledger(place.root / "cloud")
    label = new_label(2e9)
    ledger.append(label, "intent", provider="vast", usd_hour=1.0, deadline=2e9)
    with ledger.path.open("ab") as file:
        file.write(b'{"at":1,"label":"afs-torn","ste')
    ledger.append(label, "created", provider="vast", machine="5")
    assert ledger.rentals()[label].machine == "5"
    assert list(ledger.rentals()) == [label]


def test_a_label_says_when_its_machine_should_be_gone() -> None:
    label = new_label(1_800_000_000.9)
    assert len(label) <= 60 and deadline_of(label) == 1_800_000_000
    assert len({new_label(1.0) for _ in range(100)}) == 100
    for other in ("", "afs-x-1", "afs-", "prod-01ARZ3NDEKTSV4RRFFQ69G5FAV-1", "afs-01ARZ3NDEKTSV4RRFFQ69G5FAV-soon"):
        assert deadline_of(other) is None


@pytest.mark.parametrize(
    ("fault", "said"),
    [("401", "the key is refused (401)"), ("html", "not JSON but '<html>maintenance</html>'")],
)
def test_a_provider_that_refuses_is_one_line(fault: str, said: str, cloud: FakeCloud, place: Workspace) -> None:
    cloud.faults[fault] = 99
    with pytest.raises(ProviderError) as caught:
        verbs.do("cloud offers", OffersConfig(provider="vast"), place)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_wrong_is_said_before_anything_is_rented(
    cloud: FakeCloud, place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tmp_path / "job.toml"
    cases: list[tuple[dict[str, object], type[AfsError], str]] = [
        ({"provider": "vats"}, UsageError, "did you mean 'vast'"),
        ({"provider": "ssh"}, UsageError, r"add a table \[hosts.NAME\]"),
        ({"provider": "runpod", "spot": True}, UsageError, "on demand only"),
    ]
    for fields, kind, said in cases:
        with pytest.raises(kind, match=said):
            launch(place, str(fields.pop("provider")), job, **fields)
    job.write_text('dataset = "dtaa"\nname = "x"\n')
    with pytest.raises(AfsError, match="dtaa"):
        launch(place, "vast", job)
    job.write_text('dataset = "data"\nname = "x"\nlearning_rte = 1\n')
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        launch(place, "vast", job)
    monkeypatch.delenv("VAST_API_KEY")
    with pytest.raises(UsageError, match="environment variable VAST_API_KEY"):
        verbs.do("cloud offers", OffersConfig(provider="vast"), place)
    assert not cloud.gone and not cloud.boxes


def test_no_offer_fits(cloud: FakeCloud, place: Workspace, tmp_path: Path) -> None:
    shown = verbs.do("cloud offers", OffersConfig(provider="vast", gpu="H900"), place)
    assert "no machine fits; lower --gpu-gb" in shown.text()  # type: ignore[attr-defined]
    assert "no offer fits" in launch(place, "vast", tmp_path / "job.toml", gpu="H900").text()


def test_this_machine_is_a_provider_too(place: Workspace, tmp_path: Path) -> None:
    result = launch(place, "local", tmp_path / "job.toml")
    assert result.exit_code == 0, result.text()
    assert artifacts.load(place, "tiny@1").form == "base"
    assert not list((place.root / "cloud" / "machines").iterdir())
    assert verbs.do("cloud list", CloudListConfig(), place).text() == "nothing is rented"  # type: ignore[attr-defined]


def test_a_version_that_is_taken_is_not_overwritten(cloud: FakeCloud, place: Workspace, tmp_path: Path) -> None:
    with artifacts.store_artifact(place, "tiny", form="base", config_digest="x") as pending:
        (pending.folder / "weights.bin").write_bytes(b"mine")
    result = launch(place, "vast", tmp_path / "job.toml")
    assert "kept beside, since its place is taken" in result.text()
    assert (place.root / "models" / "tiny" / "1" / "weights.bin").read_bytes() == b"mine"
    assert_clean(cloud, place)


def test_a_failed_training_brings_its_log_back(cloud: FakeCloud, place: Workspace, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text((tmp_path / "job.toml").read_text() + 'base = "missing-base"\n')
    with pytest.raises((RefusedError, AfsError), match="missing-base"):
        launch(place, "vast", tmp_path / "job.toml")
    assert shutil.which("ssh") and json.dumps(sorted(cloud.gone)) == "[]"
