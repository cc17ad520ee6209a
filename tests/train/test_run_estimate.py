"""The plan's figures against shapes that are known and against the founding documents' tables."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.train.conftest import record, store

from afs.config import decode, validate
from afs.errors import ConfigError, UsageError
from afs.train import TrainConfig, memory_estimate, run_estimate
from afs.train.memory_estimate import GIB, Setting, flops_per_token, known_shapes, memory_lines, total_bytes
from afs.train.run_estimate import Plan, PlanConfig
from afs.train.throughput_cache import remember_speed
from afs.workspace import Workspace


@pytest.fixture
def planned(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """A plan by formula, without torch."""
    monkeypatch.setattr(run_estimate.ActivationBytes, "_run", lambda self, setting: None)

    def make(**changes: object) -> Plan:
        return run_estimate.plan(decode(PlanConfig, {"model": "qwen2.5-coder-14b", **changes}), workspace)

    return make


@pytest.mark.parametrize(
    ("name", "billions", "adapter"),
    [
        ("0.5b", 0.494, 8.8),
        ("1.5b", 1.544, 18.5),
        ("3b", 3.086, 29.9),
        ("7b", 7.616, 40.4),
        ("14b", 14.770, 68.8),
        ("32b", 32.764, 134.2),
    ],
)
def test_parameters_and_adapters_of_known_shapes(name: str, billions: float, adapter: float) -> None:
    shape = known_shapes()[f"qwen2.5-{name}"]
    assert shape.parameters / 1e9 == pytest.approx(billions, abs=6e-4)
    assert shape.adapter(16) / 1e6 == pytest.approx(adapter, abs=0.06)


def test_the_founding_tables(planned: Callable[..., Plan]) -> None:
    assert planned().cards[0].verdict == "fits"
    assert planned(model="qwen2.5-coder-32b").exit_code == 3
    assert planned(model="qwen2.5-coder-14b", method="full", gpu="a100-80").exit_code == 3
    assert planned(model="qwen2.5-7b", method="lora").cards[0].verdict == "no"


def test_ten_hours_are_not_enough_for_three_epochs_on_the_small_card(planned: Callable[..., Plan]) -> None:
    card = planned().cards[0]
    assert card.hours is not None and card.hours > 40
    assert card.tokens_per_s is not None and card.tokens_per_s > 100, "and 2 to 3 tokens a second is decoding speed"


def test_whole_logits_are_what_breaks_the_small_card(planned: Callable[..., Plan]) -> None:
    held = planned(loss_chunk=0, micro_batch=2)
    assert held.cards[0].verdict == "no"
    assert held.proposals == (f"fits with loss in chunks of 512: {held_gib(planned(micro_batch=2))} GiB",)


def held_gib(found: Plan) -> str:
    return f"{found.needed / GIB:.2f}"


def test_several_savings_are_proposed_together(planned: Callable[..., Plan]) -> None:
    found = planned(method="lora", loss_chunk=0, checkpointing=False, micro_batch=4)
    assert found.exit_code == 3
    assert found.proposals[0].startswith("fits with ")
    assert "4-bit weights" in found.proposals[0]


def test_free_memory_is_put_to_use(planned: Callable[..., Plan]) -> None:
    found = planned(model="qwen2.5-3b")
    assert any("micro_batch" in proposal for proposal in found.proposals)


def test_cards_that_cannot_are_said_to(planned: Callable[..., Plan]) -> None:
    found = planned(gpu="all")
    by_name = {card.gpu: card for card in found.cards}
    assert "bf16" in by_name["titan-xp"].note
    assert by_name["titan-xp"].verdict == "no"
    assert by_name["rtx-4090"].usd is not None
    assert by_name["h200"].usd is None
    assert "price unknown" in found.text()


def test_real_lengths_are_used(planned: Callable[..., Plan], workspace: Workspace) -> None:
    store(workspace, "data", [record("x" * 32 * i, "y") for i in range(1, 101)])
    found = planned(dataset="data")
    assert found.lengths.samples == 100
    assert found.lengths.longest > found.lengths.p95 > found.lengths.mean
    assert "estimated" in found.lengths.how


def test_unknown_names_have_a_nearest(planned: Callable[..., Plan]) -> None:
    with pytest.raises(UsageError, match=r"did you mean 'qwen2\.5-7b'"):
        planned(model="qwen2.5-7bb")
    with pytest.raises(UsageError, match="did you mean 'rtx-4090'"):
        planned(gpu="rtx4090")


def test_the_text_adds_up(planned: Callable[..., Plan]) -> None:
    found = planned()
    assert sum(line.bytes for line in found.lines) == found.needed
    assert found.text().count(" GiB") >= len(found.lines)


@given(
    st.sampled_from(sorted(known_shapes())),
    st.sampled_from(["qlora", "lora8", "lora"]),
    st.integers(1, 8),
    st.integers(64, 8192),
)
def test_every_saving_saves(name: str, method: str, micro: int, length: int) -> None:
    shape = known_shapes()[name]
    setting = Setting(method=method, micro_batch=micro, length=length, chunk=0, checkpointing=False, adam_bits=32)
    needs = total_bytes(memory_lines(shape, setting))
    for smaller in (setting._replace(chunk=128), setting._replace(adam_bits=8), setting._replace(length=length // 2)):
        assert total_bytes(memory_lines(shape, smaller)) <= needs
    assert total_bytes(memory_lines(shape, setting._replace(checkpointing=True, micro_batch=1))) <= needs


@pytest.mark.train
def test_the_formula_is_what_a_dry_run_finds() -> None:
    from afs.train.backends.meta_memory import activation_bytes

    shape = known_shapes()["qwen2.5-1.5b"]
    for setting in (Setting(), Setting(dropout=0.1)):
        assert activation_bytes(shape, setting) == pytest.approx(
            memory_estimate.activation_formula(shape, setting), rel=0.02
        )


@pytest.mark.parametrize(
    ("name", "method", "table"),
    [
        ("3b", "qlora", (3.3, 3.6, 4.2)),
        ("3b", "lora", (7.3, 7.6, 8.1)),
        ("7b", "qlora", (7.0, 7.5, 8.3)),
        ("7b", "lora", (16.3, 16.8, 17.7)),
        ("14b", "qlora", (11.8, 12.5, 14.0)),
        ("32b", "qlora", (21.6, 22.6, 24.7)),
    ],
)
def test_the_table_of_the_notes(name: str, method: str, table: tuple[float, ...]) -> None:
    """The notes count adapters and their gradients in 16 bits and a fused head of 0.15 GB; ours are in 32 bits."""
    shape = known_shapes()[f"qwen2.5-{name}"]
    wider = 4 * shape.adapter(16) * 1.05
    for length, gib in zip((1024, 2048, 4096), table, strict=True):
        found = total_bytes(memory_lines(shape, Setting(method=method, length=length, chunk=88))) - wider
        assert found / GIB == pytest.approx(gib, rel=0.1)


def test_adapting_only_the_last_blocks_saves_memory_and_work() -> None:
    shape = known_shapes()["llama-3.1-8b"]
    whole = Setting(method="lora", checkpointing=False)
    half = whole._replace(last_layers=shape.layers // 2)
    assert shape.adapter(16, shape.layers // 2) == shape.adapter(16) * (shape.layers // 2) // shape.layers
    assert total_bytes(memory_lines(shape, half)) < total_bytes(memory_lines(shape, whole))
    assert 0.7 < flops_per_token(shape, half) / flops_per_token(shape, whole) < 0.8, "half of the backward pass"
    assert flops_per_token(shape, whole._replace(last_layers=shape.layers)) == flops_per_token(shape, whole)


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("micro_batch", 0), ("batch_size", 0), ("rank", -3), ("utilization", 0.0), ("dropout", 1.0)],
)
def test_numbers_that_mean_nothing_are_refused_by_name(planned: Callable[..., Plan], field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{field}: want .* got {value:g}"):
        planned(**{field: value})


def test_nested_and_tied_configs_are_read() -> None:
    """Gemma 3 keeps its language model's shape in `text_config` and leaves out that its head is tied."""
    inner = {"num_hidden_layers": 34, "hidden_size": 2560, "intermediate_size": 10240, "num_attention_heads": 8,
             "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262208, "model_type": "gemma3_text"}  # fmt: skip
    shape = memory_estimate.shape_of_table({"model_type": "gemma3", "text_config": inner})
    assert shape == known_shapes()["gemma-3-4b"]


@pytest.mark.parametrize(
    ("name", "billions"),
    [("qwen3-8b", 8.19), ("llama-3.2-1b", 1.24), ("llama-3.1-8b", 8.03), ("mistral-7b-v0.3", 7.25), ("gemma-3-1b", 1.0),
     ("phi-4", 14.7), ("phi-4-mini", 3.84), ("smollm2-135m", 0.1345), ("smollm2-1.7b", 1.71), ("qwen3-0.6b", 0.596)],
)  # fmt: skip
def test_the_shapes_have_the_published_sizes(name: str, billions: float) -> None:
    assert known_shapes()[name].parameters / 1e9 == pytest.approx(billions, rel=0.01)


def test_the_number_format_is_part_of_the_plan(planned: Callable[..., Plan]) -> None:
    sizes = {dtype: planned(method="lora", dtype=dtype).lines[0].bytes for dtype in ("auto", "bfloat16", "float32")}
    assert sizes["auto"] == sizes["bfloat16"] == sizes["float32"] / 2


@pytest.mark.train
def test_on_a_cpu_three_steps_are_measured(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afs.train.run_estimate.MEASURED_PARAMETERS", (0, 10**9))
    table = {"model": "base", "gpu": "cpu", "method": "lora", "batch_size": 2, "micro_batch": 2, "dataset": "small"}
    found = run_estimate.plan(decode(PlanConfig, table), place)
    assert found.cards[0].note == "time and memory measured in three steps"
    assert found.cards[0].tokens_per_s
    assert any("measured on this CPU" in note for note in found.notes)


def test_every_default_is_within_its_limits() -> None:
    validate(decode(PlanConfig, {"model": "qwen2.5-7b"}))
    validate(decode(TrainConfig, {"dataset": "a", "name": "b"}))


@pytest.mark.parametrize(("field", "value"), [("epochs", 0), ("learning_rate", -1.0), ("warmup", 2.0)])
def test_a_stage_that_trains_nothing_is_refused(field: str, value: float) -> None:
    stage = {"name": "main", "learning_rate": 1e-3, field: value}
    with pytest.raises(ConfigError, match=f"stages.*{field}: want .* got {value:g}"):
        decode(TrainConfig, {"dataset": "a", "name": "b", "stages": [stage]})


def test_a_speed_measured_by_the_method_goes_before_another(planned: Callable[..., Plan], workspace: Workspace) -> None:
    remember_speed(workspace, "NVIDIA GeForce RTX 4090", "qlora", 4e13)
    remember_speed(workspace, "NVIDIA GeForce RTX 4090", "full", 1e13)
    slow, quick = planned(gpu="rtx-4090", method="lora"), planned(gpu="rtx-4090", method="qlora")
    assert "10 TFLOP/s" in slow.cards[0].note
    assert "40 TFLOP/s" in quick.cards[0].note
    assert planned(gpu="rtx-3090").cards[0].note == ""
