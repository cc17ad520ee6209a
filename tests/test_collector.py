"""The collector is paused, and as it was afterwards."""

from __future__ import annotations

import gc

import pytest

from afs.gc_pause import pause_collector


def test_the_collector_waits_and_is_as_it_was_afterwards() -> None:
    assert gc.isenabled()
    with pytest.raises(ValueError, match="x"), pause_collector():
        assert not gc.isenabled()
        with pause_collector():
            pass
        assert not gc.isenabled(), "the outer one still holds"
        raise ValueError("x")
    assert gc.isenabled()
