"""Sides by themselves: what is held out, what is moved, what keeps its place."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

import msgspec
import pytest

from afs import datasets
from afs.curate.split import Sides, SplitRule, divide_records, shortfall
from afs.errors import ConfigError
from afs.types import Curation, Message, Origin, Record
from afs.workspace import Workspace

RULE = SplitRule()


def record(name: str, group: str, question: str = "", kind: str = "qa") -> Record:
    turns = (Message(role="user", text=question or f"about {name}?"), Message(role="assistant", text=f"it is {name}"))
    return Record(id=name, domain="t", kind=kind, messages=turns, origin=Origin(source="t", group=group))


def counted(workspace: Workspace, groups: dict[str, int], rule: SplitRule = RULE) -> Sides:
    """Sides after these groups, of so many records, were counted."""
    sides = Sides(rule)
    for group, size in groups.items():
        for number in range(size):
            sides.count(record(f"{group}-{number}", group))
    sides.settle(workspace)
    return sides


def held_out(side: str, number: int = 0) -> str:
    """The name of a group that its hash puts on a side."""
    sides: Sides = Sides(RULE)
    found: list[str] = []
    for count in range(10_000):
        if sides(record("r", f"{side}{count}")) == side:
            found.append(f"{side}{count}")
            if len(found) > number:
                return found[number]
    raise AssertionError(side)


def test_the_hash_of_a_group_gives_its_side_by_the_shares() -> None:
    """The point of a group in [0, 1) falls into test, val, train in this order."""
    rule = SplitRule(train=0.5, val=0.3, test=0.2)
    sides = Sides(rule)
    found = Counter(sides(record("r", f"g{n}")) for n in range(4000))
    assert {name: round(count / 4000, 1) for name, count in found.items()} == {"test": 0.2, "val": 0.3, "train": 0.5}
    for number in range(200):
        point = int.from_bytes(blake2b(b"t|g%d" % number, digest_size=8).digest(), "big") / 2**64
        wanted = "test" if point < 0.2 else "val" if point < 0.5 else "train"
        assert sides(record("r", f"g{number}")) == wanted


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"train": 1.2, "val": -0.1, "test": -0.1}, "want shares of zero or more"),
        ({"counts": {"train": 0}}, "at least one above zero"),
        ({"counts": {"trian": 1}}, "sides are train, val and test, got trian"),
        ({"train": 0.8, "val": 0.1, "test": 0.2}, "add up to 1"),
    ],
)
def test_shares_that_cannot_be_are_refused(options: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        msgspec.convert(options, SplitRule).shares()


def test_defaults_are_eighty_ten_ten() -> None:
    assert dict(SplitRule().shares()) == {"test": 0.1, "val": 0.1, "train": 0.8}


@pytest.mark.parametrize(
    ("size", "total", "is_moved"), [(8, 60, False), (9, 60, True), (12, 120, False), (13, 120, True), (30, 400, False)]
)
def test_only_a_group_larger_than_its_side_trains(size: int, total: int, is_moved: bool) -> None:
    """A side is a tenth of everything, and never less than eight records."""
    sides, large = Sides(RULE), held_out("test")
    sizes = {large: size, held_out("test", 1): 1} | {f"train{n}": 1 for n in range(total - size - 1)}
    for group, count in sizes.items():
        for number in range(count):
            sides.count(record(f"{group}-{number}", group))
    assert sides._oversized_groups() == ({f"t|{large}": "train"} if is_moved else {})


def test_a_lone_large_group_stays_so_that_the_side_is_not_empty() -> None:
    sides = Sides(RULE)
    for number in range(90):
        sides.count(record(f"r{number}", held_out("test") if number < 30 else f"train{number}"))
    alone = not any(sides._placed(f"t|train{n}") == "test" for n in range(30, 90))
    assert sides._oversized_groups() == ({} if alone else {f"t|{held_out('test')}": "train"})


def _stored(workspace: Workspace, rule: SplitRule, sides: dict[str, str]) -> None:
    with datasets.write_dataset(workspace, "set", "dataset", splits=("train", "val", "test")) as pending:
        pending.add("train", record("r", "g"))
        curation = Curation(
            schema=2, config={"split": msgspec.to_builtins(rule)}, sources=(), read=1, funnel=(), controls=(), notes={},
            sides=sides,
        )  # fmt: skip
        (pending.writer.folder / datasets.CURATION).write_bytes(msgspec.json.encode(curation))


def test_sides_of_the_last_version_count_only_under_the_same_rule(workspace: Workspace) -> None:
    rule = SplitRule()
    group = held_out("train")
    _stored(workspace, rule, {f"t|{group}": "test"})
    same, other = Sides(rule), Sides(SplitRule(train=0.7, val=0.2, test=0.1))
    same.follow(workspace, "set")
    other.follow(workspace, "set")
    assert same(record("r", group)) == "test"
    assert other._fixed == {}


def test_groups_that_share_a_question_are_on_one_side_a_held_out_one_if_any_has_it(workspace: Workspace) -> None:
    sides = Sides(SplitRule())
    groups = [held_out("train"), held_out("train", 1)]
    for group in groups:
        sides.count(record(group, group, "the same question?"))
    for number in range(40):
        sides.count(record(f"o{number}", f"o{number}"))
    sides._fixed[f"t|{groups[1]}"] = "val"
    sides.settle(workspace)
    assert {sides(record("r", group)) for group in groups} == {"val"}


def test_links_over_most_of_the_data_are_counted_and_left(workspace: Workspace) -> None:
    sides = Sides(SplitRule())
    for number in range(10):
        sides.count(record(f"r{number}", f"g{number}", "the same question?" if number < 6 else ""))
    sides.settle(workspace)
    assert sides.unlinked == 1
    sides = Sides(SplitRule())
    for number in range(10):
        sides.count(record(f"r{number}", f"g{number}", "the same question?" if number < 5 else ""))
    sides.settle(workspace)
    assert sides.unlinked == 0 and len({sides(record("r", f"g{n}")) for n in range(5)}) == 1


def test_without_a_training_side_nothing_is_moved(workspace: Workspace) -> None:
    rule = SplitRule(counts={"test": 5, "val": 5})
    assert counted(workspace, {f"g{n}": 20 for n in range(9)}, rule).moved_groups() == {}


def test_families_are_divided_whole(workspace: Workspace) -> None:
    sides = Sides(SplitRule(by="family"))
    for number in range(90):
        sides.count(record(f"r{number}", "g", kind=f"kind{number % 30}" if number > 40 else "kind99"))
    sides.settle(workspace)
    assert sides.moved_groups() == {} and sides._evened == {}


def test_counts_take_the_same_records_and_say_what_is_missing() -> None:
    rule = SplitRule(counts={"train": 7, "val": 2, "test": 1})
    records = [record(f"r{n}", f"g{n}") for n in range(9)]
    where = {f"r{n}": side for n, side in enumerate(["train"] * 4 + ["val"] * 3 + ["test"] * 2)}
    found = list(divide_records(records, rule, lambda one: where[one.id]))
    kept = Counter(side for side, one in found if isinstance(one, Record))
    assert kept == {"train": 4, "val": 2, "test": 1}
    assert {one.detail for _, one in found if not isinstance(one, Record)} == {"val: 2", "test: 1"}
    assert shortfall(kept, rule) == {"train": 3}
    assert shortfall(Counter(train=5), SplitRule()) == {"test": 1, "val": 1}
    assert shortfall(Counter(train=5), SplitRule(train=1, val=0, test=0)) == {}
