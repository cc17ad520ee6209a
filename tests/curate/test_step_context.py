"""Spilled values come back as they were, whatever their size, and a file that was cut off is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from afs.curate.step_context import LARGEST, Spill
from afs.errors import DataError
from afs.types import Score


class Spills:
    """Makes spills in one folder, closed at the end."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path, self.stack = path, stack

    def __call__(self, name: str, limit: int = 0) -> Spill[Score]:
        return self.stack.enter_context(closing(Spill(self.path / name, Score, limit=limit)))


def scores(count: int) -> list[Score]:
    return [Score(id=str(n), version="1", reason="x" * (n * 7919 % 300_000)) for n in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Spills]:
    with ExitStack() as stack:
        yield Spills(tmp_path, stack)


def test_values_larger_than_a_block_come_back_in_order(folder: Spills) -> None:
    new_records, made = folder("a", limit=3), scores(40)
    for score in made:
        new_records.add(score)
    assert sum(len(score.reason) for score in made) > 4 << 20
    assert list(new_records) == made == list(new_records)


def test_what_a_step_gives_on_unchanged_is_the_same_on_disk_and_what_it_changed_is_not(folder: Spills) -> None:
    first, second = folder("a"), folder("b")
    for score in scores(9):
        first.add(score)
    for number, score in enumerate(first):
        given = score if number != 4 else Score(id="new", version="2")
        second.add(given, first.frame_of(given))
    second.add(Score(id="late", version="1"), first.frame_of(Score(id="late", version="1")))
    kept = scores(9)
    assert list(second) == [*kept[:4], Score(id="new", version="2"), *kept[5:], Score(id="late", version="1")]


def test_a_file_that_was_cut_off_is_noticed(folder: Spills) -> None:
    new_records = folder("a")
    for score in scores(5):
        new_records.add(score)
    list(new_records)
    with (folder.path / "a").open("r+b") as file:
        file.truncate(file.seek(0, 2) - 1)
    with pytest.raises(DataError, match="truncated"):
        list(new_records)


def test_a_few_large_values_go_to_a_file_too(tmp_path: Path) -> None:
    made = scores(6)
    with closing(Spill(tmp_path / "large", Score, size=lambda _: LARGEST // 3)) as new_records:
        for number, value in enumerate(made, 1):
            new_records.add(value)
            assert (tmp_path / "large").exists() == (number > 3)
        assert list(new_records) == made
