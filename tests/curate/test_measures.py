"""Measures of a text: noise is distinguished from short answers in any language, and code is measured where it stands."""

from __future__ import annotations

import random

import msgspec
import pytest
from tests.curate.test_curate import store, story, take, talk

from afs.curate.good_controls import samples
from afs.curate.quality_measures import (
    measure_code_coherence,
    measure_completeness,
    measure_language,
    measure_record,
    measure_repetition,
)
from afs.curate.score_profiles import choose_profile, judge_scores, load_profile
from afs.types import Message, Record, Score, ToolCall, record_id
from afs.workspace import Workspace

FLOOR = load_profile("dialogue").floors["language"]
SHORT = (
    "Yes, that works.", "The answer is 42.", "src/main.c:42", "O(n log n)", "f(x) = x^2 + 1", "It is in WRAM at $7E0010.",
    "Use `lda #$01` there.", "Das ist richtig so.", "C'est la vie, et voilà tout.", "これは正しいと思います。", "Да, это правильно.",
    "https://example.org/docs/page", "Use HDMA, not DMA.", "1. Open it\n2. Close it", "Yes — it’s “fine”.",
)  # fmt: skip
NOISE = (
    "KQ,{C<ik@7",
    "mZ{F{W8RJVkZF?[F|Th",
    "lkjh gfds poiu ytre wqmn bvcx",
    "......!!!!!????",
    "aaaaaaaaaaaaaaaaaaaaaaaa",
)


@pytest.mark.parametrize("text", SHORT)
def test_short_answers_are_language(text: str) -> None:
    value = measure_language(talk("why?", text))
    assert value is None or value >= FLOOR


@pytest.mark.parametrize("text", NOISE)
def test_short_noise_is_not(text: str) -> None:
    value = measure_language(talk("why?", text))
    assert value is not None and value < FLOOR


def test_nine_of_ten_random_answers_of_sixteen_signs_and_more_are_found() -> None:
    rng = random.Random(1)
    made = [bytes(rng.choices(range(33, 127), k=rng.randrange(16, 48))).decode() for _ in range(400)]
    assert sum((measure_language(talk("why?", text)) or 0) < FLOOR for text in made) >= 360


def test_a_script_without_spaces_is_language() -> None:
    text = "缓存使第二次读取更快，因为第一次读取已经把文件从磁盘复制到内存中；如果文件比可用内存大，它就没有帮助。"
    assert measure_language(talk("why?", text * 3)) == 1.0


@pytest.mark.parametrize(
    ("asked", "given", "value"),
    [
        ("Why does the clock wait for the shader?", "why does the clock wait for the shader?", 0.0),
        ("Tell me: why does the clock wait for the shader?", "Why does the clock wait for the shader?", 0.0),
        ("Say these four words after me, please: one two three four", "one two three four", 1.0),
        ("Is it a large red fox?", "a large red fox", 1.0),
        ("copy 8 3 2", "8 3 2", 1.0),
    ],
)
def test_an_answer_that_is_the_question_repeats_it(asked: str, given: str, value: float) -> None:
    assert measure_repetition(talk(asked, given)) == value


def test_the_name_of_a_register_is_no_open_clause() -> None:
    values = [
        measure_completeness(talk("where to?", text)) for text in ("It goes into A", "It goes into the", "it is x or")
    ]
    assert values == [1.0, 0.3, 0.3]


def test_code_lines_are_measured_in_the_code() -> None:
    words = "A long explanation in one line goes before the code and says what each of its parts is good for. " * 8
    (code,) = measure_record(talk("write it", f"{words}\n```c\nint x = 1;\nint y = 2;\n```"), ["code-lines"])
    (blob,) = measure_record(talk("write it", f"```c\nint x = 1;\n{'1234567890,' * 90}\n```"), ["code-lines"])
    assert code.value == 1.0 and (blob.value or 0) < 0.1


@pytest.mark.parametrize("form", ["dialogue", "docs", "code", "tools"])
def test_every_good_sample_passes_its_profile(form: str) -> None:
    profile = load_profile(form)
    records = list(samples(form, "general"))
    assert len(records) >= 4
    assert [judge_scores(profile, r, measure_record(r, profile.measures()))[1] for r in records] == [""] * len(records)


def session(n: int) -> Record:
    call = ToolCall(id=f"t{n}", name="run", arguments={"command": f"wc -l part{n}.c"})
    turns = (
        Message(role="user", text=f"how many lines has part {n} of the program?"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", text=f"{n} part{n}.c", tool_call_id=call.id),
        Message(role="assistant", text=f"part{n}.c has {n} lines, so it is the part with number {n} of them all."),
    )
    made = talk("", "")
    return Record(id=record_id("general", turns), domain="general", kind="tools", messages=turns, origin=made.origin)


@pytest.mark.parametrize("profile", ["auto", "founding"])
def test_a_set_of_tool_sessions_proves_its_gate(workspace: Workspace, profile: str) -> None:
    store(workspace, [session(n) for n in range(40)])
    made = take(workspace, profile=profile, steps=({"use": "score"},))
    rows = {row.kind: row for row in story(workspace, made).controls}
    assert rows["noise"].rejected == rows["open fence"].rejected == 40
    assert rows["short noise"].rejected >= 34 and rows["echo"].rejected == rows["echo"].planted == 40
    assert sum(s.count for s in made.splits) == 40


@pytest.mark.parametrize(
    ("question", "answer", "least", "most"),
    [
        ("Store #$01 to INIDISP at $2100.", "```asm\nlda #$01\nsta $2100 ; INIDISP\nrts\n```", 0.9, 1.0),
        ("Store #$01 to INIDISP at $2100.", "```asm\nldx #$00\nstx $4200\nrts\n```", 0.4, 0.6),
        ("Load a tile with rom.ReadByte.", "```cpp\nauto b = rom.ReadByte(0x10);\nuse(b);\n```", 0.9, 1.0),
        ("Store #$01 to INIDISP at $2100.", "```\nthe weather is fine today\nand so it stays all week\n```", 0.0, 0.1),
    ],
)
def test_code_is_coherent_by_its_patterns_not_by_shared_words(
    question: str, answer: str, least: float, most: float
) -> None:
    value = measure_code_coherence(talk(question, answer))
    assert value is not None and least <= value <= most


@pytest.mark.parametrize(
    ("profile", "kind", "least"),
    [("founding", "asm", 0.4), ("founding", "debug", 0.3), ("founding", "docs", 0.6), ("founding", "code", 0.5),
     ("auto", "asm", 0.4), ("auto", "debug", 0.3), ("auto", "docs", 0.6), ("auto", "code", 0.6)],
)  # fmt: skip
def test_least_totals_follow_the_kind_of_a_record(profile: str, kind: str, least: float) -> None:
    record = msgspec.structs.replace(talk("what is it", "it is this"), kind=kind)
    table = load_profile(choose_profile(record) if profile == "auto" else profile)
    flat = msgspec.structs.replace(table, floors={}, requires=())

    def judge(total: float) -> str:
        scores = [Score(id=name, version="1", value=total) for name in table.weights]
        return judge_scores(flat, record, scores)[1]

    assert judge(least + 0.01) == "" and judge(least - 0.01) == "total below the least"
