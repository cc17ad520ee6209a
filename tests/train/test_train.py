"""Real training of tiny models: what is stored, and that a resumed run is the uninterrupted one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.train.conftest import LORA, config, record, run_train, stopping_at, store, weights

from afs import artifacts, datasets, models, runs
from afs.errors import ConfigError, DataError, PreemptedError, RefusedError
from afs.train import checkpoints
from afs.train.backends.hf import HfBackend
from afs.train.training_data import gather_material
from afs.workspace import Workspace

pytestmark = pytest.mark.train
STIRRED = {**LORA, "lora": {"rank": 4, "alpha": 8, "dropout": 0.2}, "neftune": 5.0}


def test_from_scratch_stores_a_base_that_answers(place: Workspace) -> None:
    made = run_train(place)
    assert made.form == "base"
    assert made.base == ""
    assert made.dataset == "small@1"
    assert made.facts["parameters"] == sum(made.facts["dtypes"].values())  # type: ignore[attr-defined]
    folder = artifacts.folder_of(place, made)
    generation = json.loads((folder / "generation_config.json").read_bytes())
    assert generation["pad_token_id"] in generation["eos_token_id"]
    assert len(generation["eos_token_id"]) == 2
    from tests.train.conftest import user

    answer = models.open_model(place, made.ref).complete([user("first of 4 5 6")])
    assert answer.model == "made@1"


def test_no_path_of_this_machine_is_stored(place: Workspace) -> None:
    made = run_train(place, **LORA)
    for path in artifacts.folder_of(place, made).glob("*.json"):
        assert str(place.root) not in path.read_text()


def test_an_adapter_names_its_base_and_leaves_it_alone(place: Workspace) -> None:
    base = artifacts.load(place, "base")
    before = weights(place, base)
    made = run_train(place, **LORA)
    assert (made.form, made.base, made.base_digest) == ("adapter", "base@1", before)
    assert made.facts["rank"] == [4]
    assert len(made.facts["modules"]) == 7  # type: ignore[arg-type]
    assert weights(place, base) == before


def test_equal_configs_make_equal_models(place: Workspace) -> None:
    assert weights(place, run_train(place, **STIRRED)) == weights(place, run_train(place, **STIRRED, name="twin"))


@pytest.mark.parametrize("step", [3, 7])
@pytest.mark.parametrize("changes", [{}, STIRRED, {**LORA, "optimizer": "adamw8bit"}], ids=["scratch", "lora", "8bit"])
def test_resumed_equals_uninterrupted(place: Workspace, changes: dict[str, object], step: int) -> None:
    whole = run_train(place, **changes, name="whole")
    stopping_at(place, step, **changes, name="halves")
    halves = run_train(place, **changes, name="halves")
    assert weights(place, halves) == weights(place, whole)


@pytest.mark.parametrize(
    "changes",
    [
        {**LORA, "method": "qlora", "optimizer": "adamw8bit", "checkpointing": True},
        {**LORA, "method": "lora8"},
        {**LORA, "method": "full"},
        {**LORA, "lora": {"rank": 4, "dora": True, "dropout": 0.1}, "packing": True},
        {**LORA, "lora": {"rank": 4, "rslora": True}, "trainer": "trl"},
    ],
    ids=["qlora", "lora8", "full", "dora", "trl"],
)
def test_every_method_resumes_to_the_bit(place: Workspace, changes: dict[str, object]) -> None:
    whole = run_train(place, **changes, name="whole")
    stopping_at(place, 7, **changes, name="halves")
    assert weights(place, run_train(place, **changes, name="halves")) == weights(place, whole)


def test_an_evaluation_leaves_four_bit_training_as_it_was(place: Workspace) -> None:
    chosen = config(**{**LORA, "method": "qlora"})
    learner = HfBackend(chosen, gather_material(chosen, place, lambda _: []), lambda *_, **__: None)
    before = learner.gradients([1, 2, 3])
    first = {name: tensor.grad.clone() for name, tensor in learner.named.items() if tensor.grad is not None}
    learner.discard()
    learner.evaluate()
    after = learner.gradients([1, 2, 3])
    assert (after.loss, after.grad_norm) == (before.loss, before.grad_norm)
    for name, gradient in first.items():
        assert torch.equal(gradient, learner.named[name].grad), name


def test_the_first_half_is_not_done_again(place: Workspace) -> None:
    run = stopping_at(place, 7)
    made = run_train(place)
    rows = map(json.loads, (run.folder / "events.jsonl").read_text().splitlines())
    steps = [row["step"] for row in rows if row["event"] == "train.step"]
    assert steps == sorted(set(steps))
    assert made.run == run.id


def test_terminated_is_75_and_saved(place: Workspace) -> None:
    chosen = config()
    with pytest.raises(PreemptedError) as caught:
        stopping_at(place, 4, preempted=True)
    assert caught.value.exit_code == 75
    run = runs.find(place, "train", runs.run_digest(chosen))
    assert run is not None
    assert run.state.status == "stopped"
    assert (run.folder / "checkpoints" / "batch-00000004" / "manifest.json").is_file()


def _spoil(folder: Path, how: str) -> None:
    weights_file = folder / "weights.safetensors"
    content = bytearray(weights_file.read_bytes())
    if how == "bit":
        content[-20] ^= 1
        weights_file.write_bytes(content)
    elif how == "torn":
        weights_file.write_bytes(content[: len(content) // 2])
    elif how == "manifest":
        (folder / "manifest.json").write_bytes(b"{")
    elif how == "optimizer":
        (folder / "optimizer.safetensors").unlink()
    else:
        shutil.rmtree(folder)
        folder.mkdir()


@pytest.mark.parametrize("how", ["bit", "torn", "manifest", "optimizer", "empty"])
def test_a_torn_newest_checkpoint_is_set_aside(place: Workspace, how: str, heard) -> None:  # type: ignore[no-untyped-def]
    whole = run_train(place, name="whole", **LORA)
    run = stopping_at(place, 8, name="halves", **LORA)
    newest = sorted((run.folder / "checkpoints").glob("batch-*"))[-1]
    assert newest.name == "batch-00000008"
    _spoil(newest, how)
    halves = run_train(place, name="halves", **LORA)
    assert weights(place, halves) == weights(place, whole)
    assert heard("train.checkpoint.torn")[0]["folder"] == "torn-batch-00000008"
    assert heard("train.resume")[0]["step"] in (5, 6, 7)


def test_changed_data_is_refused_unless_allowed(place: Workspace, heard) -> None:  # type: ignore[no-untyped-def]
    stopping_at(place, 6, **LORA)
    store(place, "small", [record(f"first of {i}", str(i)) for i in range(60)])
    with pytest.raises(RefusedError, match=r"data: .* then, .* now"):
        run_train(place, **LORA)
    run_train(place, **LORA, allow_drift=True)
    assert heard("train.drift")[0]["differs"]


def test_checkpoints_are_rotated_and_the_best_one_stays(place: Workspace) -> None:
    made = run_train(place, epochs=6, learning_rate=0.03, checkpoints={"every": 2, "keep": 2})
    folder = runs.get(place, made.run).folder / "checkpoints"
    kept = sorted(path.name for path in folder.glob("batch-*"))
    best = made.facts["best"]["batch"]  # type: ignore[index]
    assert set(kept[-2:]) | {f"batch-{best:08d}"} == set(kept)


def test_an_earlier_best_is_the_one_exported(place: Workspace) -> None:
    stages = [{"name": "good", "learning_rate": 3e-3}, {"name": "ruin", "learning_rate": 10.0}]
    made = run_train(place, stages=stages, guard={"divergence": 1e9, "spike": 1e9})
    best = made.facts["best"]["batch"]  # type: ignore[index]
    last = made.facts["steps"]
    assert best < last, "a rate of 10 must ruin what was learned"


def test_rehearsal_is_mixed_in_by_exact_count(place: Workspace) -> None:
    made = run_train(place, **LORA, dataset="other", rehearsal=[{"dataset": "small", "share": 0.25}])
    row = json.loads((runs.get(place, made.run).folder / "record.json").read_bytes())
    assert row["rehearsed"] == round(row["records"] * 0.25)
    assert made.parents == ("dataset:other@1", "dataset:small@1", "artifact:base@1")


def test_rehearsal_beyond_what_there_is_is_refused(place: Workspace) -> None:
    with pytest.raises(DataError, match=r"wants 2[0-9][0-9], the split 'train' has"):
        run_train(place, **LORA, dataset="other", rehearsal=[{"dataset": "small", "share": 0.9}])


def test_training_goes_on_from_an_adapter(place: Workspace) -> None:
    first = run_train(place, **LORA, name="one")
    second = run_train(place, **{**LORA, "base": "one"}, name="two")
    assert second.base == "base@1"
    assert weights(place, second) != weights(place, first)


@pytest.mark.parametrize("method", ["qlora", "lora8", "full"])
def test_other_methods_train(place: Workspace, method: str) -> None:
    made = run_train(place, **{**LORA, "method": method}, epochs=1)
    assert made.form == ("merged" if method == "full" else "adapter")
    assert made.facts["last_loss"] < 6  # type: ignore[operator]


def test_recomputed_activations_change_nothing(place: Workspace) -> None:
    plain = run_train(place, **LORA, epochs=1)
    again = run_train(place, **LORA, epochs=1, checkpointing=True, name="again")
    assert again.facts["last_loss"] == pytest.approx(plain.facts["last_loss"], rel=1e-4)


@pytest.mark.parametrize("lora", [{"dora": True}, {"rslora": True}])
def test_other_adapters_train(place: Workspace, lora: dict[str, object]) -> None:
    made = run_train(place, method="lora", base="base", lora={"rank": 4, "alpha": 8, **lora}, epochs=1)
    written = json.loads((artifacts.folder_of(place, made) / "adapter_config.json").read_bytes())
    assert written["use_dora"] is ("dora" in lora)
    assert written["use_rslora"] is ("rslora" in lora)


def test_an_adapter_of_the_last_blocks_leaves_the_others_alone(place: Workspace) -> None:
    made = run_train(place, **{**LORA, "lora": {"rank": 4, "alpha": 8, "last_layers": 1}}, epochs=1)
    names = list(load_file(artifacts.folder_of(place, made) / "adapter_model.safetensors"))
    blocks = {name.partition(".layers.")[2].partition(".")[0] for name in names}
    assert blocks == {"1"}, "the tiny model has two blocks"
    assert len(names) == 14, "two factors for each of seven linear maps"
    whole = run_train(place, **{**LORA, "lora": {"rank": 4, "alpha": 8, "last_layers": 9}}, epochs=1, name="whole")
    assert weights(place, whole) == weights(place, run_train(place, **LORA, epochs=1, name="plain"))


def test_a_method_without_its_base_is_refused(place: Workspace) -> None:
    with pytest.raises(ConfigError, match="base: method 'lora' needs a base"):
        run_train(place, method="lora")
    with pytest.raises(ConfigError, match="a model from scratch has no base"):
        run_train(place, base="base")


def test_a_foreign_tokenizer_is_refused(place: Workspace) -> None:
    folder = place.root.parent / "base-folder"  # a stored base is hashed; a folder of the user's may be anything
    shutil.copytree(artifacts.folder_of(place, artifacts.load(place, "base")), folder)
    path = folder / "tokenizer.json"
    table = json.loads(path.read_bytes())
    table["added_tokens"].append({**table["added_tokens"][0], "id": 99_999, "content": "<foreign>"})
    path.write_text(json.dumps(table))
    with pytest.raises(DataError, match="not this model's tokenizer"):
        run_train(place, **{**LORA, "base": str(folder)})


def test_over_long_samples_are_refused_with_their_place_or_dropped(place: Workspace) -> None:
    long = [record("first of 1 2", "1"), record("copy " + "7 " * 90, "7 " * 90)]
    store(place, "long", long)
    with pytest.raises(DataError, match=r"1 of 2 training samples .* record 1 has"):
        run_train(place, dataset="long")
    run_train(place, dataset="long", over_length="drop")


def test_the_record_is_complete_from_the_first_step(place: Workspace) -> None:
    run = stopping_at(place, 2)
    row = json.loads((run.folder / "record.json").read_bytes())
    assert row["dataset"] == "small@1"
    assert row["versions"]["torch"]
    assert row["state"]["samples"] == 16


def test_identity_names_what_differs() -> None:
    found = checkpoints.differences({"batch_size": "8", "data": "a"}, {"batch_size": "16", "data": "a"})
    assert found == ["batch_size: 8 then, 16 now"]


def test_records_that_were_never_split_are_rehearsed_whole(place: Workspace) -> None:
    with datasets.write_dataset(place, "raw", "records", splits=("all",)) as pending:
        for number in range(40):
            pending.add("all", record(f"say {number}", str(number)))
    run_train(place, **LORA, rehearsal=[{"dataset": "raw", "share": 0.25}], max_steps=1)
    with pytest.raises(DataError, match=r"raw@1 has no split 'best'; it has: all"):
        run_train(place, **LORA, rehearsal=[{"dataset": "raw", "split": "best"}], max_steps=1)
