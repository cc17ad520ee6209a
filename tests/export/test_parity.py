"""Parity: every family and kind says under llama.cpp what its folder says; a wrong conversion is caught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from afs.errors import RefusedError
from afs.export import model_families, parity
from afs.export.gguf_convert import convert
from afs.export.parity import compare, compare_gguf, refuse_divergence
from afs.providers.llama import Llama

Make = Callable[..., Path]
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
MODELS: dict[str, tuple[str, dict[str, object]]] = {
    "qwen2": ("Qwen2ForCausalLM", {}),
    "qwen2 untied": ("Qwen2ForCausalLM", {"tie_word_embeddings": False}),
    "qwen3": ("Qwen3ForCausalLM", {"model_type": "qwen3", "head_dim": 32}),
    "llama": ("LlamaForCausalLM", {"model_type": "llama", "tie_word_embeddings": False}),
    "llama 3.1": ("LlamaForCausalLM", {"model_type": "llama", "rope_parameters": LLAMA3}),
}


def measured(folder: Path, target: Path, kind: str) -> parity.Parity:
    convert(folder, target, kind, name="m")
    with Llama(str(target), {"context": 256, "threads": 1}) as model:
        return compare_gguf(folder, model.server)


@pytest.mark.parametrize("name", MODELS)
def test_every_family_says_the_same(make_model: Make, tmp_path: Path, name: str) -> None:
    architecture, changes = MODELS[name]
    found = measured(make_model("model", architecture, **changes), tmp_path / "m.gguf", "F16")
    assert found.kl < 1e-3
    assert found.top1 > 0.95
    assert found.tokens_equal
    assert found.chats_equal
    assert found.perplexity == pytest.approx(found.perplexity_source, rel=0.02)


def test_fewer_bits_are_further_away_and_within_their_bounds(tiny: Path, tmp_path: Path) -> None:
    divergence = []
    for kind in ("F32", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"):
        found = refuse_divergence(measured(tiny, tmp_path / f"{kind}.gguf", kind), kind, kind)
        assert found.bound == parity.BOUNDS[kind]
        divergence.append(found.kl)
    assert divergence == sorted(divergence)
    assert divergence[0] < divergence[-1] / 100


def test_rows_in_the_wrong_order_are_caught(make_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_model("model", "LlamaForCausalLM", model_type="llama")
    wrong = model_families.FAMILIES["LlamaForCausalLM"]._replace(rotate_pairs=False)
    monkeypatch.setitem(model_families.FAMILIES, "LlamaForCausalLM", wrong)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="KL divergence"):
        refuse_divergence(measured(folder, tmp_path / "m.gguf", "F16"), "F16", "it")


def test_another_template_is_caught(tiny: Path, make_model: Make, tmp_path: Path) -> None:
    convert(tiny, tmp_path / "m.gguf", "F16", name="m")
    other = make_model()
    settings = msgspec.json.decode((other / "tokenizer_config.json").read_bytes())
    settings["chat_template"] = settings["chat_template"].replace("m.role + '\n'", "m.role + ' '", 1)
    assert "m.role + ' '" in settings["chat_template"]
    (other / "tokenizer_config.json").write_bytes(msgspec.json.encode(settings))
    with Llama(str(tmp_path / "m.gguf"), {"context": 256, "threads": 1}) as model:
        found = compare_gguf(other, model.server)
    assert found.kl < 1e-3
    assert found.chats_equal is False
    with pytest.raises(RefusedError, match="renders chats differently"):
        refuse_divergence(found, "F16", "it")


def test_a_stricter_bound_can_be_set(tiny: Path, tmp_path: Path) -> None:
    found = measured(tiny, tmp_path / "m.gguf", "Q4_K_M")
    with pytest.raises(RefusedError, match="is above 1e-06"):
        refuse_divergence(found, "Q4_K_M", "it", 1e-6)


def test_what_is_no_number_is_beyond_every_bound() -> None:
    sound = [np.zeros((3, 8), dtype=np.float32)]
    broken = [np.full((3, 8), np.nan, dtype=np.float32)]
    with pytest.raises(RefusedError, match="KL divergence nan"):
        refuse_divergence(compare([[1, 2, 3]], sound, broken), "merged", "x")
