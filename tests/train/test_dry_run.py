"""A dry run begins nothing, says what the run would take, and refuses what the run would refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.train.conftest import config, record, run_train, store

from afs.cli.main import main
from afs.errors import ConfigError, DataError, RefusedError, UsageError
from afs.train import device_monitor
from afs.train.dry_run import Preview, preview
from afs.train.memory_estimate import Gpu
from afs.workspace import Workspace

pytestmark = pytest.mark.train
LORA = {"method": "lora", "base": "base", "lora": {"rank": 4, "alpha": 8}}


def shown(place: Workspace, **changes: object) -> Preview:
    return preview(config(**changes), place)


def files(place: Workspace) -> list[Path]:
    """Every file but the cache, where the digests of hashed folders are kept."""
    return sorted(path for path in place.root.rglob("*") if "cache" not in path.relative_to(place.root).parts)


@pytest.mark.parametrize("method", ["scratch", "lora", "qlora", "full"])
def test_it_fits_and_nothing_is_begun(place: Workspace, method: str) -> None:
    before = files(place)
    found = shown(place, method=method, base="" if method == "scratch" else "base")
    assert files(place) == before
    assert found.exit_code == 0
    assert found.steps == 12
    assert found.plan is not None and found.plan.needed > 500 << 20
    assert "«" in found.sample and found.end == "<|im_end|>"
    assert f"{found.end}»" in found.text(), "the end is learned"


def test_the_steps_are_those_of_the_run(place: Workspace) -> None:
    assert shown(place, **LORA).steps == run_train(place, **LORA).facts["steps"]


def test_what_does_not_fit_says_what_would(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Gpu(memory=1.0, tflops=0, bandwidth=0)
    monkeypatch.setattr("afs.train.run_estimate.processor", lambda: ("cpu", small))
    shape = {"hidden": 1024, "intermediate": 4096, "layers": 4, "heads": 4, "kv_heads": 4}
    found = shown(place, device="cpu", shape=shape)
    assert found.exit_code == 3
    assert "does not fit" in found.text()
    assert found.plan is not None and found.plan.proposals


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"base": "nowhere"}, UsageError, "nowhere"),
        ({**LORA, "base": "base", "max_length": 20}, DataError, r"record \d+ has \d+"),
        ({**LORA, "lora": {"targets": ["lm_head"]}, "trainer": "trl", "method": "dpo"}, ConfigError, "trl does"),
        ({"method": "dpo", "base": "base"}, DataError, "passed and one that failed"),
        ({**LORA, "device": "cuda"}, ConfigError, "no NVIDIA GPU"),
    ],
    ids=["base", "length", "trainer", "pairs", "device"],
)
def test_it_refuses_what_the_run_would(
    place: Workspace, changes: dict[str, object], kind: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_monitor, "read_once", device_monitor.GpuReading)
    with pytest.raises(kind, match=words):
        shown(place, **({"method": "lora"} | changes))


def test_bad_records_are_named(place: Workspace) -> None:
    store(place, "bad", [record("say 1", "1"), record("say 2", " ")])
    with pytest.raises(RefusedError, match=r"train record 1 .*the answer is empty"):
        shown(place, dataset="bad")


def test_a_base_that_would_not_stop_is_refused(place: Workspace) -> None:
    folder = place.root.parent / "base-folder"
    shutil.copytree(next((place.root / "models").rglob("generation_config.json")).parent, folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 5}))
    with pytest.raises(DataError, match=r"would not stop"):
        shown(place, **{**LORA, "base": str(folder)})


def test_a_measured_speed_is_what_the_next_plan_goes_by(place: Workspace) -> None:
    assert "unknown until a run" in shown(place, device="cpu").text()
    made = run_train(place, epochs=4)
    found = shown(place, device="cpu", epochs=4)
    assert found.plan is not None
    card = found.plan.cards[0]
    assert "measured here" in card.note
    assert card.hours == pytest.approx(made.facts["seconds"] / 3600, rel=0.5)  # type: ignore[operator]


def test_on_the_command_line(place: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--workspace", str(place.root)]
    words = ["train", "--dataset", "small", "--name", "x", "--base", "base", "--max-length", "128", "--dry-run"]
    runs = sorted((place.root / "runs").iterdir())
    assert main([*words, *where]) == 0
    assert "dry run only" in capsys.readouterr().out
    assert sorted((place.root / "runs").iterdir()) == runs
    assert main(["models", "list", "--dry-run", *where]) == 2
    assert "has no --dry-run" in capsys.readouterr().err
