"""Finding how many samples fit at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.train.conftest import LORA, config, run_train

from afs.errors import ConfigError, DataError, MissingError
from afs.train.backends.batch_probe import choose_kernels, largest_fitting, longest_samples, probe_micro_batch
from afs.train.training_data import gather_material
from afs.workspace import Workspace

pytestmark = pytest.mark.train


@given(st.integers(1, 64), st.integers(1, 64))
def test_the_most_that_fits_is_found_in_few_trials(room: int, limit: int) -> None:
    tried: list[int] = []

    def fits(count: int) -> bool:
        tried.append(count)
        return count <= room

    assert largest_fitting(fits, limit) == min(room, limit)
    assert len(tried) <= 1 + limit.bit_length()


def test_nothing_fits_is_said() -> None:
    with pytest.raises(DataError, match="not even one"):
        largest_fitting(lambda _: False, 8)


def test_a_child_really_trains_on_the_longest_samples(place: Workspace) -> None:
    chosen = config(**LORA)
    material = gather_material(chosen, place, lambda _: [])
    longest = longest_samples(chosen, material)
    assert len(longest) == chosen.batch_size
    assert len(longest[0].ids) >= max(len(sample.ids) for sample in longest)
    told: list[dict[str, object]] = []
    assert probe_micro_batch(chosen, material, lambda _name, **fields: told.append(fields)) == chosen.batch_size
    assert [row["fits"] for row in told] == [True]
    assert float(str(told[0]["seconds"])) > 0


@pytest.mark.parametrize(
    ("plain", "fused", "chosen"), [(1.0, 0.8, "liger"), (1.0, 1.2, "none"), (1.0, None, "none"), (None, 1.0, "liger")]
)
def test_the_quicker_kernels_are_taken_and_what_failed_is_not(
    plain: float | None, fused: float | None, chosen: str
) -> None:
    assert choose_kernels(plain, fused) == chosen


def test_kernels_asked_for_by_name_are_refused_where_they_cannot_run(place: Workspace) -> None:
    with pytest.raises((ConfigError, MissingError), match=r"liger"):
        run_train(place, **LORA, kernels="liger")
    assert run_train(place, **LORA, max_steps=1).facts["steps"] == 1
