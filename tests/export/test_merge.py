"""Merging: exact for every kind of adapter, resumable, refusing, and the same as PEFT's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from afs import artifacts, runs
from afs.errors import DataError, RefusedError
from afs.export import ShipConfig, merge_kernel, nf4_rounding, ship
from afs.export.adapter_files import open_adapter
from afs.export.merge import Merge, is_complete, merge, write_config
from afs.export.model_families import model_config
from afs.export.numpy_forward import Adapted, Folder, logits
from afs.export.parity import compare, probe_texts
from afs.export.safetensors_files import Weights
from afs.runs import Run
from afs.types import Artifact
from afs.workspace import Workspace

Make = Callable[..., Path]
KINDS: list[dict[str, object]] = [
    {},
    {"use_rslora": True, "alpha_pattern": {"q_proj": 24}},
    {"use_dora": True},
    {"bias": "all"},
    {"embedding": True},
    {"saved": True},
]


def a_run(workspace: Workspace) -> Run:
    """A run that stays open, as one killed in the middle is."""
    with runs.open_run(workspace, "ship", ShipConfig(artifact="x")) as run:
        return run


def keep(workspace: Workspace, name: str, folder: Path, **fields: object) -> Artifact:
    with artifacts.store_artifact(workspace, name, **{"form": "base", **fields}) as pending:
        for path in folder.iterdir():
            (pending.folder / path.name).write_bytes(path.read_bytes())
    return pending.artifact


def extended(adapter: Path, model: Path, kind: dict[str, object]) -> Path:
    """Add what the kind asks for to an adapter's file."""
    made = load_file(adapter / "adapter_model.safetensors")
    base = load_file(model / "model.safetensors")
    random = np.random.default_rng(5)
    if "bias" in kind:
        name = "model.layers.0.self_attn.q_proj.bias"
        made[f"base_model.model.{name}"] = base[name] + random.standard_normal(base[name].shape).astype(np.float32)
    if "embedding" in kind:
        count, dim = base["model.embed_tokens.weight"].shape
        at = "base_model.model.model.embed_tokens.lora_embedding_"
        made[f"{at}A"] = random.standard_normal((4, count)).astype(np.float32)
        made[f"{at}B"] = random.standard_normal((dim, 4)).astype(np.float32) * np.float32(0.05)
    if "saved" in kind:
        made["base_model.model.model.norm.weight"] = base["model.norm.weight"] * 2
    save_file(made, str(adapter / "adapter_model.safetensors"))
    return adapter


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "+".join(kind) or "lora")
def test_merged_says_what_base_and_adapter_say(
    tiny: Path, make_adapter: Make, workspace: Workspace, tmp_path: Path, kind: dict[str, object]
) -> None:
    settings = {key: value for key, value in kind.items() if key.startswith(("use_", "alpha"))}
    adapter = open_adapter(extended(make_adapter("a", tiny, **settings), tiny, kind))
    merge(a_run(workspace), Merge(Weights(tiny), adapter), tmp_path / "merged")
    prompts, config = probe_texts(tiny), model_config(tiny)
    told = logits(config, Adapted(Weights(tiny), adapter), prompts)
    kept = logits(model_config(tmp_path / "merged"), Folder(Weights(tmp_path / "merged")), prompts)
    parity = compare(prompts, told, kept)
    assert parity.kl < 1e-7
    assert parity.top1 == 1.0
    plain = compare(prompts, logits(config, Folder(Weights(tiny)), prompts), kept)
    assert plain.kl > 1e-3, "the adapter changes something, or the test could not fail"


def test_a_killed_merge_goes_on_with_the_next_file_and_ends_the_same(
    tiny: Path, make_adapter: Make, workspace: Workspace, tmp_path: Path
) -> None:
    split = tmp_path / "split"
    split.mkdir()
    for path in tiny.glob("*.json"):
        (split / path.name).write_bytes(path.read_bytes())
    table = sorted(load_file(tiny / "model.safetensors").items())
    for number in range(3):
        save_file(dict(table[number::3]), str(split / f"model-{number + 1:05d}-of-00003.safetensors"))
    adapter = open_adapter(make_adapter("a", tiny))
    run = a_run(workspace)
    whole = tmp_path / "whole"
    merge(run, Merge(Weights(split), adapter), whole)

    class Killed(BaseException):
        pass

    class Breaking(Merge):
        left = 12

        def encoded(self, name):
            Breaking.left -= 1
            if Breaking.left < 0:
                raise Killed
            return super().encoded(name)

    other = Run(workspace, tmp_path / "run", run.state)
    target = tmp_path / "killed"
    with pytest.raises(Killed):
        merge(other, Breaking(Weights(split), adapter), target)
    done = {path.name: path.stat().st_mtime_ns for path in target.glob("*.safetensors")}
    assert len(done) == 1
    merge(other, Merge(Weights(split), adapter), target)
    for path in whole.glob("*.safetensors"):
        assert (target / path.name).read_bytes() == path.read_bytes()
    assert {name: (target / name).stat().st_mtime_ns for name in done} == done, "finished files are kept"


def test_an_adapter_that_does_not_fit_is_refused(tiny: Path, make_model: Make, make_adapter: Make) -> None:
    wider = make_model("wider", intermediate_size=512)
    with pytest.raises(RefusedError, match="wants shape"):
        Merge(Weights(tiny), open_adapter(make_adapter("a", wider)))
    deeper = make_model("deeper", num_hidden_layers=3)
    with pytest.raises(RefusedError, match="does not have"):
        Merge(Weights(tiny), open_adapter(make_adapter("b", deeper)))


def test_nan_in_the_adapter_stops_the_merge_and_leaves_nothing(
    tiny: Path, make_adapter: Make, workspace: Workspace
) -> None:
    folder = make_adapter("a", tiny)
    made = load_file(folder / "adapter_model.safetensors")
    made[next(name for name in made if "lora_B" in name)][0, 0] = np.nan
    save_file(made, str(folder / "adapter_model.safetensors"))
    base = keep(workspace, "base", tiny)
    known = artifacts.tensors_digest(tiny)
    keep(workspace, "din", folder, form="adapter", base=base.ref, base_digest=known)
    config = ShipConfig(artifact="din", to="merged")
    with pytest.raises(DataError, match="NaN"), runs.open_run(workspace, "ship", config) as run:
        ship(config, run)
    assert workspace.names("artifact") == ["base", "din"]


def test_ship_merges_and_notes_the_parity(tiny: Path, make_adapter: Make, workspace: Workspace) -> None:
    base = keep(workspace, "base", tiny)
    folder = make_adapter("a", tiny)
    keep(workspace, "din", folder, form="adapter", base=base.ref, base_digest=artifacts.tensors_digest(tiny))
    config = ShipConfig(artifact="din", to="merged", dtype="bf16")
    with runs.open_run(workspace, "ship", config) as run:
        made = ship(config, run)
    assert made.parents == ("din@1", "base@1")
    parity = msgspec.convert(made.facts["parity"], dict[str, float])
    assert 0 < parity["kl"] < parity["bound"]
    place = artifacts.folder_of(workspace, made)
    assert {tensor.dtype for tensor in Weights(place).table.values()} == {"BF16"}
    assert (place / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()


def test_the_eight_bit_table_is_sorted_and_symmetric() -> None:
    table = nf4_rounding.dynamic_map()
    assert len(table) == 256
    assert (np.diff(table) > 0).all()
    assert table[-1] == 1.0
    assert set(-table[(table > 0) & (table < 1)]) == set(table[table < 0])


@pytest.mark.train
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [{}, {"use_rslora": True}, {"use_dora": True}], ids=["lora", "rslora", "dora"])
def test_the_reference_is_what_torch_and_peft_compute(tiny: Path, tmp_path: Path, kind: dict[str, object]) -> None:
    import peft
    import torch
    import transformers

    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    names = ["q_proj", "v_proj", "down_proj", "embed_tokens"] if not kind else ["q_proj", "down_proj"]
    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=names, alpha_pattern={"v_proj": 4}, **kind)
    model = peft.get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name or "lora_embedding_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.eval()
    model.save_pretrained(tmp_path / "adapter")
    prompts = probe_texts(tiny)
    with torch.no_grad():
        told = [model(torch.tensor([ids])).logits[0].numpy() for ids in prompts]
    adapter = open_adapter(tmp_path / "adapter")
    kept = logits(model_config(tiny), Adapted(Weights(tiny), adapter), prompts)
    assert compare(prompts, told, kept).kl < 1e-7


def test_a_scale_on_the_edge_falls_to_the_other_side_on_a_gpu() -> None:
    largest = np.abs(np.random.default_rng(3).standard_normal(1 << 16)).astype(np.float32)
    here, gpu = nf4_rounding.double_quantize(largest, "cpu"), nf4_rounding.double_quantize(largest, "cuda")
    assert 0 < (here != gpu).mean() < 0.01
    assert np.abs(here - largest).mean() < 0.02
    assert np.abs(here - gpu).max() < 0.1


@pytest.mark.train
@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16"])
def test_the_dequantized_base_is_what_bitsandbytes_makes(tiny: Path, kind: str) -> None:
    import bitsandbytes.functional as bnb
    import torch

    weights = Weights(tiny)
    name = "model.layers.0.mlp.gate_proj.weight"
    values = torch.from_numpy(weights.read(name).copy()).to(getattr(torch, kind))
    packed, state = bnb.quantize_4bit(values, blocksize=64, quant_type="nf4", compress_statistics=True)
    back = bnb.dequantize_4bit(packed, state).float().numpy()
    seen = values.float().numpy()
    ours = nf4_rounding.round_to_four_bit(
        seen,
        nf4_rounding.double_quantize(merge_kernel.largest(seen), "cpu"),
        {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}[kind],
    )
    assert np.abs(ours - back).max() <= 1e-3 * np.abs(back).max(), "at most the last digit differs"
    assert (np.abs(ours - back) > 1e-7).mean() < 1e-3
    assert kind != "bfloat16" or (ours == back).all()
    assert np.abs(ours - weights.read(name)).max() > 0.01, "rounding to four bits is no small thing"


def four_bit_adapter(base: Path, target: Path) -> list[np.ndarray]:
    """Make a QLoRA adapter as training does; the model's logits in its training mode.

    Its evaluation mode multiplies in bfloat16 on a CPU and is itself 5e-5 nats away from what was trained.
    """
    import peft
    import torch
    import transformers

    torch.manual_seed(0)
    loaded = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, quantization_config=loaded, device_map="cpu"
    )
    model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "down_proj"]))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(target)
    model.train()
    return [model(torch.tensor([ids])).logits[0].detach().float().numpy() for ids in probe_texts(base)]


@pytest.mark.train
@pytest.mark.filterwarnings("ignore")
def test_a_qlora_adapter_merged_on_to_the_four_bit_base_is_the_trained_model(
    tiny: Path, workspace: Workspace, tmp_path: Path
) -> None:
    told = four_bit_adapter(tiny, tmp_path / "adapter")
    adapter, prompts = open_adapter(tmp_path / "adapter"), probe_texts(tiny)
    four_bit = nf4_rounding.FourBit(device="cpu", dtype="F32")

    def divergence(four: nf4_rounding.FourBit | None, made: str) -> float:
        target = tmp_path / f"{four is None}{made}"
        run = Run(workspace, tmp_path / f"run-{target.name}", a_run(workspace).state)
        merge(run, Merge(Weights(tiny), adapter, four_bit=four, dtype=made), target)
        return compare(prompts, told, logits(model_config(target), Folder(Weights(target)), prompts)).kl

    assert divergence(four_bit, "F32") < 1e-9
    assert divergence(four_bit, "F16") < 1e-6
    assert divergence(four_bit, "BF16") < 1e-4
    assert divergence(None, "F32") > 1e-2


def test_a_marked_file_of_another_size_is_written_again(
    tiny: Path, make_adapter: Make, workspace: Workspace, tmp_path: Path
) -> None:
    run, merged, target = a_run(workspace), Merge(Weights(tiny), open_adapter(make_adapter("a", tiny))), tmp_path / "m"
    merge(run, merged, target)
    path = target / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    merge(run, merged, target)
    assert path.read_bytes() == whole
    assert is_complete(path, {"size": len(whole)}) and not is_complete(path, {"size": len(whole) - 1})
    assert not is_complete(path, {}) and not is_complete(target / "missing", {"size": len(whole)})


def test_the_merged_config_is_of_a_plain_model(
    tiny: Path, make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    model = make_model(
        "quantized",
        quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True},
        rope_parameters={"rope_theta": 5000.0, "rope_type": "linear", "factor": 2.0},
        rope_theta=None,
        torch_dtype="float32",
    )
    table = msgspec.json.decode((model / "config.json").read_bytes(), type=dict[str, object])
    del table["rope_theta"]
    (model / "config.json").write_bytes(msgspec.json.encode(table))
    write_config(Merge(Weights(model), open_adapter(make_adapter("a", model)), dtype="BF16"), tmp_path)
    found = msgspec.json.decode((tmp_path / "config.json").read_bytes(), type=dict[str, object])
    assert "quantization_config" not in found and found["torch_dtype"] == "bfloat16" and "dtype" not in found
    assert found["rope_theta"] == 5000.0 and found["rope_scaling"] == {"rope_type": "linear", "factor": 2.0}
    assert found["vocab_size"] == table["vocab_size"] and found["tie_word_embeddings"] is True
