"""K-quants of our own against llama.cpp's, the types tensors really get, and importance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader
from hypothesis import given, settings
from hypothesis import strategies as st

from afs import datasets
from afs.export import gguf_types, kquants, llamacpp_quantizer
from afs.export.gguf_convert import convert
from afs.export.importance_matrix import measure_importance
from afs.types import Message, Origin, Record
from afs.workspace import Workspace

K_TYPES = (Type.Q4_K, Type.Q5_K, Type.Q6_K)


def values(rows: int = 64, columns: int = 512, seed: int = 0) -> np.ndarray:
    """Weights as models have them: bell-shaped with a few large ones."""
    random = np.random.default_rng(seed)
    made = random.standard_normal((rows, columns)) * 0.02
    made[random.random(made.shape) < 0.001] *= 20
    return made.astype(np.float32)


def error(data: np.ndarray, kind: Type, x: np.ndarray, weights: np.ndarray | float = 1.0) -> float:
    return float((((gguf_types.unpack(data, kind) - x) ** 2) * weights).sum())


@pytest.mark.parametrize("kind", K_TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("weighed", [False, True])
def test_squared_error_is_within_a_hundredth_of_llama_cpps(kind: Type, weighed: bool) -> None:
    x = values()
    weights = np.random.default_rng(1).random(x.shape[1]).astype(np.float32) + 0.1 if weighed else None
    ours = kquants.quantize(x, kind.name, weights)
    theirs = llamacpp_quantizer.quantize(x, kind.value, gguf_types.bytes_of(x.shape, kind), weights)
    assert ours.shape == theirs.shape
    count = 1.0 if weights is None else weights
    assert error(ours, kind, x, count) <= 1.01 * error(theirs, kind, x, count)
    blocks = gguf_types.bytes_of((256,), kind)
    same = (ours.reshape(-1, blocks) == theirs.reshape(-1, blocks)).all(-1).mean()
    assert weighed or same > 0.9


@pytest.mark.parametrize("kind", K_TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("fill", [0.0, 1.0, -3.5, 1e-30])
def test_blocks_of_one_value_come_back(kind: Type, fill: float) -> None:
    x = np.full((2, 256), fill, dtype=np.float32)
    back = gguf_types.unpack(kquants.quantize(x, kind.name), kind)
    np.testing.assert_allclose(back, x, rtol=0.01, atol=1e-6)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(K_TYPES), st.floats(1e-3, 100))
def test_no_value_is_far_from_itself(seed: int, kind: Type, size: float) -> None:
    x = (np.random.default_rng(seed).standard_normal((1, 256)) * size).astype(np.float32)
    back = gguf_types.unpack(kquants.quantize(x, kind.name), kind)
    steps = {Type.Q4_K: 15, Type.Q5_K: 31, Type.Q6_K: 63}[kind]
    assert np.abs(back - x).max() <= 6 * np.abs(x).max() / steps


def test_our_own_quantizer_is_used_where_no_library_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(llamacpp_quantizer.ENVIRONMENT, "none")
    x = values(4)
    assert not llamacpp_quantizer.has_quantizer()
    assert np.array_equal(gguf_types.pack(x, Type.Q4_K), kquants.quantize(x, "Q4_K"))
    monkeypatch.delenv(llamacpp_quantizer.ENVIRONMENT)
    assert llamacpp_quantizer.has_quantizer()


@pytest.mark.parametrize(
    ("kind", "columns", "wanted"),
    [
        ("Q4_K_M", 256, Type.Q4_K),
        ("Q4_K_M", 896, Type.Q5_0),
        ("Q5_K_M", 896, Type.Q5_1),
        ("Q6_K", 896, Type.Q8_0),
        ("Q4_K_M", 100, Type.F16),
        ("Q8_0", 100, Type.F16),
    ],
)
def test_rows_that_do_not_divide_fall_back(kind: str, columns: int, wanted: Type) -> None:
    assert gguf_types.type_of("blk.5.attn_q.weight", (8, columns), kind, 24, tied=True) == wanted


def test_the_mix_of_q4_k_m_is_llama_cpps() -> None:
    def better(part: str, layers: int) -> list[int]:
        named = (
            (n, gguf_types.type_of(f"blk.{n}.{part}.weight", (8, 256), "Q4_K_M", layers, tied=False))
            for n in range(layers)
        )
        return [n for n, kind in named if kind == Type.Q6_K]

    assert better("ffn_down", 28) == better("attn_v", 28) == [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27]
    assert better("attn_q", 28) == []
    assert gguf_types.type_of("output.weight", (8, 256), "Q4_K_M", 28, tied=False) == Type.Q6_K
    assert gguf_types.type_of("token_embd.weight", (8, 256), "Q4_K_M", 28, tied=False) == Type.Q4_K
    assert gguf_types.type_of("token_embd.weight", (8, 256), "Q4_K_M", 28, tied=True) == Type.Q6_K
    assert gguf_types.type_of("blk.0.attn_norm.weight", (256,), "Q4_K_M", 28, tied=True) == Type.F32


def test_the_types_told_are_those_in_the_file(tiny: Path, tmp_path: Path) -> None:
    told = convert(tiny, tmp_path / "m.gguf", "Q4_K_M", name="m")
    real: dict[str, int] = {}
    for tensor in GGUFReader(str(tmp_path / "m.gguf")).tensors:
        real[tensor.tensor_type.name] = real.get(tensor.tensor_type.name, 0) + 1
    assert told["types"] == dict(sorted(real.items()))
    assert real["Q4_K"] > 0


def test_importance_comes_from_the_datasets_own_prompts(
    tiny: Path, workspace: Workspace, tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    with datasets.write_dataset(workspace, "sft", "dataset") as pending:
        for number in range(4):
            chat = (Message(role="user", text=f"lda #${number}"), Message(role="assistant", text="sta $10"))
            origin = Origin(source="t", license="MIT")
            pending.add("train", Record(id=f"{number:032x}", domain="sums", kind="x", messages=chat, origin=origin))
    found = measure_importance(workspace, tiny, pending.dataset.ref)
    assert found["blk.0.attn_q.weight"].shape == (256,)
    assert "token_embd.weight" in found
    plain = convert(tiny, tmp_path / "plain.gguf", "Q4_K_M", name="m")
    convert(tiny, tmp_path / "weighed.gguf", "Q4_K_M", name="m", importance=found)
    assert (tmp_path / "plain.gguf").read_bytes() != (tmp_path / "weighed.gguf").read_bytes()
    assert msgspec.to_builtins(plain)["kind"] == "Q4_K_M"
