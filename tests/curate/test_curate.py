"""Curate: nothing vanishes, the gate is proved, sides never change."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afs import datasets, runs
from afs.curate import CurateConfig, Curation, curate
from afs.curate.group_keys import family_of, group_key
from afs.curate.negative_controls import Controls
from afs.curate.split import Sides, SplitRule, largest_remainder
from afs.curate.stratify import Group, balance_sides
from afs.domains.base import Block, Finding
from afs.domains.sums import DOMAIN
from afs.errors import ConfigError, RefusedError, UsageError
from afs.types import Dataset, Message, Origin, Record, Task, record_id
from afs.workspace import Workspace


def talk(question: str, answer: str, group: str = "", task: Task | None = None, license: str = "MIT") -> Record:
    turns = (Message(role="user", text=question), Message(role="assistant", text=answer))
    origin = Origin(source="test", license=license, group=group)
    domain = task.domain if task else "general"
    return Record(id=record_id(domain, turns), domain=domain, kind="pair", messages=turns, origin=origin, task=task)


def solved(n: int, seed: int = 1, family: str = "sort") -> list[Record]:
    return [talk(task.prompt, task.reference, f"{family}#{task.group}", task) for task in DOMAIN.tasks(family, seed, n)]


def store(workspace: Workspace, records: list[Record], name: str = "raw") -> Dataset:
    workspace.settings = msgspec.structs.replace(workspace.settings, jobs=1)
    with datasets.write_dataset(workspace, name, "records") as pending:
        for record in records:
            pending.add("all", record)
    return pending.dataset


def take(workspace: Workspace, **options: object) -> Dataset:
    config = CurateConfig(**{"sources": ("raw",), "name": "set"} | options)
    with runs.open_run(workspace, "curate", config) as run:
        return curate(config, run)


def story(workspace: Workspace, made: Dataset) -> Curation:
    path = datasets.folder_of(workspace, made) / "curation.json"
    return msgspec.json.decode(path.read_bytes(), type=Curation)


def test_wrong_answers_are_dropped_by_the_pack_and_counted(workspace: Workspace) -> None:
    good = solved(60)
    bad = [talk(r.messages[0].text, "1 2 3 99", r.origin.group, r.task) for r in good[:7]]
    store(workspace, good + bad)
    made = take(workspace)
    assert sum(s.count for s in made.splits) == 60
    assert made.counts["dropped:score: verdict below its floor"] == 7
    assert made.counts["read"] == 67
    assert all(d.detail.startswith("want") for d in datasets.read_dropped(workspace, made))


def test_planted_controls_are_part_of_the_run(workspace: Workspace) -> None:
    store(workspace, solved(50))
    controls = story(workspace, take(workspace)).controls
    assert {c.kind for c in controls if not c.good} == {"empty", "prose", "echo", "extra", "off by one"}
    assert all(c.rejected == (0 if c.good else c.planted) for c in controls)


def test_good_records_of_every_form_are_planted_and_kept(workspace: Workspace, tmp_path: Path) -> None:
    kinds = ("code", "docs", "chat", "tools", "asm")
    routine = "```asm\nStart:\n    sep #$20\n    lda #$01\n    sta $2100\n    rts\n```"
    records = []
    for n, kind in enumerate(kinds * 4):
        made = talk(
            f"what does register {n} do at all?", routine if kind == "asm" else f"it is number {n} of {kind} " * 6
        )
        records.append(msgspec.structs.replace(made, kind=kind, domain="snes" if kind == "asm" else "general"))
    store(workspace, records)
    rows = story(workspace, take(workspace, steps=({"use": "score"},))).controls
    good = {row.kind: row for row in rows if row.good}
    assert set(good) == {"good asm", "good code", "good dialogue", "good docs", "good tools"}
    assert all(row.planted and not row.rejected for row in good.values())
    strict = tmp_path / "strict.toml"
    strict.write_text(
        "schema = 1\nleast = 0.99\n[weights]\nlength = 1.0\nlanguage = 1.0\n[floors]\nstructure = 1.0\nfences = 1.0\nphrases = 1.0\nrepetition = 1.0\n"
    )
    with pytest.raises(RefusedError, match="good kept"):
        take(workspace, profile=str(strict), steps=({"use": "score"},), controls=Controls(reject=0.0))


def test_a_gate_that_lets_bad_ones_in_refuses(workspace: Workspace, tmp_path: Path) -> None:
    store(workspace, solved(20))
    lax = tmp_path / "lax.toml"
    lax.write_text("schema = 1\n[weights]\nrepetition = 1.0\n")
    with pytest.raises(RefusedError, match="failed its controls"):
        take(workspace, profile=str(lax))
    assert workspace.versions("dataset", "set") == []


def test_a_profile_without_its_checker_refuses(workspace: Workspace) -> None:
    store(workspace, [talk("what is X?", "an index register, " * 5)])
    with pytest.raises(RefusedError, match="no pack is called 'general'"):
        take(workspace, profile="asm")
    with pytest.raises(RefusedError, match="has no task"):
        take(workspace, profile="verified")


def test_copies_leave_the_best_one(workspace: Workspace) -> None:
    records = solved(40)
    shouted = [talk(r.messages[0].text.upper() + "  ", r.messages[1].text, r.origin.group, r.task) for r in records[:5]]
    store(workspace, records + shouted)
    made = take(workspace)
    assert made.counts["dropped:duplicate: equal"] == 5
    assert sum(s.count for s in made.splits) == 40


ANSWERS = (
    "the header comes first and is checked before anything else",
    "a pointer to the next block lies at the end of every page",
    "nothing is copied twice, which keeps the bus free for the sound",
    "the table is sorted, so the search may stop in the middle",
)


def test_a_question_of_several_groups_keeps_them_on_one_side_and_nothing_is_lost(workspace: Workspace) -> None:
    records = [
        talk(f"question number {i // 2}?", f"answer {i}: {ANSWERS[i % 4]} {i * 7919}", f"g{i}") for i in range(240)
    ]
    store(workspace, records)
    made = take(workspace, profile="code", controls=Controls(sample=0), steps=({"use": "validate"},))
    sides = {
        split.name: {datasets.question_text(r) for r in datasets.read(workspace, made, split.name)}
        for split in made.splits
    }
    assert not sides["train"] & sides["test"] and not sides["train"] & sides["val"] and not sides["val"] & sides["test"]
    assert sum(split.count for split in made.splits) == 240
    assert min(split.count for split in made.splits) >= 12


def test_a_question_everybody_asks_joins_nothing_and_loses_nothing(workspace: Workspace) -> None:
    store(workspace, [talk("continue", f"{ANSWERS[i % 4]} {i * 7919}", f"g{i}") for i in range(120)])
    made = take(workspace, profile="code", controls=Controls(sample=0), steps=({"use": "validate"},))
    assert sum(split.count for split in made.splits) == 120
    assert min(split.count for split in made.splits) >= 6
    assert any("two sides" in warning for warning in story(workspace, made).warnings)


def test_near_copies_and_clusters_are_on_one_side(workspace: Workspace) -> None:
    body = [f"{ANSWERS[n % 4]}, step {n}: " + " ".join(f"word{n}x{k}" for k in range(40)) for n in range(100)]
    records = [
        talk(f"how does part {n} work?", f"{body[n]} and{' ' * copy}then {'it stops' if copy else 'goes back'}", f"g{n}.{copy}")
        for n in range(100) for copy in range(2)
    ]  # fmt: skip
    tagged = [
        msgspec.structs.replace(talk(f"tag {n}?", f"{ANSWERS[n % 4]} {n * 7919}", f"t{n}"), tags=(f"cluster:{n // 3}",))
        for n in range(30)
    ]
    store(workspace, records + tagged)
    made = take(workspace, steps=({"use": "dedup", "remove": 1.0},))
    side = {r.origin.group: split.name for split in made.splits for r in datasets.read(workspace, made, split.name)}
    assert len(side) == 230
    assert all(side[f"g{n}.0"] == side[f"g{n}.1"] for n in range(100))
    assert all(side[f"t{n}"] == side[f"t{n - n % 3}"] for n in range(30))
    assert len(set(side.values())) == 3


def test_facts_may_be_divided_by_wording(workspace: Workspace) -> None:
    forms = [f"Form {chr(97 + k)}: say what the {{}} register holds" for k in range(20)]
    records = [
        talk(forms[k].format(f"${r:04X}"), f"${r:04X} holds {r}", f"r{r}")
        for r in range(0x2100, 0x2110)
        for k in range(20)
    ]
    store(workspace, records)
    made = take(workspace, split=SplitRule(by="wording"), steps=({"use": "validate"},))
    asked = {
        split.name: {datasets.question_text(r)[:6] for r in datasets.read(workspace, made, split.name)}
        for split in made.splits
    }
    assert not asked["train"] & asked["test"] and asked["test"] and asked["val"]
    assert made.counts["split by wording"] == 320
    assert any("by wording" in warning for warning in story(workspace, made).warnings)


def test_an_empty_dataset_is_refused_with_the_causes(workspace: Workspace) -> None:
    store(
        workspace,
        [
            talk(f"question {n} about this?", "I'm sorry, but as an AI language model I cannot.", f"g{n}")
            for n in range(9)
        ],
    )
    with pytest.raises(
        RefusedError, match=r"no record is left.*9 of 9 records dropped \(score: phrases below its floor 9\)"
    ):
        take(workspace, controls=Controls(sample=0), steps=({"use": "score"},))
    assert workspace.versions("dataset", "set") == []
    assert len(list(workspace.root.glob("runs/*/dropped.jsonl"))) == 1


class OtherDialect:
    """A pack that reads Asar's dialect and finds fault with everything."""

    name, version, dialects, controls = "other", "1", ("asar",), ("x",)

    def extract(self, text: str) -> tuple[Block, ...]:
        return (Block(kind="code", text=text),)

    def lint(self, text: str) -> tuple[Finding, ...]:
        return (Finding(rule="unknown_mnemonic", message="what is this?", severity="error"),)


@pytest.mark.parametrize(("dialect", "kept"), [("ca65", 12), ("asar", 0)])
def test_code_in_a_dialect_the_pack_does_not_read_is_judged_by_form(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, dialect: str, kept: int
) -> None:
    monkeypatch.setattr("afs.answer_verifier.load_pack", lambda _: OtherDialect())
    monkeypatch.setattr("afs.curate.score.Gate._has_pack", lambda *_: True)
    code = "    .proc copy{0}\n    lda src{0}\n    sta dst{0}\n    rts\n    .endproc  ; {0}"
    records = [
        msgspec.structs.replace(talk(f"Copy a byte, {n}", code.format(n), f"g{n}"), kind="asm", tags=(f"dialect:{dialect}",))
        for n in range(12)
    ]  # fmt: skip
    store(workspace, records)
    options: dict[str, object] = {"profile": "asm", "controls": Controls(sample=0), "steps": ({"use": "score"},)}
    if kept:
        assert sum(split.count for split in take(workspace, **options).splits) == kept
    else:
        with pytest.raises(RefusedError, match=r"lint below its floor \[unknown_mnemonic\] 12"):
            take(workspace, **options)


def test_an_item_never_changes_side_when_data_is_added(workspace: Workspace) -> None:
    def sides(made: Dataset) -> dict[str, str]:
        return {r.id: s.name for s in made.splits for r in datasets.read(workspace, made, s.name)}

    store(workspace, solved(100))
    before = sides(take(workspace))
    store(workspace, solved(100) + solved(200, seed=2) + solved(50, family="add"))
    after = sides(take(workspace))
    assert all(after[key] == side for key, side in before.items() if key in after)
    assert len(after) > len(before)


def test_counts_are_exact_and_a_shortfall_is_said(workspace: Workspace) -> None:
    store(workspace, solved(300))
    made = take(workspace, split=SplitRule(counts={"train": 100, "val": 10, "test": 10}))
    assert {s.name: s.count for s in made.splits} == {"train": 100, "val": 10, "test": 10}
    more = take(workspace, split=SplitRule(counts={"train": 1000, "val": 10, "test": 10}))
    assert more.counts["shortfall:train"] == 1000 - datasets.find_split(more, "train").count > 0


def test_the_same_command_gives_the_same_dataset(workspace: Workspace) -> None:
    store(workspace, solved(80))
    assert take(workspace).digest == take(workspace).digest


def test_config_errors_name_the_field(workspace: Workspace) -> None:
    store(workspace, solved(5))
    with pytest.raises(UsageError, match="no step is called 'dedpu'; did you mean 'dedup'"):
        take(workspace, steps=({"use": "dedpu"},))
    with pytest.raises(ConfigError, match=r"steps\[0\]\.use"):
        take(workspace, steps=({"threshold": 1},))
    with pytest.raises(ConfigError, match="no profile is called 'dialog'; did you mean 'dialogue'"):
        take(workspace, profile="dialog")
    with pytest.raises(ConfigError, match="train, val and test"):
        take(workspace, split=SplitRule(counts={"trian": 3}))


def test_a_group_too_large_for_a_side_is_trained_on_and_never_moves_again(workspace: Workspace) -> None:
    held = next(f"big{i}" for i in range(99) if Sides(SplitRule())(talk("q", "a", f"big{i}")) == "test")
    many = [talk(f"q{i}", f"a{i}", held if i < 200 else f"g{i}") for i in range(400)]

    def sides(records: list[Record]) -> dict[str, str]:
        store(workspace, records)
        made = take(workspace, steps=({"use": "validate"},))
        return {r.id: s.name for s in made.splits for r in datasets.read(workspace, made, s.name)}

    first = sides(many)
    assert {first[r.id] for r in many[:200]} == {"train"}
    assert 10 <= list(first.values()).count("test") <= 40
    second = sides([*many, *(talk(f"n{i}", f"m{i}", f"n{i}") for i in range(4000))])
    assert {key: second[key] for key in first} == first, "also when it would no longer be too large"
    small = sides([*many[150:200], *(talk(f"n{i}", f"m{i}", f"n{i}") for i in range(4000))])
    assert {small[r.id] for r in many[150:200]} == {"train"}


def test_a_held_out_group_stays_held_out_when_it_grows(workspace: Workspace) -> None:
    held = next(f"big{i}" for i in range(99) if Sides(SplitRule())(talk("q", "a", f"big{i}")) == "test")
    store(workspace, [talk(f"q{i}", f"a{i}", held if i < 5 else f"g{i}") for i in range(100)])
    take(workspace, steps=({"use": "validate"},))
    store(workspace, [talk(f"q{i}", f"a{i}", held if i < 60 else f"g{i}") for i in range(140)])
    made = take(workspace, steps=({"use": "validate"},))
    assert {r.origin.group for r in datasets.read(workspace, made, "test")} >= {held}
    assert held not in {r.origin.group for r in datasets.read(workspace, made, "train")}


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 1000), min_size=1, max_size=8), st.integers(0, 500))
def test_allocations_add_up(weights: dict[str, int], total: int) -> None:
    given_out = largest_remainder(weights, total)
    assert sum(given_out.values()) == (total if sum(weights.values()) else 0)
    assert all(n >= 0 for n in given_out.values())


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, unique=True, max_size=50))
def test_a_group_has_one_side(groups: list[str]) -> None:
    side = Sides(SplitRule())
    for name in groups:
        records = [talk(f"q{i}", f"a{i}", name) for i in range(3)]
        assert len({side(r) for r in records}) == len({group_key(r) for r in records}) == 1


def test_two_processes_write_the_dataset_of_one(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afs.curate.score._MANY", 100)
    rng = random.Random(4)
    texts = [
        " ".join(rng.choices(("load", "store", "$2100", "index", "loop", "carry", "frame"), k=60)) for _ in range(600)
    ]
    texts += [text.replace("load", "LOAD") for text in texts[:50]] + ["I'm sorry, but no."] * 3
    store(workspace, [talk(f"what is number {n}?", f"{text}.", f"g{n}") for n, text in enumerate(texts)])
    digests = []
    for jobs in (1, 2):
        workspace.settings = msgspec.structs.replace(workspace.settings, jobs=jobs)
        made = take(workspace, profile="dialogue", controls=Controls(sample=0))
        digests.append((made.digest, made.counts))
        scores = [s for r in datasets.read(workspace, made) for s in r.scores if s.id == "repetition"]
        assert scores and all(s.value is not None for s in scores)
    assert digests[0] == digests[1]
    events = b"".join(path.read_bytes() for path in workspace.root.glob("runs/*/events.jsonl"))
    assert b"curate.done" in events and b"curate.worker" not in events


def shares_of(workspace: Workspace, made: Dataset, side: str) -> dict[str, float]:
    """Family -> its share of records on this side."""
    sizes, there = Counter[str](), Counter[str]()
    for split in made.splits:
        for record in datasets.read(workspace, made, split.name):
            sizes[family_of(record)] += 1
            there[family_of(record)] += split.name == side
    return {name: there[name] / size for name, size in sizes.items()}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_family_has_its_share_of_every_side(workspace: Workspace, seed: int) -> None:
    families = ("sort", "add", "reverse", "copy")
    store(workspace, [r for name in families for r in solved(100, seed, name)])
    made = take(workspace, steps=({"use": "validate"},))
    for side in ("val", "test"):
        found = shares_of(workspace, made, side)
        assert set(found) == set(families) and all(0.07 <= share <= 0.13 for share in found.values())


def test_evening_out_never_moves_what_was_there_before(workspace: Workspace) -> None:
    def sides(count: int) -> dict[str, str]:
        store(workspace, [r for name in ("sort", "add") for r in solved(count, 5, name)])
        made = take(workspace, steps=({"use": "validate"},))
        return {r.id: s.name for s in made.splits for r in datasets.read(workspace, made, s.name)}

    first, second, third = sides(40), sides(70), sides(160)
    assert {key: second[key] for key in first} == first
    assert {key: third[key] for key in second} == second


def test_a_mixture_takes_from_every_side(workspace: Workspace) -> None:
    store(workspace, [talk(f"q{i}", f"a{i}") for i in range(1000)])
    made = take(workspace, steps=({"use": "mix", "total": 200},))
    assert 0.7 <= datasets.find_split(made, "train").count / 200 <= 0.9


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["train", "val", "test"]), st.booleans()), max_size=60),
)
def test_every_move_between_sides_brings_a_family_nearer_to_its_shares(found: list[tuple[int, str, bool]]) -> None:
    shares = {"test": 0.1, "val": 0.1, "train": 0.8}
    groups = [Group(str(n), size, side, is_new) for n, (size, side, is_new) in enumerate(found)]
    moved_groups = balance_sides(groups, shares)
    assert all(groups[int(key)].is_new for key in moved_groups)
    total = sum(g.size for g in groups)
    for side in ("val", "test"):
        before, after = (
            abs(shares[side] * total - sum(g.size for g in groups if where.get(g.key, g.side) == side))
            for where in ({}, moved_groups)
        )
        assert after <= before


def test_answers_to_one_question_are_on_one_side_and_none_is_lost(workspace: Workspace) -> None:
    store(workspace, [talk(f"what is part {q}?", f"part {q} is number {k}") for q in range(60) for k in range(8)])
    made = take(workspace, steps=({"use": "validate"},))
    assert sum(s.count for s in made.splits) == 480
    assert 0.7 <= datasets.find_split(made, "train").count / 480 <= 0.9


def test_sides_of_a_dataset_that_an_earlier_version_divided_are_kept(workspace: Workspace) -> None:
    store(workspace, [talk(f"what is part {q}?", f"part {q} is a part") for q in range(40)])
    made = take(workspace, steps=({"use": "validate"},))
    path = datasets.folder_of(workspace, made) / "curation.json"
    path.write_text(path.read_text().replace('"schema": 2,', ""))
    before = {r.id: s.name for s in made.splits for r in datasets.read(workspace, made, s.name)}
    turned = {key: {"train": "val", "val": "train"}.get(side, side) for key, side in before.items()}
    with datasets.write_dataset(workspace, "set", "dataset", splits=("train", "val", "test")) as pending:
        for record in datasets.read(workspace, made):
            pending.add(turned[record.id], record)
        (pending.writer.folder / "curation.json").write_bytes(path.read_bytes())
    again = take(workspace, steps=({"use": "validate"},))
    assert {r.id: s.name for s in again.splits for r in datasets.read(workspace, again, s.name)} == turned


def test_shares_of_the_sides_add_up_to_one(workspace: Workspace) -> None:
    store(workspace, solved(20))
    with pytest.raises(ConfigError, match=r"add up to 1, got 1.2 \(test 0.1, val 0.6, train 0.5\)"):
        take(workspace, split=SplitRule(train=0.5, val=0.6))
    take(workspace, split=SplitRule(train=0.333, val=0.333, test=0.333), steps=({"use": "validate"},))


def test_a_rule_may_have_the_name_of_an_argument(workspace: Workspace) -> None:
    path = "It wrote /home/jdoe/notes and stopped; ask jdoe for the rest of it."
    store(workspace, [talk("Where did the build write its notes?", path)])
    made = take(workspace, steps=({"use": "redact"},), controls=Controls(sample=0))
    assert story(workspace, made).notes["redact"] == {"home-path": 1, "name": 1}
