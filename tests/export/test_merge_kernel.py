"""The merge's inner loops: C and numpy make the same bits, and say when a value is no number."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import numpy as np
import pytest

from afs.export import merge_kernel, nf4_rounding


@pytest.fixture(params=["c", "numpy"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each way of computing in turn."""
    loaded = merge_kernel.library()
    if request.param == "c" and loaded is None:
        pytest.skip("no C compiler and no built extension here")
    monkeypatch.setattr(merge_kernel, "library", (lambda: loaded) if request.param == "c" else (lambda: None))
    yield request.param


def values(count: int = 4096) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(count).astype(np.float32)


def test_bf16_is_rounded_to_nearest_with_ties_to_even(path: str) -> None:
    exact = np.array([1.0, 1.0 + 2**-8, 1.0 + 3 * 2**-8, -1.0 - 2**-8, 1.0 + 2**-8 + 2**-20], dtype=np.float32)
    bits, is_sound = merge_kernel.narrow(exact)
    assert is_sound
    assert merge_kernel.widen(bits).tolist() == [1.0, 1.0, 1.0 + 2**-6, -1.0, 1.0 + 2**-7]


def test_widening_is_exact_and_narrowing_undoes_it(path: str) -> None:
    bits = merge_kernel.narrow(values())[0]
    assert (merge_kernel.narrow(merge_kernel.widen(bits))[0] == bits).all()


def test_a_sum_is_rounded_once(path: str) -> None:
    base, delta = merge_kernel.narrow(values())[0], values()[::-1] * np.float32(1e-3)
    made, is_sound = merge_kernel.add(base, delta)
    assert is_sound
    assert (made == merge_kernel.narrow(merge_kernel.widen(base) + delta)[0]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_told(path: str, bad: float) -> None:
    delta = values()
    delta[1234] = bad
    assert not merge_kernel.narrow(delta)[1]
    assert not merge_kernel.add(np.zeros(len(delta), dtype=np.uint16), delta)[1]
    assert merge_kernel.narrow(values())[1]


def test_an_overflow_to_infinity_is_told(path: str) -> None:
    largest = np.full(4, np.finfo(np.float32).max, dtype=np.float32)
    base = merge_kernel.narrow(np.full(4, 3e38, dtype=np.float32))[0]
    assert not merge_kernel.add(base, largest)[1]


def test_each_block_of_64_has_its_own_largest_magnitude(path: str) -> None:
    blocks = values().reshape(-1, 64)
    assert (merge_kernel.largest(blocks) == np.abs(blocks).max(-1)).all()


def test_the_nearest_level_is_taken(path: str) -> None:
    numbers = values()
    numbers[:64] = 0
    largest = merge_kernel.largest(numbers)
    told = merge_kernel.nearest(numbers, nf4_rounding.LEVELS, nf4_rounding.LEVELS * largest[:, None]).reshape(-1, 64)
    wanted = nf4_rounding.LEVELS[None, None] * largest[:, None, None]
    distance = np.abs(wanted - numbers.reshape(-1, 64, 1)).min(-1)
    assert np.abs(np.abs(told - numbers.reshape(-1, 64)) - distance).max() < 1e-6


def test_the_library_says_its_version() -> None:
    loaded = merge_kernel.library()
    if loaded is None:
        pytest.skip("no C compiler and no built extension here")
    assert isinstance(loaded, ctypes.CDLL)
    assert loaded.afs_merge_version() == merge_kernel.VERSION
