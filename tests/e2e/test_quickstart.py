"""The quick start as a user runs it: killed once on the way, started again, and then a third time to skip everything."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from afs import answer_verifier, plugins
from afs.pipeline import read_recipe
from afs.registry import Registry
from afs.workspace import Workspace

pytestmark = pytest.mark.e2e


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "afs", "quickstart", str(folder), "--pack", "sums", "--json", "--quiet"]


def trained_steps(folder: Path) -> int:
    return sum(path.read_bytes().count(b'"train.step"') for path in folder.glob("runs/*-train-*/events.jsonl"))


def run_and_kill(folder: Path) -> None:
    """Kill -9 in the middle of the first training run."""
    child = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL)
    while trained_steps(folder) < 120:
        assert child.poll() is None, "it ended before it could be killed"
        time.sleep(0.1)
    child.kill()
    child.wait()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("quick") / "w"
    run_and_kill(folder)
    told = subprocess.run(command(folder), check=True, capture_output=True, text=True)
    return folder, json.loads(told.stdout)


def test_each_expert_learns_what_its_base_cannot(done: tuple[Path, dict[str, Any]]) -> None:
    _, told = done
    exams = {row["model"]: row for row in told["table"]}
    for expert in ("reader-gguf@1", "stepper-gguf@1"):
        assert exams[expert]["before"]["value"] < 0.1
        assert exams[expert]["after"]["value"] > 0.8
        assert exams[expert]["after"]["low"] > exams[expert]["before"]["high"]


def test_rehearsal_keeps_what_its_absence_forgets(done: tuple[Path, dict[str, Any]]) -> None:
    _, told = done
    exams = {row["model"]: row for row in told["table"]}
    assert exams["reader-lora@1"]["after"]["low"] > exams["reader-alone@1"]["after"]["high"]


def test_the_killed_run_went_on_where_it_was(done: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = done
    first = min(folder.glob("runs/*-train-*"))
    events = (first / "events.jsonl").read_text()
    assert '"run.resume"' in events and '"train.resume"' in events
    assert json.loads((first / "status.json").read_text())["status"] == "done"


def test_the_council_answers_and_the_experts_passed_a_gate(done: tuple[Path, dict[str, Any]]) -> None:
    folder, told = done
    assert len(told["answers"]) == 3
    assert {answer["expert"] for answer in told["answers"]} == {"reader", "stepper"}
    assert sum(answer["checked"] == "passes its check" for answer in told["answers"]) >= 2
    assert {expert.name for expert in Registry(Workspace(folder)).experts()} == {"reader", "stepper"}


def test_the_page_opens_from_disk_and_asks_nobody(done: tuple[Path, dict[str, Any]]) -> None:
    page = Path(done[1]["page"]).read_text()
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    assert "reader-gguf@1" in page and "held-out" in page


def test_a_third_start_skips_everything(done: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = done
    before = sorted(path.name for path in (folder / "runs").iterdir())
    subprocess.run(command(folder), check=True, capture_output=True)
    assert sorted(path.name for path in (folder / "runs").iterdir()) == before


@pytest.mark.parametrize(
    "name", [n for n in plugins.TABLES["domain"] if hasattr(answer_verifier.load_pack(n), "recipe")]
)
def test_every_quick_start_recipe_decodes(name: str) -> None:
    assert read_recipe(Path(answer_verifier.load_pack(name).recipe))


def test_the_recipe_in_the_tree_is_the_one_that_is_packaged() -> None:
    tree = Path(__file__).parents[2] / "recipes" / "quickstart.toml"
    packaged = Path(answer_verifier.load_pack(plugins.FIRST_PACK).recipe)
    assert tree.read_bytes() == packaged.read_bytes()
