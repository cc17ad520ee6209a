"""Near duplicates: both kernels agree, copies are found, different facts are never merged."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.curate.test_curate import store, story, take, talk

from afs import datasets
from afs.curate import near_duplicates, shingles
from afs.curate.alpha_equivalence import are_same_program as same_forms
from afs.curate.code_normalization import parse
from afs.curate.decontaminate import Decontaminate, pack_texts
from afs.curate.entity_comparison import are_same_facts
from afs.curate.held_out_items import HeldOutItem
from afs.curate.minhash_kernel import kernel
from afs.types import Message, record_id
from afs.workspace import Workspace


def have_same_facts(a: str, b: str) -> bool:
    return are_same_facts(parse(a), parse(b))


@pytest.fixture(params=["c", "numpy"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "c" and kernel() is None:
        pytest.skip("no C compiler here")
    if request.param == "numpy":
        monkeypatch.setattr(shingles, "kernel", lambda: None)
    return str(request.param)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(alphabet="ab Z9_$#\n.é", max_size=40), max_size=12), st.integers(1, 6))
def test_both_kernels_agree(texts: list[str], words: int) -> None:
    if kernel() is None:
        pytest.skip("no C compiler here")
    data, starts = pack_texts(texts)
    n = len(texts)
    left, right = (a.astype(np.uint32) for a in np.triu_indices(n, 1))
    found = []
    for engine in (kernel, lambda: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shingles, "kernel", engine)
            sketches = shingles.sketch(data, starts, words)
            all_grams, ends = shingles.grams(data, starts, words)
            wanted = np.unique(all_grams[::2])
            found.append(
                (
                    sketches.bytes.tolist(),
                    sketches.bands.tolist(),
                    all_grams.tolist(),
                    ends.tolist(),
                    shingles.jaccard(data, starts, words, left, right).tolist(),
                    [part.tolist() for part in shingles.probe(data, starts, words, wanted)],
                    [part.tolist() for part in shingles.top_columns(sketches.bytes[:, :40].astype(np.float32), 7)],
                    sorted(shingles.band_pairs(sketches.bytes, *sketches.bands[:2], 1, 1).tolist()),
                    sorted(shingles.band_pairs(sketches.bytes, *sketches.bands[:2], 1, 4).tolist()),
                )
            )
    assert found[0] == found[1]


@given(st.text(max_size=60), st.text(max_size=60))
def test_similarity_is_that_of_the_sets(a: str, b: str) -> None:
    data, starts = pack_texts([a, b])
    gram, ends = shingles.grams(data, starts, 2)
    first, second = set(gram[: int(ends[0])].tolist()), set(gram[int(ends[0]) :].tolist())
    whole = len(first | second)
    got = shingles.jaccard(data, starts, 2, np.array([0], np.uint32), np.array([1], np.uint32))[0]
    assert got == pytest.approx(len(first & second) / whole if whole else 1.0, abs=1e-6)


def words(rng: random.Random, n: int) -> list[str]:
    return [f"{rng.choice('bcdfgh')}{rng.choice('aeiou')}{rng.choice('lmnprs')}{rng.choice('aeiou')}" for _ in range(n)]


def test_edited_copies_are_paired_and_strangers_are_not(engine: str) -> None:
    rng = random.Random(3)
    base = [words(rng, 120) for _ in range(300)]
    copies = []
    for original in base[:100]:
        copy = list(original)
        for at in rng.sample(range(120), 12):
            copy[at] = "changed"
        copies.append(copy)
    with near_duplicates.Corpus() as corpus:
        for text in [*base, *copies]:
            corpus.add(" ".join(text))
        pairs = corpus.near_pairs(0.5)
    got = set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    assert len(got & {(i, 300 + i) for i in range(100)}) >= 98
    assert got <= {(i, 300 + i) for i in range(100)}
    assert (pairs.similarity >= 0.5).all()


def test_an_empty_corpus_has_no_pairs(engine: str) -> None:
    with near_duplicates.Corpus() as corpus:
        assert list(corpus.equal_groups()) == []
        assert len(corpus.near_pairs(0.5).left) == 0
    with near_duplicates.Corpus() as corpus:
        corpus.add("")
        corpus.add("")
        assert list(corpus.equal_groups()) == [[0, 1]]


FACT = "Register {0} sets the offset of the background layer when it is written twice while the screen is blanked. " * 3


PACKAGE = (
    "codec {0}\nThis package belongs to a set of tools that read and write sound in many formats, each of\n"
    "which comes in a package of its own, so that programs need to load no more than they use. {1}"
)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (FACT.format("$210D"), FACT.format("$210D").replace("offset of the", "shift of the", 1), True),
        (FACT.format("$210D"), FACT.format("$210D").replace("offset of the", "color of the"), False),
        (FACT.format("$210D"), FACT.format("$210E"), False),
        (FACT.format("BG1HOFS"), FACT.format("BG1VOFS"), False),
        (FACT.format("A"), FACT.format("X"), False),
        ("it is set", "it is not set", False),
        ("write the low byte", "write the high byte", False),
        ("start:\n    lda ($10),y  ; get", "start:\n    lda ($10),y  ; fetch", True),
        ("start:\n    lda ($10),y", "start:\n    lda $10,y", False),
        ("start:\n    clc", "start:\n    sec", False),
        ("loop:\n    inx\n    dex", "loop:\n    dex\n    inx", False),
        ("set bit 7.", "set bit 7", True),
        ("sort 3 1 2", "sort 1 3 2", False),
        ("say 3 3 2", "say 3 2", False),
        (PACKAGE.format("development files", ""), PACKAGE.format("support", ""), False),
        (PACKAGE.format("library", ""), PACKAGE.format("librray", ""), True),
        (PACKAGE.format("library", "the"), PACKAGE.format("library", "an"), True),
        (PACKAGE.format("x", ""), PACKAGE.format("x", "It overwrites the destination."), False),
        (PACKAGE.format("x", "'helo' is sent."), PACKAGE.format("x", "'ehlo' is sent."), False),
        (
            PACKAGE.format("x", "Built with Rustls, or later."),
            PACKAGE.format("x", "Built with Rustls, Schannel, or later."),
            False,
        ),
        (PACKAGE.format("x", "It is done. Later it ends."), PACKAGE.format("x", "It is done. It ends."), True),
    ],
)
def test_the_entity_guard(a: str, b: str, same: bool) -> None:
    assert have_same_facts(a, b) is have_same_facts(b, a) is same


REMARK = (
    "The matrix is scanned from the left, each cell is copied to the buffer of the next frame, and what remains of the old"
    " picture is blanked while nobody looks; that takes a third of a frame on the slower machine and less on the other."
)


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("blanked while", "while blanked", True),
        ("blanked while", "cleared out while", False),
        ("scanned", "scaned", True),
        ("of the next frame", "of of the next frame", True),
        ("from the left", "from the right", False),
        ("each cell", "each row", False),
        ("each cell", "each machine", True),
        ("while nobody looks", "while nobody looks, never before", False),
        ("slower machine", "slower machine, which has a smaller cache and no second bus", False),
        ("each cell is copied to the buffer of", "each sprite cell is copied to the sprite buffer of", False),
        ("each cell is copied to the buffer of", "a tile is copied to the tile's buffer of", False),
    ],
)
def test_words_may_be_edited_but_not_turned_into_their_opposite(before: str, after: str, same: bool) -> None:
    assert before in REMARK
    assert have_same_facts(REMARK, REMARK.replace(before, after)) is same


@given(st.text(max_size=80), st.text(max_size=80))
def test_the_guard_does_not_depend_on_the_order(a: str, b: str) -> None:
    assert have_same_facts(a, b) == have_same_facts(b, a)
    assert have_same_facts(a, a)


def are_same_program(a: str, b: str) -> bool:
    return same_forms(parse(a), parse(b))


def test_renamed_own_labels_are_one_program_other_registers_are_not() -> None:
    program = "Start:\n    LDA #$0F ; on\n    STA $2100\n    BRA Start"
    renamed = "begin:\n  lda #$f\n  sta $2100\n  bra begin"
    assert are_same_program(program, renamed)
    assert are_same_program(program, program.replace("; on", "; the screen: $0F"))
    assert not are_same_program(program, program.replace("$2100", "$2101"))
    assert not are_same_program(program, program.replace("LDA", "LDX"))
    assert not are_same_program(program, f"{program}\n    rts")


def test_the_same_labels_in_other_places_are_another_program() -> None:
    program = "one:\n  jmp two\ntwo:\n  jmp one"
    assert are_same_program(program, "two:\n  jmp one\none:\n  jmp two")
    assert not are_same_program(program, "one:\n  jmp one\ntwo:\n  jmp one")
    assert not are_same_program(program, "two:\n  jmp two\none:\n  jmp two")


def test_different_register_facts_stay_in_the_dataset(workspace: Workspace) -> None:
    records = [talk(f"What is ${r:04X}?", FACT.format(f"${r:04X}"), f"g{r}") for r in range(0x2100, 0x2130)]
    copies = [talk(f"What is ${r:04X} ?", FACT.format(f"${r:04X}"), f"g{r}") for r in range(0x2100, 0x2108)]
    store(workspace, records + copies)
    made = take(workspace, profile="code", steps=({"use": "dedup", "remove": 0.6},))
    left = sum(s.count for s in made.splits)
    assert left == 48
    assert made.counts["dropped:duplicate: near"] == 8
    assert story(workspace, made).notes["dedup"]["guarded"] > 100
    rows = (datasets.folder_of(workspace, made) / "duplicates.jsonl").read_text().splitlines()
    assert len(rows) == 8


def test_a_cap_per_cluster(workspace: Workspace) -> None:
    store(workspace, [talk(f"What is ${r:04X}?", FACT.format(f"${r:04X}"), f"g{r}") for r in range(0x2100, 0x2130)])
    made = take(workspace, steps=({"use": "dedup", "cap": 5},))
    assert made.counts["dropped:duplicate: over the cluster's cap"] >= 48 - 5 * 6


def planted(rng: random.Random, share: float, text: list[str]) -> str:
    copy = list(text)
    for at in rng.sample(range(len(copy)), int(len(copy) * share)):
        copy[at] = "other"
    return " ".join(copy)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2])
def test_leaks_are_found_through_edits_and_boilerplate_is_not_one(engine: str, share: float) -> None:
    rng = random.Random(5)
    boiler = " ".join(words(rng, 30))
    held = [words(rng, 60) for _ in range(40)]
    items = [HeldOutItem("suite", f"{boiler} {' '.join(h[:30])}", " ".join(h[30:])) for h in held]
    clean = [talk(f"{boiler} {' '.join(words(rng, 40))}", " ".join(words(rng, 40))) for _ in range(300)]
    find_leaks = [talk(boiler, planted(rng, share, h)) for h in held]
    found = Decontaminate().find_leaks([*clean, *find_leaks], items)
    assert {n for n in found if n >= 300} == set(range(300, 340))
    assert not {n for n in found if n < 300}


def test_short_items_are_compared_by_question_and_entities() -> None:
    items = [
        HeldOutItem("s", "What is 6 times 7?", "42"),
        HeldOutItem("s", "Which register blanks the screen?", "$2100"),
    ]
    records = [
        talk("what is  6 TIMES 7?", "it is 42"),
        talk("what is 6 times 8?", "48"),
        talk("Which register blanks the screen?", "not $2105"),
    ]
    assert set(Decontaminate().find_leaks(records, items)) == {0}


def test_the_suites_of_the_workspace_are_kept_out_of_training(workspace: Workspace) -> None:
    rng = random.Random(9)
    texts = [" ".join(words(rng, 50)) for _ in range(60)]
    (workspace.root / "suites").mkdir()
    (workspace.root / "suites" / "mine.jsonl").write_text(
        "".join(f'{{"prompt": "explain {t[:120]}", "reference": "{t}"}}\n' for t in texts[:20])
    )
    store(workspace, [talk(f"explain {t[:120]}", t, f"g{i}") for i, t in enumerate(texts)])
    made = take(workspace, steps=({"use": "decontaminate"},))
    train = {datasets.answer_text(r) for r in datasets.read(workspace, made, "train")}
    assert not train & set(texts[:20])
    assert made.counts["dropped:contaminated"] >= 10
    assert "mine" in str(story(workspace, made).notes["decontaminate"]["suites"])


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 1.0),
        ("one two three", 1.0),
        ("a b c d e f " * 10, 6 / 55),
        ("Wait, é\u00a0x\0y\tz\r\nq " * 3, 5 / 10),
        (" ".join(map(str, range(5000))), 1.0),
    ],
)
def test_repeated_runs_of_words_are_counted_exactly(engine: str, text: str, share: float) -> None:
    assert shingles.unrepeated_share(text, 6) == pytest.approx(share)


def test_turns_with_one_history_are_compared_by_what_is_trained(workspace: Workspace) -> None:
    history = tuple(
        message
        for n in range(6)
        for message in (
            Message(role="user", text=f"what does part {n} of the long program do when it starts?"),
            Message(
                role="assistant",
                text=f"it reads the settings of part {n}, opens its files and waits for the first call",
            ),
        )
    )
    answers = {
        "how do I stop it?": "send it the signal that its manual names and wait until it has written its state to the disk",
        "who wrote it?": "three people of a small company in the north, who sold it later to a maker of printers",
        "may I stop it how?": "send it the signal that its manual names, and wait until it has written its state to the disk",
    }
    records = []
    for question, answer in answers.items():
        turns = (*history, Message(role="user", text=question), Message(role="assistant", text=answer))
        made = msgspec.structs.replace(talk(question, answer), messages=turns, trained_turns=(len(turns) - 1,))
        records.append(msgspec.structs.replace(made, id=record_id("general", turns)))
    store(workspace, records)
    made = take(workspace, steps=({"use": "dedup"},))
    assert sum(split.count for split in made.splits) == 2
