"""Variants stay on the training side, pass their check, and keep their parent's group; rendering finds what does not fit."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tests.curate.test_curate import solved, store, story, take, talk

from afs import datasets
from afs.curate.code_variants import Augment, rename_labels
from afs.curate.format_checks import ValidateConfig, validate
from afs.curate.group_keys import group_key
from afs.curate.token_counts import Rendering
from afs.errors import UsageError
from afs.workspace import Workspace


def test_own_labels_get_new_names_and_others_stay() -> None:
    text = "start:\n  lda table\n  bne start\nrestart:\n  rts"
    changed = rename_labels(text, random.Random(1))
    assert "start:" not in changed and "lda table" in changed
    lines = changed.splitlines()
    assert lines[2] == f"  bne {lines[0][:-1]}" and lines[0] != lines[3]


def test_variants_are_checked_and_stay_on_the_training_side(workspace: Workspace) -> None:
    """The pack `sums` reads past `;` notes when they hold no words: then taking them out preserves the answer."""
    records = [talk(r.messages[0].text, f"{r.task.reference} ;", r.origin.group, r.task) for r in solved(80) if r.task]
    spoilt = [talk(r.messages[0].text, "1 2 ; 3", r.origin.group, r.task) for r in solved(20, seed=9) if r.task]
    store(workspace, [*records, *spoilt])
    made = take(workspace, steps=({"use": "augment"},))
    notes = story(workspace, made).notes["augment"]
    added = [r for r in datasets.read(workspace, made) if any(t.startswith("augmented:") for t in r.tags)]
    assert notes["tried"] > notes["passed"] == len(added) > 30  # type: ignore[operator]
    train = {r.id: r for r in datasets.read(workspace, made, "train")}
    assert {r.id for r in added} <= set(train)
    assert all(group_key(r) == group_key(train[r.origin.parents[0]]) and r.verdicts[0].ok for r in added)


def test_a_record_without_a_task_is_left_alone() -> None:
    assert not list(Augment().variants(talk("q", "a: ; x")))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    words = {"[UNK]": 0, "user": 1, "assistant": 2}
    table = {
        "version": "1.0", "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"},
        "pre_tokenizer": {"type": "Whitespace"}, "added_tokens": [],
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(table))
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
        "{% generation %}{{ m.role }} {{ m.content }}\n{% endgeneration %}{% endfor %}"
    )
    (folder / "chat_template.jinja").write_text(template)
    return folder


def test_template_and_token_length_are_checked(workspace: Workspace, model: Path) -> None:
    good, long = talk("q", "a"), talk("q", "word " * 50)
    store(workspace, [good, long])
    assert Rendering(workspace, str(model)).render_text(good) == "user q\nassistant a\n"
    found = validate(ValidateConfig(ref="raw", model=str(model), max_tokens=20), workspace)
    assert [(p.place, p.problem) for p in found.problems] == [
        ("all-00000.jsonl.zst:2", "length: 53 tokens, more than 20")
    ]
    from afs.types import Message, Origin, Record, record_id

    turns = (Message(role="system", text="s"), Message(role="user", text="q"), Message(role="assistant", text="a"))
    store(
        workspace,
        [Record(id=record_id("d", turns), domain="d", kind="chat", messages=turns, origin=Origin(source="x"))],
    )
    found = validate(ValidateConfig(ref="raw", model=str(model)), workspace)
    assert "no system turns" in found.problems[0].problem
    with pytest.raises(UsageError):
        validate(ValidateConfig(ref="raw", model="none"), workspace)
