"""Measures that need a model: meanings group and never drop, difficulty refuses what cannot tell, votes find their record."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.curate.test_curate import solved, store, story, take, talk
from tests.providers.test_sentence_encoder import encoder
from tests.train.conftest import SHAPE, sums

from afs import datasets, jsonl, manifests
from afs.curate.code_normalization import parse
from afs.curate.entity_comparison import extract_entities
from afs.curate.group_links import merge_sets
from afs.curate.instruction_difficulty import Difficulty
from afs.curate.negative_controls import Controls
from afs.curate.semantic_groups import facts_key
from afs.errors import RefusedError, UsageError
from afs.evaluate.judging import JudgeHealth
from afs.evaluate.judging.vote_collection import Vote
from afs.evaluate.report_store import StoredReport
from afs.providers.local import Local
from afs.train.backends.tiny_model import learn_tokenizer, new_model
from afs.train.settings import Shape
from afs.types import FileEntry, Record
from afs.workspace import MANIFEST, Workspace

pytestmark = pytest.mark.train


def alike(n: int) -> list[Record]:
    """Pairs with the same words in another order, under groups of their own."""
    made = []
    for i in range(n):
        made.append(talk(f"what does register {i} set", f"register {i} set the screen bright", f"left{i}"))
        made.append(talk(f"register {i} set what does", f"the screen bright register {i} set", f"right{i}"))
    return made


def test_same_meaning_is_grouped_on_one_side_and_nothing_is_dropped(workspace: Workspace, tmp_path: Path) -> None:
    store(workspace, alike(60))
    step = {"use": "semantic", "model": str(encoder(tmp_path / "m")), "threshold": 0.9, "neighbors": 120}
    made = take(workspace, steps=(step,))
    note = story(workspace, made).notes["semantic"]
    assert note["groups"] == note["pairs"] == 60
    assert int(str(note["guarded"])) > 60, "other registers are other facts, however alike"
    assert sum(s.count for s in made.splits) == 120
    sides: dict[str, set[str]] = {}
    for split in made.splits:
        for record in datasets.read(workspace, made, split.name):
            (tag,) = (t for t in record.tags if t.startswith("semantic:"))
            sides.setdefault(tag, set()).add(split.name)
            assert record.scores[0].id == "semantic-coherence" and 0 <= (record.scores[0].value or 0) <= 1
    assert len(sides) == 60 and all(len(found) == 1 for found in sides.values())
    rows = (datasets.folder_of(workspace, made) / "semantic.jsonl").read_text().splitlines()
    assert sum('"same_facts":true' in row for row in rows) == 60


def test_without_scores_only_what_could_be_joined_is_encoded_and_the_groups_are_the_same(
    workspace: Workspace, tmp_path: Path
) -> None:
    store(
        workspace, [*alike(30), *(talk(f"what sets register {i}", f"nothing sets {i} at all") for i in range(99, 140))]
    )
    step = {"use": "semantic", "model": str(encoder(tmp_path / "m")), "threshold": 0.9, "neighbors": 120}

    def groups(**more: object) -> set[tuple[str, ...]]:
        made = take(workspace, steps=(step | more,))
        found: dict[str, list[str]] = {}
        for record in datasets.read(workspace, made):
            for tag in record.tags:
                found.setdefault(tag, []).append(record.id)
        return {tuple(sorted(ids)) for ids in found.values()}

    whole = groups()
    assert groups(coherence=False) == whole and len(whole) == 30
    note = story(workspace, datasets.load(workspace, "set")).notes["semantic"]
    assert note["encoded"] == 60 and note["guarded"] is None


@given(st.lists(st.sets(st.sampled_from("abcdefghij"), min_size=1, max_size=3), max_size=12))
def test_sets_that_share_a_member_become_one(sets: list[set[str]]) -> None:
    found = merge_sets(sets)
    assert sum(map(len, found)) == len(set().union(*found)), "no member is in two of them"
    assert all(any(part <= whole for whole in found) for part in sets)
    assert set().union(*found) == set().union(*sets)


LINES = st.lists(
    st.sampled_from(["  lda #$01", "  lda #$02", "set it high", "set it low", "loop:", "a note"]), max_size=4
)


@given(LINES, LINES)
def test_the_key_of_facts_says_what_the_entity_guard_says(a: list[str], b: list[str]) -> None:
    first, second = "\n".join(a), "\n".join(b)
    same_code = parse(first).code == parse(second).code
    assert (facts_key(first) == facts_key(second)) == (
        same_code and extract_entities(first) == extract_entities(second)
    )


def test_an_item_keeps_its_side_when_one_like_it_comes(workspace: Workspace, tmp_path: Path) -> None:
    whole = alike(60)
    step = {"use": "semantic", "model": str(encoder(tmp_path / "m")), "threshold": 0.9, "neighbors": 120}

    def sides(records: list[Record]) -> dict[str, str]:
        store(workspace, records)
        made = take(workspace, steps=(step,))
        return {r.id: s.name for s in made.splits for r in datasets.read(workspace, made, s.name)}

    first = sides(whole[1::2])
    second = sides(whole)
    assert {key: second[key] for key in first} == first
    assert all(second[a.id] == second[b.id] for a, b in zip(whole[::2], whole[1::2], strict=True))
    store(workspace, whole)
    plain = take(workspace, steps=({"use": "validate"},))
    third = {r.id: s.name for s in plain.splits for r in datasets.read(workspace, plain, s.name)}
    assert third == second, "also when the step is left out again"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model")
    shape = Shape(**SHAPE)  # type: ignore[arg-type]
    tokenizer = learn_tokenizer(list(sums("say", 30)), shape)
    torch.manual_seed(1)
    new_model(tokenizer, shape).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def test_difficulty_is_the_ratio_of_two_perplexities(workspace: Workspace, small: Path) -> None:
    records = solved(20)
    store(workspace, records)
    made = take(workspace, steps=({"use": "difficulty", "model": f"local:{small}"},))
    model = Local(str(small))
    for record in datasets.read(workspace, made):
        (score,) = record.scores
        ((given, count),) = model.losses([(record.messages[:1], record.messages[1].text)])
        ((alone, _),) = model.losses(
            [((msgspec.structs.replace(record.messages[0], text=""),), record.messages[1].text)]
        )
        ratio = float(torch.tensor((given - alone) / count).exp())
        assert score.value == pytest.approx(ratio if ratio <= 1 else 0.0, abs=1e-3)
        assert score.reason.startswith("the question misleads") == (ratio > 1)
    assert story(workspace, made).notes["difficulty"]["measured"] == 20


def test_a_model_that_cannot_tell_is_refused_and_so_is_a_profile_without_its_score(
    workspace: Workspace, tmp_path: Path, small: Path
) -> None:
    store(workspace, solved(3))
    difficulty = {"use": "difficulty", "model": f"local:{small}"}
    with pytest.raises(RefusedError, match="does not report likelihoods"):
        take(workspace, steps=({"use": "difficulty", "model": "echo:"},))
    hard = tmp_path / "hard.toml"
    hard.write_text('schema = 1\nrequires = ["ifd"]\n[weights]\nifd = 1.0\n')
    with pytest.raises(RefusedError, match=r"needs ifd scores.*step `difficulty`"):
        take(workspace, profile=str(hard), steps=({"use": "score"},))
    made = take(workspace, profile=str(hard), controls=Controls(sample=0), steps=(difficulty, {"use": "score"}))
    assert sum(s.count for s in made.splits) == 3


def test_an_empty_answer_has_no_difficulty() -> None:
    assert Difficulty(model="x")._split_answer(talk("q", " ")) is None


def test_votes_become_scores_of_the_records_they_are_about(workspace: Workspace) -> None:
    records = [msgspec.structs.replace(r, origin=msgspec.structs.replace(r.origin, maker="din@1")) for r in solved(6)]
    store(workspace, records)
    tasks = [r.task.id for r in records if r.task]
    votes = [Vote(item=t, model="din@1", judge="a", criteria=(True, n > 2)) for n, t in enumerate(tasks)]
    votes += [Vote(item=tasks[0], model="din@1", judge="coin", criteria=(True, True))]
    votes += [
        Vote(item=tasks[0], model="other", judge="a", criteria=(True, True)),
        Vote(item=tasks[1], model="din@1", judge="b"),
    ]
    bad = JudgeHealth(
        judge="coin",
        votes=1,
        abstained=0,
        sensitivity=0.5,
        specificity=0.5,
        flip_rate=None,
        note="no better than chance",
    )
    with workspace.new_version("report", "answers-judged") as (ref, folder):
        path = folder / "votes.jsonl"
        jsonl.write(path, votes)
        results = FileEntry(path=path.name, size=path.stat().st_size, sha256=manifests.file_sha256(path))
        report = StoredReport(
            ref=str(ref), subject="din@1", suite="s", suite_digest="d", summary={},
            results=results, environment={"judges": [msgspec.to_builtins(bad)]},
        )  # fmt: skip
        jsonl.replace(folder / MANIFEST, msgspec.json.encode(report))
    made = take(workspace, steps=({"use": "judged", "report": "answers-judged"},))
    found = {r.task.id: r.scores[0].value for r in datasets.read(workspace, made) if r.task}
    assert [found[t] for t in tasks] == [0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    assert story(workspace, made).notes["judged"]["unfit"] == ["coin"]
    with pytest.raises(UsageError, match="no-such"):
        take(workspace, steps=({"use": "judged", "report": "no-such"},))
