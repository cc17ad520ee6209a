"""Provenance of notes: what is invented, cited wrongly, stale or secret is seen; what is the same stays the same."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from afs import answer_verifier, datasets, jsonl, runs
from afs.domains.memory import grounding, notes, sessions
from afs.domains.memory.log_writer import LogConfig, write_log
from afs.domains.memory.note_judge import judge_notes
from afs.domains.memory.notes import Note
from afs.domains.memory.pack import DOMAIN
from afs.domains.memory.sessions import MemorySession, SessionTurn
from afs.generate import GenerateConfig, generate
from afs.ingest import IngestConfig, ingest
from afs.providers.base import Sampling
from afs.providers.replay import Recorded, conversation_key
from afs.types import Completion, Dataset, Record, Task
from afs.workspace import Workspace

SESSION = MemorySession(
    messages=(
        SessionTurn(role="user", text="The sprite table moved to gfx/boss.bin, it has 12 entries."),
        SessionTurn(role="assistant", text="I ran `make rom`: 3 of 41 tests fail in tests/door.asm."),
    )
)


@pytest.mark.parametrize(
    ("answer", "stage"),
    [
        ("- the sprite table is in gfx/boss.bin [1]", "match"),
        ("- 3 of 41 tests fail in tests/door.asm [2]", "match"),
        ("- `make rom` fails 3 tests [2]\n- the sprite table has 12 entries [1]", "match"),
        ("- tests fail, the table has 12 entries [1, 2]", "match"),
        ("", "extract"),
        ("The table moved.", "extract"),
        ("- the sprite table moved [1]\nThat is all.", "form"),
        ("- the sprite table moved", "extract"),
        ("- tests fail [2]\n- a table moved [1]", "form"),
        ("- tests fail [2]\n- tests fail [2]", "form"),
        ("- the sprite table moved [3]", "cite"),
        ("- the sprite table moved [0]", "cite"),
        ("- the sprite table moved [2]", "ground"),
        ("- the sprite table is in gfx/bos.bin [1]", "ground"),
        ("- the sprite table is in boss.bin [1]", "ground"),
        ("- the table has 1 entries [1]", "ground"),
        ("- 4 of 41 tests fail [2]", "ground"),
        ("- the tests do not fail [2]", "ground"),
        ("- everything else went well [2]", "ground"),
        ("- the password is hunter2 [1]", "secret"),
    ],
)
def test_a_claim_rests_on_the_message_it_cites(answer: str, stage: str) -> None:
    reached, problem, _ = judge_notes(SESSION, answer)
    assert (reached, not problem) == (stage, stage == "match"), problem


def test_entities_are_found_whole() -> None:
    text = "run `make rom` with --fast on src/a.asm at $7E0010, 12 times, in door_list, not twice"
    assert set(grounding.find_entities(text)) == {
        "make rom", "--fast", "src/a.asm", "$7E0010", "12", "door_list", "not", "twice"
    }  # fmt: skip
    assert grounding.contains_entity("12", "it took 12 s.") and not grounding.contains_entity(
        "12", "it took 120 s, at 3:12, 12.5 or $12"
    )


def test_memory_does_not_depend_on_the_order_of_a_history() -> None:
    rng = random.Random(7)
    for _ in range(50):
        base = sessions.draw_session(sessions.FULL._replace(newer=0.0), rng)
        other = sessions.reorder(base, rng)
        told = [notes.format_notes([(f.claim, f.message) for f in one.facts]) for one in (base, other)]
        claims = [[line.rpartition(" [")[0] for line in text.splitlines()] for text in told]
        assert claims[0] == claims[1]
        assert all(judge_notes(*pair)[0] == "match" for pair in zip((base, other), told, strict=True))


def test_an_earlier_note_stays_word_for_word_unless_it_was_replaced() -> None:
    for task in DOMAIN.tasks("extend", 1, 40):
        kept = task.spec["kept"]
        assert isinstance(kept, tuple) and kept
        claim, _, cited = kept[0].rpartition(" [")
        reworded = task.reference.replace(f"{claim} [{cited}", f"{claim} indeed [{cited}")
        assert answer_verifier.check_answer(task, reworded).ok is False
        assert task.prompt.startswith("Memory so far:") and all(line in task.prompt for line in kept)


def test_every_planted_note_is_rejected_in_sessions_from_logs_too(tmp_path: Path, workspace: Workspace) -> None:
    judged: Counter[str] = Counter()
    for task in tasks_of_log(tmp_path, workspace, full=True):
        assert answer_verifier.check_answer(task, task.reference).ok, answer_verifier.check_answer(task, task.reference)
        for kind, bad in DOMAIN.wrong_answers(task):
            judged[kind] += 1
            assert answer_verifier.check_answer(task, bad).ok is False, (kind, bad, task.prompt)
    assert judged["invented path"] == 30


def log_of(tmp_path: Path, workspace: Workspace, *, count: int = 30, full: bool = False) -> Dataset:
    """An agent's log, read in."""
    write_log(LogConfig(folder=tmp_path / "logs", count=count, full=full))
    config = IngestConfig(kind="claude-code", paths=(tmp_path / "logs",), name="log")
    with runs.open_run(workspace, "ingest", config) as run:
        return ingest(config, run)


def tasks_of_log(tmp_path: Path, workspace: Workspace, *, full: bool = False) -> list[Task]:
    dataset = log_of(tmp_path, workspace, full=full)
    config = GenerateConfig(domain="memory", source=dataset.ref, name="notes")
    with runs.open_run(workspace, "generate", config) as run:
        made = generate(config, run)
    return [r.task for r in datasets.read(workspace, made) if r.task is not None]


def test_a_teacher_s_notes_are_kept_or_dropped_with_the_reason(tmp_path: Path, workspace: Workspace) -> None:
    """Recorded answers of a teacher: right ones, an invented path, a missing citation."""
    tasks = tasks_of_log(tmp_path, workspace)
    sampling = Sampling(max_tokens=200)
    bad = {0: "invented path", 1: "no citation"}
    rows = [
        Recorded(
            key=conversation_key(datasets.task_messages(task.prompt, task.system), sampling),
            completion=Completion(
                text=dict(DOMAIN.wrong_answers(task))[bad[n]] if n in bad else task.reference, model="teacher"
            ),
        )
        for n, task in enumerate(tasks)
    ]
    jsonl.write(tmp_path / "teacher.jsonl", rows)
    config = GenerateConfig(
        domain="memory", source="log", name="taught", teacher=f"replay:{tmp_path / 'teacher.jsonl'}", sampling=sampling
    )
    with runs.open_run(workspace, "generate", config) as run:
        made = generate(config, run)
    kept: list[Record] = list(datasets.read(workspace, made))
    dropped = {d.record.task.id: d for d in datasets.read_dropped(workspace, made) if d.record.task}
    assert len(kept) == len(tasks) - 2
    assert dropped[tasks[0].id].reason == "verdict:ground"
    assert dropped[tasks[1].id].reason in ("verdict:extract", "verdict:form")
    assert "ghost.asm" in dropped[tasks[0].id].record.verdicts[0].reason
    assert all(record.origin.maker.startswith("replay:") for record in kept)


def test_lint_names_lines_and_secrets() -> None:
    assert [f.rule for f in DOMAIN.lint("- a [1]\nprose\n- the token is ghp_0123456789abcdef [2]")] == [
        "note-form",
        "secret",
    ]
    assert grounding.find_ungrounded(Note(1, "", (1,)), "x")
