"""A learner in another process is the same learner; MLX, where it is installed, agrees with the reference."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from tests.train.conftest import LORA, config, run_train, stopping_at, user, weights

from afs import artifacts, plugins
from afs.errors import ConfigError, DataError, MissingError
from afs.train.backend_environments import environment_python, parts
from afs.train.backends import subprocess_learner, unsloth
from afs.train.backends.builtin_loss import LibraryLoss
from afs.train.backends.hf import HfBackend
from afs.train.backends.mlx import MlxBackend
from afs.train.settings import TrainConfig
from afs.train.training_data import Material, gather_material
from afs.types import Artifact
from afs.workspace import Workspace

pytestmark = pytest.mark.train
needs_mlx = pytest.mark.skipif(
    importlib.util.find_spec("mlx_lm") is None or importlib.util.find_spec("mlx") is None,
    reason="mlx is not installed here: pip install mlx-lm==0.32.2 'mlx[cpu]==0.32.4'",
)


class FarHf(unsloth.UnslothBackend):
    """The reference back end at the far end, in this environment."""

    @staticmethod
    def target() -> str:
        return "afs.train.backends.worker:ServedLearner"

    @staticmethod
    def refuse(config: TrainConfig) -> None:
        """Nothing."""


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsloth, "environment_python", lambda *_: "")
    monkeypatch.setitem(plugins.TABLES["trainer"], "far", f"{__name__}:FarHf")
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda target: FarHf if target.endswith(":FarHf") else load(target))


def test_another_process_makes_the_same_model(place: Workspace, far: None, heard) -> None:  # type: ignore[no-untyped-def]
    changes = {**LORA, "lora": {"rank": 4, "alpha": 8, "dropout": 0.1}, "evaluate": {"probes": 2, "max_tokens": 4}}
    here = run_train(place, **changes, name="here")
    there = run_train(place, **changes, name="there", trainer="far")
    assert weights(place, there) == weights(place, here)
    answers = [row["answer"] for row in heard("train.probe")]
    assert answers[: len(answers) // 2] == answers[len(answers) // 2 :]


def test_a_failure_at_the_far_end_is_said_with_its_reason() -> None:
    far = subprocess_learner.Remote("", "afs.train.backends.nowhere:Learner", lambda *_, **__: None)
    with pytest.raises(DataError, match="nowhere, begin: ModuleNotFoundError: No module named"):
        far.call(subprocess_learner.RemoteCall(do="begin"), object)


def test_what_is_not_a_number_goes_over() -> None:
    measured = subprocess_learner.Measured(float("nan"), float("inf"), 3, 4)
    back = subprocess_learner.Figures.of(measured).measured()
    assert back.loss != back.loss
    assert back[1:4] == (float("inf"), 3, 4)


@pytest.mark.parametrize("name", ["unsloth", "mlx"])
@pytest.mark.parametrize(
    "changes",
    [{"packing": True}, {"neftune": 5.0}, {"lora": {"dora": True}}, {"method": "dpo"}, {"method": "grpo"}],
    ids=["packing", "neftune", "dora", "dpo", "grpo"],
)
def test_what_a_back_end_does_not_do_is_refused_first(name: str, changes: dict[str, object]) -> None:
    backend = plugins.find("trainer", name)
    with pytest.raises(ConfigError, match="hf"):
        backend.refuse(config(**{"method": "lora", "base": "base", **changes}))  # type: ignore[attr-defined]


def test_a_missing_environment_is_said_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(
        MissingError, match=r"python3 -m venv .*environments/unsloth .*pip install afs-factory unsloth=="
    ):
        environment_python("unsloth", "", "unsloth")
    (tmp_path / "own" / "bin").mkdir(parents=True)
    (tmp_path / "own" / "bin" / "python").touch()
    assert environment_python("unsloth", str(tmp_path / "own"), "unsloth") == str(tmp_path / "own" / "bin" / "python")


def test_doctor_lists_every_back_end_and_what_it_does_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    rows = {part.name: part for part in parts()}
    assert {f"trainer {name}" for name in plugins.TABLES["trainer"]} <= rows.keys()
    assert "needs a GPU" in rows["trainer unsloth"].detail
    assert rows["trainer unsloth"].state == "missing"
    assert "pip install" in rows["trainer unsloth"].remedy
    assert rows["kernels liger"].state == "missing"


@pytest.fixture
def both(place: Workspace) -> tuple[TrainConfig, Material]:
    chosen = config(**LORA)
    return chosen, gather_material(chosen, place, lambda _: [])


def test_the_library_s_own_loss_is_ours(both: tuple[TrainConfig, Material]) -> None:
    """What Unsloth is asked is what any model of the library understands."""
    ours = HfBackend(*both, lambda *_, **__: None)
    theirs = HfBackend(*both, lambda *_, **__: None)
    theirs.objective = LibraryLoss(*both, theirs.encoder, "cpu")
    a, b = ours.gradients([3, 1, 4, 15, 9]), theirs.gradients([3, 1, 4, 15, 9])
    assert b.loss == pytest.approx(a.loss, rel=1e-5)
    assert b.grad_norm == pytest.approx(a.grad_norm, rel=1e-4)
    assert theirs.evaluate().loss == pytest.approx(ours.evaluate().loss, rel=1e-5)


@needs_mlx
def test_mlx_measures_what_the_reference_measures(both: tuple[TrainConfig, Material]) -> None:
    ours = HfBackend(*both, lambda *_, **__: None)
    mlx = MlxBackend(*both, lambda *_, **__: None)
    rows = [3, 1, 4, 15, 9]
    a, b = ours.gradients(rows), mlx.gradients(rows)
    assert (a.tokens, a.seen) == (b.tokens, b.seen)
    assert b.loss == pytest.approx(a.loss, rel=1e-4), "a fresh adapter changes nothing"
    mlx.discard()
    assert mlx.evaluate().loss == pytest.approx(ours.evaluate().loss, rel=1e-4)
    question = [[user("first of 4 5 6")]]
    sampling = plugins.load("afs.providers.base:GREEDY")
    assert mlx.answer(question, sampling) == ours.answer(question, sampling)  # type: ignore[arg-type]
    mlx.close()


@needs_mlx
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_mlx_trains_and_its_adapter_is_peft_s(place: Workspace, method: str, heard) -> None:  # type: ignore[no-untyped-def]
    changes = {**LORA, "method": method, "trainer": "mlx", "learning_rate": 1e-2}
    whole = run_train(place, **changes, name="whole")
    if method == "lora":
        stopping_at(place, 7, **changes, name="halves")
        assert weights(place, run_train(place, **changes, name="halves")) == weights(place, whole)
    losses = [float(row["loss"]) for row in heard("train.eval")]  # type: ignore[arg-type]
    assert losses[1] < losses[0] or losses[-1] < losses[0]
    assert whole.facts["rank"] == [4]
    assert len(whole.facts["modules"]) == 7  # type: ignore[arg-type]
    if method == "lora":
        assert _held_out_loss(place, whole) == pytest.approx(min(losses), rel=1e-3), "under PEFT the same model"


def _held_out_loss(place: Workspace, made: Artifact) -> float:
    chosen = config(**{**LORA, "base": made.ref, "name": "more"})
    learner = HfBackend(chosen, gather_material(chosen, place, lambda _: []), lambda *_, **__: None)
    return learner.evaluate().loss


@needs_mlx
def test_no_path_is_stored_by_mlx(place: Workspace) -> None:
    made = run_train(place, **LORA, trainer="mlx", max_steps=2)
    for path in artifacts.folder_of(place, made).glob("*.json"):
        assert str(place.root) not in path.read_text()
    table = json.loads((artifacts.folder_of(place, made) / "adapter_config.json").read_bytes())
    assert table["base_model_name_or_path"] == "base@1"
