"""Arguments for other libraries against the versions that are installed."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from tests.train.conftest import LORA, config, run_train

from afs import artifacts
from afs.errors import ConfigError
from afs.train.backends.library_arguments import check_arguments
from afs.workspace import Workspace


@dataclasses.dataclass
class New:
    eval_strategy: str = "no"
    max_length: int = 0


@dataclasses.dataclass
class Old:
    evaluation_strategy: str = "no"


def test_renamed_arguments_go_both_ways() -> None:
    assert check_arguments(New, {"evaluation_strategy": "steps", "max_seq_length": 9}) == {
        "eval_strategy": "steps",
        "max_length": 9,
    }
    assert check_arguments(Old, {"eval_strategy": "steps"}) == {"evaluation_strategy": "steps"}


def test_unknown_and_doubled_ones_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"New\.max_lenght: the installed version has no such .*'max_length'"):
        check_arguments(New, {"max_lenght": 9})
    with pytest.raises(ConfigError, match="given twice"):
        check_arguments(New, {"max_length": 9, "max_seq_length": 9})


@pytest.mark.train
def test_everything_asked_of_trl_exists_in_the_installed_version() -> None:
    from afs.train.backends.trl import sft_arguments

    found = sft_arguments(config(**LORA), "out")
    assert found["report_to"] == "none"
    assert found["bf16"] is False


@pytest.mark.train
def test_trl_trains_under_our_loop(place: Workspace) -> None:
    made = run_train(place, **LORA, trainer="trl", epochs=1)
    ours = run_train(place, **LORA, trainer="hf", epochs=1, name="ours")
    assert made.facts["steps"] == ours.facts["steps"]
    assert made.facts["last_loss"] == pytest.approx(ours.facts["last_loss"], rel=0.5)
    assert (artifacts.folder_of(place, made) / "adapter_model.safetensors").is_file()


@pytest.mark.train
def test_trl_refuses_what_it_does_not_do(place: Workspace) -> None:
    with pytest.raises(ConfigError, match="'scratch' is done by hf"):
        run_train(place, trainer="trl")


RECORDED: dict[str, dict[str, object]] = json.loads((Path(__file__).parent / "signatures.json").read_text())
"""Parameters of functions we call in libraries that need a GPU, read from their sources by version."""


def _recorded(name: str) -> Callable[..., object]:
    """A function with a recorded signature."""
    names = cast(list[str], RECORDED[name]["names"])

    def called(**_: object) -> None:
        """Nothing."""

    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(one, inspect.Parameter.KEYWORD_ONLY) for one in names]
    )
    return called


def test_everything_asked_of_unsloth_exists_in_its_source() -> None:
    from afs.train.backends.unsloth_learner import adapter_arguments, loading_arguments

    chosen = config(**LORA, checkpointing=True)
    for asked, name in (
        (loading_arguments(chosen, Path("base")), "from_pretrained"),
        (adapter_arguments(chosen), "get_peft_model"),
    ):
        known = _recorded(f"unsloth 2026.10.9 FastLanguageModel.{name}")
        assert check_arguments(known, asked) == asked


def test_unsloth_is_asked_for_the_bits_of_the_method() -> None:
    from afs.train.backends.unsloth_learner import loading_arguments

    for method, bits in (("qlora", (True, False)), ("lora8", (False, True)), ("lora", (False, False))):
        asked = loading_arguments(config(**{**LORA, "method": method}), Path("base"))
        assert (asked["load_in_4bit"], asked["load_in_8bit"]) == bits


def test_everything_asked_of_liger_exists_in_its_source() -> None:
    from afs.train.backends.liger_kernels import WANTED

    for model in ("qwen2", "llama"):
        known = _recorded(f"liger-kernel 0.8.5 apply_liger_kernel_to_{model}")
        assert check_arguments(known, WANTED) == WANTED
